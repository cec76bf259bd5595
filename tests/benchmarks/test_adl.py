"""The ADL queries on real events: against coffea's way, and against plain loops over the events."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from colonnade.events import inspect_file, learn_columns, read_events

NAMES = [f"Q{number}" for number in range(1, 9)]
METADATA = {"dataset": "made", "kind": "data"}


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def real(shared_data: Path) -> str:
    return str(shared_data / "nanoaod" / "cms_singlemu_2012b_1000.root")


@pytest.fixture(scope="module")
def ours(project: Path, real: str) -> dict[str, Any]:
    queries = load(project / "benchmarks" / "adl.py", "adl_of_colonnade").QUERIES
    source = inspect_file(real)
    found = {}
    for name in NAMES:
        processor = queries[name]()
        columns = learn_columns(source, processor.process, METADATA)
        result = processor.process(read_events(source, 0, source.entries, columns, METADATA))["made"]
        found[name] = {key: one[{"region": "all", "variation": "nominal"}] for key, one in result["histograms"].items()}
    return found


@pytest.fixture(scope="module")
def theirs(project: Path, real: str) -> dict[str, Any]:
    queries = load(project / "benchmarks" / "peers" / "adl.py", "adl_of_coffea").QUERIES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fields that the file does not have
        events = NanoEventsFactory.from_root(
            {real: "Events"}, schemaclass=NanoAODSchema, metadata={"dataset": "made"}
        ).events()
        return {name: queries[name]().process(events)["made"]["histograms"] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_as_coffea(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours[name].keys() == theirs[name].keys()
    for key, histogram in ours[name].items():
        mine, other = histogram.values(flow=True), theirs[name][key].values(flow=True)
        assert mine.sum() == other.sum() > 0
        # coffea computes in 32 bits, so an entry may fall to the other side of an edge
        assert np.abs(np.cumsum(mine - other)).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_as_a_loop_over_events(name: str, real: str, ours: dict[str, Any]) -> None:
    values: dict[str, list[float]] = {key: [] for key in ours[name]}
    for event in events_of(real):
        for key, found in LOOPS[name](event).items():
            values[key] += found
    for key, histogram in ours[name].items():
        edges = np.concatenate([[-np.inf], histogram.axes[0].edges, [np.inf]])
        expected = np.histogram(np.minimum(values[key], 1e30), edges)[0]
        mine = histogram.values(flow=True)
        assert mine.sum() == len(values[key])
        assert np.abs(np.cumsum(mine - expected)).max() <= 1


def events_of(path: str) -> Iterator[dict[str, Any]]:
    names = ["MET_pt", "MET_phi"]
    for kind, extra in (("Jet", ["btag"]), ("Electron", ["charge"]), ("Muon", ["charge"])):
        names += [f"{kind}_{field}" for field in ["pt", "eta", "phi", "mass", *extra]]
    yield from uproot.open(path)["Events"].arrays(names).to_list()


def objects(event: dict[str, Any], kind: str, extra: str) -> list[dict[str, float]]:
    fields = ["pt", "eta", "phi", "mass", extra]
    rows = zip(*(event[f"{kind}_{field}"] for field in fields), strict=True)
    return [{**dict(zip(fields, row, strict=True)), "kind": float(kind == "Muon")} for row in rows]


def total(*some: dict[str, float]) -> tuple[float, float]:
    """Momentum and mass of a sum."""
    px = sum(one["pt"] * math.cos(one["phi"]) for one in some)
    py = sum(one["pt"] * math.sin(one["phi"]) for one in some)
    pz = sum(one["pt"] * math.sinh(one["eta"]) for one in some)
    energy = sum(math.sqrt((one["pt"] * math.cosh(one["eta"])) ** 2 + one["mass"] ** 2) for one in some)
    return math.hypot(px, py), math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0))


def apart(one: dict[str, float], other: dict[str, float]) -> float:
    turn = (one["phi"] - other["phi"] + math.pi) % (2 * math.pi) - math.pi
    return math.hypot(one["eta"] - other["eta"], turn)


def q5(event: dict[str, Any]) -> dict[str, list[float]]:
    pairs = itertools.combinations(objects(event, "Muon", "charge"), 2)
    good = any(60 < total(a, b)[1] < 120 and a["charge"] != b["charge"] for a, b in pairs)
    return {"met": [event["MET_pt"]] if good else []}


def q6(event: dict[str, Any]) -> dict[str, list[float]]:
    three = list(itertools.combinations(objects(event, "Jet", "btag"), 3))
    if not three:
        return {}
    best = min(three, key=lambda jets: abs(total(*jets)[1] - 172.5))
    return {"trijet_pt": [total(*best)[0]], "largest_btag": [max(jet["btag"] for jet in best)]}


def leptons_of(event: dict[str, Any]) -> list[dict[str, float]]:
    return objects(event, "Electron", "charge") + objects(event, "Muon", "charge")


def q7(event: dict[str, Any]) -> dict[str, list[float]]:
    leptons = [lepton for lepton in leptons_of(event) if lepton["pt"] > 10]
    jets = [jet for jet in objects(event, "Jet", "btag") if jet["pt"] > 30]
    return {"ht": [sum(jet["pt"] for jet in jets if all(apart(jet, one) >= 0.4 for one in leptons))]}


def q8(event: dict[str, Any]) -> dict[str, list[float]]:
    leptons = leptons_of(event)
    pairs = [
        (a, b) for a, b in itertools.combinations(leptons, 2) if a["kind"] == b["kind"] and a["charge"] != b["charge"]
    ]
    if len(leptons) < 3 or not pairs:
        return {}
    best = min(pairs, key=lambda pair: abs(total(*pair)[1] - 91.2))
    other = max((one for one in leptons if all(one is not each for each in best)), key=lambda one: one["pt"])
    cosine = math.cos(other["phi"] - event["MET_phi"])
    return {"mt": [math.sqrt(2 * other["pt"] * event["MET_pt"] * (1 - cosine))]}


LOOPS = {
    "Q1": lambda event: {"met": [event["MET_pt"]]},
    "Q2": lambda event: {"jet_pt": event["Jet_pt"]},
    "Q3": lambda event: {"jet_pt": [jet["pt"] for jet in objects(event, "Jet", "btag") if abs(jet["eta"]) < 1]},
    "Q4": lambda event: {"met": [event["MET_pt"]] if sum(pt > 40 for pt in event["Jet_pt"]) >= 2 else []},
    "Q5": q5,
    "Q6": q6,
    "Q7": q7,
    "Q8": q8,
}
