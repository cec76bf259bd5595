"""`colonnade skim`: the events that an analysis selects, as ROOT files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("skim")
@click.argument("workflow", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where it goes; by default skims/NAME in the project's folder.",
)
@click.option("--executor", type=click.Choice(["dask", "futures", "iterative"]), help="Instead of the workflow's.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes on this machine.")
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, such as tcp://10.0.0.1:8786.")
@click.option("--datasets", multiple=True, metavar="NAME", help="Only these datasets (names or globs; repeatable).")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value of the workflow (repeatable)."
)
def command(
    workflow: Path,
    output: Path | None,
    executor: str | None,
    workers: int | None,
    scheduler: str | None,
    datasets: tuple[str, ...],
    changes: tuple[str, ...],
) -> None:
    """Write the events that pass WORKFLOW's preselection to ROOT files with a manifest of their own; see `skim` there.

    Interrupted, it goes on where it was when called again.
    """
    from rich.console import Console

    from colonnade.workflow import load_workflow
    from colonnade.workflow.columns import make_skim

    loaded = load_workflow(workflow, changes).override(
        executor=executor, workers=workers, scheduler=scheduler, datasets=datasets
    )
    make_skim(loaded, output or loaded.root / "skims" / loaded.name, Console())
