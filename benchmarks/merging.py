"""Merging a thousand chunk results of 100 histograms x 40 variations: its time beside the event work, and its memory.

The event work is that of one chunk of 100,000 events with so many histograms and weight variations, read and
processed; merging is what the fixed-order tree does with a thousand such results. Memory is the peak of the run's
process and of all its workers together, for 50 and for 1,000 chunks of the same file.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import psutil
from hist.axis import Regular
from measuring import events_file, report

from colonnade.events import inspect_file, learn_columns, read_events
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.execution.merging import GROUP, MergeTree, add
from colonnade.histograms import Histogram
from colonnade.manifest import Dataset, Metadata
from colonnade.processor import Objects, Processor, Region

HISTOGRAMS, VARIATIONS, CHUNKS, EVENTS = 100, 40, 1000, 100_000


class Many(Processor):
    """An analysis with many histograms and variations."""

    histograms = tuple(
        Histogram(f"h{number}", Regular(50, 0, 300), observables=("met",)) for number in range(HISTOGRAMS)
    )
    regions = {"all": Region("two leptons")}  # noqa: RUF012 - as an analysis is written

    def objects(self, events: Any, shift: Any) -> Objects:
        """Take muons and electrons."""
        return Objects(muons=events.Muon, electrons=events.Electron)

    def observables(self, events: Any, objects: Objects) -> dict[str, Any]:
        """Take the missing momentum."""
        return {"met": events.MET.pt}

    def cuts(self, events: Any, objects: Objects, observables: Any) -> dict[str, Any]:
        """Ask for two leptons."""
        return {"two leptons": ak.num(objects.muons) + ak.num(objects.electrons) >= 2}

    def weights(self, events: Any, objects: Objects, weights: Any) -> None:
        """Add the variations."""
        ones = np.ones(len(events))
        for number in range(VARIATIONS // 2):
            weights.add(f"source{number}", ones, ones * (1 + 0.001 * number), ones * (1 - 0.001 * number))


def event_work(path: Path) -> tuple[float, Any]:
    """Return the seconds that a chunk takes, and its result."""
    source = inspect_file(str(path))
    metadata = {"dataset": "zll", "kind": "background"}
    processor = Many()
    columns = learn_columns(source, processor.process, metadata)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        result = processor.process(read_events(source, 0, EVENTS, columns, metadata))["zll"]
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), result


def merging(result: Any) -> float:
    """Return the seconds that a thousand results take to be added."""
    results = [copy.deepcopy(result) for _ in range(8)]  # different memory, as results of different chunks have
    fresh = [copy.deepcopy(result) for _ in range(-(-CHUNKS // GROUP))]  # those that sums start from
    tree = MergeTree(CHUNKS)
    started = time.perf_counter()
    for number in range(CHUNKS):
        work = tree.offer(number, fresh.pop() if number % GROUP == 0 else results[number % 8])
        while work:
            step = work.pop()
            total = step.total
            for part in step.parts:
                total = part if total is None else add(total, part)
            work.extend(tree.added(step, total))
    assert tree.finished
    assert tree.root["events"] == CHUNKS * result["events"]
    return time.perf_counter() - started


def peak_memory(kind: str, folder: Path, chunks: int) -> float:
    """Return the peak of all processes of a run with so many chunks, in MB, measured in a process of its own."""
    words = [sys.executable, __file__, "--run", kind, str(folder), str(chunks)]
    process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603 - this script
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        me = psutil.Process(process.pid)
        while not over.wait(0.05):
            try:
                family = [me, *me.children(recursive=True)]
                peak = max(peak, sum(one.memory_full_info().pss for one in family))
            except psutil.Error:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    over.set()
    watcher.join()
    assert code == 0
    return peak / 1e6


def run(kind: str, folder: Path, chunks: int) -> None:
    """Run the file in so many chunks: the fewer, the larger."""
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events")
    dataset = Dataset("zll", {"merging.root": "Events"}, metadata, folder)
    settings = ExecutorSettings(kind=kind, workers=None if kind == "iterative" else 2)
    result = run_datasets(Many(), [dataset], luminosity=1.0, executor=settings, chunk_size=EVENTS // chunks)
    assert result.ledger.datasets["zll"].events_processed == EVENTS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, metavar=("KIND", "FOLDER", "CHUNKS"))
    parser.add_argument("--kinds", default="iterative,dask")
    options = parser.parse_args()
    if options.run:
        run(options.run[0], Path(options.run[1]), int(options.run[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "merging.root").symlink_to(events_file(EVENTS))
        seconds, result = event_work(folder / "merging.root")
        total = merging(result)
        share = total / (CHUNKS * seconds)
        report(
            f"merging {CHUNKS:,} results of {HISTOGRAMS} histograms x {VARIATIONS} variations, against their events",
            f"{total:.2f} s and {CHUNKS * seconds:.0f} s ({seconds * 1000:.0f} ms for each {EVENTS:,} events)",
            f"{share:.3f}",
            "< 0.1",
            holds=share < 0.1,
        )
        for kind in options.kinds.split(","):
            few, many = (peak_memory(kind, folder, chunks) for chunks in (50, CHUNKS))
            report(
                f"peak memory of {CHUNKS:,} chunks against 50, {kind}",
                f"{many:,.0f} and {few:,.0f} MB",
                f"{many / few:.2f} x",
                "flat (within 10 %)",
                holds=many / few <= 1.1,
            )


if __name__ == "__main__":
    main()
