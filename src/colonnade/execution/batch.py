"""Dask workers as jobs of a batch system."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError
from colonnade.execution.settings import BatchSettings
from colonnade.leftovers import claim_folder

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
