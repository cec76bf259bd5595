"""What a workflow's analysis leaves beside results: training columns, dumps and skims."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from colonnade.errors import ConfigError
from colonnade.events.writing import Skim
from colonnade.execution.cache import stamp
from colonnade.execution.identity import UnidentifiedError, identify
from colonnade.execution.project import collect_code
from colonnade.execution.skimming import SkimResult, write_skims
from colonnade.manifest import Dataset
from colonnade.processor import Shift
from colonnade.versions import digest, environment
from colonnade.workflow.analysis import load_datasets, make_processor, one_of, run_options
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
    datasets = [dataset for dataset in _nominal(workflow) if dataset.metadata.kind != "data"]
    features = sorted({name for model in models for name in model.columns()})
    if features:
        features = sorted({*features, *also})
    # models of other numbers of folds find theirs by the same rule
    folds = next((model.folds for model in models if model.folds > 1), 1)
    processor = make_processor(workflow, scored=False)
    return _written(workflow, processor, datasets, folder, console, observables=features or None, folds=folds)


def _nominal(workflow: Workflow) -> list[Dataset]:
    """Return the datasets without alternative samples, whose events would count twice."""
    return [dataset for dataset in load_datasets(workflow) if dataset.metadata.varies is None]


def make_dump(workflow: Workflow, folder: Path, console: Console) -> list[ColumnsCard]:
    """Write what the workflow's `dump` asks for, a folder for each shift, unless it is there and nothing changed.

    Of data that are blinded, events in signal regions are left out.

    Parameters
    ----------
    workflow
        The analysis.
    folder
        Where.
    console
        Where progress is shown.

    Raises
    ------
    ConfigError
        If only blinded regions of data are asked for, or a region or shift is unknown.
    """
    dump, unblind = workflow.settings.dump, workflow.settings.unblind
    datasets = [dataset for dataset in _nominal(workflow) if dump.data or dataset.metadata.kind != "data"]
    processor = make_processor(workflow, unblind=unblind)
    declared = one_of(processor)
    blind = [name for name, region in declared.regions.items() if region.signal and not unblind]
    data = [dataset for dataset in datasets if dataset.metadata.kind == "data"]
    if data and dump.regions and set(dump.regions) <= {*blind}:
        era = f" of the era {data[0].metadata.era}" if data[0].metadata.era else ""
        msg = (
            f"dump.regions: data of the dataset {data[0].name}{era} are blinded in the region {dump.regions[0]}, so "
            "there is nothing to dump of them; unblind the workflow, or say dump.data = false."
        )
        raise ConfigError(msg)
    if data and blind:
        console.print(f"  dump        without the data in {', '.join(blind)}, which are blinded", highlight=False)
    cards = []
    for shift in dump.shifts:
        Shift.of(shift, tuple(declared.shifts))
        # of data there are no shifts
        mine = [dataset for dataset in datasets if shift == "nominal" or dataset.metadata.kind != "data"]
        options = {"observables": list(dump.observables) or None, "regions": dump.regions, "dtype": dump.dtype}
        cards.append(_written(workflow, processor, mine, folder / shift, console, shift=shift, **options))
    return cards


def make_skim(workflow: Workflow, folder: Path, console: Console) -> SkimResult:
    """Write the events that the analysis selects to ROOT files, as the workflow's `skim` asks for.

    Parameters
    ----------
    workflow
        The analysis.
    folder
        Where; see `colonnade.execution.skimming.write_skims`.
    console
        Where progress is shown.
    """
    settings, skim = workflow.settings, workflow.settings.skim
    processor = make_processor(workflow, unblind=True)
    skimmed = write_skims(
        processor,
        load_datasets(workflow),
        folder,
        wanted=Skim(skim.columns, skim.layout, settings.tree_schema),
        regions=skim.regions,
        **run_options(workflow, console, one_of(processor).histograms),
    )
    for name, events in skimmed.events.items():
        expected = skimmed.ledger.datasets[name].events_processed
        console.print(f"  {name:<11} {events:,} of {expected:,} events in {folder / name}", highlight=False)
    if skimmed.left_out:
        console.print(f"  left out    {', '.join(skimmed.left_out)}: ROOT's writer does not know their type")
    return skimmed


def _written(
    workflow: Workflow,
    processor: Any,
    datasets: Sequence[Dataset],
    folder: Path,
    console: Console,
    **wanted: Any,
) -> ColumnsCard:
    """Write columns, unless they are there and nothing changed."""
    from colonnade.training.columns import find_columns, write_columns

    settings = workflow.settings
    files = {path: stamp(path) for dataset in datasets for path, _ in dataset.expand()}
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
        wanted,
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
        units=one_of(processor).units(),
        provenance={
            "key": key,
            "workflow": str(workflow.path),
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment(),
        },
        **wanted,
        **run_options(workflow, console, one_of(processor).histograms),
    )
    rows = sum(process.events for process in card.processes.values())
    console.print(f"  columns     {rows:,} events of {len(card.processes)} processes in {folder}", highlight=False)
    return card
