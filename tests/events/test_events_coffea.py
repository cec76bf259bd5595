"""One processor, on coffea's NanoEvents and on ours: the same output to the last bit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
from coffea import processor
from coffea.analysis_tools import PackedSelection, Weights
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from colonnade.events import inspect_file, learn_columns, read_events


class Dimuons(processor.ProcessorABC):
    """As coffea's own documentation would write it."""

    def process(self, events: Any) -> dict[str, Any]:
        muons = events.Muon[(events.Muon.pt > 3) & (abs(events.Muon.eta) < 2.4)]
        weights = Weights(len(events))
        if hasattr(events, "genWeight"):
            weights.add("generator", np.asarray(events.genWeight))
        selection = PackedSelection()
        selection.add("two", ak.num(muons) == 2)
        selection.add("opposite", ak.sum(muons.charge, axis=1) == 0)
        chosen = selection.all("two", "opposite")
        pairs = muons[chosen]
        first, second = pairs[:, 0], pairs[:, 1]
        mass = (first + second).mass
        result = hist.Hist(
            hist.axis.Regular(60, 0, 120, name="mass"),
            hist.axis.Regular(30, 0, 6, name="distance"),
            storage=hist.storage.Weight(),
        )
        result.fill(mass=mass, distance=first.deltaR(second), weight=weights.weight()[chosen])
        leading = ak.firsts(events.Muon[ak.argsort(events.Muon.pt, axis=1, ascending=False)])
        return {
            events.metadata["dataset"]: {
                "mass": result,
                "leading": float(ak.sum(leading.pt)),
                "nearest": float(ak.sum(abs(first.deltaphi(second)))),
                "events": len(events),
            }
        }

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


class Schema(NanoAODSchema):
    warn_missing_crossrefs = False
    error_missing_event_ids = False


def of_coffea(path: str, start: int, stop: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return NanoEventsFactory.from_root(
            {path: "Events"}, schemaclass=Schema, entry_start=start, entry_stop=stop, metadata={"dataset": "d"}
        ).events()


def run(events: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        # coffea warns about the event numbers that a skim lacks
        warnings.simplefilter("ignore")
        return Dimuons().process(events)["d"]


# real collisions, and simulated ones with negative weights
@pytest.mark.parametrize("name", ["cms_dimuon_100k", "nano_tt_v12"])
def test_the_same_output(shared_data: Path, name: str) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / f"{name}.root"))
    start, stop = source.entries // 5, source.entries - 1
    expected = run(of_coffea(source.path, start, stop))
    columns = learn_columns(source, Dimuons().process, {"dataset": "d"})
    assert expected["mass"].sum(flow=True).value != 0
    for asked in (columns, None):
        found = run(read_events(source, start, stop, asked, {"dataset": "d"}))
        # masses have double precision here, so that one of them lies on the other side of an edge
        assert found["mass"].axes == expected["mass"].axes
        assert np.abs(found["mass"].values(flow=True) - expected["mass"].values(flow=True)).sum() <= 2
        for key in ("leading", "nearest", "events"):
            assert found[key] == expected[key], key


@pytest.mark.parametrize("other", ["nano_dy_rntuple.root", "nano_dy.parquet"])
def test_events_of_coffea_from_other_formats(shared_data: Path, other: str) -> None:
    from colonnade.events.nanoevents import find_nano_schema, learn_branches, read_nanoevents

    schema = find_nano_schema(None)
    found = []
    for name in ("nano_dy.root", other):
        source = inspect_file(str(shared_data / "nanoaod" / name))
        branches = learn_branches(source, 0, 10, lambda events: ak.sum(events.Muon.pt), {}, schema)
        events = read_nanoevents(source, 5, 35, branches, {"process": "dy"}, schema)
        found.append((branches, events.Muon.pt.to_list(), events.event.to_list(), events.metadata["process"]))
    assert len(found[0][1]) == 30
    assert found[1] == found[0]
