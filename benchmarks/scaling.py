"""What a run of 100,000 files costs the planner, the driver, the scheduler, the ledger and the cache.

Nothing is read: the files are empty, and what opening them would tell is made up and noted as an earlier run would
have. Workers are simulated. The numbers of docs/scaling.md are these.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from colonnade.events import SourceFile
from colonnade.execution import ResultCache
from colonnade.execution.cluster import DaskPool
from colonnade.execution.driver import drive
from colonnade.execution.identity import chunk_key
from colonnade.execution.ledger import Ledger, Loss, Outcome, entry_of
from colonnade.execution.merging import add
from colonnade.execution.plan import Chunk, DatasetPlan, Plan, make_plan
from colonnade.execution.pools import Done
from colonnade.execution.progress import NO_PROGRESS
from colonnade.manifest import Dataset, Metadata

ENTRIES = 100_000  # of a file: 10^10 events in 10^5 files
COLUMNS = frozenset(
    {"genWeight", *(f"Collection{number}_property{number % 17}" for number in range(1500))}
)  # as NanoAOD


def inspect(path: str, *_: str | None) -> SourceFile:
    """Make up what opening a file tells."""
    return SourceFile(path, "Events", ENTRIES, "nanoaod", f"uuid-of-{path}", 2_000_000_000, COLUMNS, 1e9)


def datasets(folder: Path, files: int, count: int = 20) -> list[Dataset]:
    """Return datasets that share so many files."""
    made = []
    for number in range(count):
        metadata = Metadata(process=f"p{number}", kind="background", xsec_pb=1.0)
        names = {f"d{number}/{file:05d}.root": "Events" for file in range(files // count)}
        made.append(Dataset(f"d{number}", names, metadata, folder))
    return made


class Simulated:
    """So many workers that do nothing; their results are one number."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.ended: deque[Done] = deque()

    def process(self, tag: Hashable, chunks: Sequence[Chunk]) -> None:
        """End at once."""
        self.ended.append(Done(tag, nothing(*chunks)))

    def fold(self, tag: Hashable, total: Any, parts: Sequence[Any]) -> None:
        """Add numbers."""
        for part in parts:
            total = part if total is None else add(total, part)
        self.ended.append(Done(tag, total))

    def completed(self, timeout: float) -> list[Done]:
        """Return what ended, at most as much as there are workers."""
        return [self.ended.popleft() for _ in range(min(len(self.ended), self.workers))]

    def fetch(self, handle: Any) -> Any:
        """Return the number."""
        return handle


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Print how long something takes, and the memory's peak after it."""
    started = time.perf_counter()
    result = act()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{what:<58} {seconds:8.2f} s   peak so far {peak:7,.0f} MB", flush=True)
    return result


class Empty(DaskPool):
    """Dask workers that do nothing."""

    def process(self, tag: Hashable, chunks: Sequence[Chunk]) -> None:
        """Send a task without an event in it."""
        self._submit(tag, "chunk", -self._count, nothing, *chunks)


def nothing(*chunks: Chunk) -> dict[str, float]:
    """Return as little as a result can be."""
    return {"events": sum(chunk.events for chunk in chunks), "sumw": 1.0}


def scheduler(work: Sequence[DatasetPlan]) -> None:
    """Send chunks that take no time, and their additions, through Dask's scheduler to 2,000 threads."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1000, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        drive(Empty(client, local=True), work, retries=0, progress=NO_PROGRESS)


def measure(folder: Path, files: int) -> None:
    """Plan, drive, and write the ledger."""
    wanted = datasets(folder, files)
    memory = folder / "cache"
    plan = timed(f"planning {files:,} files that are known", lambda: make_plan(wanted, ENTRIES, memory=memory))
    assert sum(len(dataset.chunks) for dataset in plan) == files
    work = timed("keys of all chunks", lambda: with_keys(plan))
    cache = ResultCache(memory)
    cache.store.prepare()
    timed("asking the cache what is kept (nothing)", cache.store.keys)
    outcomes = timed(
        f"driving {sum(len(dataset.chunks) for dataset in plan):,} chunks on 2,000 simulated workers",
        lambda: drive(Simulated(2000), work, retries=3, progress=NO_PROGRESS),
    )
    entries = {}
    for dataset, outcome in zip(plan, outcomes, strict=True):
        losses = [
            Loss(chunk.source.path, chunk.start, chunk.stop, "The server did not answer (tried 4 times).")
            for chunk in dataset.chunks[::100]
        ]
        lost = sum(loss.stop - loss.start for loss in losses if loss.stop)
        result = {"events": outcome.events - lost, "sumw": outcome.sumw}
        entries[dataset.name] = entry_of(dataset, Outcome(result, tuple(losses)))
    ledger = Ledger(0.1, entries)
    timed("writing the ledger, one file in a hundred lost", lambda: ledger.write(folder / "ledger.json"))
    print(f"{'the ledger':<58} {(folder / 'ledger.json').stat().st_size / 1e6:8.1f} MB")
    size = sum(path.stat().st_size for path in (memory / "files").iterdir())
    print(f"{'what is known of the files, on disk':<58} {size / 1e6:8.1f} MB")


def with_keys(plan: Plan) -> list[DatasetPlan]:
    """Return the work of a plan."""
    return [
        replace(dataset, chunks=[replace(chunk, key=chunk_key("d", chunk)) for chunk in dataset.chunks])
        for dataset in plan
    ]


def main() -> None:
    """Measure in a process of its own, as the peak of memory is that of a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--chunks", type=int, default=100_000, help="how many go through Dask's scheduler")
    parser.add_argument("--measure", metavar="FOLDER")
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure), options.files)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for dataset in datasets(folder, options.files):
            for file in dataset.files:
                path = folder / file
                path.parent.mkdir(exist_ok=True)
                path.touch()
        make_plan(datasets(folder, options.files), ENTRIES, memory=folder / "cache", inspect=inspect)
        words = [sys.executable, __file__, "--files", str(options.files), "--measure", name]
        subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603 - this script
        few = make_plan(datasets(folder, options.chunks), ENTRIES, memory=folder / "cache", inspect=inspect)
        timed(f"{options.chunks:,} chunks through Dask's scheduler, 2,000 threads", lambda: scheduler(few))
    print(json.dumps({"cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
