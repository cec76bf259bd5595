"""A small search with data, a background and a signal in a control and a signal region, as a project of its own."""

from __future__ import annotations

__all__ = ["WORKFLOW", "colonnade_does", "make_search", "write_muons"]

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.cli import main

PROCESSOR = """
import awkward as ak
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region


class Search(Processor):
    histograms = (Histogram("pt", Regular(4, 0, 100)),)
    regions = {"CR": Region("soft"), "SR": Region("hard", signal=True)}

    def objects(self, events, shift):
        return Objects(muons=events.Muon)

    def observables(self, events, objects):
        return {"pt": ak.max(objects.muons.pt, axis=1)}

    def cuts(self, events, objects, observables):
        return {"soft": observables["pt"] < 50, "hard": observables["pt"] >= 50}
"""

WORKFLOW: dict[str, Any] = {
    "processor": "processors/search.py",
    "luminosity": 1.0,
    "executor": {"kind": "iterative", "workers": 1},  # so that pictures are drawn in this process
    "plots": {"formats": ["png"], "resolution": 50},
    "model": {
        "channels": {
            "CR": {"histogram": "pt", "edges": [0, 25, 50], "flow": True},
            "SR": {"histogram": "pt", "edges": [50, 75, 100], "flow": True},
        },
        "normalisations": [{"name": "norm", "processes": ["background"], "control": ["CR"]}],
    },
}


def colonnade_does(*words: object) -> int:
    """Return what a command exits with."""
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)


def make_search(folder: Path) -> None:
    """Write the project: `processors/search.py`, `workflows/search.yaml` and three datasets."""
    for name in ("processors", "workflows"):
        (folder / name).mkdir()
    (folder / "processors" / "search.py").write_text(PROCESSOR)
    (folder / "workflows" / "search.yaml").write_text(json.dumps(WORKFLOW))  # JSON is YAML
    rng = np.random.default_rng(0)
    entries = {}
    for name, (events, hard) in {"data": (1100, 0.2), "background": (4000, 0.2), "signal": (500, 0.9)}.items():
        write_muons(folder / f"{name}.root", rng, events, data=name == "data", hard=hard)
        metadata: dict[str, Any] = {"process": name, "kind": name}
        if name != "data":
            metadata |= {"xsec_pb": 1.0 if name == "background" else 0.05, "sumw": "events"}
        entries[name] = {"files": {f"{name}.root": "Events"}, "metadata": metadata}
    (folder / "datasets.json").write_text(json.dumps(entries))


def write_muons(path: Path, rng: np.random.Generator, events: int, *, data: bool, hard: float) -> None:
    """Write events of one muon, of which a fraction is above 50 GeV."""
    pt = np.where(rng.uniform(size=events) < hard, rng.uniform(50, 100, events), rng.uniform(0, 50, events))
    flat = {"pt": pt, "eta": np.zeros(events), "phi": np.zeros(events), "mass": np.full(events, 0.1)}
    flat["charge"] = np.ones(events, np.int32)
    muons = ak.zip({name: ak.unflatten(values, np.ones(events, np.int64)) for name, values in flat.items()})
    columns = {"run": np.ones(events, np.uint32), "event": np.arange(events, dtype=np.uint64)}
    columns |= {"luminosityBlock": np.ones(events, np.uint32)} | ({} if data else {"genWeight": np.ones(events)})
    types = {"Muon": ak.type(muons).content} | {name: values.dtype for name, values in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree("Events", types)
        file["Events"].extend({"Muon": muons} | columns)
