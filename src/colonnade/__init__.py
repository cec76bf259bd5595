"""Columnar searches for new particles, from a dataset manifest to a limit.

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "ColonnadeError": "errors",
    "Histogram": "histograms",
    "Objects": "processor",
    "Processor": "processor",
    "Region": "processor",
    "Shift": "processor",
    "Source": "processor",
    "load": "accumulators",
}

__all__ = ["ColonnadeError", "Histogram", "Objects", "Processor", "Region", "Shift", "Source", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module 'colonnade' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"colonnade.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
