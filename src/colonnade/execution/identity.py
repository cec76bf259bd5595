"""What a chunk's result depends on, as one hash: equal hash, equal result."""

from __future__ import annotations

__all__ = ["AnalysisIdentity", "chunk_key", "dataset_key", "identify", "merged_key"]

import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from colonnade.execution.merging import FAN_IN, GROUP
from colonnade.execution.plan import Chunk, DatasetPlan
from colonnade.execution.project import ProjectCode
from colonnade.execution.versions import installed
from colonnade.histograms import Histogram

# the rooms of the framework that an event passes through; a developer's edit there counts as a new version
_ROOMS = ("manifest", "kinematics", "images", "events", "histograms", "inference", "processor")
_FORMAT = "1"


@dataclass(frozen=True)
class AnalysisIdentity:
    """What the results of an analysis depend on, apart from its input.

    Attributes
    ----------
    digest
        The hash.
    parts
        What it is made of, so that two can be compared.
    """

    digest: str
    parts: Mapping[str, Any]


class _UnidentifiedError(Exception):
    """Something in the analysis has no stable identity."""


def identify(processor: Any, code: ProjectCode) -> AnalysisIdentity | None:
    """Return an analysis's identity, or None where it holds something that can't be identified.

    Parameters
    ----------
    processor
        The analysis. Its attributes count, by value; a path of a file counts by the file's content, and so
        do the paths of its corrections and of its classifier.
    code
        Its modules.
    """
    kind = type(processor)
    try:
        parts = {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "code": code.meanings() or _pickled(kind),
            "declared": _declared(kind),
            "files": _named_files(kind, code),
            "state": _plain(vars(processor)),
            "framework": _framework(),
            "libraries": installed(),
            "format": _FORMAT,
        }
    except _UnidentifiedError:
        return None
    return AnalysisIdentity(_hash(parts), parts)


def dataset_key(analysis: AnalysisIdentity, dataset: DatasetPlan) -> str:
    """Return the hash of an analysis and what it is told about a dataset."""
    about = dataset.event_metadata()
    mask = about.pop("luminosity_mask", None)
    return _hash([analysis.digest, about, None if mask is None else _file(Path(mask))])


def chunk_key(dataset: str, plan: DatasetPlan, chunk: Chunk) -> str:
    """Return the hash of all that a chunk's result depends on; where the file lies does not count."""
    source = plan.files[chunk.file].source
    assert source is not None  # noqa: S101 - chunks are made of files that were opened
    text = f"{dataset}|{source.identity}|{source.size}|{source.tree}|{source.schema}|{chunk.start}|{chunk.stop}"
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def merged_key(keys: Iterable[str]) -> str:
    """Return the hash of a dataset's sum: of its chunks, in order."""
    total = hashlib.blake2b(f"{GROUP}|{FAN_IN}|".encode(), digest_size=20)
    for key in keys:
        total.update(key.encode())
    return total.hexdigest()


@functools.lru_cache(maxsize=1)
def _framework() -> str:
    root = Path(__file__).parent.parent
    files = [root / "execution" / name for name in ("work.py", "merging.py")]
    for room in _ROOMS:
        place = root / room
        files.extend([place] if place.is_file() else sorted(place.rglob("*.py")))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(root)}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def _declared(kind: type) -> list[Any]:
    """Return what a class declares, which its code need not show: it may come from a loop or a file."""
    histograms = [
        [histogram.name, [repr(axis) for axis in histogram.axes], histogram.observables, histogram.regions]
        if isinstance(histogram, Histogram)
        else repr(histogram)
        for histogram in getattr(kind, "histograms", ())
    ]
    return [histograms, repr(getattr(kind, "regions", None)), repr(getattr(kind, "shifts", None))]


def _named_files(kind: type, code: ProjectCode) -> dict[str, str]:
    """Return the digest of each file that a class, or a module of the analysis, names in a variable."""
    places: list[tuple[str, Mapping[str, Any]]] = [
        (f"{base.__module__}.{base.__qualname__}", vars(base)) for base in kind.__mro__
    ]
    places.extend(
        (module.name, vars(sys.modules[module.name])) for module in code.modules if module.name in sys.modules
    )
    found = {}
    for place, names in places:
        for name, value in list(names.items()):
            if isinstance(value, str | Path) and not name.startswith("__"):
                digest = _text_or_file(value)
                if isinstance(digest, list):
                    found[f"{place}.{name}"] = digest[1]
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON can write it, files by their content.

    Raises
    ------
    _UnidentifiedError
        If that is not possible.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path):
        return _text_or_file(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _container(value)
    return _pickled(value)


def _text_or_file(value: str | Path) -> Any:
    try:
        is_file = Path(value).is_file()
    except (OSError, ValueError):  # too long, or with a NUL: no path
        is_file = False
    return ["file", _file(Path(value))] if is_file else str(value)


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
        raise _UnidentifiedError from error


def _file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _UnidentifiedError from error


def _hash(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=20).hexdigest()
