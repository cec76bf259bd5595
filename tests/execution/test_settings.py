"""Which executors a workflow may ask for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from colonnade.config import parse_settings
from colonnade.errors import ConfigError
from colonnade.execution import ExecutorSettings, cluster
from colonnade.execution.settings import BatchSettings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "slurm"}, "kind: slurm needs to know the jobs"),
        ({"kind": "futures", "batch": {"jobs": 1}}, "only kind: slurm and kind: htcondor have batch jobs"),
        ({"kind": "futures", "scheduler": "tcp://10.0.0.1:8786"}, "only kind: dask has a scheduler"),
        ({"kind": "dusk"}, 'kind = "dusk"'),
    ],
)
def test_contradictions_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(ExecutorSettings, given, "x.yaml")
    assert says in str(caught.value)


def test_a_batch_system_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.importlib, "import_module", lambda _: object())
    monkeypatch.setattr(cluster.shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match="needs the command condor_submit, which is not here"):
        cluster.start_jobs("htcondor", BatchSettings(jobs=1), contextlib.ExitStack())


def test_what_batch_systems_need_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(cluster.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'colonnade\[cluster\]'"):
        cluster.start_jobs("slurm", BatchSettings(jobs=1), contextlib.ExitStack())


def test_an_option_that_the_batch_system_does_not_take_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def made(*, cores: int, processes: int, memory: str, queue: str, **rest: Any) -> None:
        assert (cores, processes, memory, queue) == (4, 4, "8GB", "short")
        assert rest["job_script_prologue"][-1] == "source activate"
        assert rest["protocol"] == "tls://"
        msg = f"unexpected keyword argument {next(iter(rest.keys() & {'qeue'}))!r}"
        raise TypeError(msg)

    monkeypatch.setattr(cluster.importlib, "import_module", lambda _: SimpleNamespace(SLURMCluster=made))
    monkeypatch.setattr(cluster.shutil, "which", lambda _: "/usr/bin/sbatch")
    options = {"queue": "short", "qeue": "long", "job_script_prologue": ["source activate"]}
    batch = BatchSettings(jobs=1, cores=4, memory="8GB", folder=str(tmp_path), options=options)
    with contextlib.ExitStack() as stack, pytest.raises(ConfigError, match="unexpected keyword argument 'qeue'"):
        cluster.start_jobs("slurm", batch, stack)
