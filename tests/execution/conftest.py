"""A small project to run: an analysis with a neighbour module, and simulated files with a Runs tree."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.manifest import Dataset, Metadata

ANALYSIS = '''
"""An analysis of muon pairs."""

import awkward as ak
from hist.axis import Regular

from colonnade.histograms import Histogram
from colonnade.processor import Objects, Processor, Region
from {package}.neighbour import threshold


class Pairs(Processor):
    """Two muons."""

    histograms = [
        Histogram("leading", Regular(40, 0, 200)),
        Histogram("pt", Regular(30, 0, 90)),
    ]
    regions = {{"pair": Region("two"), "opposite": Region("two", "opposite")}}

    def __init__(self, *, lowest=5.0, **others):
        super().__init__(**others)
        self.lowest = lowest

    def objects(self, events, shift):
        """Muons above threshold."""
        muons = events.Muon
        return Objects(muons=muons[muons.pt > threshold(self.lowest)])

    def observables(self, events, objects):
        pt = objects.muons.pt
        return {{"leading": ak.max(pt, axis=1), "pt": pt}}

    def cuts(self, events, objects, observables):
        # exactly two of them
        two = ak.num(objects.muons) == 2
        return {{"two": two, "opposite": two & (ak.sum(objects.muons.charge, axis=1) == 0)}}
'''

NEIGHBOUR = '''
"""What the analysis shares with others."""


def threshold(lowest):
    """Return the threshold in GeV."""
    return lowest + 1.0
'''


class Project:
    """A project's folder with one analysis, and a way to import it as a fresh process would."""

    def __init__(self, root: Path, package: str) -> None:
        self.root, self.package = root, package
        folder = root / package
        folder.mkdir()
        self.analysis, self.neighbour = folder / "pairs.py", folder / "neighbour.py"
        self.analysis.write_text(ANALYSIS.format(package=package))
        self.neighbour.write_text(NEIGHBOUR)

    def load(self) -> type[Any]:
        self.forget()
        name = f"{self.package}.pairs"
        spec = importlib.util.spec_from_file_location(name, self.analysis)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.Pairs

    def forget(self) -> None:
        importlib.invalidate_caches()
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package]:
            del sys.modules[name]
        for cached in self.root.rglob("*.pyc"):
            cached.unlink()


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.syspath_prepend(tmp_path)
    made = Project(tmp_path, "analyses_of_a_test")
    yield made
    made.forget()


def write_events(path: Path, events: int, seed: int, *, weight: float = 1.0, runs: float | None = None) -> None:
    """Write a small file in NanoAOD's layout; `runs` is what its Runs tree says the generator's weights sum to."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, events)
    total = int(counts.sum())

    def jagged(values: Any) -> ak.Array:
        return ak.unflatten(values, counts)

    muons = {
        "pt": rng.exponential(30, total).astype("f4"),
        "eta": rng.normal(0, 1.2, total).astype("f4"),
        "phi": rng.uniform(-3.1, 3.1, total).astype("f4"),
        "mass": np.full(total, 0.1057, "f4"),
        "charge": rng.choice(np.array([-1, 1], "i4"), total),
    }
    with uproot.recreate(path) as file:
        file.mktree(
            "Events",
            {
                "run": "u4",
                "luminosityBlock": "u4",
                "event": "u8",
                "genWeight": "f4",
                "Muon": ak.type(ak.zip({k: jagged(v) for k, v in muons.items()})).content,
            },
        )
        file["Events"].extend(
            {
                "run": np.ones(events, "u4"),
                "luminosityBlock": np.ones(events, "u4"),
                "event": np.arange(events, dtype="u8"),
                "genWeight": (weight * rng.choice([1.1, 0.7, -0.3], events)).astype("f4"),
                "Muon": ak.zip({k: jagged(v) for k, v in muons.items()}),
            }
        )
        if runs is not None:
            file.mktree("Runs", {"genEventSumw": "f8", "genEventCount": "i8"})
            file["Runs"].extend({"genEventSumw": np.array([runs]), "genEventCount": np.array([events])})


@pytest.fixture
def simulated(tmp_path: Path) -> Callable[..., Dataset]:
    """Make a simulated dataset of several files."""

    def make(name: str = "zll", sizes: tuple[int, ...] = (300, 200), runs: bool = False, **more: Any) -> Dataset:
        files = {}
        for number, size in enumerate(sizes):
            path = tmp_path / f"{name}_{number}.root"
            write_events(path, size, seed=100 * len(name) + number, runs=3.0 * size if runs else None)
            files[path.name] = "Events"
        simulation = more.get("kind") != "data"
        whole = {"sumw": "events"} if simulation and not runs else {}
        metadata = Metadata(**{"process": name, "kind": "background", "xsec_pb": 2.0, **whole, **more})
        return Dataset(name, files, metadata, tmp_path)

    return make


def bits(histograms: Any) -> bytes:
    """Return every bin of every histogram as bytes."""
    return b"".join(
        np.ascontiguousarray(part).tobytes()
        for name in sorted(histograms)
        for process in sorted(histograms[name])
        for part in (
            histograms[name][process].values(flow=True),
            histograms[name][process].variances(flow=True),
        )
    )


@pytest.fixture(name="bits")
def _bits() -> Callable[[Any], bytes]:
    return bits


@pytest.fixture(name="write_events")
def _write_events() -> Callable[..., None]:
    return write_events
