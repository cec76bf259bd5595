"""`colonnade columns`: the training columns of an analysis, as parquet."""

from __future__ import annotations

__all__ = ["command"]

from pathlib import Path

import click


@click.command("columns")
@click.argument("workflow", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--model",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The model whose features are written; by default models/NAME.py, else every observable.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the columns go; by default columns/NAME in the project's folder.",
)
@click.option("--executor", type=click.Choice(["dask", "futures", "iterative"]), help="Instead of the workflow's.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes on this machine.")
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, such as tcp://10.0.0.1:8786.")
@click.option("--datasets", multiple=True, metavar="NAME", help="Only these datasets (names or globs; repeatable).")
def command(
    workflow: Path,
    model: Path | None,
    output: Path | None,
    executor: str | None,
    workers: int | None,
    scheduler: str | None,
    datasets: tuple[str, ...],
) -> None:
    """Write the observables, weights and regions that WORKFLOW's processor computes, one row an event."""
    from rich.console import Console

    from colonnade.training import load_models
    from colonnade.workflow import load_workflow
    from colonnade.workflow.columns import make_columns

    loaded = load_workflow(workflow).override(
        executor=executor, workers=workers, scheduler=scheduler, datasets=datasets
    )
    own = loaded.root / "models" / f"{loaded.name}.py"
    declared = model or (own if own.is_file() else None)
    models = load_models(declared).values() if declared is not None else ()
    make_columns(loaded, tuple(models), output or loaded.root / "columns" / loaded.name, Console())
