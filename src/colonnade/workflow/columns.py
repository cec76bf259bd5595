"""The training columns of a workflow's analysis, made unless they are there."""

from __future__ import annotations

__all__ = ["make_columns"]

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from colonnade.execution import RichProgress
from colonnade.execution.identity import UnidentifiedError, identify
from colonnade.execution.project import collect_code
from colonnade.inference import declared_units
from colonnade.workflow.analysis import load_datasets, make_processor, one_of
from colonnade.workflow.provenance import digest, environment
from colonnade.workflow.settings import Workflow

if TYPE_CHECKING:
    from colonnade.training import Model
    from colonnade.training.columns import ColumnsCard


def make_columns(
    workflow: Workflow, models: tuple[Model, ...], folder: Path, console: Console, also: tuple[str, ...] = ()
) -> ColumnsCard:
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
    also
        Observables to write beside the features.
    """
    from colonnade.training.columns import find_columns, write_columns

    settings = workflow.settings
    datasets = [dataset for dataset in load_datasets(workflow) if dataset.metadata.kind != "data"]
    processor = make_processor(workflow, scored=False)
    features = sorted({name for model in models for name in model.columns()})
    if features:
        features = sorted({*features, *also})
    # models of other numbers of folds find theirs by the same rule
    folds = next((model.folds for model in models if model.folds > 1), 1)
    files = {path: _identity(path) for dataset in datasets for path, _ in dataset.expand()}
    try:
        each = processor if isinstance(processor, dict) else {"": processor}
        analysis = digest({era: identify(one, collect_code(one)).digest for era, one in each.items()})
    except UnidentifiedError:
        analysis = datetime.now(UTC).isoformat()  # made each time
    key = digest(
        workflow.luminosities,
        settings.tree_schema,
        analysis,
        {dataset.name: dataset.metadata.model_dump(mode="json") for dataset in datasets},
        features,
        folds,
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
        luminosity=workflow.luminosities,
        observables=features or None,
        units=declared_units(one_of(processor).histograms),
        folds=folds,
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
