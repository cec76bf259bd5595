"""The dilepton event loop: colonnade against an idiomatic coffea processor, and against reading alone, in one run.

Both sides run the analysis of processors/dilepton_met.py over the same file, on one core, in turn: once with the three
histograms mll, mT and mT2 and no variations, and once in full (27 histograms, 11 regions, 8 weight variations, 2 object
shifts). Medians of the rounds are compared; times are of the processor, so that other programs disturb less. coffea's
side is peers/dilepton_met.py in coffea's own `Runner` with its iterative executor; ours reads the columns it learned
and processes and adds chunk by chunk. No ratio is printed if the results differ. The compilers' and libraries' first
calls are made before, and shown on their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from coffea.nanoevents import NanoAODSchema  # noqa: E402 - the project's folder must be on the path
from coffea.processor import IterativeExecutor, Runner  # noqa: E402
from nanoaod import make_file  # noqa: E402
from peers.dilepton_met import DileptonMET as Peer  # noqa: E402
from processors.dilepton_met import DileptonMET  # noqa: E402

from colonnade.events import inspect_file, learn_columns, read_events  # noqa: E402

METADATA = {"dataset": "made", "kind": "background"}
FEW = ("mll", "mt", "mt2")


class Few(DileptonMET):
    """Three histograms."""

    histograms = tuple(histogram for histogram in DileptonMET.histograms if histogram.name in FEW)


class Colonnade:
    """Our side."""

    def __init__(self, path: str, processor: DileptonMET) -> None:
        start = time.perf_counter()
        self.source = inspect_file(path)
        self.processor = processor
        self.columns = learn_columns(self.source, self.processor.process, METADATA)
        self.first = time.perf_counter() - start

    def run(self, chunk: int):
        """Process the whole file."""
        total = None
        for start in range(0, self.source.entries, chunk):
            result = self.processor.process(self.events(start, chunk))["made"]
            if total is None:
                total = result
                continue
            total["histograms"] += result["histograms"]
            for region, cuts in result["cutflow"].items():
                for cut, sums in cuts.items():
                    total["cutflow"][region][cut] = total["cutflow"][region][cut] + sums
        return total

    def read(self, chunk: int) -> None:
        """Read the same columns and do nothing."""
        for start in range(0, self.source.entries, chunk):
            self.events(start, chunk)

    def events(self, start: int, chunk: int):
        """Read one chunk."""
        stop = min(start + chunk, self.source.entries)
        return read_events(self.source, start, stop, self.columns, METADATA, threads=1)


class Coffea:
    """The other side."""

    def __init__(self, path: str, processor: Peer) -> None:
        self.processor = processor
        self.fileset = {"made": {"files": {path: "Events"}, "metadata": {"kind": "background"}}}
        self.metadata: dict[int, object] = {}

    def run(self, chunk: int):
        """Process the whole file."""
        runner = Runner(IterativeExecutor(status=False), schema=NanoAODSchema, chunksize=chunk, savemetrics=False)
        if chunk not in self.metadata:  # opening files is no part of the loop
            self.metadata[chunk] = list(runner.preprocess(self.fileset))
        return runner(self.metadata[chunk], self.processor)["made"]


def check(ours, theirs) -> None:
    """Stop unless both sides give the same."""
    problems = []
    for name, made in ours["histograms"].items():
        other = theirs["histograms"][name]
        for region in made.axes["region"]:
            for variation in made.axes["variation"]:
                place = {"region": region, "variation": variation}
                known = region in other.axes["region"] and variation in other.axes["variation"]
                one = made[place].values(flow=True)
                two = other[place].values(flow=True) if known else np.zeros_like(one)
                # entries at the edge of a bin may fall to either side: coffea computes in 32 bits
                moved = np.abs(np.cumsum(one - two)).max() if one.size else 0.0
                if abs(one.sum() - two.sum()) > 3 or moved > 3 + 1e-3 * np.abs(one).sum():
                    problems.append(f"{name} in {region}, {variation}: {one.sum():.1f} and {two.sum():.1f}")
    for region, counts in theirs["cutflow"].items():
        mine = [sums[0] for sums in ours["cutflow"][region].values()][-len(counts) :]
        if np.abs(np.array(mine) - counts).max() > 3:
            problems.append(f"the cutflow of {region}: {mine} and {counts}")
    if problems:
        sys.exit(f"event_loop: the results differ, no ratio is printed: {'; '.join(problems[:5])}")


def seconds(work: Callable[[], object]) -> float:
    """Return how long work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Compare, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, nargs="+", default=[100_000, 250_000, 500_000])
    parser.add_argument("--file", type=Path, default=None, help="kept, and made if missing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # coffea's about files it does not know
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "events.root"
        make_file(path, options.events)
        for title, mine, peer in (
            ("mll, mT and mT2, no variations", Few(variations=False), Peer(FEW, systematics=False)),
            ("all of dilepton_met", DileptonMET(), Peer()),
        ):
            print(title)
            compare(Colonnade(str(path), mine), Coffea(str(path), peer), options)


def compare(ours: Colonnade, theirs: Coffea, options: argparse.Namespace) -> None:
    """Run both sides in turn, and print the ratios."""
    print(f"  our first call, with what was not compiled yet: {ours.first:.1f} s")
    million = options.events / 1e6
    best: dict[str, float] = {}
    for chunk in options.chunks:
        check(ours.run(chunk), theirs.run(chunk))
        sides = {
            "colonnade": lambda chunk=chunk: ours.run(chunk),
            "coffea": lambda chunk=chunk: theirs.run(chunk),
            "reading": lambda chunk=chunk: ours.read(chunk),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, work in sides.items():
                times[name].append(seconds(work))
        speed = {name: million / statistics.median(values) for name, values in times.items()}
        for name, value in speed.items():
            best[name] = max(best.get(name, 0.0), value)
        print(
            f"  chunks of {chunk:,}: colonnade {speed['colonnade']:.2f}, coffea {speed['coffea']:.2f}, "
            f"reading alone {speed['reading']:.2f} million events/s; "
            f"{speed['colonnade'] / speed['coffea']:.2f} x coffea, "
            f"{speed['colonnade'] / speed['reading']:.2f} x reading"
        )
    print(f"  each at its best chunks: {best['colonnade'] / best['coffea']:.2f} x coffea")


if __name__ == "__main__":
    main()
