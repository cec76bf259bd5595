"""Unmodified coffea processors here and in coffea's own Runner: iterative on one core, and processes of this machine.

The processors are peers/dilepton_met.py with three histograms, and a query of peers/adl.py. Each side runs at the size
of chunks that suits it best, over the same file; no ratio is printed if the accumulators differ. The second run finds
its results kept.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys
import time
import warnings
from pathlib import Path

os.environ["PYTHONWARNINGS"] = "ignore"  # of coffea, about cross references that the file lacks
sys.path[:0] = [str(Path(__file__).parents[1])]

if __name__ == "__main__":  # processes that are started import this file, too, and need nothing of it
    from coffea.nanoevents import NanoAODSchema
    from coffea.processor import FuturesExecutor, IterativeExecutor, Runner
    from measuring import FOLDER, _stdout, events_file, report, require
    from peers.adl import QUERIES
    from peers.dilepton_met import DileptonMET

    from colonnade.errors import EventError
    from colonnade.execution import ExecutorSettings, ResultCache, run_datasets
    from colonnade.workflow.compare import _compare

CHUNKS = (250_000, 500_000, 1_000_000)
WORKERS = 2


def by_coffea(fileset, processor, kind: str, chunk: int):
    """Return coffea's accumulator."""
    executor = (
        IterativeExecutor(status=False) if kind == "iterative" else FuturesExecutor(workers=WORKERS, status=False)
    )
    runner = Runner(executor, schema=NanoAODSchema, chunksize=chunk, savemetrics=False)
    with open(os.devnull, "w") as silence, _stdout(silence):  # noqa: PTH123 - bars that ask not to be drawn
        return runner(fileset, processor)


def here(fileset, processor, kind: str, chunk: int, cache=None):
    """Return this framework's accumulator."""
    settings = ExecutorSettings(kind=kind, workers=WORKERS)
    return run_datasets(processor, fileset, executor=settings, chunk_size=chunk, cache=cache).accumulator


def seconds(work, clock=time.process_time) -> float:
    """Return how long something takes, by default of the processor, so that other programs disturb less."""
    start = clock()
    work()
    return clock() - start


def measure(name: str, fileset, processor, rounds: int) -> None:
    """Compare the two sides."""
    for kind in ("iterative", "futures"):
        times: dict[str, list[float]] = {"here": [], "coffea": []}
        clock = time.process_time if kind == "iterative" else time.perf_counter
        for chunk in CHUNKS:
            mine, theirs = here(fileset, processor, kind, chunk), by_coffea(fileset, processor, kind, chunk)
            try:
                _compare(mine, theirs)
            except EventError as error:
                require([str(error)])
            for _ in range(rounds):
                for side, work in (("here", here), ("coffea", by_coffea)):
                    times[side].append(seconds(functools.partial(work, fileset, processor, kind, chunk), clock))
        one, two = min(times["here"]), min(times["coffea"])
        what = f"{name}, unmodified, {kind}, each at its best chunks, against coffea's Runner"
        report(what, f"{one:.2f} and {two:.2f} s", f"{two / one:.2f} x", ">= 1.3 x", holds=two / one >= 1.3)
    folder = FOLDER / "kept_accumulators"
    shutil.rmtree(folder, ignore_errors=True)
    first = seconds(lambda: here(fileset, processor, "iterative", CHUNKS[0], ResultCache(folder)))
    second = min(
        seconds(lambda: here(fileset, processor, "iterative", CHUNKS[0], ResultCache(folder))) for _ in range(rounds)
    )
    shutil.rmtree(folder)
    report(
        f"{name}, unmodified, the second run",
        f"{first:.2f} and {second:.3f} s",
        f"{first / second:.0f} x",
        ">= 20 x",
        holds=first / second >= 20,
    )


def main() -> None:
    """Compare, and report the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--query", default="Q5", choices=QUERIES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    fileset = {"made": {"files": {str(events_file(options.events)): "Events"}, "metadata": {"kind": "background"}}}
    measure("dilepton, 3 histograms", fileset, DileptonMET(("mll", "mt", "mt2"), systematics=False), options.rounds)
    measure(f"ADL {options.query}", fileset, QUERIES[options.query](), options.rounds)


if __name__ == "__main__":
    main()
