"""Files of 2,600 branches: opening them, and a whole run over forty, against uproot, coffea and RDataFrame.

The names and types of the branches are those of nano_tt_v15.root where it is at hand (../shared/data), else made up;
ten of them hold numbers, the others zeros. All sides read the same ten columns of the same files with two workers and
fill the same ten histograms, which are compared bin by bin. RDataFrame runs in an environment of its own
(`python -m venv ENV && ENV/bin/pip install root==0.1a12`, then `--root ENV/bin/python`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

import awkward as ak
import numpy as np
import psutil
import uproot
from measuring import FOLDER, PROJECT, report
from peers.wide import COLUMNS, Columns

EVENTS = 50_000
BRANCHES = 2_600
REAL = PROJECT.parent / "shared" / "data" / "nanoaod" / "nano_tt_v15.root"


def branches() -> dict[str, dict[str, np.dtype[Any]] | np.dtype[Any]]:
    """Return collections with their fields, and what else an event has."""
    if not REAL.exists():
        fields = {f"x{number}": np.dtype("f4") for number in range(60)} | {"pt": np.dtype("f4"), "eta": np.dtype("f4")}
        flags = {f"HLT_Path{number}": np.dtype("?") for number in range(1900)}
        return {"Muon": fields, "Electron": fields, "Jet": fields, "Tau": fields, "GenPart": fields} | flags
    found: dict[str, Any] = {}
    tree = uproot.open(REAL)["Events"]
    present = set(tree.keys())
    for name in tree.keys():  # noqa: SIM118 - no dict
        jagged = isinstance(tree[name].interpretation, uproot.AsJagged)
        numbers = tree[name].interpretation.content if jagged else tree[name].interpretation
        group, _, field = name.partition("_")
        if jagged and f"n{group}" in present and field:
            found.setdefault(group, {})[field] = numbers.to_dtype.newbyteorder("=")
        elif not jagged and not (name.startswith("n") and (name[1:] in found or name[1:].partition("_")[2])):
            found[name] = numbers.to_dtype.newbyteorder("=")
    found = {name: kind for name, kind in found.items() if not name.startswith("n") or name[1:] not in found}
    width = sum(len(kind) + 1 if isinstance(kind, dict) else 1 for kind in found.values())
    return found | {f"HLT_Path{number}": np.dtype("?") for number in range(BRANCHES - width)}


def draw(seed: int, events: int = EVENTS) -> dict[str, Any]:
    """Draw events: what is read is random, in steps that no edge of a bin meets, all else is zero."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, kind in branches().items():
        if isinstance(kind, dict):
            read = any(one.startswith(f"{name}_") for one in COLUMNS)
            counts = rng.poisson(1.5 if read else 0.1, events)
            total = int(counts.sum())
            fields = {
                field: _numbers(rng, total, dtype) if f"{name}_{field}" in COLUMNS else np.zeros(total, dtype)
                for field, dtype in kind.items()
            }
            columns[name] = ak.zip({field: ak.unflatten(values, counts) for field, values in fields.items()})
        else:
            columns[name] = _numbers(rng, events, kind) if name in COLUMNS else np.zeros(events, kind)
    columns["genWeight"] = np.ones(events, np.float32)
    return columns


def _numbers(rng: np.random.Generator, count: int, dtype: np.dtype[Any]) -> Any:
    return (rng.integers(0, 400, count) / 4 + 0.125).astype(dtype)


def make_files(count: int, events: int = EVENTS) -> list[Path]:
    """Write a file and copies of it, each with a UUID of its own, unless they are there."""
    folder = FOLDER / ("wide" if events == EVENTS else f"wide_{events}")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.root" for number in range(count)]
    if not paths[0].exists():
        _write(paths[0], events)
    content = paths[0].read_bytes()
    own = uproot.open(paths[0]).file.uuid.bytes
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(content.replace(own, uuid.uuid5(uuid.NAMESPACE_OID, str(number)).bytes))
    return paths


def _write(path: Path, events: int) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.part")
    columns = draw(0, events)
    kinds = {name: v.dtype if isinstance(v, np.ndarray) else ak.type(v).content for name, v in columns.items()}
    with uproot.recreate(temporary, compression=uproot.ZSTD(1)) as file:
        file.mktree("Events", kinds).extend(columns)
        file["Runs"] = {"run": np.ones(1, np.uint32), "genEventSumw": np.array([float(events)])}
    temporary.rename(path)


def opening(path: Path, rounds: int) -> None:
    """Compare the opening of a file for ten columns."""
    from colonnade.events.files import forget_handle, open_handle
    from colonnade.events.root import TTreeReader

    def ours() -> None:
        forget_handle(str(path))
        handle = open_handle(str(path))
        assert isinstance(handle.reader, TTreeReader)
        if not handle.reader.places(handle.catalog.part(COLUMNS).sources):
            sys.exit("wide: a column is left to uproot; no ratio is printed.")

    def uproots() -> None:
        uproot.open(path)["Events"]

    one, other = (statistics.median(_seconds(side) for _ in range(rounds)) for side in (ours, uproots))
    width = len(uproot.open(path)["Events"].keys())
    report(
        f"opening a file of {width:,} branches for ten columns, against uproot",
        f"{one * 1e3:.0f} and {other * 1e3:.0f} ms",
        f"{other / one:.1f} x",
        ">= 20 x",
        holds=other / one >= 20,
    )


def planning(count: int) -> None:
    """Measure the processor time of planning many files of few events, in as many processes as there are cores."""
    from colonnade.execution.plan import make_plan

    dataset = _dataset(make_files(count, 500))
    used = []

    def advance(done: int, total: int) -> None:
        if done == total:  # the processes that open files are still there
            used.append(_all_processes())

    before = _all_processes()
    plan = make_plan([dataset], 100_000, advance=advance)
    chunks = sum(len(dataset.chunks) for dataset in plan)
    if chunks != count or len(used) != 1:
        sys.exit(f"wide: {chunks} chunks of {count} files; no time is printed.")
    each = (used[0] - before) / count
    what = f"planning {count:,} files of {BRANCHES:,} branches, processor time of each"
    report(what, f"{each * 1e3:.0f} ms", f"{each * 1e3:.0f} ms", "<= 50 ms", holds=each <= 0.05)


def _all_processes() -> float:
    """Return the processor time of this process and all that it started and that still live, in seconds."""
    mine = psutil.Process()
    times = [each.cpu_times() for each in (mine, *mine.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _dataset(paths: list[Path]) -> Any:
    from colonnade.manifest import Dataset, Metadata

    metadata = Metadata(process="tt", kind="background", xsec_pb=1.0)
    return Dataset("tt", {str(path): "Events" for path in paths}, metadata, FOLDER)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def side(words: list[str], paths: list[Path]) -> dict[str, Any]:
    """Run one side in a process of its own and return what it prints."""
    script = str(Path(__file__).parent / "peers" / "wide.py")
    done = subprocess.run(  # noqa: S603 - this script
        [words[0], script, *words[1:], *map(str, paths)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
    )
    if done.returncode:
        sys.exit(f"wide: {' '.join(words[1:2])} failed: {done.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def ours(paths: list[Path]) -> dict[str, Any]:
    """Run colonnade over the files from nothing, then again with an edited analysis."""
    from colonnade.events import root
    from colonnade.execution import ExecutorSettings, run_datasets
    from colonnade.execution.cache import CacheSettings, ResultCache

    trees: list[str] = []
    header = root.RootFile.header

    def counted(self: root.RootFile, tree: str) -> root.TreeHeader | None:
        """Return the header as it is read, and note that the file was opened."""
        trees.append(self.path)
        return header(self, tree)

    root.RootFile.header = counted  # type: ignore[method-assign]  # opened files are counted without a counter in the product
    seconds, opened, counts = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        for edit in (0, 1):
            cache = ResultCache.of(CacheSettings(), Path(folder), ())
            start = time.perf_counter()
            result = run_datasets(
                Columns(edit),
                [_dataset(paths)],
                luminosity=1.0,
                executor=ExecutorSettings(kind="futures", workers=2),
                cache=cache,
            )
            seconds.append(time.perf_counter() - start)
            opened.append(len(trees))
            trees.clear()
        for name in COLUMNS:
            values = result.histograms[name]["tt"]["all", "nominal", :].values(flow=True)
            counts[name] = values.tolist()
    return {"seconds": seconds, "counts": counts, "trees": opened[1]}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Stop without a ratio unless the histograms have the same shape to the last event."""
    for name in COLUMNS:
        mine, theirs = np.asarray(one["counts"][name]), np.asarray(other["counts"][name])
        scale = EVENTS * other["files"] / 1000.0  # to 1 fb^-1 and 1 pb
        if not np.allclose(mine * scale, theirs, rtol=1e-9):
            sys.exit(f"wide: {name} differs; no ratio is printed.")


def main() -> None:
    """Compare, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--root", default=os.environ.get("ROOT_PYTHON"), help="A Python that has ROOT.")
    parser.add_argument("--planned", type=int, default=200, help="Files of the planning row.")
    options = parser.parse_args()
    paths = make_files(options.files)
    opening(paths[0], options.rounds)
    planning(options.planned)
    if options.files < 2:
        return
    mine = ours(paths)
    coffea = side([sys.executable, "coffea"], paths)
    same(mine, coffea)
    first, edited = mine["seconds"]
    what = f"{options.files} files from nothing, two workers, against coffea's futures"
    for state, seconds, must in (("cold", coffea["seconds"][0], 4), ("warm", coffea["seconds"][1], 2)):
        ratio = seconds / first
        measured = f"{first:.1f} and {seconds:.1f} s"
        report(f"{what}, its metadata {state}", measured, f"{ratio:.1f} x", f">= {must} x", holds=ratio >= must)
    against = "the same against RDataFrame with two threads"
    if options.root:
        root = side([options.root, "root"], paths)
        same(mine, root)
        seconds = root["seconds"][0]
        report(against, f"{first:.1f} and {seconds:.1f} s", f"{seconds / first:.1f} x", "> 1 x", holds=seconds > first)
    else:
        report(against, "not measured", "no --root was given")
    what = "the same again with an edited analysis: trees opened to learn its columns"
    report(what, f"{edited:.1f} and {first:.1f} s", f"{mine['trees']}", "0", holds=mine["trees"] == 0)


if __name__ == "__main__":
    main()
