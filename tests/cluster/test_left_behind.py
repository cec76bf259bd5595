"""What an interrupted or killed run leaves behind at any of its moments: no process, one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.search import PROCESSOR, WORKFLOW, make_search

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]

MANY = 'tuple(Histogram(f"pt{i}", Regular(4, 0, 100), observables=["pt"]) for i in range(8))'
START = """
import signal
from colonnade.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
print("begun", flush=True)
main()
"""


def make_project(folder: Path, kind: str) -> None:
    make_search(folder)
    one = '(Histogram("pt", Regular(4, 0, 100)),)'
    assert one in PROCESSOR
    (folder / "processors" / "search.py").write_text(PROCESSOR.replace(one, f"{one} + {MANY}"))
    settings = WORKFLOW | {"executor": {"kind": kind, "workers": 2}, "cache": {"enabled": False}}
    (folder / "workflows" / "search.yaml").write_text(json.dumps(settings))


def started(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", START, "run", "workflows/search.yaml", "--output", "out"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"  # before, the interpreter is still at its own start
    return process


def session(leader: int) -> list[str]:
    """Return the live processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if words[3] == str(leader) and words[0] != "Z":
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
@pytest.mark.parametrize("kind", ["iterative", "futures", "dask"])
def test_a_run_that_ends_at_any_moment(kind: str, how: signal.Signals, tmp_path: Path, tell: Tell) -> None:
    make_project(tmp_path, kind)
    process = started(tmp_path)
    began = time.monotonic()
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    duration = time.monotonic() - began
    for moment in np.random.default_rng(1).uniform(0, duration, 4):
        process = started(tmp_path)
        time.sleep(moment)
        if process.poll() is None:
            os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
        _, error = process.communicate(timeout=600)
        end = time.monotonic() + 60
        while session(process.pid) and time.monotonic() < end:
            time.sleep(0.2)
        assert not session(process.pid), moment
        if how == signal.SIGINT and process.returncode != 0:  # else it had just ended
            assert process.returncode == 130, (moment, error)
            assert error.split()[0] == "Interrupted.", moment
            assert "Traceback" not in error, (moment, error)
    if how == signal.SIGINT:
        tell(f"Ctrl-C at any moment, {kind}", "exit 130", "no process is left")
    else:
        tell(f"the main process is killed at any moment, {kind}", "no process is left", "each follows its parent")
