"""Batch jobs for HTCondor: a stand-in for its commands reads the real submit file and starts the real workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]

SUBMIT = """#!{python}
import re, shlex, subprocess, sys
from pathlib import Path

folder = Path(__file__).parent
lines = Path(sys.argv[-1]).read_text().splitlines()
said = dict(re.split(r"\\s*=\\s*", line, maxsplit=1) for line in lines if "=" in line and not line.startswith("#"))
words = shlex.split(said["Arguments"][1:-1])
job = subprocess.Popen(
    [said["Executable"], *words],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
)
(folder / f"job-{{job.pid}}").write_text("\\n".join(lines))
print(f"1 job(s) submitted to cluster {{job.pid}}.")
"""
REMOVE = """#!{python}
import os, signal, sys
from pathlib import Path

for number in sys.argv[1:]:
    try:
        os.killpg(int(float(number)), signal.SIGTERM)
    except ProcessLookupError:
        pass
    (Path(__file__).parent / f"job-{{int(float(number))}}").unlink(missing_ok=True)
"""


def test_workers_are_htcondor_jobs(lab: Any, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'colonnade[cluster]'")
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in (("condor_submit", SUBMIT), ("condor_rm", REMOVE)):
        (commands / name).write_text(text.format(python=sys.executable))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    lab.simulate()
    clean = lab.clean()
    batch = {
        "jobs": 1,
        "memory": "1GB",
        "folder": str(tmp_path / "batch"),
        "options": {"interface": "lo", "job_extra_directives": {"+MaxRuntime": "7200"}},
    }
    lab.at(100)
    process = lab.start("htcondor", None, executor={"batch": batch})
    lab.held(100)
    (job,) = commands.glob("job-*")
    assert "+MaxRuntime = 7200" in job.read_text()
    assert "tls://" in job.read_text()
    lab.release()
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    assert not list(commands.glob("job-*")), "the job outlives the run"
    assert list((tmp_path / "batch").iterdir()) == []
    tell(
        "workers are jobs for HTCondor, over TLS (a stand-in takes its submit file)",
        "the clean run's bits",
        "submitted by dask-jobqueue",
    )
