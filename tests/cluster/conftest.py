"""A project that is run in a process of its own, so that real things can be done to it.

The analysis can be told to hold at a chunk: it then writes its process number and waits. So a fault hits
while that chunk is in work, without any guess about timing.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("execution_fixtures", HERE.parent / "execution" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
execution = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execution)

HOLDING = '''
"""What the analysis does to itself when a test says so."""

import os
import signal
import time
from pathlib import Path


def hold(gate, events):
    """Wait, kill this process, or use up its memory, at the chunk that a file in the gate's folder names."""
    start = events.metadata.get("entrystart")
    for place in Path(gate).glob(f"*-{start}"):
        what = place.name.partition("-")[0]
        if what == "hold":
            try:
                place.rename(place.with_name(f"held-{start}-{os.getpid()}"))
            except FileNotFoundError:
                continue
            while not (Path(gate) / "release").exists():
                time.sleep(0.02)
        elif what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "fill":
            filled = []
            while True:
                filled.append(bytearray(b"x" * 50_000_000))
                time.sleep(0.02)
    seen = Path(gate) / "seen"
    with seen.open("a") as stream:
        stream.write(f"{events.metadata.get('dataset')} {start}\\n")
'''


@dataclasses.dataclass
class Outcome:
    """How a run ended."""

    code: int
    said: str
    folder: Path

    @property
    def ledger(self) -> Any:
        return json.loads((self.folder / "ledger.json").read_text())

    @property
    def bits(self) -> str:
        return (self.folder / "bits").read_text()

    @property
    def lost(self) -> list[Any]:
        return [loss for entry in self.ledger["datasets"].values() for loss in entry["lost"]]


_clean: dict[str, str] = {}


class Laboratory:
    """A project with simulated files, run by `runner.py` in its own process."""

    def __init__(self, root: Path) -> None:
        self.root, self.gate = root, root / "gate"
        self.gate.mkdir()
        self.project = execution.Project(root, "analyses_under_fault")
        text = self.project.analysis.read_text()
        text = text.replace("import threshold", "import threshold\nfrom analyses_under_fault.holding import hold")
        text = text.replace("lowest=5.0,", "lowest=5.0, gate='',").replace(
            "        self.lowest = lowest", "        self.lowest = lowest\n        self.gate = gate"
        )
        text = text.replace(
            "        muons = events.Muon", "        hold(self.gate, events)\n        muons = events.Muon"
        )
        self.project.analysis.write_text(text)
        (self.project.analysis.parent / "holding.py").write_text(HOLDING)
        self.datasets: dict[str, Any] = {}
        self.made: dict[str, tuple[int, ...]] = {}
        self.processes: list[subprocess.Popen[str]] = []
        self.folders: dict[int, Path] = {}

    def simulate(self, name: str = "zll", sizes: tuple[int, ...] = (300, 250), **metadata: Any) -> list[Path]:
        """Make the files of a dataset, whose Runs trees tell three times their events as sum of weights."""
        paths = []
        self.made[name] = sizes
        for number, size in enumerate(sizes):
            path = self.root / f"{name}_{number}.root"
            execution.write_events(path, size, seed=10 * len(name) + number, runs=3.0 * size)
            paths.append(path)
        self.datasets[name] = {
            "files": {path.name: "Events" for path in paths},
            "metadata": {"process": name, "kind": "background", "xsec_pb": 2.0, **metadata},
        }
        return paths

    def at(self, start: int, what: str = "hold") -> None:
        """Say what happens at the chunk that starts there."""
        (self.gate / f"{what}-{start}").touch()

    def start(self, kind: str = "futures", workers: int = 2, **more: Any) -> subprocess.Popen[str]:
        """Start a run."""
        folder = self.root / more.pop("output", "output")
        config = {
            "root": str(self.root),
            "datasets": self.datasets,
            "executor": {"kind": kind, "workers": workers, **more.pop("executor", {})},
            "cache": str(self.root / "cache") if more.pop("cache", True) else None,
            "gate": str(self.gate),
            "output": str(folder),
            "chunk_size": 100,
            **more,
        }
        path = self.root / f"config-{folder.name}.json"
        path.write_text(json.dumps(config))
        process = subprocess.Popen(
            [*_without_privileges(), sys.executable, str(HERE / "runner.py"), str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        self.folders[process.pid] = folder
        return process

    def finish(self, process: subprocess.Popen[str], timeout: float = 600) -> Outcome:
        """Wait for a run's end."""
        said, _ = process.communicate(timeout=timeout)
        return Outcome(process.returncode, said, self.folders[process.pid])

    def run(self, kind: str = "futures", workers: int = 2, **more: Any) -> Outcome:
        """Run to the end."""
        return self.finish(self.start(kind, workers, **more))

    def clean(self) -> str:
        """Return the bits of a run without fault, cache or workers; equal files and settings are run once."""
        files = {name: [Path(file).name for file in entry["files"]] for name, entry in self.datasets.items()}
        key = json.dumps([self.made, files, [entry["metadata"] for entry in self.datasets.values()]])
        key += self.project.analysis.read_text()
        if key not in _clean:
            outcome = self.run("iterative", 1, cache=False, output="clean")
            assert outcome.code == 0, outcome.said
            _clean[key] = outcome.bits
        return _clean[key]

    def held(self, start: int, timeout: float = 300) -> int:
        """Wait until a process holds at the chunk, and return its number."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for place in self.gate.glob(f"held-{start}-*"):
                return int(place.name.rpartition("-")[2])
            time.sleep(0.02)
        process = self.processes[-1]
        os.killpg(process.pid, signal.SIGKILL)  # or its output would never end
        said, _ = process.communicate()
        pytest.fail(f"no process came to the chunk at {start}: {said}")

    def release(self) -> None:
        """Let all that hold go on."""
        (self.gate / "release").touch()

    def seen(self) -> list[str]:
        """Return the chunks that were processed (and the first, when the columns were learned)."""
        path = self.gate / "seen"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def end(self) -> None:
        """End what a failed test left."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _without_privileges() -> list[str]:
    """Return the words that start a process which may not read and write everything, when this one is root's."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    monkeypatch.syspath_prepend(tmp_path)
    laboratory = Laboratory(tmp_path)
    yield laboratory
    laboratory.end()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that daemons of other users can read: those of pytest are private."""
    with tempfile.TemporaryDirectory(prefix="colonnade-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def open_lab(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    root = open_folder / "project"
    root.mkdir()
    monkeypatch.syspath_prepend(root)
    laboratory = Laboratory(root)
    yield laboratory
    laboratory.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", help="write the table of faults and outcomes to this file")


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Note a row of the fault table: the fault, what came of it, and how."""

    def note(fault: str, outcome: str, how: str) -> None:
        request.node.user_properties.append(("fault", [fault, outcome, how]))

    return note


_rows: list[list[str]] = []
_lacking: set[str] = set()
_failed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take in what tests tell; where they run in several processes, this is called in the first one."""
    if report.failed:
        _failed.append(report.nodeid)
    elif report.skipped:
        _lacking.add(str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))
    elif report.when == "call":
        _rows.extend(list(value) for name, value in report.user_properties if name == "fault")


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--fault-table", default=None)
    if path and not _failed and not hasattr(session.config, "workerinput"):
        write_table(Path(path), _rows, _lacking)


def write_table(path: Path, rows: list[list[str]], lacking: set[str]) -> None:
    lines = ["| fault | outcome | how |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in sorted(rows))]
    if lacking:
        lines += ["", "Not run, for want of what they need:", "", *(f"- {reason}" for reason in sorted(lacking))]
    before = path.read_text(encoding="utf-8").partition("<!-- table -->")[0] if path.exists() else ""
    path.write_text(f"{before}<!-- table -->\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
