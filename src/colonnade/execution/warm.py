"""Imported where worker processes are forked from: a first compiled loop has run there, so it is ready in all.

The compiler sets itself up when the first loop is called or loaded, which takes more than a second a process.
"""

from __future__ import annotations

__all__: list[str] = []

import numpy as np
from hist.axis import Regular

from colonnade.histograms import Histogram, HistogramSet

_one = np.ones(1)
HistogramSet([Histogram("x", Regular(1, 0, 1))], ["all"], ["nominal"]).fill(
    {"x": _one}, {"all": _one > 0}, _one[:, None]
)
