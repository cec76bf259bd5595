"""A Dask cluster as a pool: one made for the run on this machine, or one that runs already."""

from __future__ import annotations

__all__ = ["DaskPool", "open_cluster"]

import asyncio
import contextlib
import logging
import queue
import shutil
import tempfile
import uuid
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import dask
from distributed import Client, Future, LocalCluster

from colonnade.execution.merging import fold
from colonnade.execution.pools import Done, WorkersLostError, worker_processes
from colonnade.execution.project import ProjectCode
from colonnade.execution.settings import ExecutorSettings
from colonnade.execution.work import Job, Task, pack, process

_CONFIG = {
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.scheduler.allowed-failures": 2,
    "distributed.scheduler.work-stealing": False,
    "distributed.admin.large-graph-warning-threshold": "1GB",
    "distributed.comm.timeouts.connect": "20s",
}


def open_cluster(settings: ExecutorSettings, workers: int) -> DaskPool:
    """Start a cluster on this machine, or connect to the one that the settings name.

    The cluster on this machine listens on loopback only, has no dashboard, and spills to a private folder
    that goes with it.

    Raises
    ------
    WorkersLostError
        If the scheduler can't be reached.
    """
    if settings.scheduler is not None:
        return _connect(settings.scheduler)
    worker_processes()
    folder = tempfile.mkdtemp(prefix="colonnade-dask-")
    try:
        with dask.config.set(_CONFIG):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                worker_dashboard_address=None,
                local_directory=folder,
                memory_limit=settings.memory or "auto",
                silence_logs=logging.CRITICAL,
            )
            client = Client(cluster, set_as_default=False)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return DaskPool(client, cluster, folder)


def _connect(address: str) -> DaskPool:
    try:
        return DaskPool(Client(address, set_as_default=False, timeout="20s"))
    except (OSError, ValueError, TimeoutError) as error:
        msg = (
            f"The Dask scheduler {address} can't be reached ({str(error).splitlines()[0] or type(error).__name__}); "
            "start it, or correct the address."
        )
        raise WorkersLostError(msg) from error


class DaskPool:
    """Workers of a Dask cluster. Results stay on the workers and are added there."""

    name = "dask"

    def __init__(self, client: Client, cluster: LocalCluster | None = None, folder: str | None = None) -> None:
        self._client = client
        self._cluster = cluster
        self._folder = folder
        self._job: Future | None = None
        self._tags: dict[str, tuple[Hashable, Future]] = {}
        self._finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._run = uuid.uuid4().hex[:8]
        self._count = 0

    @property
    def workers(self) -> int:
        """Threads of all workers."""
        threads: Mapping[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def begin(self, job: Job, code: ProjectCode) -> list[str]:
        """Take in the job, and send it along with the first task of each worker."""
        # a task, not a scattered value: when the worker that holds it is lost, it is made again
        self._job = self._client.submit(bytes, pack(job, code), key=f"colonnade-job-{self._run}")
        return []

    def process(self, tag: Hashable, task: Task) -> None:
        """Have a task done by a worker."""
        self._submit(tag, "chunk", 0, process, self._job, task)

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        """Have results added where they are."""
        # before new chunks, so that results do not pile up
        self._submit(tag, "add", 10, fold, total, *parts)

    def _submit(self, tag: Hashable, what: str, priority: int, function: Any, *arguments: Any) -> None:
        self._count += 1
        key = f"colonnade-{what}-{self._run}-{self._count}"
        future = self._client.submit(function, *arguments, key=key, priority=priority, pure=False, retries=0)
        self._tags[key] = tag, future
        future.add_done_callback(lambda ended: self._finished.put(ended.key))

    def completed(self, timeout: float) -> list[Done]:
        """Wait for workers."""
        ended = []
        with contextlib.suppress(queue.Empty):
            ended.append(self._done(self._finished.get(timeout=timeout)))
            while True:
                ended.append(self._done(self._finished.get_nowait()))
        if not ended and self._client.status in {"closed", "closing"}:
            msg = "The Dask scheduler has gone."
            raise WorkersLostError(msg)
        return ended

    def _done(self, key: str) -> Done:
        tag, future = self._tags.pop(key)
        if future.status == "finished":
            return Done(tag, future)
        if future.status == "error":
            return Done(tag, error=future.exception())
        msg = "The Dask scheduler has gone."
        raise WorkersLostError(msg)

    def fetch(self, handle: Any) -> Any:
        """Bring a result here."""
        return handle.result()

    def close(self) -> None:
        """Leave the cluster, and end it where it is ours."""
        self._tags.clear()
        self._job = None
        with contextlib.suppress(OSError, TimeoutError, RuntimeError, asyncio.CancelledError):
            self._client.close(timeout=5)
        if self._cluster is not None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError, asyncio.CancelledError):
                self._cluster.close(timeout=10)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
