"""Batch jobs of a real Slurm: its daemons run on this machine for the length of the test."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
SchedulerParameters=sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def slurm(open_folder: Path) -> Iterator[dict[str, str]]:
    missing = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("slurmd needs root to start jobs")
    folder = open_folder / "slurm"
    folder.mkdir()
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    text = CONFIG.format(
        host=host, control=free_port(), daemon=free_port(), user=getpass.getuser(), folder=folder,
        cores=max(2, os.cpu_count() or 2),
    )  # fmt: skip
    (folder / "slurm.conf").write_text(text)
    path = f"{os.environ['PATH']}:/usr/sbin"
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    daemons = [
        ["munged", "--foreground", "--force", "--socket", f"{folder}/munge.socket", "--key-file", str(key),
         "--pid-file", f"{folder}/munge.pid", "--log-file", f"{folder}/munge.log",
         "--seed-file", f"{folder}/munge.seed"],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D", "-N", host],
    ]  # fmt: skip
    processes = []
    try:
        for number, words in enumerate(daemons):
            log = (folder / f"daemon-{number}.log").open("wb")
            processes.append(subprocess.Popen(words, env=environment, stdout=log, stderr=subprocess.STDOUT))
            log.close()
            time.sleep(1)
        wait_until_idle(environment, folder)
        yield environment
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    end = time.monotonic() + 60
    said = ""
    while time.monotonic() < end:
        asked = subprocess.run(
            ["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True, check=False
        )
        said = asked.stdout + asked.stderr
        if "idle" in asked.stdout:
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in sorted(folder.glob("*.log")))
    pytest.fail(f"Slurm did not come up: {said}\n{logs}")


def test_workers_are_slurm_jobs(
    open_lab: Any, tell: Tell, slurm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'colonnade[cluster]'")
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm[name])
    lab = open_lab
    lab.simulate(sizes=(500, 450))
    clean = lab.clean()
    batch = {
        "jobs": 2,
        "cores": 1,
        "memory": "1GB",
        "folder": str(lab.root / "batch"),
        "options": {
            "walltime": "00:10:00",
            "queue": "short",
            "interface": "lo",
            "job_extra_directives": ["--mem=0"],
        },
    }
    lab.at(100)
    process = lab.start("slurm", None, executor={"batch": batch})
    lab.held(100)
    queued = subprocess.run(["squeue", "-h", "-o", "%j %t"], env=slurm, capture_output=True, text=True, check=True)
    assert queued.stdout.split() == ["dask-worker", "R"] * 2
    lab.release()
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    assert list((lab.root / "batch").iterdir()) == []  # certificates and logs are gone
    end = time.monotonic() + 30
    while time.monotonic() < end:
        left = subprocess.run(["squeue", "-h", "-t", "R"], env=slurm, capture_output=True, text=True, check=True)
        if not left.stdout.strip():
            break
        time.sleep(0.5)
    assert not left.stdout.strip(), "jobs outlive the run"
    tell(
        "workers are jobs of a real Slurm, over TLS",
        "the clean run's bits",
        "submitted by dask-jobqueue",
    )
