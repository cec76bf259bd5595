"""Who works: this process, processes of this machine, or a Dask cluster, all in one thin shape.

A pool takes tasks and additions, each with a tag, and tells which have ended. What a task made is a handle:
the result itself where it lies in this process, a reference where it lies on a worker. Whoever drives a
pool passes handles on and never looks into them, so one way of driving serves all three.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from colonnade.errors import ColonnadeError
from colonnade.execution.ledger import StoppedError
from colonnade.execution.merging import add
from colonnade.execution.project import ProjectCode
from colonnade.execution.work import Job, Task, pack, process
from colonnade.processes import follow_parent, undisturbed, worker_processes


class WorkersLostError(StoppedError):
    """The cluster is gone, or no worker can be had from it."""


@dataclass(frozen=True)
class Done:
    """A task or addition that has ended: with a handle to what it made, or with an error."""

    tag: Hashable
    handle: Any = None
    error: BaseException | None = None


class Pool(Protocol):
    """The shape of the three."""

    name: str

    @property
    def workers(self) -> int:
        """How many tasks can run at once."""

    def begin(self, job: Job, code: ProjectCode) -> list[str]:
        """Take in what all tasks share; return what the user should know."""

    def process(self, tag: Hashable, tasks: Sequence[Task]) -> None:
        """Start some neighbouring chunks, to be done together."""

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        """Start adding what the handles stand for; the parts, and the total, are given up."""

    def completed(self, timeout: float) -> list[Done]:
        """Wait for something to end, and return all that has."""

    def fetch(self, handle: Any) -> Any:
        """Return what a handle stands for."""

    def close(self) -> None:
        """End all work and remove what was made for it."""


class _HerePool:
    """A pool whose results come to this process, and are added in it, in place."""

    def __init__(self) -> None:
        self._ended: deque[Done] = deque()

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        rest = list(parts)
        total = rest.pop(0) if total is None else total
        try:
            for part in rest:
                total = add(total, part)
            self._ended.append(Done(tag, total))
        except ColonnadeError as error:
            self._ended.append(Done(tag, error=error))

    def fetch(self, handle: Any) -> Any:
        return handle

    def _take(self) -> list[Done]:
        ended = list(self._ended)
        self._ended.clear()
        return ended


class InlinePool(_HerePool):
    """The calling process, one task after the other."""

    name = "iterative"
    workers = 1

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self._tasks: deque[tuple[Hashable, Sequence[Task]]] = deque()

    def begin(self, job: Job, code: ProjectCode) -> list[str]:  # noqa: ARG002 - the pools' shape
        """Take in the job; this process has its code."""
        self._job = job
        return []

    def process(self, tag: Hashable, tasks: Sequence[Task]) -> None:
        """Queue some chunks."""
        self._tasks.append((tag, tasks))

    def completed(self, timeout: float) -> list[Done]:
        """Do what is next."""
        if not self._ended and self._tasks and self._job is not None:
            tag, tasks = self._tasks.popleft()
            try:
                self._ended.append(Done(tag, process(self._job, *tasks)))
            except Exception as error:
                self._ended.append(Done(tag, error=error))
        elif not self._ended:
            threading.Event().wait(timeout)
        return self._take()

    def close(self) -> None:
        """Forget the tasks."""
        self._tasks.clear()


class ProcessPool(_HerePool):
    """Processes of this machine.

    When a process dies, all that was in flight comes back as `BrokenProcessPool` and new processes are
    started. As nobody can tell which task killed it, the driver tries those again one at a time.
    """

    name = "futures"

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers
        self._blob = b""
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[Any], Hashable] = {}
        self._finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()

    def begin(self, job: Job, code: ProjectCode) -> list[str]:
        """Take in the job and start the processes."""
        self._blob = pack(job, code)
        self._pool = self._started()
        return []

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=self.workers,
            mp_context=worker_processes(),
            initializer=_start_worker,
            initargs=(self._blob,),
        )

    def process(self, tag: Hashable, tasks: Sequence[Task]) -> None:
        """Hand some chunks to a process."""
        if self._pool is None:
            self._pool = self._started()
        try:
            with undisturbed():  # a process whose start is interrupted would say so itself
                future = self._pool.submit(_process_here, tasks)
                self._running[future] = tag
        except BrokenProcessPool as error:
            self._ended.append(Done(tag, error=error))
            self._renew()
            return
        future.add_done_callback(self._finished.put)

    def completed(self, timeout: float) -> list[Done]:
        """Wait for processes, or take what was added here."""
        with contextlib.suppress(queue.Empty):
            self._take_in(self._finished.get(timeout=0 if self._ended else timeout))
            while True:
                self._take_in(self._finished.get_nowait())
        return self._take()

    def _take_in(self, future: Future[Any]) -> None:
        tag = self._running.pop(future, None)
        if tag is None:
            return
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self._renew()
        self._ended.append(Done(tag, None if error else future.result(), error))

    def _renew(self) -> None:
        """Forget a broken pool; the next task starts a new one."""
        if self._pool is not None and getattr(self._pool, "_broken", False):
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def close(self) -> None:
        """End the processes, at work or not."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())  # noqa: SLF001 - no public way to end them
            self._pool.shutdown(wait=False, cancel_futures=True)
            if self._running:
                for worker in processes:
                    worker.terminate()
            self._pool = None
        self._running.clear()


_jobs: list[bytes] = []


def _start_worker(blob: bytes) -> None:
    follow_parent()
    _jobs[:] = [blob]


def _process_here(tasks: Sequence[Task]) -> Any:
    return process(_jobs[0], *tasks)
