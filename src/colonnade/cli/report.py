"""`colonnade report`: the HTML page of a run, written again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--era", metavar="NAME", help="Only this of the run's eras.")
def command(directory: Path, era: str | None) -> None:
    """Write report.html, one self-contained page, about what a run left in DIRECTORY.

    Pictures are those of `colonnade plot`; without them the page has its tables alone.
    """
    from colonnade.terminal import Terminal
    from colonnade.workflow.folder import load_run
    from colonnade.workflow.run import report_step
    from colonnade.workflow.steps import OutputFolder

    run = load_run(directory)
    if era is not None:
        run = run.with_plots(era=era)
    with OutputFolder.reopened(directory, Terminal()) as folder:
        folder.redo(report_step(run))
