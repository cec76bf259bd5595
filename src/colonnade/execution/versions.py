"""Which packages can change a number, and their versions here."""

from __future__ import annotations

__all__ = ["LIBRARIES", "versions"]

import functools
import importlib.metadata

# those that are not installed do not count
LIBRARIES = (
    "colonnade", "awkward", "awkward-cpp", "boost-histogram", "coffea", "correctionlib", "fastjet", "hist", "mt2",
    "numba", "numpy", "onnxruntime", "pyarrow", "scipy", "uproot", "vector",
)  # fmt: skip


@functools.lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the installed versions of the packages that can change a number."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
