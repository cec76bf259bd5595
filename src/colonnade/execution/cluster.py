"""A Dask cluster as a pool: one made for the run, here or of jobs of a batch system, or one that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import dask
from distributed import Client, Future, LocalCluster
from distributed.security import Security

from colonnade import versions
from colonnade.errors import ConfigError
from colonnade.execution.merging import fold
from colonnade.execution.plan import Chunk
from colonnade.execution.pools import Done, Pool, WorkersLostError
from colonnade.execution.project import ProjectCode
from colonnade.execution.settings import BatchSettings, ExecutorSettings
from colonnade.execution.work import Job, pack, process, version_difference
from colonnade.output import claim_folder
from colonnade.processes import undisturbed, worker_processes

_CONFIG = {
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.scheduler.allowed-failures": 2,
    "distributed.scheduler.work-stealing": False,
    "distributed.admin.large-graph-warning-threshold": "1GB",
    "distributed.comm.timeouts.connect": "60s",
    # a worker that starts anew on a busy machine is not lost yet
    "distributed.deploy.lost-worker-timeout": "120s",
    "distributed.scheduler.dashboard.enabled": False,
    # nobody looks at Dask's own profile, and taking it interrupts the analysis a hundred times a second
    "distributed.worker.profile.enabled": False,
    # nor at how busy its threads are, which is asked fifty times a second; and memory need not be looked at ten times
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
# how long a cluster may be without workers before it is given up, in seconds
_WITHOUT_WORKERS = 120.0
# how often to ask for the number of workers, in seconds
_ASK_EVERY = 2.0


def open_cluster(settings: ExecutorSettings, workers: int, stack: contextlib.ExitStack) -> DaskPool:
    """Start a cluster, or connect to the one that the settings name.

    A cluster on this machine listens on loopback only, has no dashboard, and spills to a private folder
    that goes with it. It is reached, as one of batch jobs is, through TLS with certificates made for the run.

    Parameters
    ----------
    settings
        What is asked for.
    workers
        Processes of a cluster on this machine.
    stack
        Ends what is started.

    Raises
    ------
    WorkersLostError
        If the scheduler can't be reached.
    ConfigError
        If the batch system's commands are missing.
    """
    if not settings.here:
        stack.enter_context(_quiet_client())
    if settings.scheduler is not None:
        client = _connect(settings.scheduler)
    else:
        with undisturbed():
            if settings.batch is not None:
                cluster = start_jobs(settings.kind, settings.batch, stack)
            else:
                cluster = _start(settings, workers, stack)
            stack.callback(_quietly, cluster.close, timeout=10 if settings.here else 30)
            client = Client(cluster, set_as_default=False)
    stack.callback(_quietly, client.close, timeout=5)
    return DaskPool(client, local=settings.here, patient=settings.batch is not None)


def _start(settings: ExecutorSettings, workers: int, stack: contextlib.ExitStack) -> LocalCluster:
    worker_processes()
    # for as long as the cluster lives: a worker that dies is started anew with it
    stack.enter_context(dask.config.set(_CONFIG))
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
        local_directory=str(stack.enter_context(claim_folder("colonnade-dask-"))),
        memory_limit=settings.memory or "auto",
        silence_logs=logging.CRITICAL,
        # whoever else works on this machine could otherwise send it code
        security=Security.temporary(),
    )


def _quietly(end: Callable[..., object], **arguments: Any) -> None:
    """End something that may have ended by itself."""
    with contextlib.suppress(OSError, TimeoutError, RuntimeError, asyncio.CancelledError):
        end(**arguments)


def _connect(address: str) -> Client:
    try:
        return Client(address, set_as_default=False, timeout="20s")
    except (OSError, ValueError, TimeoutError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"The Dask scheduler {address} can't be reached ({reason}); start it, or correct the address."
        raise WorkersLostError(msg) from error


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep what Dask logs of a lost connection, tracebacks among it, off the screen: the run says it in a sentence."""
    # children, too, as Dask gives them levels of their own
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


class DaskPool(Pool):
    """Workers of a Dask cluster. Results stay on the workers and are added there.

    Parameters
    ----------
    client
        Connected to the scheduler.
    local
        Whether the workers are of this machine and this installation, so that there is nothing to check.
    patient
        Whether to wait for workers without end, as for jobs in a queue.
    """

    def __init__(self, client: Client, *, local: bool = False, patient: bool = False) -> None:
        super().__init__(0)
        self._client = client
        self._local = local
        self._patient = patient
        self._job: Future | None = None
        self._run = uuid.uuid4().hex[:8]
        self._count = 0
        self._seen_workers = time.monotonic()
        self._asked = 0.0

    @property
    def workers(self) -> int:
        """Threads of all workers."""
        return max(1, self._threads())

    def _threads(self) -> int:
        # asked now and then, as workers come and go; each time would be the scheduler's main work
        now = time.monotonic()
        if now - self._asked > _ASK_EVERY or not self._workers:
            with self._connection():
                self._workers = sum(self._client.nthreads().values())
            self._asked = now
        return self._workers

    def begin(self, job: Job, code: ProjectCode) -> list[str]:
        """Take in the job, and send it along with the first task of each worker."""
        notes = []
        if not self._local:
            self._wait_for_workers()
            self._refuse_other_versions()
            if job.cache is not None and not self._all_see(job.cache.folder):
                notes.append(f"the workers do not see {job.cache.folder}, so only the sums of whole datasets are kept.")
                job = replace(job, cache=None)
        # a task, not a scattered value: when the worker that holds it is lost, it is made again
        self._job = self._client.submit(bytes, pack(job, code), key=f"colonnade-job-{self._run}")
        return notes

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=None if self._patient else _WITHOUT_WORKERS)
        except TimeoutError as error:
            msg = f"The Dask scheduler {self._client.scheduler.address} has no workers; start some and run again."
            raise WorkersLostError(msg) from error

    def _refuse_other_versions(self) -> None:
        """Refuse workers that could give other numbers, or could not understand what is sent."""
        # by value, as a worker need not have this package for the check to tell so
        cloudpickle.register_pickle_by_value(versions)
        try:
            replies = self._client.run(versions.installed, versions.SPEAKING, on_error="return")
        finally:
            cloudpickle.unregister_pickle_by_value(versions)
        wanted = versions.installed(versions.SPEAKING)
        for address, found in replies.items():
            if not isinstance(found, Mapping):
                msg = f"The worker {address} can't be asked for its versions ({found}); give it the same Python."
                raise ConfigError(msg)
            difference = version_difference(wanted, found)
            if difference:
                msg = f"The worker {address} {difference}"
                raise ConfigError(msg)

    def _all_see(self, folder: Path) -> bool:
        token = folder / f".seen-{self._run}"
        try:
            token.touch()
            return all(self._client.run(os.path.exists, str(token)).values())
        finally:
            token.unlink(missing_ok=True)

    def process(self, tag: Hashable, chunks: Sequence[Chunk]) -> None:
        """Have some chunks done by a worker."""
        # in the order of the plan, so that neighbours can be added: Dask by itself knows none for tasks of one moment
        self._submit(tag, "chunk", -self._count, process, self._job, *chunks)

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        """Have results added where they are."""
        # before new chunks, so that results do not pile up
        self._submit(tag, "add", 1, fold, total, *parts)

    def _submit(self, tag: Hashable, what: str, priority: int, function: Any, *arguments: Any) -> None:
        self._count += 1
        key = f"colonnade-{what}-{self._run}-{self._count}"
        with self._connection():
            future = self._client.submit(function, *arguments, key=key, priority=priority, pure=False)
        self._follow(tag, future)

    def completed(self, timeout: float) -> list[Done]:
        """Wait for workers."""
        ended = super().completed(timeout)
        if not ended:
            self._check()
        return ended

    def _done(self, future: Future) -> Done:
        tag = self._tags.pop(future)
        if future.status == "finished":
            return Done(tag, future)
        if future.status == "error":
            return Done(tag, error=future.exception())
        raise WorkersLostError(_GONE)

    def _check(self) -> None:
        """Notice when nobody is left to work."""
        if self._client.status != "running":
            raise WorkersLostError(_GONE)
        now = time.monotonic()
        if self._threads() or self._patient:
            self._seen_workers = now
        elif now - self._seen_workers > _WITHOUT_WORKERS:
            msg = f"The Dask cluster has been without workers for {_WITHOUT_WORKERS:.0f} s."
            raise WorkersLostError(msg)

    def fetch(self, handle: Any) -> Any:
        """Bring a result here."""
        with self._connection():
            # not by way of the scheduler, where this process surely reaches the workers
            return self._client.gather(handle, direct=True if self._local else None)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[None]:
        """Say in one way that the scheduler is no more."""
        try:
            yield
        except (OSError, RuntimeError, asyncio.CancelledError, AttributeError) as error:
            if self._client.status == "running":
                raise
            raise WorkersLostError(_GONE) from error


_GONE = "The Dask scheduler has gone, or the connection to it is lost."


_SYSTEMS = {"slurm": ("sbatch", "SLURMCluster"), "htcondor": ("condor_submit", "HTCondorCluster")}


def start_jobs(kind: str, batch: BatchSettings, stack: contextlib.ExitStack) -> Any:
    """Submit jobs whose workers connect to a scheduler in this process, through TLS.

    Parameters
    ----------
    kind
        `slurm` or `htcondor`.
    batch
        What a job is.
    stack
        Takes in what is to be closed when the cluster has ended: a private folder for logs and certificates.

    Returns
    -------
    object
        A cluster of dask-jobqueue.

    Raises
    ------
    ConfigError
        If dask-jobqueue or the batch system's command is missing, or the batch system refuses the settings.
    """
    try:
        jobqueue = importlib.import_module("dask_jobqueue")
    except ImportError as error:
        msg = f"kind: {kind} needs dask-jobqueue: pip install 'colonnade[cluster]'."
        raise ConfigError(msg) from error
    command, name = _SYSTEMS[kind]
    if shutil.which(command) is None:
        msg = f"kind: {kind} needs the command {command}, which is not here; run where jobs can be submitted."
        raise ConfigError(msg)
    shared = Path(batch.folder).absolute()
    shared.mkdir(parents=True, exist_ok=True)
    folder = str(stack.enter_context(claim_folder("batch-", shared)))
    try:
        cluster = getattr(jobqueue, name)(**_arguments(kind, batch, folder))
        cluster.scale(jobs=batch.jobs)
    except Exception as error:
        msg = f"kind: {kind}: the jobs can't be submitted ({' '.join(str(error).split())[:200]})."
        raise ConfigError(msg) from error
    return cluster


def _arguments(kind: str, batch: BatchSettings, folder: str) -> dict[str, Any]:
    alone = [f"export {name}=1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]
    return {
        "cores": batch.cores,
        "processes": batch.cores,
        "memory": batch.memory,
        **({"disk": "1GB"} if kind == "htcondor" else {}),
        **batch.options,
        "job_script_prologue": [*alone, *batch.options.get("job_script_prologue", ())],
        "log_directory": folder,
        "shared_temp_directory": folder,
        "security": True,
        "protocol": "tls://",
        "scheduler_options": {"dashboard": False, "dashboard_address": None},
        "worker_extra_args": ["--no-dashboard"],
    }
