"""From the workflow's `processor:` line to the analysis class, and what it must declare for what else is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import hist
import numpy as np
from coffea.processor import ProcessorABC
from rich.console import Console

from colonnade.errors import ConfigError, nearest
from colonnade.execution import Progress, ResultCache
from colonnade.execution.data_driven import check_data_driven
from colonnade.histograms import Histogram
from colonnade.inference import ScorerSettings
from colonnade.manifest import Dataset, Manifest, load_manifest
from colonnade.manifest.datasets import alternatives_of, check_eras
from colonnade.manifest.filesets import load_fileset
from colonnade.processor import Processor, Shift
from colonnade.statistics.settings import ModelSettings
from colonnade.workflow.settings import CoffeaSettings, Workflow


def load_analysis(root: Path, reference: str, *, coffea: bool = False) -> type[Any]:
    """Import the analysis a workflow names.

    Parameters
    ----------
    root
        The project's folder, from which the path is taken; it is put on the import path, so that an
        analysis may import its neighbours.
    reference
        ``processors/name.py``, or ``processors/name.py:Class`` where the file holds several analyses.
    coffea
        Whether it is a coffea processor.

    Returns
    -------
    type
        The subclass of `Processor`, or another one of coffea's `ProcessorABC`.

    Raises
    ------
    ConfigError
        If the file is missing, can't be imported, or holds no such class.
    """
    location, _, name = reference.partition(":")
    key = "processor.coffea" if coffea else "processor"
    path = root / location
    if not Path(os.path.normpath(path)).is_relative_to(root):
        msg = f"{key} = {reference!r} lies outside the project's folder {root}, so its code is not run; copy it there."
        raise ConfigError(msg)
    if path.suffix != ".py" or not path.is_file():
        folder = path.parent if path.parent.is_dir() else root
        known = [str(other.relative_to(root)) for other in sorted(folder.glob("*.py"))]
        msg = f"{key} = {reference!r}: there is no Python file {path}{nearest(location, known)}."
        raise ConfigError(msg)
    module = _import(root, path)
    found = {
        each: value
        for each, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, ProcessorABC)
        and issubclass(value, Processor) != coffea
        and (value.__module__ == module.__name__ or (coffea and each == name))
        and not (coffea and inspect.isabstract(value))
    }
    what = "coffea processor" if coffea else "analysis"
    if name:
        if name not in found:
            msg = f"{key} = {reference!r}: {location} has no {what} {name!r}{nearest(name, found)}."
            raise ConfigError(msg)
        return found[name]
    if len(found) != 1:
        listed = ", ".join(sorted(found)) or "none"
        msg = f"{key} = {reference!r}: name one {what} as {location}:Class (the file holds: {listed})."
        raise ConfigError(msg)
    return next(iter(found.values()))


def make_processor(
    workflow: Workflow, *, unblind: bool = False, scored: bool = True
) -> Processor | dict[str, Processor]:
    """Return the analysis of a workflow with its parameters, corrections and classifiers; with eras, that of each.

    Parameters
    ----------
    workflow
        From `load_workflow`.
    unblind
        Whether data are filled in signal regions.
    scored
        Whether classifiers score; what they are trained on is made without.

    Raises
    ------
    ConfigError
        If the processor, a parameter or a file does not exist, or a classifier does not fit the analysis.
    InputError
        If a classifier's file is damaged.
    """
    settings = workflow.settings
    if not isinstance(settings.processor, str):
        msg = f"{workflow.path}: a coffea processor can't do this; it needs an analysis of colonnade."
        raise ConfigError(msg)
    analysis = load_analysis(workflow.root, settings.processor)
    if not settings.eras:
        return _made(analysis, workflow, unblind, scored)
    return {era: _made(analysis, workflow.of_era(era), unblind, scored) for era in settings.eras}


def _made(analysis: type[Any], workflow: Workflow, unblind: bool, scored: bool) -> Processor:
    from colonnade.inference import Classifier, OnnxScorer, scorers_of

    settings = workflow.settings
    corrections = {name: _file(workflow, "corrections", name, path) for name, path in settings.corrections.items()}
    files = {name: _file(workflow, "files", name, path) for name, path in settings.files.items()}
    scorers: dict[str, Any] = {}
    for name, wanted in settings.scorers.items() if scored else ():
        file = _file(workflow, "scorers", name, workflow.models[name])
        if isinstance(wanted, str):
            scorers |= scorers_of(analysis.classifiers.get(name, Classifier).load(file), name, analysis.units())
        else:
            scorers[name] = OnnxScorer.load(file, wanted, _converted(file, wanted) if wanted.xgboost else None)
    made: Processor = analysis(
        unblind=unblind, corrections=corrections, scorers=scorers, files=files, **settings.parameters
    )
    return made


def one_of(processor: Any) -> Any:
    """Return the analysis, of several eras that of the first: what a class declares is the same in all."""
    return next(iter(processor.values())) if isinstance(processor, dict) else processor


def make_coffea_processor(workflow: Workflow, settings: CoffeaSettings) -> Any:
    """Return the coffea processor of a workflow.

    Raises
    ------
    ConfigError
        If the class, or a file that it reads, does not exist, or its `__init__` does not take the arguments.
    """
    kind = load_analysis(workflow.root, settings.coffea, coffea=True)
    coffea_files(workflow, settings)
    try:
        inspect.signature(kind).bind(**settings.arguments)
    except TypeError as error:
        known = ", ".join(inspect.signature(kind).parameters) or "none"
        msg = f"{workflow.path}: processor.arguments: {kind.__name__}: {error}; its arguments: {known}."
        raise ConfigError(msg) from error
    try:
        return kind(**settings.arguments)
    except Exception as error:
        line = _line_in(error, workflow.root / settings.coffea.partition(":")[0])
        msg = f"{settings.coffea}{line} can't be made: {type(error).__name__}: {error}."
        raise ConfigError(msg) from error


def coffea_files(workflow: Workflow, settings: CoffeaSettings) -> list[Path]:
    """Return the files that a coffea processor reads."""
    return [_file(workflow, "processor.files", str(place), path) for place, path in enumerate(settings.files)]


def load_datasets(workflow: Workflow) -> list[Dataset]:
    """Return the datasets of a workflow; a coffea processor takes any fileset."""
    manifest = (
        load_manifest(workflow.manifest)
        if workflow.coffea is None
        else Manifest(workflow.manifest, {dataset.name: dataset for dataset in load_fileset(workflow.manifest)})
    )
    datasets = manifest.select(workflow.settings.datasets)
    check_eras(datasets, workflow.settings.eras)
    alternatives_of({dataset.name: dataset.metadata for dataset in datasets})  # which refuses those that are none
    return datasets


def run_options(workflow: Workflow, console: Console, declared: Sequence[Histogram] = ()) -> dict[str, Any]:
    """Return how a workflow runs over its datasets, as `colonnade.execution.run_datasets` takes it."""
    settings = workflow.settings
    return {
        "cache": ResultCache.of(settings.cache, workflow.root, declared),
        "luminosity": workflow.luminosities,
        "executor": settings.executor,
        "chunk_size": settings.chunk_size,
        "schema": settings.tree_schema,
        "allow_loss": settings.allow_loss,
        "progress": Progress(console),
    }


def _converted(path: Path, settings: ScorerSettings) -> bytes:
    """Convert xgboost's trees to ONNX, in which the event loop scores."""
    try:
        from colonnade.training.export import convert_trees
    except ImportError as error:
        msg = f"{path} is converted to ONNX with xgboost and onnxmltools; pip install 'colonnade[train]'."
        raise ConfigError(msg) from error
    return convert_trees(path, settings.features())


def _file(workflow: Workflow, key: str, name: str, location: str) -> Path:
    path = workflow.root / location
    if not path.is_file():
        how = "; make it with colonnade train" if key == "scorers" and location.endswith(".onnx") else ""
        msg = f"{workflow.path}: {key}.{name} = {location!r}: there is no file {path}{how}."
        raise ConfigError(msg)
    return path


def _import(root: Path, path: Path) -> ModuleType:
    """Import a file of the project by its dotted name below the root, with the package that it is a part of."""
    parts = Path(os.path.relpath(path, root)).with_suffix("").parts
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    depth = len(parts)  # of the outermost package around it, or of the file itself
    while depth > 1 and (root.joinpath(*parts[: depth - 1]) / "__init__.py").is_file():
        depth -= 1
    outer = ".".join(parts[:depth])
    first = path if depth == len(parts) else root.joinpath(*parts[:depth]) / "__init__.py"
    for name in [name for name in sys.modules if name == outer or name.startswith(f"{outer}.")]:
        del sys.modules[name]
    specification = importlib.util.spec_from_file_location(outer, first)
    assert specification is not None and specification.loader is not None  # noqa: S101, PT018 - of a file .py
    module = sys.modules[outer] = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        return importlib.import_module(".".join(parts).removesuffix(".__init__"))
    except Exception as error:
        sys.modules.pop(outer, None)
        line = _line_in(error, path)
        msg = f"{path}{line} can't be imported: {type(error).__name__}: {error}."
        raise ConfigError(msg) from error


def _line_in(error: BaseException, path: Path) -> str:
    """Return the line of the user's file that an error came from."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno},"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f", line {lines[-1]}," if lines else ""


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
    """Check the names of histograms, of a coffea processor as its first events show them.

    Raises
    ------
    ConfigError
        If the model, a fit of a peak or a figure asks for one that is not there.
    """
    from colonnade.statistics.templates import matching

    settings = workflow.settings
    fits = settings.bumps.fits if settings.bumps else {}
    channels = settings.model.channels if settings.model else {}
    wanted = {f"The fit {name} of a peak": fit.histogram for name, fit in fits.items()}
    wanted |= {f"The channel {name} of the model": channel.histogram for name, channel in channels.items()}
    for who, name in wanted.items():
        if "{" not in name:  # else it depends on the signal
            _known(name, histograms, f"{who} asks for the histogram")
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
    from colonnade.statistics.templates import matching

    settings = workflow.settings
    processor = one_of(processor)
    histograms = {histogram.name: histogram for histogram in processor.histograms}
    check_histograms(workflow, histograms)
    for name, fit in (settings.bumps.fits if settings.bumps else {}).items():
        regions = histograms[fit.histogram].regions_among(list(processor.regions))
        _known(fit.region, regions, f"The fit {name} of a peak asks for {fit.histogram} in the region")
    if settings.plots is not None:
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
    from colonnade.statistics.templates import Inputs, Process

    found = found or {}
    shifts = list(Shift.every(processor.shifts))
    every = {shift.variation for shift in shifts}
    variations = [name for names in found.values() for name in names]
    if not found:  # those of weights may be any that the model asks for
        asked = {each.variation: None for each in model.systematics if each.variation is not None}
        weights = [name for name in asked if name not in {shift.source for shift in shifts}]
        variations = [*(shift.variation for shift in shifts), *_sides(weights)]
    variations += [each.metadata.varies for each in datasets if each.metadata.varies]
    variations += _sides(f"{name}_transfer" for name in workflow.settings.data_driven)
    variations = list(dict.fromkeys(variations))
    kinds = kinds_of(workflow, processor, datasets) | dict.fromkeys(workflow.settings.data_driven, "background")
    made = {}
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
    signals = {dataset.metadata.process: dict(dataset.metadata.signal) for dataset in datasets}
    settings = workflow.settings
    inputs = Inputs(
        made,
        {
            name: Process(kind, signals.get(name, {}), data_driven=name in settings.data_driven)
            for name, kind in kinds.items()
        },
        luminosity=settings.luminosity or 0.0,  # the settings see to it that a model has one
        signal_regions=frozenset(name for name, region in processor.regions.items() if region.signal),
        unblind=settings.unblind,
        eras=dict.fromkeys(settings.eras, made),
    )
    builder = Builder(inputs, model)
    own = any(channel.depends_on_signal() for channel in model.channels.values())
    for signal in builder.signals if own else builder.signals[:1]:
        builder.build(signal)


def _sides(names: Iterable[str]) -> list[str]:
    return [f"{name}_{side}" for name in names for side in ("up", "down")]


def _made_up(histogram: Histogram, regions: Sequence[str], variations: Sequence[str]) -> hist.Hist:
    axes = (hist.axis.StrCategory(regions, name="region"), hist.axis.StrCategory(variations, name="variation"))
    filled = hist.Hist(*axes, *histogram.axes, storage=hist.storage.Weight())
    filled.view(flow=True)["value"] = 1e6
    filled.view(flow=True)["variance"] = np.float64(1.0)
    return filled
