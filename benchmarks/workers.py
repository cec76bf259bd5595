"""Two Dask workers against one, each of one thread, on the dilepton analysis.

The time is that from the first chunk sent to the last sum received; starting a cluster takes the same for both. Both
sides must give the same bits.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import events_file, report

from colonnade.execution import ExecutorSettings, Progress, run_datasets
from colonnade.manifest import Dataset, Metadata

EVENTS = 1_000_000


class Watch(Progress):
    """Takes the time of the event loop."""

    seconds = 0.0
    started: float | None = None

    def say(self, text: str) -> None:
        """Print nothing."""

    def begin(self, what: str, total: int) -> None:
        """Start with the events."""
        self.started = time.perf_counter() if what == "events" else None

    def advance(self, count: int, lost: int = 0) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Stop."""
        if self.started is not None:
            self.seconds, self.started = time.perf_counter() - self.started, None


def run(folder: Path, datasets: int, workers: int) -> tuple[float, bytes]:
    """Return the seconds of the event loop, and the bits."""
    from processors.dilepton_met import DileptonMET

    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events")
    wanted = [Dataset(f"d{number}", {"events.root": "Events"}, metadata, folder) for number in range(datasets)]
    watch = Watch()
    settings = ExecutorSettings(kind="dask", workers=workers, threads=1)
    result = run_datasets(DileptonMET(), wanted, luminosity=1.0, executor=settings, progress=watch)
    arrays: list[Any] = [one["zll"].values(flow=True) for one in result.histograms.values()]
    return watch.seconds, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=32, help="of a million events each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events.root").symlink_to(events_file(EVENTS))
        run(folder, 1, 1)  # compiles
        times: dict[int, list[float]] = {1: [], 2: []}
        bits = set()
        for _ in range(options.rounds):
            for workers, seen in times.items():
                seconds, found = run(folder, options.datasets, workers)
                seen.append(seconds)
                bits.add(found)
        assert len(bits) == 1, "the results differ"
        one, two = (statistics.median(seen) for seen in times.values())
        events = EVENTS * options.datasets / 1e6
        report(
            "2 Dask workers against 1, each of one thread",
            f"{events / two:.2f} and {events / one:.2f} million events/s",
            f"{one / two:.2f} x",
            ">= 1.8 x",
            holds=one / two >= 1.8,
        )


if __name__ == "__main__":
    main()
