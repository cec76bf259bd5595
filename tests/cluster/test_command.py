"""Faults as a user meets them: the command, what it prints, what it exits with, what is in the report."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import colonnade

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]

_spec = importlib.util.spec_from_file_location("colonnade_test_runner", Path(__file__).parent / "runner.py")
assert _spec is not None
assert _spec.loader is not None
runner = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runner)

WORKFLOW = """
processor: analyses_under_fault/pairs.py:Pairs
parameters: {{gate: {gate}}}
luminosity: 10.0
chunk_size: 100
allow_loss: {allow_loss}
executor: {{kind: futures, workers: 2}}
plots: {{histograms: []}}
"""


class Command:
    """The command line in a project's folder."""

    def __init__(self, lab: Any, allow_loss: float = 0.0) -> None:
        self.lab, self.output = lab, lab.root / "results" / "pairs"
        (lab.root / "datasets.json").write_text(json.dumps(lab.datasets))
        (lab.root / "workflows").mkdir()
        text = WORKFLOW.format(gate=lab.gate, allow_loss=allow_loss)
        (lab.root / "workflows" / "pairs.yaml").write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        code = (  # as from a terminal, whoever started the tests
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from colonnade.cli import main; main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, "run", "workflows/pairs.yaml", *words],
            cwd=self.lab.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lab.processes.append(process)
        return process

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=600)
        assert "Traceback" not in said
        return process.returncode, said

    @property
    def bits(self) -> str:
        return str(runner.bits(colonnade.load(self.output)))

    @property
    def report(self) -> str:
        return (self.output / "report.html").read_text(encoding="utf-8")

    @property
    def ledger(self) -> Any:
        return json.loads((self.output / "ledger.json").read_text())


def test_a_loss_and_its_mending(lab: Any, tell: Tell) -> None:
    paths = lab.simulate()
    clean = lab.clean()
    whole, status = paths[1].read_bytes(), paths[1].stat()
    paths[1].write_bytes(whole[: len(whole) // 2])
    command = Command(lab)
    code, said = command.run()
    assert code == 3, said
    assert "Lost: dataset zll" in said
    assert "--resume, or allow the loss" in said.splitlines()[-1]
    assert '<p class="banner bad" role="alert">' in command.report
    assert [loss["file"] for loss in command.ledger["datasets"]["zll"]["lost"]] == [str(paths[1])]
    paths[1].write_bytes(whole)
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    code, said = command.run("--resume")
    assert code == 0, said
    assert "250 events, 300 kept from earlier" in said
    assert '<p class="banner' not in command.report
    assert command.bits == clean
    tell(
        "a file is lost; `colonnade run`, mending, `--resume`",
        "exit 3, a red line in the report; then the clean run's bits",
        "only what is missing runs",
    )


def test_a_loss_that_is_allowed(lab: Any, tell: Tell) -> None:
    paths = lab.simulate()
    paths[1].unlink()
    command = Command(lab, allow_loss=0.6)
    code, said = command.run()
    assert code == 0, said
    assert '<p class="banner warn">' in command.report
    assert command.ledger["lost_fraction"] == pytest.approx(0.5)
    tell("a file is lost, within `allow_loss`", "exit 0, loss named", "a line in the report")


def test_interrupted_by_its_user(lab: Any, tell: Tell) -> None:
    lab.simulate(sizes=(300, 250, 350))
    clean = lab.clean()
    command = Command(lab)
    lab.at(200)
    process = command.start()
    lab.held(200)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "chunks are safe in" in said
    assert "the same command with --resume does the rest" in said
    lab.release()
    code, said = command.run("--resume")
    assert code == 0, said
    assert command.bits == clean
    tell(
        "Ctrl-C at `colonnade run`, then `--resume`",
        "exit 130; then the clean run's bits",
        "it prints what is safe and how to go on",
    )


def test_a_scheduler_that_is_not_there(lab: Any, tell: Tell) -> None:
    lab.simulate()
    command = Command(lab)
    assert command.run()[0] == 0
    (lab.root / "analyses_under_fault" / "neighbour.py").write_text("def threshold(lowest):\n    return lowest + 2.0\n")
    code, said = command.run("--executor", "dask", "--scheduler", "tcp://127.0.0.1:9")
    assert code == 3, said
    assert "tcp://127.0.0.1:9 can't be reached" in said
    assert {loss["file"].rpartition("/")[2] for loss in command.ledger["datasets"]["zll"]["lost"]} == {
        "zll_0.root",
        "zll_1.root",
    }
    left = {path.name for path in command.output.iterdir()}
    assert left == {"ledger.json", "provenance.json"}, "an older result lies beside the account of this run"
    tell("`colonnade run` finds no scheduler", "exit 3, loss named", "no older result stays beside the ledger")
