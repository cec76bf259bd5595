"""How and where the work is done, as a workflow may say it."""

from __future__ import annotations

__all__ = ["ExecutorSettings"]

from typing import Literal

from pydantic import Field

from colonnade.config import Settings


class ExecutorSettings(Settings):
    """Who works on the chunks. The result's bits do not depend on it.

    Attributes
    ----------
    kind
        `dask`: a cluster made for the run on this machine, or the one of `scheduler`; `futures`: processes
        of this machine without Dask; `iterative`: this process, one chunk after the other.
    workers
        Processes on this machine; None: one for each core this process may use.
    scheduler
        Address of a running Dask scheduler, such as `tcp://10.0.0.1:8786`.
    retries
        How often a chunk is tried again after an error that may pass, such as a dropped connection.
    memory
        What one Dask worker of this machine may use, such as `4GB`; None: its share of the machine's memory.
    """

    kind: Literal["dask", "futures", "iterative"] = "dask"
    workers: int | None = Field(default=None, ge=1, le=10_000)
    scheduler: str | None = None
    retries: int = Field(default=3, ge=0, le=100)
    memory: str | None = None
