"""How and where the work is done, as a workflow may say it."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from colonnade.config import Settings


class TLSSettings(Settings):
    """Certificates for a Dask scheduler that asks for them, as paths of PEM files.

    Attributes
    ----------
    ca
        The authority that signed the scheduler's certificate.
    certificate, key
        What this client shows.
    """

    ca: str
    certificate: str
    key: str


class BatchSettings(Settings):
    """What a job of a batch system is; each job is one worker process for each of its cores.

    Attributes
    ----------
    jobs
        How many jobs to submit.
    cores
        Worker processes of a job.
    memory
        Of a job, such as `8GB`.
    walltime
        Of Slurm, such as `02:00:00`; jobs that end are replaced.
    queue, account
        Of Slurm.
    interface
        The network interface through which jobs reach this machine, such as `ib0`.
    directives
        Further lines of the job's head, such as `--constraint=haswell` for Slurm and `+MaxRuntime = 7200` for
        HTCondor.
    prologue
        Shell lines that each job starts with, such as `source /path/to/activate`.
    disk
        What HTCondor reserves for a job.
    folder
        A folder that jobs see too, for their logs and the certificates of the run.
    """

    jobs: int = Field(ge=1, le=10_000)
    cores: int = Field(default=1, ge=1)
    memory: str = "2GB"
    walltime: str | None = None
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    disk: str = "1GB"
    folder: str = ".colonnade"


class ExecutorSettings(Settings):
    """Who works on the chunks. The result's bits do not depend on it.

    Attributes
    ----------
    kind
        `dask`: a cluster made for the run on this machine, or the one of `scheduler`; `futures`: processes
        of this machine without Dask; `iterative`: this process, one chunk after the other; `slurm`,
        `htcondor`: a Dask cluster whose workers are batch jobs.
    workers
        Processes on this machine; None: one for each core this process may use.
    scheduler
        Address of a running Dask scheduler, such as `tcp://10.0.0.1:8786`.
    tls
        Certificates, for a scheduler at `tls://...`.
    batch
        The jobs of a batch system.
    retries
        How often a chunk is tried again after an error that may pass, such as a dropped connection.
    patience
        Seconds after which reading a chunk is given up as stalled, to be tried again.
    memory
        What one Dask worker of this machine may use, such as `4GB`; None: its share of the machine's memory.
    threads
        How many columns a worker unpacks at a time; None: on this machine as many as leave no core idle,
        on a cluster one.
    """

    kind: Literal["dask", "futures", "iterative", "slurm", "htcondor"] = "dask"
    workers: int | None = Field(default=None, ge=1, le=10_000)
    scheduler: str | None = None
    tls: TLSSettings | None = None
    batch: BatchSettings | None = Field(default=None, validate_default=True)
    retries: int = Field(default=3, ge=0, le=100)
    patience: float = Field(default=300.0, gt=0)
    memory: str | None = None
    threads: int | None = Field(default=None, ge=1, le=1000)

    @property
    def here(self) -> bool:
        """Whether those who work are of this machine, and of this run alone."""
        return self.scheduler is None and self.batch is None

    def workers_of(self, chunks: int) -> int:
        """Return how many processes of this machine are to work on so many chunks."""
        return max(1, min(self.workers or _cores(), chunks))

    def threads_of(self, chunks: int) -> int:
        """Return how many columns a worker unpacks at a time: where workers are few, cores are idle."""
        if self.threads is not None:
            return self.threads
        if not self.here:
            return 1
        return max(1, _cores() // (1 if self.kind == "iterative" else self.workers_of(chunks)))

    @field_validator("batch")
    @classmethod
    def _of_a_batch_system(cls, value: BatchSettings | None, info: ValidationInfo) -> BatchSettings | None:
        kind = info.data.get("kind")
        if kind in {"slurm", "htcondor"} and value is None:
            msg = f"kind: {kind} needs to know the jobs, such as batch: {{jobs: 10, cores: 4, memory: 8GB}}"
            raise ValueError(msg)
        if kind in {"dask", "futures", "iterative"} and value is not None:
            msg = "only kind: slurm and kind: htcondor have batch jobs"
            raise ValueError(msg)
        if kind == "htcondor" and value is not None:
            _refuse_what_htcondor_lacks(value)
        return value

    @field_validator("scheduler")
    @classmethod
    def _of_dask(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("kind") not in {"dask", None}:
            msg = "only kind: dask has a scheduler"
            raise ValueError(msg)
        return value


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _refuse_what_htcondor_lacks(batch: BatchSettings) -> None:
    for name in ("walltime", "queue", "account"):
        if getattr(batch, name) is not None:
            msg = f"HTCondor knows no {name}; say what your site uses instead in directives, as 'NAME = VALUE'"
            raise ValueError(msg)
    for line in batch.directives:
        if "=" not in line or line.startswith("-"):
            msg = f"a directive of HTCondor is 'NAME = VALUE', not {line!r}"
            raise ValueError(msg)
