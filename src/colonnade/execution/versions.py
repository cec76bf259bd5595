"""Which packages can change a number, and their versions here.

Nothing but the standard library is used here, as this module is sent to workers that may have nothing else.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable

# the packages whose version can change a number; those that are not installed do not count
LIBRARIES = (
    "colonnade", "awkward", "awkward-cpp", "boost-histogram", "coffea", "correctionlib", "fastjet", "hist", "mt2",
    "numba", "numpy", "onnxruntime", "pyarrow", "scipy", "uproot", "vector",
)  # fmt: skip
# what client and workers must have in common, with the packages that their messages are made by
SPEAKING = (*LIBRARIES, "cloudpickle", "dask", "distributed")


def installed(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return the versions of Python (without its patch) and of the packages that are installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in names:
        try:
            text = importlib.metadata.distribution(name).read_text("METADATA") or ""
        except importlib.metadata.PackageNotFoundError:
            continue
        # its head is read here: parsing all of it as a message, with the package's description, takes longer
        found[name] = next(line[8:].strip() for line in text.splitlines() if line.startswith("Version:"))
    return found
