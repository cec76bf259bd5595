"""How processes of this machine are started, and how they end with the one that started them."""

from __future__ import annotations

__all__ = ["follow_parent", "worker_processes"]

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import forkserver
from typing import Any

_WORKER = {
    # one thread a worker: as many workers as cores share them without getting in each other's way
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # one heap, not one for each thread that ever was, each with what it once needed
    "MALLOC_ARENA_MAX": "1",
}
_PRELOADED = ["colonnade.execution.preload"]


def worker_processes() -> Any:
    """Return the way processes are started: forked from one that has imported what a worker needs.

    The imports take some seconds, and a worker that is started anew should not pay them again. The process
    that is forked from has nothing of the caller's state and runs no threads of ours.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with _environment(**_WORKER):
        forkserver.ensure_running()
    return context


def follow_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it does, even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, name="colonnade-parent", daemon=True).start()


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables that processes started in the block inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
