"""What a workflow asks of its analysis, checked before the first event is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import hist
import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.execution.data_driven import check_data_driven
from colonnade.histograms import Histogram
from colonnade.manifest import Dataset
from colonnade.processor import Processor, Shift
from colonnade.statistics.settings import ModelSettings
from colonnade.workflow.analysis import one_of
from colonnade.workflow.settings import Workflow

_SIDES = ("up", "down")


def parts_of(processor: Any, datasets: Sequence[Dataset]) -> dict[str, Dataset]:
    """Return the processes that an analysis makes of parts of others, each with a dataset that it is a part of.

    Raises
    ------
    ConfigError
        If a dataset is of a process of that name.
    """
    declared = getattr(one_of(processor), "parts", {})
    simulated = [dataset for dataset in datasets if dataset.metadata.kind != "data" and dataset.metadata.varies is None]
    found = {
        f"{dataset.metadata.process}_{part}": dataset
        for dataset in simulated
        for part in declared.get(dataset.metadata.process, ())
    }
    for dataset in datasets:
        for name in {dataset.name, dataset.metadata.process} & found.keys():
            of = found[name].metadata.process
            msg = f"Dataset {dataset.name}: {name} is a part of the process {of}; call one of both otherwise."
            raise ConfigError(msg)
    return found


def kinds_of(workflow: Workflow, processor: Any, datasets: Sequence[Dataset]) -> dict[str, str]:
    """Return each process with its kind, also of those that an analysis makes of parts of others."""
    parts = {} if workflow.coffea is not None else parts_of(processor, datasets)
    kinds: dict[str, str] = {dataset.metadata.process: dataset.metadata.kind for dataset in datasets}
    return kinds | {part: dataset.metadata.kind for part, dataset in parts.items()}


def check_histograms(workflow: Workflow, histograms: Mapping[str, Any]) -> None:
    """Check the names of a coffea processor's histograms, as its first events show them.

    Raises
    ------
    ConfigError
        If the model, a fit of a peak or a figure asks for one that is not there.
    """
    from colonnade.statistics.templates import matching

    settings = workflow.settings
    fits = settings.bumps.fits if settings.bumps else {}
    channels = settings.model.channels if settings.model else {}
    for name in [*(fit.histogram for fit in fits.values()), *(channel.histogram for channel in channels.values())]:
        if "{" not in name:  # else it depends on the signal
            _known(name, histograms, "The model or a fit of a peak asks for the histogram")
    if settings.plots is not None:
        matching(settings.plots.histograms, list(histograms), "plots.histograms")


def check_names(
    workflow: Workflow, processor: Any, datasets: Sequence[Dataset], found: Mapping[str, Collection[str]] | None = None
) -> None:
    """Check every name, bin edge and variation that the model, the fits of peaks and the figures ask for.

    Parameters
    ----------
    workflow
        The workflow.
    processor
        Its analysis, which declares histograms and regions; with eras, that of each.
    datasets
        What it runs on.
    found
        The names of the variations that the analysis fills for each process, where they are known; those of weights are
        known once it has seen events.

    Raises
    ------
    ConfigError
        If one is not there.
    """
    settings = workflow.settings
    processor = one_of(processor)
    histograms = {histogram.name: histogram for histogram in processor.histograms}
    for name, fit in (settings.bumps.fits if settings.bumps else {}).items():
        _known(fit.histogram, histograms, f"The fit {name} of a peak asks for the histogram")
        regions = histograms[fit.histogram].regions_among(list(processor.regions))
        _known(fit.region, regions, f"The fit {name} of a peak asks for {fit.histogram} in the region")
    if settings.plots is not None:
        from colonnade.statistics.templates import matching

        matching(settings.plots.histograms, list(histograms), "plots.histograms")
        matching(settings.plots.regions, list(processor.regions), "plots.regions")
    check_data_driven(settings.data_driven, processor.regions, kinds_of(workflow, processor, datasets))
    if settings.model is not None:
        _build_with_made_up_content(workflow, settings.model, processor, datasets, found)


def _known(name: str, known: Mapping[str, Any] | Sequence[str], what: str) -> None:
    if name not in known:
        msg = f"{what} {name!r}, which the analysis does not declare{nearest(name, known)}."
        raise ConfigError(msg)


def _build_with_made_up_content(
    workflow: Workflow,
    model: ModelSettings,
    processor: Processor,
    datasets: Sequence[Dataset],
    found: Mapping[str, Collection[str]] | None,
) -> None:
    """Build the model from histograms that hold the same number everywhere: what is missing is told as in earnest."""
    from colonnade.statistics.build import Builder
    from colonnade.statistics.step import make_inputs

    found = found or {}
    variations = [name for names in found.values() for name in names]
    if not found:  # those of weights may be any that the model asks for
        asked = [systematic.variation for systematic in model.systematics if systematic.variation is not None]
        shifts = list(Shift.every(processor.shifts))
        weights = dict.fromkeys(name for name in asked if name not in {shift.source for shift in shifts})
        variations = [shift.variation for shift in shifts]
        variations += [f"{name}_{side}" for name in weights for side in ("up", "down")]
    variations = list(
        dict.fromkeys([*variations, *(each.metadata.varies for each in datasets if each.metadata.varies)])
    )
    kinds = kinds_of(workflow, processor, datasets) | dict.fromkeys(workflow.settings.data_driven, "background")
    variations = [
        *variations,
        *(f"{name}_transfer_{side}" for name in workflow.settings.data_driven for side in _SIDES),
    ]
    made = {}
    every = {shift.variation for shift in Shift.every(processor.shifts)}
    unfilled = {
        process: every - {shift.variation for shift in Shift.every(processor.shifts, process, data=kind == "data")}
        for process, kind in kinds.items()
    }
    # weights may be those of some processes only
    for process in unfilled.keys() & found.keys():
        unfilled[process] |= {name for names in found.values() for name in names} - set(found[process])
    for histogram in processor.histograms:
        regions = histogram.regions_among(list(processor.regions))
        filled = [name for name in variations if histogram.fills(name)]
        names = {
            process: tuple(name for name in filled if name not in without) for process, without in unfilled.items()
        }
        contents = {each: _made_up(histogram, regions, each) for each in set(names.values())}
        made[histogram.name] = {process: contents[each] for process, each in names.items()}
    inputs = make_inputs(
        made,
        kinds=kinds,
        points={dataset.metadata.process: {"parameters": dict(dataset.metadata.signal)} for dataset in datasets},
        luminosity=workflow.luminosity,
        unblind=workflow.settings.unblind,
        signal_regions=[name for name, region in processor.regions.items() if region.signal],
        eras=dict.fromkeys(workflow.settings.eras, made),
        data_driven=workflow.settings.data_driven,
    )
    builder = Builder(inputs, model)
    own = any(channel.depends_on_signal() for channel in model.channels.values())
    for signal in builder.signals if own else builder.signals[:1]:
        builder.build(signal)


def _made_up(histogram: Histogram, regions: Sequence[str], variations: Sequence[str]) -> hist.Hist:
    axes = (hist.axis.StrCategory(regions, name="region"), hist.axis.StrCategory(variations, name="variation"))
    filled = hist.Hist(*axes, *histogram.axes, storage=hist.storage.Weight())
    filled.view(flow=True)["value"] = 1e6
    filled.view(flow=True)["variance"] = np.float64(1.0)
    return filled
