"""Who works: this process, processes of this machine, or a Dask cluster, all in one thin shape.

A pool takes tasks and additions, each with a tag, and tells which have ended. What a task made is a handle:
the result itself where it lies in this process, a reference where it lies on a worker. Whoever drives a
pool passes handles on and never looks into them, so one way of driving serves all three.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import queue
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from colonnade.execution.ledger import StoppedError
from colonnade.execution.merging import add
from colonnade.execution.plan import Chunk
from colonnade.execution.project import ProjectCode
from colonnade.execution.work import Job, pack, process
from colonnade.processes import processes_of, undisturbed, worker_processes


class WorkersLostError(StoppedError):
    """The cluster is gone, or no worker can be had from it."""


@dataclass(frozen=True)
class Done:
    """A task or addition that has ended: with a handle to what it made, or with an error."""

    tag: Hashable
    handle: Any = None
    error: BaseException | None = None


class Pool(abc.ABC):
    """Follows what is handed in until it has ended; results come to this process, and are added in it, in place."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._tags: dict[Any, Hashable] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def workers(self) -> int:
        """How many tasks can run at once."""
        return self._workers

    @abc.abstractmethod
    def begin(self, job: Job, code: ProjectCode) -> list[str]:
        """Take in what all tasks share; return what the user should know."""

    @abc.abstractmethod
    def process(self, tag: Hashable, chunks: Sequence[Chunk]) -> None:
        """Start some neighbouring chunks, to be done together."""

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        """Start adding what the handles stand for; the parts, and the total, are given up."""
        handles = list(parts) if total is None else [total, *parts]
        self._act(tag, functools.partial(functools.reduce, add, handles))

    def completed(self, timeout: float) -> list[Done]:
        """Wait for something to end, and return all that has."""
        done = []
        with contextlib.suppress(queue.Empty):
            done.append(self._done(self._ended.get(timeout=timeout)))
            while True:
                done.append(self._done(self._ended.get_nowait()))
        return done

    def fetch(self, handle: Any) -> Any:
        """Return what a handle stands for."""
        return handle

    def _act(self, tag: Hashable, action: Callable[[], Any]) -> None:
        """Do something in this process."""
        future: Future[Any] = Future()
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)
        self._follow(tag, future)

    def _follow(self, tag: Hashable, future: Any) -> None:
        self._tags[future] = tag
        future.add_done_callback(self._ended.put)

    def _done(self, future: Any) -> Done:
        tag, error = self._tags.pop(future), future.exception()
        return Done(tag, None if error else future.result(), error)


class InlinePool(Pool):
    """The calling process, one task after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[tuple[Hashable, Sequence[Chunk]]] = deque()

    def begin(self, job: Job, code: ProjectCode) -> list[str]:  # noqa: ARG002 - this process has the code
        """Take in the job."""
        self._job = job
        return []

    def process(self, tag: Hashable, chunks: Sequence[Chunk]) -> None:
        """Queue some chunks."""
        self._waiting.append((tag, chunks))

    def completed(self, timeout: float) -> list[Done]:
        """Do what is next."""
        if self._ended.empty() and self._waiting:
            tag, chunks = self._waiting.popleft()
            self._act(tag, functools.partial(process, self._job, *chunks))
        return super().completed(timeout)


class ProcessPool(Pool):
    """Processes of this machine.

    When a process dies, all that was in flight comes back as `BrokenProcessPool`, and the next task starts new
    processes. As nobody can tell which task killed it, the driver tries those again one at a time.

    Parameters
    ----------
    workers
        How many.
    stack
        Ends the processes, those at work too where the run fails.
    """

    def __init__(self, workers: int, stack: contextlib.ExitStack) -> None:
        super().__init__(workers)
        self._stack = stack

    def begin(self, job: Job, code: ProjectCode) -> list[str]:
        """Take in the job and start the processes."""
        self._blob = pack(job, code)
        self._start()
        return []

    def _start(self) -> None:
        take_in = functools.partial(_take_in, self._blob)
        self._pool = self._stack.enter_context(processes_of(self.workers, take_in, worker_processes()))

    def process(self, tag: Hashable, chunks: Sequence[Chunk]) -> None:
        """Hand some chunks to a process."""
        with undisturbed():  # a process whose start is interrupted would say so itself
            try:
                future = self._pool.submit(_process_here, chunks)
            except BrokenProcessPool:
                self._start()
                future = self._pool.submit(_process_here, chunks)
            self._follow(tag, future)


_jobs: list[bytes] = []


def _take_in(blob: bytes) -> None:
    _jobs[:] = [blob]


def _process_here(chunks: Sequence[Chunk]) -> Any:
    return process(_jobs[0], *chunks)
