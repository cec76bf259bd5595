"""`colonnade columns`: the training columns of an analysis, as parquet."""

from __future__ import annotations

__all__ = ["command", "make_columns"]

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from colonnade.training import Model
    from colonnade.training.columns import ColumnsCard
    from colonnade.workflow import Workflow


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

    loaded = load_workflow(workflow).override(
        executor=executor, workers=workers, scheduler=scheduler, datasets=datasets
    )
    own = loaded.root / "models" / f"{loaded.name}.py"
    declared = model or (own if own.is_file() else None)
    models = load_models(declared).values() if declared is not None else ()
    make_columns(loaded, tuple(models), output or loaded.root / "columns" / loaded.name, Console())


def make_columns(workflow: Workflow, models: tuple[Model, ...], folder: Path, console: Console) -> ColumnsCard:
    """Write what models need (without models: everything), unless it is there and nothing changed.

    Parameters
    ----------
    workflow
        The analysis.
    models
        Whose features to write.
    folder
        Where.
    console
        Where progress is shown.
    """
    import shlex
    import sys
    from datetime import UTC, datetime

    from colonnade.execution import RichProgress
    from colonnade.execution.identity import identify
    from colonnade.execution.project import collect_code
    from colonnade.inference import declared_units
    from colonnade.manifest import load_manifest
    from colonnade.training.columns import find_columns, write_columns
    from colonnade.workflow.analysis import load_analysis
    from colonnade.workflow.provenance import digest, environment

    settings = workflow.settings
    datasets = [
        dataset
        for dataset in load_manifest(workflow.manifest).select(settings.datasets)
        if dataset.metadata.kind != "data"
    ]
    analysis = load_analysis(workflow.root, settings.processor)
    corrections = {name: workflow.root / path for name, path in settings.corrections.items()}
    processor = analysis(unblind=False, corrections=corrections, **settings.parameters)
    features = sorted({name for model in models for name in model.columns()})
    files = {path: _identity(path) for dataset in datasets for path, _ in dataset.expand()}
    identity = identify(processor, collect_code(processor))
    key = digest(
        settings.luminosity,
        settings.tree_schema,
        identity.digest if identity is not None else datetime.now(UTC).isoformat(),  # untold: made each time
        {dataset.name: dataset.metadata.model_dump(mode="json") for dataset in datasets},
        features,
        files,
    )
    known = find_columns(folder, key)
    if known is not None:
        console.print(f"  columns     unchanged in {folder}", highlight=False)
        return known
    card = write_columns(
        processor,
        datasets,
        folder,
        luminosity=settings.luminosity,
        observables=features or None,
        units=declared_units(analysis.histograms),
        executor=settings.executor,
        chunk_size=settings.chunk_size,
        schema=settings.tree_schema,
        allow_loss=settings.allow_loss,
        progress=RichProgress(console),
        provenance={
            "key": key,
            "workflow": str(workflow.path),
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment(),
        },
    )
    rows = sum(process.events for process in card.processes.values())
    console.print(f"  columns     {rows:,} events of {len(card.processes)} processes in {folder}", highlight=False)
    return card


def _identity(path: str) -> tuple[int, int] | None:
    """Size and modification time of a local file; a remote one is known by its name."""
    place = Path(path)
    return (place.stat().st_size, place.stat().st_mtime_ns) if place.is_file() else None
