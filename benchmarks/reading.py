"""Reading the columns of a dilepton analysis: colonnade against uproot, and against unpacking alone, in one run.

Every side reads the same columns of one file in chunks of the same events, in turn, on one core; medians of the rounds
are compared. uproot's side is one `tree.arrays(columns)` a chunk, without its cache of arrays; colonnade's gives
finished events. The third side gets the same bytes from the file and unpacks
them, which is what no reader can save; the fourth is colonnade with a second core to unpack on, where there is one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import awkward as ak
import pyarrow as pa
import uproot
from measuring import events_file, report

from colonnade.events import inspect_file, read_events

COLUMNS = (
    "genWeight",
    "MET_pt",
    "MET_phi",
    *(f"{name}_{field}" for name in ("Electron", "Muon") for field in ("pt", "eta", "phi", "mass", "charge")),
)


class Unpacking:
    """The bytes of the columns' baskets, unpacked and forgotten."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        # position and length of the packed data, and its length unpacked
        self.places: list[tuple[int, int, int]] = []
        for name in COLUMNS:
            branch = uproot.open(path)["Events"][name]
            for number in range(branch.num_baskets):
                basket = branch.basket(number)
                key = basket.member("fKeylen")
                seek = int(branch.member("fBasketSeek")[number])
                self.places.append((seek + key, basket.compressed_bytes - key, basket.member("fObjlen")))
        self.places.sort()
        self.codec, self.memory = pa.Codec("zstd"), pa.system_memory_pool()

    def read(self) -> None:
        """Read and unpack everything once."""
        for seek, size, expected in self.places:
            if self._unpack(memoryview(os.pread(self.descriptor, size, seek))) != expected:
                sys.exit("reading: the baskets are not what they seem; no ratio is printed.")

    def _unpack(self, body: memoryview) -> int:
        read = written = 0
        while read < len(body):
            packed = int.from_bytes(body[read + 3 : read + 6], "little")
            length = int.from_bytes(body[read + 6 : read + 9], "little")
            self.codec.decompress(body[read + 9 : read + 9 + packed], length, memory_pool=self.memory)
            read, written = read + 9 + packed, written + length
        return written


def check(path: str, events: int) -> None:
    """Stop unless both sides give the same."""
    source = inspect_file(path)
    start, stop = events // 3, events // 3 + min(events // 3, 50_000)
    found = read_events(source, start, stop, COLUMNS, {})
    expected = uproot.open(path)["Events"].arrays(list(COLUMNS), entry_start=start, entry_stop=stop)
    for name in COLUMNS:
        group, _, field = name.partition("_")
        mine = found[group][field] if field else found[name]
        if not ak.array_equal(mine, expected[name], check_parameters=False):
            sys.exit(f"reading: {name} differs; no ratio is printed.")


def seconds(work: Callable[[], object]) -> float:
    """Return how long work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(path: str, events: int, chunk: int, rounds: int) -> dict[str, float]:
    """Return the median time of each side."""
    tree = uproot.open(path, array_cache=None)["Events"]
    source = inspect_file(path)
    cores = sorted(os.sched_getaffinity(0))

    def uproots() -> None:
        for start in range(0, events, chunk):
            tree.arrays(list(COLUMNS), entry_start=start, entry_stop=start + chunk)

    def ours(threads: int = 1) -> None:
        for start in range(0, events, chunk):
            read_events(source, start, start + chunk, COLUMNS, {}, threads=threads)

    sides = {"uproot": (1, uproots), "colonnade": (1, ours), "unpacking alone": (1, Unpacking(path).read)}
    if len(cores) > 1:
        sides["on two cores"] = (2, lambda: ours(threads=2))
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (count, work) in sides.items():
            os.sched_setaffinity(0, cores[-count:])
            times[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Compare, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    path = str(events_file(options.events))
    check(path, options.events)
    median = compare(path, options.events, options.chunk, options.rounds)
    speed = {name: options.events / value / 1e6 for name, value in median.items()}
    for other, must in (("uproot", 0.9), ("unpacking alone", 0.0)):
        ratio = speed["colonnade"] / speed[other]
        report(
            f"reading {len(COLUMNS)} columns, against {other}",
            f"{speed['colonnade']:.2f} and {speed[other]:.2f} million events/s",
            f"{ratio:.2f} x",
            f">= {must:g} x" if must else "",
            holds=ratio >= must if must else None,
        )
    if "on two cores" in speed:
        ratio = speed["on two cores"] / speed["colonnade"]
        report("reading on two cores, against one", f"{speed['on two cores']:.2f} million events/s", f"{ratio:.2f} x")


if __name__ == "__main__":
    main()
