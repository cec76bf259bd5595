"""`colonnade run`: a workflow, from events to report."""

from __future__ import annotations

__all__ = ["command"]

from pathlib import Path

import click


@click.command("run")
@click.argument("workflow", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the result goes; by default results/NAME in the project's folder.",
)
@click.option("--executor", type=click.Choice(["dask", "futures", "iterative"]), help="Instead of the workflow's.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes on this machine.")
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, such as tcp://10.0.0.1:8786.")
@click.option("--datasets", multiple=True, metavar="NAME", help="Only these datasets (names or globs; repeatable).")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value of the workflow (repeatable)."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted or lossy run of the output folder.")
def command(
    workflow: Path,
    output: Path | None,
    executor: str | None,
    workers: int | None,
    scheduler: str | None,
    datasets: tuple[str, ...],
    changes: tuple[str, ...],
    *,
    resume: bool,
) -> None:
    """Run WORKFLOW, a YAML file: events, histograms, fit, plots and report.

    Exits with 3 if more events were lost than the workflow allows; what could be made is there and says so.
    """
    from colonnade.workflow import load_workflow, run_workflow

    loaded = load_workflow(workflow, changes).override(
        executor=executor, workers=workers, scheduler=scheduler, datasets=datasets
    )
    run_workflow(loaded, output, resume=resume)
