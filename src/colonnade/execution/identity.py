"""What a chunk's result depends on, as one hash: equal hash, equal result."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle
import numpy as np

from colonnade import versions
from colonnade.execution.merging import FAN_IN, GROUP
from colonnade.execution.plan import Chunk, DatasetPlan
from colonnade.execution.project import ProjectCode, last_part, text_of
from colonnade.histograms import Histogram
from colonnade.versions import code_digest, digest, file_digest

# parts of the framework that an event passes through, with all that they import: an edit there counts as a new version;
# what a dump keeps is made in training
ROOMS = ("execution", "training", "calibration")
_FORMAT = "2"
# once a process
installed = functools.cache(versions.installed)
# the files that count, while an analysis is identified
_seen: ContextVar[set[str]] = ContextVar("seen")


@dataclass(frozen=True)
class AnalysisIdentity:
    """What the results of an analysis depend on, apart from its input: its `digest`.

    The absolute paths in `files` are those of the files whose content counts in it.
    """

    digest: str
    files: frozenset[str] = frozenset()


class UnidentifiedError(Exception):
    """Something in the analysis has no stable identity; the message says what."""


def identify(
    processor: Any, code: ProjectCode, files: Iterable[Path] = (), schema: type | None = None
) -> AnalysisIdentity:
    """Return an analysis's identity.

    Parameters
    ----------
    processor
        The analysis. Its attributes count, by value; a path of a file counts by the file's content, and so
        do the paths of its corrections and of its classifier.
    code
        Its modules: what they do, the values of their variables, the environment variables that they read, and the
        files that they name.
    files
        Other files that the analysis reads, by content.
    schema
        Of a coffea processor, coffea's schema that its events are made by.

    Raises
    ------
    UnidentifiedError
        Where the analysis holds something that can't be identified.
    """
    kind = type(processor)
    found: set[str] = set()
    token = _seen.set(found)
    try:
        parts = {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "code": code.meanings() or _pickled(kind),
            "declared": _declared(kind),
            "files": _named_files(kind, code),
            "variables": _variables(code),
            "environment": _environment(code),
            "state": _plain(vars(processor)),
            "read": _plain([Path(file).absolute() for file in files]),
            "schema": None if schema is None else f"{schema.__module__}.{schema.__qualname__}",
            "framework": [code_digest(room) for room in ROOMS],
            "libraries": installed(),
            "format": _FORMAT,
        }
    finally:
        _seen.reset(token)
    return AnalysisIdentity(digest(parts), frozenset(found))


def dataset_key(analysis: AnalysisIdentity, dataset: DatasetPlan) -> str:
    """Return the hash of an analysis and what it is told about a dataset."""
    about = dataset.event_metadata()
    mask = about.pop("luminosity_mask", None)
    about = about if dataset.given is None else _plain(about)
    return digest([analysis.digest, about, None if mask is None else _file(Path(mask))])


def chunk_key(dataset: str, chunk: Chunk) -> str:
    """Return the hash of all that a chunk's result depends on, its dataset's among it; where the file lies does not."""
    source = chunk.source
    text = f"{dataset}|{source.identity}|{source.size}|{source.tree}|{source.schema}|{chunk.start}|{chunk.stop}"
    return hashlib.sha256(text.encode()).hexdigest()


def merged_key(chunks: Iterable[Chunk]) -> str:
    """Return the hash of a dataset's sum: of the keys of its chunks, in order."""
    return digest(GROUP, FAN_IN, *(chunk.key for chunk in chunks))


def _declared(kind: type) -> list[Any]:
    """Return what a class declares, which its code need not show: it may come from a loop or a file."""
    histograms = [
        [histogram.name, [repr(axis) for axis in histogram.axes], histogram.observables, histogram.regions]
        if isinstance(histogram, Histogram)
        else repr(histogram)
        for histogram in getattr(kind, "histograms", ())
    ]
    return [histograms, *(repr(getattr(kind, name, None)) for name in ("regions", "shifts", "parts"))]


def _named_files(kind: type, code: ProjectCode) -> dict[str, str]:
    """Return the digest of each file that a class names in a variable, or a module of the analysis anywhere."""
    named = {
        f"{base.__module__}.{base.__qualname__}.{name}": value
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, str | Path) and not name.startswith("__")
    }
    for module in code.modules:
        for text in {text for node in module.nodes if (text := text_of(node))}:
            named[f"{module.name}: {text}"] = text  # relative to where the run is, or to the module
            named[f"{module.name}/{text}"] = Path(module.path).parent / text
    return {name: found for name, value in named.items() if (found := _file_named(value)) is not None}


def _variables(code: ProjectCode) -> dict[str, Any]:
    """Return the values of the modules' variables: tables that were loaded at import, settings, paths."""
    found = {}
    for module in code.modules:
        names = vars(sys.modules[module.name]) if module.name in sys.modules else {}
        for name, value in list(names.items()):
            if not name.startswith("__") and not _is_code(value):
                try:
                    found[f"{module.name}.{name}"] = _plain(value)
                except UnidentifiedError as error:
                    msg = f"the variable {name} of {module.path} ({type(value).__name__}) can't be compared"
                    raise UnidentifiedError(msg) from error
    return found


def _is_code(value: Any) -> bool:
    """Whether a value is what it is by its code, which counts already."""
    kinds = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, np.ufunc)
    if isinstance(value, kinds):
        return True
    return type(value).__module__.partition(".")[0] in ("numba", "typing", "__future__", "types")


def _environment(code: ProjectCode) -> dict[str, str | None]:
    """Return the environment variables that the modules read."""
    found: dict[str, str | None] = {}
    for module in code.modules:
        calls = [node for node in module.nodes if isinstance(node, ast.Call)]
        if any(last_part(node.func) in ("import_module", "__import__") and not _first_text(node) for node in calls):
            msg = f"{module.path} imports a module by a name made at run time"
            raise UnidentifiedError(msg)
        read = [key for node in module.nodes if (key := _variable_read(node)) is not None]
        if len(read) != sum(last_part(node) in ("environ", "getenv") for node in module.nodes):
            msg = f"{module.path} reads environment variables by names made at run time"
            raise UnidentifiedError(msg)
        found |= {key: os.environ.get(key) for key in read}
    return found


def _variable_read(node: ast.AST) -> str | None:
    """Return the name of the environment variable that an expression reads, where it is literal."""
    if isinstance(node, ast.Subscript) and last_part(node.value) == "environ":
        return text_of(node.slice)
    if isinstance(node, ast.Call):
        of_environ = last_part(node.func) == "get" and last_part(getattr(node.func, "value", None)) == "environ"
        return _first_text(node) if of_environ or last_part(node.func) == "getenv" else None
    return None


def _first_text(node: Any) -> str | None:
    """Return the first argument of a call, where it is a literal string."""
    return text_of(node.args[0]) if node.args else None


def _plain(value: Any) -> Any:
    """Return a value as JSON can write it, files by their content.

    Raises
    ------
    UnidentifiedError
        If that is not possible.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path):
        found = _file_named(value)
        return str(value) if found is None else ["file", found]
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _container(value)
    return _pickled(value)


def _file_named(value: str | Path) -> str | None:
    """Return the digest of the file that a path names; None where it names none."""
    try:
        return _file(Path(value)) if Path(value).is_file() else None
    except (OSError, ValueError):  # too long, or with a NUL: no path
        return None


def _container(value: Any) -> Any:
    if isinstance(paths := getattr(value, "paths", None), Mapping):  # corrections
        value = {name: Path(path) for name, path in paths.items()}
    if isinstance(value, Mapping):
        return sorted(([_plain(key), _plain(item)] for key, item in value.items()), key=json.dumps)
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=json.dumps)
    return [_plain(item) for item in value]


def _pickled(value: Any) -> str:
    """Return the hash of a value's serialisation: it may differ for equal values, but not agree for others."""
    try:
        return hashlib.sha256(cloudpickle.dumps(value)).hexdigest()
    except Exception as error:
        msg = f"it holds a {type(value).__name__}, which can't be compared"
        raise UnidentifiedError(msg) from error


def _file(path: Path) -> str:
    try:
        found = file_digest(path)
    except OSError as error:
        msg = f"{path} can't be read"
        raise UnidentifiedError(msg) from error
    _seen.get(set()).add(str(path.resolve()))
    return found
