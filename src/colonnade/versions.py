"""What results depend on beside their settings: the content of files, colonnade's code, and the versions of packages.

Nothing but the standard library is used here, as this module is sent to workers that may have nothing else.
"""

from __future__ import annotations

__all__ = ["code_digest", "digest", "environment", "file_digest", "installed"]

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# the packages whose version can change a number; those that are not installed do not count
LIBRARIES = (
    "colonnade", "awkward", "awkward-cpp", "boost-histogram", "coffea", "correctionlib", "fastjet", "hist", "mt2",
    "numba", "numpy", "onnxruntime", "pyarrow", "scipy", "uproot", "vector",
)  # fmt: skip
# what client and workers must have in common, with the packages that their messages are made by
SPEAKING = (*LIBRARIES, "cloudpickle", "dask", "distributed")
# with those whose version can change a fit or a picture
_EVERY = (*SPEAKING, "cabinetry", "iminuit", "matplotlib", "mplhep", "pyhf")


def installed(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return the versions of Python (without its patch) and of the packages that are installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@functools.lru_cache
def environment() -> dict[str, Any]:
    """Return the versions of Python and of the packages that can change a result."""
    packages = installed(_EVERY)
    del packages["python"]
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": packages}


def digest(*parts: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.lru_cache
def code_digest(room: str) -> str:
    """Return the SHA-256 of a part of colonnade, such as "statistics", and of all parts that it imports in turn."""
    return digest(_texts(room))


def _texts(room: str) -> dict[str, dict[str, str]]:
    """Return what the files of a part say, and those of all parts that it imports, by part and file."""
    root = Path(__file__).parent
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
    return texts
