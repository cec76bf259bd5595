"""An unchanged rerun from the kept results against the first run, both in fresh processes.

The first run reads and processes every event of the dilepton analysis; the second finds each dataset's sum kept. Both
times are of `run_datasets` alone: imports, figures and fits are the same on both sides. The second line is a rerun with
one dataset more, the third one after an edit of the analysis that changes a comment, the fourth one after an edit that
changes the analysis, where unpacked columns are kept and where they are not.
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

from measuring import events_file, report

from colonnade.execution import CacheSettings, ExecutorSettings, ResultCache, run_datasets
from colonnade.manifest import Dataset, Metadata

EVENTS = 1_000_000
PROJECT = Path(__file__).parents[1]


def run(folder: Path, datasets: int, cache: str) -> dict[str, float]:
    """Run the analysis in this process."""
    import numpy as np

    sys.path.insert(0, str(folder))
    from processors.dilepton_met import DileptonMET

    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events")
    wanted = [Dataset(f"d{number}", {"events.root": "Events"}, metadata, folder) for number in range(datasets)]
    processor = DileptonMET()
    started = time.perf_counter()
    result = run_datasets(
        processor,
        wanted,
        luminosity=1.0,
        executor=ExecutorSettings(kind="iterative"),
        cache=ResultCache.of(CacheSettings(folder=cache, columns=5.0 if cache == "columns" else 0.0), folder),
    )
    seconds = time.perf_counter() - started
    total = sum(float(np.sum(one["zll"].values(flow=True))) for one in result.histograms.values())
    return {
        "seconds": seconds,
        "events": result.timing.events,
        "processed": result.timing.processed,
        "total": total,
    }


def fresh(folder: Path, datasets: int, cache: str = "cache") -> dict[str, float]:
    """Run the analysis in a process of its own."""
    words = [sys.executable, __file__, "--run", str(folder), str(datasets), cache]
    done = subprocess.run(  # noqa: S603 - this script
        words, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, metavar=("FOLDER", "DATASETS", "CACHE"))
    parser.add_argument("--datasets", type=int, default=8, help="of a million events each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(Path(options.run[0]), int(options.run[1]), options.run[2])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events.root").symlink_to(events_file(EVENTS))
        shutil.copytree(PROJECT / "processors", folder / "processors")
        fresh(folder, 1)  # compiles, and warms the disk's cache
        first, again = [], []
        for _ in range(options.rounds):
            shutil.rmtree(folder / "cache")
            first.append(fresh(folder, options.datasets))
            again.append(fresh(folder, options.datasets))
            assert first[-1]["processed"] == EVENTS * options.datasets
            assert again[-1]["processed"] == 0
            assert first[-1]["total"] == again[-1]["total"], "the kept result differs"
        more = fresh(folder, options.datasets + 1)
        analysis = folder / "processors" / "dilepton_met.py"
        analysis.write_text(analysis.read_text() + "\n# a comment\n")
        edited = fresh(folder, options.datasets + 1)
        assert (more["processed"], edited["processed"]) == (EVENTS, 0)
        changed: dict[str, list[dict[str, float]]] = {"cache": [], "columns": []}
        one: dict[str, list[float]] = {"cache": [], "columns": []}
        for cache, times in [*one.items()] * options.rounds:
            shutil.rmtree(folder / cache, ignore_errors=True)
            times.append(fresh(folder, 1, cache)["events"])
        for number in range(options.rounds):
            analysis.write_text(analysis.read_text() + f"\nCHANGED = {number}\n")
            for cache, seen in changed.items():
                seen.append(fresh(folder, options.datasets, cache))
                assert seen[-1]["processed"] == EVENTS * options.datasets
                assert seen[-1]["total"] == first[0]["total"], "the result with kept columns differs"
        slow = statistics.median(one["seconds"] for one in first)
        fast = statistics.median(one["seconds"] for one in again)
        report(
            f"unchanged rerun from the cache against the first run, {EVENTS * options.datasets:,} events",
            f"{slow:.2f} and {fast:.3f} s",
            f"{slow / fast:.0f} x",
            ">= 20 x",
            holds=slow / fast >= 20,
        )
        report("rerun with one dataset of a million events more", f"{slow:.2f} s at first", f"{more['seconds']:.2f} s")
        report("rerun with a comment edited", f"{slow:.2f} s at first", f"{edited['seconds']:.3f} s")
        plain, kept = (statistics.median(one["seconds"] for one in seen) for seen in changed.values())
        what = "rerun with the analysis changed, columns kept, against unpacking them"
        report(what, f"{kept:.2f} and {plain:.2f} s", f"{plain / kept:.2f} x")
        plain, kept = (statistics.median(times) for times in one.values())
        what = "event loop over a million events that keeps its columns, against one that does not"
        report(what, f"{kept:.2f} and {plain:.2f} s", f"{kept / plain:.2f} x")


if __name__ == "__main__":
    main()
