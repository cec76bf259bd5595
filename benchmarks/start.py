"""How long it takes to start: `colonnade --help`, and `colonnade run` until events are processed, iterative.

Each is a fresh process, and the median of several. The run is that of workflows/dilepton_met.yaml's analysis in a new
project with one file of 100,000 events; the clock stops when the first chunk of 10,000 events has been processed.
Loops are compiled before, as they are once a machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import PROJECT, events_file, report

# an analysis that tells when its first chunk is done; what is learned from before has fewer events
WATCHED = '''
import os, time
from pathlib import Path
import sys
sys.path.insert(0, str(Path(__file__).parent))
from dilepton_met import DileptonMET


class Watched(DileptonMET):
    """Says when the first chunk is done."""

    def process(self, events):
        """Process a chunk."""
        count = len(events)
        result = super().process(events)
        note = Path(os.environ["FIRST_CHUNK"])
        if count >= 10_000 and not note.exists():
            new = note.with_suffix(".new")
            new.write_text(repr(time.time()))
            new.rename(note)
        return result
'''
WORKFLOW = """
datasets: [made]
processor: processors/watched.py
luminosity: 1.0
chunk_size: 10000
executor: {kind: iterative}
"""


def seconds_of_help() -> float:
    """Run `colonnade --help`."""
    start = time.perf_counter()
    program = Path(sys.executable).with_name("colonnade")
    subprocess.run([program, "--help"], check=True, capture_output=True)  # noqa: S603 - our own
    return time.perf_counter() - start


def seconds_until_first(folder: Path) -> float:
    """Run a workflow, and return when its first chunk is done."""
    note = folder / "first"
    note.unlink(missing_ok=True)
    shutil.rmtree(folder / ".colonnade", ignore_errors=True)
    shutil.rmtree(folder / "results", ignore_errors=True)
    environment = {**os.environ, "FIRST_CHUNK": str(note), "OMP_NUM_THREADS": "1"}
    words = [str(Path(sys.executable).with_name("colonnade")), "run", "workflows/watched.yaml"]
    start = time.time()
    said = folder / "said"
    with said.open("w") as file:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=file, stderr=file)  # noqa: S603 - our own
        while not note.exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()  # fits and figures are no part of this
        process.wait()
    if not note.exists():
        sys.exit(f"start: no chunk was processed: {said.read_text()[-300:]}")
    return float(note.read_text()) - start


def project(folder: Path) -> None:
    """Make a project with one dataset."""
    for name in ("processors", "workflows"):
        (folder / name).mkdir()
    shutil.copy(PROJECT / "processors" / "dilepton_met.py", folder / "processors")
    (folder / "processors" / "watched.py").write_text(WATCHED, encoding="utf-8")
    (folder / "workflows" / "watched.yaml").write_text(WORKFLOW, encoding="utf-8")
    made = {
        "files": {str(events_file(100_000)): "Events"},
        "metadata": {"process": "zll", "kind": "background", "xsec_pb": 1.0, "sumw": "events"},
    }
    (folder / "datasets.json").write_text(json.dumps({"made": made}), encoding="utf-8")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds_of_help()
    helps = [seconds_of_help() for _ in range(options.rounds)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder)
        seconds_until_first(folder)
        firsts = [seconds_until_first(folder) for _ in range(options.rounds)]
    for what, times, most in (
        ("colonnade --help", helps, 0.5),
        ("colonnade run, iterative, until the first chunk is processed", firsts, 4.0),
    ):
        median = statistics.median(times)
        spread = f"{min(times):.2f} to {max(times):.2f} s"
        report(what, spread, f"{median:.2f} s", f"< {most:g} s", holds=median < most)


if __name__ == "__main__":
    main()
