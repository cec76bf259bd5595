"""What the benchmarks share: the file of events, a quiet core, taking turns, the two sides, and lines of the table."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, Runner
from nanoaod import make_file
from rich.console import Console

from colonnade.events import inspect_file, learn_columns, read_events

PROJECT = Path(__file__).parents[1]
#: ignored by git; holds the made events and the latest result of each row
FOLDER = PROJECT / "build" / "benchmarks"
METADATA = {"dataset": "made", "kind": "background"}
CHUNKS = (100_000, 250_000, 500_000)


def events_file(events: int = 1_000_000) -> Path:
    """Return a file of so many events in NanoAOD layout, made when it is first asked for."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"nanoaod_{events}.root"
    make_file(path, events)
    return path


def prepare() -> None:
    """Keep to one core, and keep coffea's warnings about unknown files away."""
    warnings.simplefilter("ignore")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])


def in_turn(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each side: all run once, then again, ...

    Times are of the processor, so that other programs disturb less.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def report(what: str, measured: str, result: str, must: str = "", *, holds: bool | None = None) -> None:
    """Print a line, and leave it for the table if `run.py` asked for it.

    Parameters
    ----------
    what
        What is measured.
    measured
        The numbers of both sides.
    result
        The ratio, or what else is judged.
    must
        What it must reach; empty if it is only shown.
    holds
        Whether it does.
    """
    verdict = "" if holds is None else (" - holds" if holds else " - FALLS SHORT")
    print(f"{what}: {measured}: {result}" + (f" (must be {must}){verdict}" if must else ""), flush=True)
    if "BENCHMARK_LINES" in os.environ:
        line = {"what": what, "measured": measured, "result": result, "must": must, "holds": holds}
        with Path(os.environ["BENCHMARK_LINES"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def require(problems: Iterable[str]) -> None:
    """Stop without a ratio if results differ."""
    found = list(problems)
    if found:
        sys.exit(f"the results differ, so no ratio is printed: {'; '.join(found[:3])}")


class Colonnade:
    """A colonnade processor over a file: columns learned, then read and processed chunk by chunk, results added."""

    def __init__(self, path: Path, processor: Any, metadata: Mapping[str, str] = METADATA) -> None:
        start = time.perf_counter()
        self.source = inspect_file(str(path))
        self.processor = processor
        self.metadata = metadata
        self.columns = learn_columns(self.source, processor.process, metadata)
        self.first = time.perf_counter() - start

    def run(self, chunk: int) -> dict[str, Any]:
        """Process the whole file."""
        total: dict[str, Any] | None = None
        for start in range(0, self.source.entries, chunk):
            result = self.processor.process(self.events(start, chunk))["made"]
            if total is None:
                total = result
                continue
            total["histograms"] += result["histograms"]
            for region, cuts in result["cutflow"].items():
                for cut, sums in cuts.items():
                    total["cutflow"][region][cut] = total["cutflow"][region][cut] + sums
        assert total is not None
        return total

    def read(self, chunk: int) -> None:
        """Read the same columns and do nothing."""
        for start in range(0, self.source.entries, chunk):
            self.events(start, chunk)

    def events(self, start: int, chunk: int) -> Any:
        """Read one chunk."""
        stop = min(start + chunk, self.source.entries)
        return read_events(self.source, start, stop, self.columns, self.metadata, threads=1)


class Coffea:
    """A coffea processor over a file, in coffea's own runner with its iterative executor."""

    def __init__(self, path: Path, processor: Any) -> None:
        self.processor = processor
        self.fileset = {"made": {"files": {str(path): "Events"}, "metadata": {"kind": "background"}}}
        self.metadata: dict[int, object] = {}

    def run(self, chunk: int) -> dict[str, Any]:
        """Process the whole file."""
        executor = IterativeExecutor(status=False)
        runner = Runner(executor, schema=NanoAODSchema, chunksize=chunk, savemetrics=False)
        with open(os.devnull, "w") as silence, _stdout(silence):  # noqa: PTH123 - bars that ask not to be drawn
            if chunk not in self.metadata:  # opening files is no part of the loop
                self.metadata[chunk] = list(runner.preprocess(self.fileset))
            result: dict[str, Any] = runner(self.metadata[chunk], self.processor)["made"]
        return result


class _stdout:  # noqa: N801 - a context manager
    """Send what rich prints elsewhere."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> None:
        import rich

        self.console, rich._console = rich._console, Console(file=self.file)  # noqa: SLF001
        self.stdout, sys.stdout = sys.stdout, self.file

    def __exit__(self, *_: object) -> None:
        import rich

        rich._console, sys.stdout = self.console, self.stdout  # noqa: SLF001


def compare(
    title: str,
    ours: Colonnade,
    theirs: Coffea,
    check: Callable[[Any, Any], Iterable[str]],
    *,
    least: tuple[float, float],
    chunks: Iterable[int] = CHUNKS,
    rounds: int = 3,
    reading: float | None = None,
) -> None:
    """Run both sides in turn for each size of chunk, and report the ratios.

    Parameters
    ----------
    title
        What is measured.
    ours, theirs
        The two sides.
    check
        Tells in what two results differ.
    least
        The ratios to reach at chunks of 100,000 events, and with each side at the size that suits it best.
    chunks, rounds
        Sizes, and how often each is run.
    reading
        The ratio to reach against reading the same columns and doing nothing; None if that is not asked.
    """
    print(f"{title}: our first call, with what was not compiled yet: {ours.first:.1f} s", flush=True)
    million = ours.source.entries / 1e6
    speeds: dict[str, dict[int, float]] = {"colonnade": {}, "coffea": {}, "reading": {}}
    results: dict[str, Any] = {}
    for chunk in chunks:

        def turn(name: str, side: Any, chunk: int = chunk) -> None:
            results[name] = side.run(chunk)

        sides: dict[str, Callable[[], object]] = {
            "colonnade": lambda turn=turn: turn("colonnade", ours),
            "coffea": lambda turn=turn: turn("coffea", theirs),
        }
        if reading is not None:
            sides["reading"] = lambda chunk=chunk: ours.read(chunk)
        if not results:  # what is compiled, opened and looked up at the first call
            ours.run(chunk)
            theirs.run(chunk)
        for name, seconds in in_turn(sides, rounds).items():
            speeds[name][chunk] = million / seconds
        require(check(results["colonnade"], results["coffea"]))
        print(f"  chunks of {chunk:,}: " + ", ".join(f"{n} {s[chunk]:.2f}" for n, s in speeds.items() if s), flush=True)
    unit = "million events/s"
    mine, other = speeds["colonnade"], speeds["coffea"]
    if CHUNKS[0] in mine:
        one, two = mine[CHUNKS[0]], other[CHUNKS[0]]
        ratio = one / two
        report(
            f"{title}, chunks of 100,000 events, against coffea",
            f"{one:.2f} and {two:.3f} {unit}",
            f"{ratio:.2f} x",
            f">= {least[0]:g} x",
            holds=ratio >= least[0],
        )
    one, two = max(mine.values()), max(other.values())
    report(
        f"{title}, each at its best chunks, against coffea",
        f"{one:.2f} and {two:.3f} {unit}",
        f"{one / two:.2f} x",
        f">= {least[1]:g} x",
        holds=one / two >= least[1],
    )
    if reading is not None:
        best = max(mine, key=lambda chunk: mine[chunk])
        for chunk in [chunk for chunk in dict.fromkeys((CHUNKS[0], best)) if chunk in mine]:
            one, two = mine[chunk], speeds["reading"][chunk]
            report(
                f"{title}, chunks of {chunk:,} events, against reading its columns",
                f"{one:.2f} and {two:.2f} {unit}",
                f"{one / two:.3f} x",
                f">= {reading:g} x" if reading else "",
                holds=one / two >= reading if reading else None,
            )


def same_histograms(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float = 1e-3) -> list[str]:
    """Tell where histograms of region, variation and one axis differ.

    Entries at the edge of a bin may fall to either side, as coffea computes in 32 bits.
    """
    import numpy as np

    problems = []
    for name, made in ours.items():
        other = theirs[name]
        for region in made.axes["region"]:
            for variation in made.axes["variation"]:
                place = {"region": region, "variation": variation}
                known = region in other.axes["region"] and variation in other.axes["variation"]
                one = made[place].values(flow=True)
                two = other[place].values(flow=True) if known else np.zeros_like(one)
                moved = np.abs(np.cumsum(one - two)).max() if one.size else 0.0
                if abs(one.sum() - two.sum()) > 3 + 1e-5 * np.abs(one).sum():
                    problems.append(f"{name} in {region}, {variation}: {one.sum():.1f} and {two.sum():.1f}")
                elif moved > 3 + tolerance * np.abs(one).sum():
                    problems.append(f"{name} in {region}, {variation}: {moved:.1f} moved of {one.sum():.1f}")
    return problems
