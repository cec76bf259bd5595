"""Imported once where worker processes are forked from, never by the program itself, so that each is ready at once.

A terminal sends Ctrl-C to every process of a run. The one that the user started ends the others, which ignore it, as
they would only print their tracebacks over its message. Then all that a worker needs is imported, and a first compiled
loop runs: the compiler sets itself up when that happens, which takes more than a second a process.
"""

from __future__ import annotations

__all__: list[str] = []

import ctypes
import importlib
import os
import signal

# one thread a worker: as many workers as cores share them without getting in each other's way
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
_M_ARENA_MAX = -8
if hasattr(ctypes.CDLL(None), "mallopt"):
    # one heap, not one for each thread that ever was, each with what it once needed
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _compile() -> None:
    """Run a compiled loop."""
    import numpy as np
    from hist.axis import Regular

    from colonnade.histograms import Histogram, HistogramSet

    one = np.ones(1)
    filled = HistogramSet([Histogram("x", Regular(1, 0, 1))], ["all"], ["nominal"])
    filled.fill({"x": one}, {"all": one > 0}, one[:, None])


signal.signal(signal.SIGINT, signal.SIG_IGN)
for _module in ("colonnade.execution.work", "colonnade.processor", "coffea.processor"):
    importlib.import_module(_module)
_compile()
