"""Time and peak memory of a run of 1, 2, 4 and 8 million events, each in a process of its own.

The input is that many files of a million events (links to one, so that the disk plays no part), read by
`run_datasets` with the iterative executor and no cache. Time is that of the event loop, of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

MILLIONS = (1, 2, 4, 8)


def run(folder: Path, files: int) -> dict[str, float]:
    """Run the dilepton analysis over some files in this process."""
    from processors.dilepton_met import DileptonMET

    from colonnade.execution import ExecutorSettings, Progress, run_datasets
    from colonnade.manifest import Dataset, Metadata

    class Watch(Progress):
        def say(self, text: str) -> None:
            """Print nothing."""

        def begin(self, what: str, total: int) -> None:
            """Start with the events."""
            if what == "events":
                times.append(time.process_time())

        def advance(self, count: int, lost: int = 0) -> None:
            """Show nothing."""

        def end(self) -> None:
            """Stop."""
            times.append(time.process_time())

    times: list[float] = []
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events")
    names = {f"{number}.root": "Events" for number in range(files)}
    dataset = Dataset("made", names, metadata, folder)
    result = run_datasets(
        DileptonMET(),
        [dataset],
        luminosity=1.0,
        executor=ExecutorSettings(kind="iterative"),
        progress=Watch(),
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"seconds": times[-1] - times[-2], "memory": memory, "events": result.timing.processed}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("FOLDER", "FILES"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.run:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
        print(json.dumps(run(Path(options.run[0]), int(options.run[1]))))
        return
    from measuring import events_file, report

    path = events_file()
    found: dict[int, list[dict[str, float]]] = {millions: [] for millions in MILLIONS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(max(MILLIONS)):
            (folder / f"{number}.root").symlink_to(path)
        for _ in range(options.rounds):
            for millions, answers in found.items():
                words = [sys.executable, __file__, "--run", name, str(millions)]
                done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603 - this script
                answers.append(json.loads(done.stdout.splitlines()[-1]))
                assert answers[-1]["events"] == millions * 1_000_000
    times = {millions: statistics.median(one["seconds"] for one in answers) for millions, answers in found.items()}
    memory = {millions: max(one["memory"] for one in answers) for millions, answers in found.items()}
    each = [seconds / millions for millions, seconds in times.items()]
    off = max(abs(one / each[-1] - 1) for one in each)
    report(
        "time of 1, 2, 4, 8 million events",
        ", ".join(f"{seconds:.2f}" for seconds in times.values()) + " s",
        f"{off:.0%} off a line",
        "within 10 %",
        holds=off <= 0.1,
    )
    growth = max(memory.values()) / memory[1] - 1
    report(
        "peak memory of 1, 2, 4, 8 million events",
        ", ".join(f"{value:.0f}" for value in memory.values()) + " MB",
        f"{growth:+.0%}",
        "flat (within 10 %)",
        holds=growth <= 0.1,
    )


if __name__ == "__main__":
    main()
