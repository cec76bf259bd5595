"""A small project (manifest, analysis, workflow, model) with made events, and a made sample."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from colonnade.inference import Inputs
from colonnade.training import Collection, Feature, Model, Optimisation, Parameter, SetNetwork
from colonnade.training.sample import Sample

PROCESSOR = """
from hist.axis import Regular
from colonnade import Histogram, Objects, Processor, Region

class Mini(Processor):
    histograms = (
        Histogram("met", Regular(20, 0, 400), unit="GeV"),
        Histogram("jet_pt", Regular(20, 0, 400), unit="GeV"),
        Histogram("score", Regular(20, 0, 1)),
    )
    shifts = ("jet_energy_scale",)
    regions = {"low": Region("MET < 60"), "high": Region("MET > 60", signal=True)}

    def objects(self, events, shift):
        factor = 1 + 0.05 * shift["jet_energy_scale"]
        return Objects(jet_pt=events.Jet.pt * factor, jet_eta=events.Jet.eta, met=events.MET.pt)

    def preselection(self, objects):
        return {"MET": objects.met > 20}

    def observables(self, events, objects):
        return {
            "met": objects.met,
            "leading_pt": events.Muon.pt[:, 0],
            "jet_pt": objects.jet_pt,
            "jet_eta": objects.jet_eta,
        }

    def cuts(self, events, objects, observables):
        return {"MET < 60": observables["met"] < 60, "MET > 60": observables["met"] > 60}
"""

MODEL = """
from colonnade.training import Collection, Feature, Model, Optimisation, Parameter, SetNetwork, Trees

jets = (Feature("jet_pt", "GeV"), Feature("jet_eta"))
model = Model(
    event=(Feature("met", "GeV"), Feature("leading_pt", "GeV")),
    collections=(Collection("jets", jets),),
    network=SetNetwork(objects=(8,), hidden=(8,)),
    optimisation=Optimisation(batch=256, epochs=4, learning_rate=1e-2),
)
variants = {
    "trees": model.with_(network=Trees(count=20, depth=3), collections=(Collection("jets", jets,
    leading=2),)), "told": model.with_(parameters=(Parameter("m_Zprime", "GeV"),)),
}
"""

WORKFLOW = """
processor: processors/mini.py
luminosity: 10.0
chunk_size: 300
executor: {kind: iterative}
"""

# name: process, kind, events, cross-section [pb], mean MET, mean number of jets, mass
DATASETS = {
    "top": ("top", "background", 900, 2.0, 50.0, 2.5, None),
    "zll_a": ("zll", "background", 700, 5.0, 30.0, 0.8, None),
    "zll_b": ("zll", "background", 400, 1.0, 35.0, 1.2, None),
    "S_100": ("S_100", "signal", 600, 0.02, 90.0, 1.0, 100.0),
    "S_300": ("S_300", "signal", 500, 0.001, 140.0, 1.5, 300.0),
}


def write_events(path: Path, count: int, mean_met: float, mean_jets: float, seed: int) -> None:
    """Write events of exponential momenta; one in ten has a negative weight."""
    rng = np.random.default_rng(seed)
    jets, muons = rng.poisson(mean_jets, count), 1 + rng.poisson(0.5, count)

    def objects(kind, counts, scale):
        total = counts.sum()
        columns = {"pt": rng.exponential(scale, total), "eta": rng.normal(0, 1.5, total)}
        columns |= {"phi": rng.uniform(-3, 3, total), "mass": np.full(total, 0.1)}
        return {f"{kind}_{name}": ak.unflatten(values.astype("f4"), counts) for name, values in columns.items()}

    weights = np.where(rng.random(count) < 0.1, -1.5, 1.5).astype("f4")
    with uproot.recreate(path) as file:
        columns = {
            "run": np.ones(count, dtype="u4"),
            "luminosityBlock": (np.arange(count) // 100).astype("u4"),
            "event": np.arange(count).astype("u8"),
            "genWeight": weights,
            **objects("Jet", jets, 60),
            **objects("Muon", muons, 40),
            "MET_pt": rng.exponential(mean_met, count).astype("f4"),
            "MET_phi": rng.uniform(-3, 3, count).astype("f4"),
        }
        kinds = {name: getattr(values, "dtype", None) or ak.type(values).content for name, values in columns.items()}
        file.mktree("Events", kinds).extend(columns)
        file.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.array([weights.sum(dtype="f8")])})


def write_project(root: Path) -> Path:
    """Write manifest, events, analysis, workflow and model of the small project into a folder, and return that."""
    manifest = {}
    for seed, (name, (process, kind, count, xsec, met, jets, mass)) in enumerate(DATASETS.items()):
        write_events(root / f"{name}.root", count, met, jets, seed)
        metadata = {"process": process, "kind": kind, "xsec_pb": xsec}
        if mass is not None:
            metadata["signal"] = {"m_Zprime": mass}
        manifest[name] = {"files": {f"{name}.root": "Events"}, "metadata": metadata}
    (root / "datasets.json").write_text(json.dumps(manifest))
    for folder, suffix, text in (
        ("processors", "py", PROCESSOR),
        ("models", "py", MODEL),
        ("workflows", "yaml", WORKFLOW),
    ):
        (root / folder).mkdir()
        (root / folder / f"mini.{suffix}").write_text(text)
    return root


JETS = Collection("jets", (Feature("jet_pt", "GeV"), Feature("jet_eta")))
TOY = Model(
    event=(Feature("met", "GeV"), Feature("x")),
    collections=(JETS,),
    parameters=(Parameter("m", "GeV"),),
    network=SetNetwork((8, 8), hidden=(8,)),
    optimisation=Optimisation(batch=256, epochs=4, learning_rate=1e-2),
)


def make_sample(model: Model, count: int = 2000, seed: int = 0) -> Sample:
    """Make a sample with two signal points, masses 100 and 200, jets and some negative weights."""
    rng = np.random.default_rng(seed)
    card = model.card("toy", {"m": (100.0, 200.0)})
    process = rng.choice([0, 1, 2], count, p=[0.6, 0.2, 0.2])
    target = process > 0
    counts = rng.poisson(1.5, count)
    columns = [rng.normal(100 + 40 * target, 30), rng.normal(0, 1, count)]
    columns += [np.choose(process, [np.nan, 100.0, 200.0])] if model.parameters else []
    pt = rng.exponential(50, counts.sum()) + 30 * np.repeat(target, counts)
    jets = np.stack([pt, rng.normal(0, 2, counts.sum())], axis=1).astype(np.float32)
    names = [collection.name for collection in card.jagged()]
    sign = np.where(rng.random(count) < 0.1, -1, 1)
    return Sample(
        card=card,
        inputs=Inputs(
            np.stack(columns, axis=1).astype(np.float32),
            dict.fromkeys(names, jets),
            dict.fromkeys(names, counts),
        ),
        weight=sign * np.choose(process, [5.0, 0.02, 0.01]),
        target=target,
        process=process,
        processes=("background", "S_100", "S_200"),
        regions=np.ones(count, dtype=np.uint64),
        region_names=("all",),
        identity={
            "run": np.ones(count, dtype=np.int64),
            "luminosityBlock": np.ones(count, dtype=np.int64),
            "event": np.arange(count),
        },
        learned=np.ones(count, dtype=bool),
        judged=np.ones(count, dtype=bool),
        luminosity=10.0,
        digest="made",
    )
