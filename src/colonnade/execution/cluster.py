"""A Dask cluster as a pool: one made for the run, here or of jobs of a batch system, or one that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import queue
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
from colonnade.execution.pools import Done, WorkersLostError
from colonnade.execution.project import ProjectCode
from colonnade.execution.settings import BatchSettings, ExecutorSettings
from colonnade.execution.work import Job, Task, pack, process, version_difference
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


def open_cluster(settings: ExecutorSettings, workers: int) -> DaskPool:
    """Start a cluster, or connect to the one that the settings name.

    A cluster on this machine listens on loopback only, has no dashboard, and spills to a private folder
    that goes with it. It is reached, as one of batch jobs is, through TLS with certificates made for the run.

    Raises
    ------
    WorkersLostError
        If the scheduler can't be reached.
    ConfigError
        If certificates or the batch system's commands are missing.
    """
    if settings.scheduler is not None:
        return _connect(settings)
    if settings.batch is not None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_quiet_client())
            cluster, belongings = start_jobs(settings.kind, settings.batch)
            stack.push(belongings)
            stack.callback(_quietly, cluster.close, timeout=30)
            client = Client(cluster, set_as_default=False)
            return DaskPool(client, stack.pop_all(), patient=True)
    return _start(settings, workers)


def _start(settings: ExecutorSettings, workers: int) -> DaskPool:
    worker_processes()
    with contextlib.ExitStack() as stack:
        # for as long as the cluster lives: a worker that dies is started anew with it
        stack.enter_context(dask.config.set(_CONFIG))
        folder = stack.enter_context(claim_folder("colonnade-dask-"))
        with undisturbed():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address=None,
                local_directory=str(folder),
                memory_limit=settings.memory or "auto",
                silence_logs=logging.CRITICAL,
                # whoever else works on this machine could otherwise send it code
                security=Security.temporary(),
            )
            stack.callback(_quietly, cluster.close, timeout=10)
            client = Client(cluster, set_as_default=False)
        return DaskPool(client, stack.pop_all(), local=True)


def _quietly(end: Callable[..., object], **arguments: Any) -> None:
    """End something that may have ended by itself."""
    with contextlib.suppress(OSError, TimeoutError, RuntimeError, asyncio.CancelledError):
        end(**arguments)


def _connect(settings: ExecutorSettings) -> DaskPool:
    address = settings.scheduler
    security = None
    if settings.tls is not None:
        paths = settings.tls.model_dump()
        for name, path in paths.items():
            if not Path(path).is_file():
                msg = f"executor.tls.{name} = {path!r}: there is no such file."
                raise ConfigError(msg)
        security = Security(
            tls_ca_file=paths["ca"],
            tls_client_cert=paths["certificate"],
            tls_client_key=paths["key"],
            require_encryption=True,
        )
    belongings = contextlib.ExitStack()
    belongings.enter_context(_quiet_client())
    try:
        client = Client(address, set_as_default=False, timeout="20s", security=security)
    except (OSError, ValueError, TimeoutError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        belongings.close()
        msg = f"The Dask scheduler {address} can't be reached ({reason}); start it, or correct the address."
        raise WorkersLostError(msg) from error
    return DaskPool(client, belongings)


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


class DaskPool:
    """Workers of a Dask cluster. Results stay on the workers and are added there.

    Parameters
    ----------
    client
        Connected to the scheduler.
    belongings
        What ends with the pool.
    local
        Whether the workers are of this machine and this installation, so that there is nothing to check.
    patient
        Whether to wait for workers without end, as for jobs in a queue.
    """

    name = "dask"

    def __init__(
        self,
        client: Client,
        belongings: contextlib.ExitStack | None = None,
        *,
        local: bool = False,
        patient: bool = False,
    ) -> None:
        self._client = client
        self._belongings = belongings or contextlib.ExitStack()
        self._local = local
        self._patient = patient
        self._job: Future | None = None
        self._tags: dict[str, tuple[Hashable, Future]] = {}
        self._finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._run = uuid.uuid4().hex[:8]
        self._count = 0
        self._seen_workers = time.monotonic()
        self._known_threads: Mapping[str, int] = {}
        self._asked = 0.0

    @property
    def workers(self) -> int:
        """Threads of all workers."""
        return max(1, sum(self._threads().values()))

    def _threads(self) -> Mapping[str, int]:
        # asked now and then, as workers come and go; each time would be the scheduler's main work
        now = time.monotonic()
        if now - self._asked > _ASK_EVERY or not self._known_threads:
            with self._connection():
                self._known_threads = self._client.nthreads()
            self._asked = now
        return self._known_threads

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
        address = self._client.scheduler.address if self._client.scheduler else "at its address"
        try:
            self._client.wait_for_workers(1, timeout=None if self._patient else _WITHOUT_WORKERS)
        except TimeoutError as error:
            msg = f"The Dask scheduler {address} has no workers; start some and run again."
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
            token.write_text(self._run, encoding="utf-8")
            return all(self._client.run(_reads, str(token), self._run).values())
        finally:
            token.unlink(missing_ok=True)

    def process(self, tag: Hashable, tasks: Sequence[Task]) -> None:
        """Have some chunks done by a worker."""
        # in the order of the plan, so that neighbours can be added: Dask by itself knows none for tasks of one moment
        self._submit(tag, "chunk", -self._count, process, self._job, *tasks)

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        """Have results added where they are."""
        # before new chunks, so that results do not pile up
        self._submit(tag, "add", 1, fold, total, *parts)

    def _submit(self, tag: Hashable, what: str, priority: int, function: Any, *arguments: Any) -> None:
        self._count += 1
        key = f"colonnade-{what}-{self._run}-{self._count}"
        with self._connection():
            future = self._client.submit(function, *arguments, key=key, priority=priority, pure=False)
        self._tags[key] = tag, future
        future.add_done_callback(lambda ended: self._finished.put(ended.key))

    def completed(self, timeout: float) -> list[Done]:
        """Wait for workers."""
        ended = []
        with contextlib.suppress(queue.Empty):
            ended.append(self._done(self._finished.get(timeout=timeout)))
            while True:
                ended.append(self._done(self._finished.get_nowait()))
        if not ended:
            self._check()
        return ended

    def _done(self, key: str) -> Done:
        tag, future = self._tags.pop(key)
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

    def close(self) -> None:
        """Leave the cluster, and end it where it is ours."""
        self._tags.clear()
        self._job = None
        _quietly(self._client.close, timeout=5)
        self._belongings.close()


_GONE = "The Dask scheduler has gone, or the connection to it is lost."


def _reads(path: str, expected: str) -> bool:
    try:
        return Path(path).read_text(encoding="utf-8") == expected
    except OSError:
        return False


_COMMANDS = {"slurm": "sbatch", "htcondor": "condor_submit"}
_CLUSTERS = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}


def start_jobs(kind: str, batch: BatchSettings) -> tuple[Any, contextlib.ExitStack]:
    """Submit jobs whose workers connect to a scheduler in this process, through TLS.

    Parameters
    ----------
    kind
        `slurm` or `htcondor`.
    batch
        What a job is.

    Returns
    -------
    cluster
        A cluster of dask-jobqueue.
    belongings
        What is to be closed when the cluster has ended: a private folder for logs and certificates.

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
    if shutil.which(_COMMANDS[kind]) is None:
        msg = f"kind: {kind} needs the command {_COMMANDS[kind]}, which is not here; run where jobs can be submitted."
        raise ConfigError(msg)
    shared = Path(batch.folder).absolute()
    shared.mkdir(parents=True, exist_ok=True)
    belongings = contextlib.ExitStack()
    folder = str(belongings.enter_context(claim_folder("batch-", shared)))
    try:
        cluster = getattr(jobqueue, _CLUSTERS[kind])(**_arguments(kind, batch, folder))
        cluster.scale(jobs=batch.jobs)
    except Exception as error:
        belongings.close()
        msg = f"kind: {kind}: the jobs can't be submitted ({' '.join(str(error).split())[:200]})."
        raise ConfigError(msg) from error
    return cluster, belongings


def _arguments(kind: str, batch: BatchSettings, folder: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "cores": batch.cores,
        "processes": batch.cores,
        "memory": batch.memory,
        "interface": batch.interface,
        "job_extra_directives": list(batch.directives),
        "job_script_prologue": [
            *(f"export {name}=1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")),
            *batch.prologue,
        ],
        "log_directory": folder,
        "shared_temp_directory": folder,
        "security": True,
        "protocol": "tls://",
        "scheduler_options": {"dashboard": False, "dashboard_address": None},
        "worker_extra_args": ["--no-dashboard"],
    }
    if kind == "slurm":
        return {**arguments, "queue": batch.queue, "account": batch.account, "walltime": batch.walltime}
    lines = (line.partition("=") for line in batch.directives)
    return {
        **arguments,
        "disk": batch.disk,
        "job_extra_directives": {name.strip(): of.strip() for name, _, of in lines},
    }
