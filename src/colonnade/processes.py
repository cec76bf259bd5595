"""How processes of this machine are started, and how they end with the one that started them."""

from __future__ import annotations

__all__ = ["follow_parent", "in_processes", "processes_of", "undisturbed", "worker_processes"]

import collections
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from typing import Any, TypeVar

from colonnade.errors import InputError

R = TypeVar("R")

_PRELOADED = ["colonnade.execution.preload"]


def worker_processes() -> Any:
    """Return the way processes are started: forked from one that has imported what a worker needs.

    The imports take some seconds, and a worker that is started anew should not pay them again. The process
    that is forked from has nothing of the caller's state and runs no threads of ours.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with undisturbed():
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
def undisturbed() -> Iterator[None]:
    """Start processes that leave Ctrl-C to this one from their first moment on, and are started whole or not at all.

    They inherit which signals wait. Here a Ctrl-C in the block is raised when it ends, so that none is swallowed.

    Raises
    ------
    KeyboardInterrupt
        At the end, if there was one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
        signal.signal(signal.SIGINT, before)
    if caught and callable(before):
        before(signal.SIGINT, None)


@contextlib.contextmanager
def processes_of(
    workers: int, start: Callable[[], object] | None = None, context: Any = None
) -> Iterator[ProcessPoolExecutor]:
    """Give processes that end with this one, and with the block: what waits is left away where it fails.

    Parameters
    ----------
    workers
        How many.
    start
        What each does first.
    context
        How they are started; by default they are spawned, as forking would copy the threads' locks of a running
        cluster.
    """
    context = context or multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_started, initargs=(start,))
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):  # noqa: SLF001 - nothing else ends those at work
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_processes(
    workers: int, function: Callable[..., R], tasks: Sequence[tuple[Any, ...]]
) -> Generator[R, None, None]:
    """Yield what a function makes of each task, its arguments, in their order; close this to end the processes early.

    Parameters
    ----------
    workers
        How many processes work; of one, or for one task, it is this one.
    function, tasks
        What is called with what.

    Raises
    ------
    InputError
        If a process dies.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from itertools.starmap(function, tasks)
        return
    with processes_of(workers) as pool:
        with undisturbed():
            futures = collections.deque(pool.submit(function, *task) for task in tasks)
        try:
            while futures:
                yield futures.popleft().result()
        except BrokenProcessPool as error:
            msg = "A worker process died, perhaps for want of memory; try fewer --workers."
            raise InputError(msg) from error


def _started(start: Callable[[], object] | None) -> None:
    follow_parent()
    if start is not None:
        start()
