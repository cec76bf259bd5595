"""From the workflow's `processor:` line to the analysis class."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from coffea.processor import ProcessorABC

from colonnade.errors import ConfigError, nearest
from colonnade.inference import ScorerSettings
from colonnade.manifest import Dataset, Manifest, alternatives_of, check_eras, load_fileset, load_manifest
from colonnade.processor import Processor
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
    alternatives_of(datasets)  # which refuses those that are none
    return datasets


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
    try:
        parts = path.resolve().relative_to(root.resolve()).with_suffix("").parts
    except ValueError:
        parts = (path.stem,)
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
    if specification is None or specification.loader is None:
        msg = f"{path} can't be imported as a Python module."
        raise ConfigError(msg)
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
    trace, line = error.__traceback__, 0
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}," if line else ""
