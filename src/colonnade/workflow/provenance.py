"""Where a result comes from: enough to make it again, and to know whether a step must be redone."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hist import Hist

# the packages whose version can change a number or a picture
_PACKAGES = (
    "colonnade", "coffea", "awkward", "awkward-cpp", "uproot", "hist", "boost-histogram", "vector", "numpy",
    "scipy", "numba", "mt2", "correctionlib", "dask", "distributed", "onnxruntime", "pyhf", "iminuit",
    "cabinetry", "mplhep", "matplotlib",
)  # fmt: skip


def digest(*parts: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.cache
def code_digest(room: str) -> str:
    """Return the SHA-256 of a part of colonnade, such as "statistics", and of all parts that it imports in turn."""
    root = Path(__file__).parents[1]
    waiting, texts = {room}, dict[str, dict[str, str]]()
    while waiting:
        place = root / waiting.pop()
        files = place.rglob("*") if place.is_dir() else [place.with_suffix(".py")]
        texts[place.name] = {
            str(file.relative_to(root)): file.read_text(encoding="utf-8")
            for file in files
            if file.is_file() and "__pycache__" not in file.parts
        }
        for text in texts[place.name].values():
            waiting |= {*re.findall(r"^\s*from colonnade\.(\w+)", text, re.MULTILINE)} - texts.keys()
    return digest(texts)


def histogram_digest(histograms: Mapping[str, Mapping[str, Hist]]) -> str:
    """Return the SHA-256 of every bin of every histogram, flow included: equal bits, equal digest."""
    total = hashlib.sha256()
    for name in sorted(histograms):
        for process in sorted(histograms[name]):
            histogram = histograms[name][process]
            axes = [
                (axis.name, np.asarray(axis.edges).tolist() if hasattr(axis, "edges") else list(axis))
                for axis in histogram.axes
            ]
            total.update(json.dumps([name, process, axes], default=str).encode())
            total.update(np.ascontiguousarray(histogram.values(flow=True)).tobytes())
            total.update(np.ascontiguousarray(histogram.variances(flow=True)).tobytes())
    return total.hexdigest()


@functools.cache
def environment() -> dict[str, Any]:
    """Return the versions of Python and of the packages that can change a result."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # an optional part
            continue
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": versions}


def read_provenance(directory: Path) -> dict[str, Any]:
    """Return a run's provenance, or nothing where there is none to be read."""
    try:
        content = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
