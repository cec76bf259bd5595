"""Pseudo-experiments: what a search finds where there is nothing, thousands of times.

`Sample` and `make_sampler` draw events, `PseudoExperimentSettings` says what is done with them,
`run_pseudo_experiments` does it in blocks that survive a kill, and `Calibration` (`look_elsewhere`) turns the
results into local and global significances. `rank_features` says what a network looks at.
"""

from __future__ import annotations

__all__ = [
    "PseudoExperimentSettings",
    "PseudoExperiments",
    "Sample",
    "compare_columns",
    "load_pseudo_experiments",
    "make_sampler",
    "progress_bar",
    "run_pseudo_experiments",
]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonnade.statistics.pseudo_experiments.engine import (
        PseudoExperiments,
        load_pseudo_experiments,
        progress_bar,
        run_pseudo_experiments,
    )
    from colonnade.statistics.pseudo_experiments.sampling import Sample, compare_columns, make_sampler
    from colonnade.statistics.pseudo_experiments.settings import PseudoExperimentSettings

_HOME = {
    "PseudoExperimentSettings": "settings",
    "PseudoExperiments": "engine",
    "Sample": "sampling",
    "compare_columns": "sampling",
    "load_pseudo_experiments": "engine",
    "make_sampler": "sampling",
    "progress_bar": "engine",
    "run_pseudo_experiments": "engine",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
