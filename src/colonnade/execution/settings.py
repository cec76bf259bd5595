"""How and where the work is done, as a workflow may say it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from colonnade.config import Settings


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
    folder
        A folder that jobs see too, for their logs and the certificates of the run.
    options
        Whatever else the class of dask-jobqueue takes, by its names: ``queue``, ``account``, ``walltime``,
        ``interface``, ``disk``, ``job_extra_directives``, ``job_script_prologue`` and so on.
    """

    jobs: int = Field(ge=1, le=10_000)
    cores: int = Field(default=1, ge=1)
    memory: str = "2GB"
    folder: str = ".colonnade"
    options: Mapping[str, Any] = {}


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
        Address of a running Dask scheduler, such as `tcp://10.0.0.1:8786`. For one at `tls://...` the certificates
        are those of Dask's own configuration (``distributed.comm.tls``).
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
    batch: BatchSettings | None = None
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

    @model_validator(mode="after")
    def _fits_its_kind(self) -> ExecutorSettings:
        of_a_batch_system = self.kind in {"slurm", "htcondor"}
        msg = ""
        if of_a_batch_system and self.batch is None:
            msg = f"kind: {self.kind} needs to know the jobs, such as batch: {{jobs: 10, cores: 4, memory: 8GB}}"
        elif self.batch is not None and not of_a_batch_system:
            msg = "only kind: slurm and kind: htcondor have batch jobs"
        elif self.scheduler is not None and self.kind != "dask":
            msg = "only kind: dask has a scheduler"
        if msg:
            raise ValueError(msg)
        return self


def _cores() -> int:
    return len(os.sched_getaffinity(0))
