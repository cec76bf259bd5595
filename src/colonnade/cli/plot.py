"""`colonnade plot`: the figures of a run, drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("plot")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--era", metavar="NAME", help="Only this of the run's eras.")
@click.option("--histograms", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--regions", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--signals", multiple=True, metavar="NAME", help="Overlay these signals (names or globs; repeatable).")
@click.option("--formats", type=click.Choice(["png", "pdf"]), multiple=True, help="Instead of both (repeatable).")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that draw; by default one for each core.")
def command(
    directory: Path,
    era: str | None,
    histograms: tuple[str, ...],
    regions: tuple[str, ...],
    signals: tuple[str, ...],
    formats: tuple[str, ...],
    workers: int | None,
) -> None:
    """Draw what a run left in DIRECTORY, into its plots/.

    Without options, as the run's workflow says. Pictures that are not chosen are removed: the folder, and the page that
    `colonnade report` writes, show what was drawn last.
    """
    import os

    from colonnade.terminal import Terminal
    from colonnade.workflow.folder import load_run
    from colonnade.workflow.run import plots_step
    from colonnade.workflow.steps import OutputFolder

    chosen: dict[str, Any] = {
        "era": era,
        "histograms": histograms,
        "regions": regions,
        "signals": signals,
        "formats": formats,
    }
    run = load_run(directory).with_plots(**{key: value for key, value in chosen.items() if value})
    workers = workers or len(os.sched_getaffinity(0))
    console = Terminal()
    with OutputFolder.reopened(directory, console) as folder:
        after = folder.keys("ledger", "histograms", "fit", "bumps", "classifiers")
        folder.redo(plots_step(run.plots, folder.about, lambda _: run, after, workers, console))
