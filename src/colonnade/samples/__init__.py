"""Making simulated ntuples: Pythia 8, jets, a parametrised detector, ROOT. The only room that knows Pythia.

Names are loaded when first used: Pythia and fastjet come with the extra `samples`.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {"make_samples": "production", "Made": "production"}

__all__ = ["Made", "make_samples"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module 'colonnade.samples' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"colonnade.samples.{_HOME[name]}"), name)
