"""A large file in NanoAOD layout, drawn from simple distributions: the input of the speed benchmarks.

The mixture resembles what a dilepton search reads after its trigger: mostly Drell-Yan, some top pairs and W + jets. As
in NanoAOD, most electrons and muons of an event are soft candidates that a selection refuses.
"""

from __future__ import annotations

__all__ = ["draw_columns", "make_file"]

import os
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

BLOCK = 100_000  # events drawn, and written as one cluster


def draw_columns(events: int, seed: int) -> dict[str, object]:
    """Draw events; collections are awkward records, the rest is flat."""
    rng = np.random.default_rng(seed)
    # 0: one hard lepton or none, 1: Z to leptons, 2: top pairs with two leptons
    process = rng.choice(3, events, p=[0.62, 0.33, 0.05])
    muons = rng.random(events) < 0.5  # flavour of the pair, or of the single lepton
    hidden = np.where(process == 2, rng.exponential(70, events), np.where(process == 0, rng.exponential(35, events), 0))
    met = np.hypot(hidden + rng.normal(0, 18, events), rng.normal(0, 18, events))
    jets = _collection(rng, rng.poisson(np.where(process == 2, 4.5, 2.2)), hardness=45.0, floor=15.0)
    bottom = np.repeat(process == 2, ak.num(jets).to_numpy()) & (rng.random(ak.count(jets.pt)) < 0.4)
    flavour = np.where(bottom, 5, 0).astype(np.int32)
    tag = np.where(bottom, rng.beta(5, 2, len(bottom)), rng.beta(1, 12, len(bottom))).astype(np.float32)
    jets = _with(jets, btag=tag, hadronFlavour=flavour)
    columns: dict[str, object] = {
        "run": np.ones(events, np.uint32),
        "luminosityBlock": (np.arange(events) // 1000 + 1).astype(np.uint32),
        "event": np.arange(1, events + 1, dtype=np.uint64) + np.uint64(seed * BLOCK),
        "genWeight": np.where(rng.random(events) < 0.05, -1.0, 1.0).astype(np.float32),
        "MET_pt": met.astype(np.float32),
        "MET_phi": rng.uniform(-np.pi, np.pi, events).astype(np.float32),
        "MET_significance": (met / 12).astype(np.float32),
        "Jet": jets,
    }
    for name, flavoured, mass in (("Electron", ~muons, 0.000511), ("Muon", muons, 0.10566)):
        hard = np.where(
            process == 1,
            2,
            np.where(process == 2, rng.binomial(2, 0.5, events), rng.binomial(1, 0.7, events)),
        )
        hard = np.where((process == 2) | flavoured, hard, 0)
        columns[name] = _leptons(rng, hard, rng.poisson(0.6, events), mass)
    return columns


def make_file(path: Path, events: int, seed: int = 1) -> None:
    """Write a file of so many events (a multiple of the block), unless it is there."""
    if path.exists():
        return
    temporary = path.with_suffix(f".{os.getpid()}.root")
    with uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file:
        total = 0.0
        for block in range(events // BLOCK):
            columns = draw_columns(BLOCK, seed * 1000 + block)
            if "Events" not in file:
                kinds = {name: _kind(values) for name, values in columns.items()}
                file.mktree("Events", kinds)
            file["Events"].extend(columns)
            total += float(np.sum(columns["genWeight"]))
        file["Runs"] = {"run": np.ones(1, np.uint32), "genEventSumw": np.array([total])}
    temporary.rename(path)


def _collection(rng, counts, hardness, floor, mass=None):
    number = int(counts.sum())
    pt = (floor + rng.exponential(hardness, number)).astype(np.float32)
    event = np.repeat(np.arange(len(counts)), counts)
    pt = pt[np.lexsort((-pt, event))]  # hardest first in each event
    columns = {
        "pt": pt,
        "eta": np.clip(rng.normal(0, 1.4, number), -4.7, 4.7).astype(np.float32),
        "phi": rng.uniform(-np.pi, np.pi, number).astype(np.float32),
        "mass": (pt * 0.15 if mass is None else np.full(number, mass)).astype(np.float32),
    }
    return ak.zip({name: ak.unflatten(values, counts) for name, values in columns.items()})


def _leptons(rng, hard, soft, mass):
    counts = hard + soft
    leptons = _collection(rng, counts, 32.0, 12.0, mass)
    number = int(counts.sum())
    rank = ak.flatten(ak.local_index(leptons.pt)).to_numpy()
    prompt = rank < np.repeat(hard, counts)
    pt = ak.flatten(leptons.pt).to_numpy()
    pt = np.where(prompt, pt + 15, 3 + pt * 0.25).astype(np.float32)
    error = np.full(number, 0.002, np.float32)
    # a pair is of opposite charge, or nearly always
    charge = np.where(prompt & (rank == 1), -1, rng.choice([-1, 1], number)).astype(np.int32)
    charge = np.where(prompt & (rank == 0) & (np.repeat(hard, counts) == 2), 1, charge).astype(np.int32)
    return _with(
        leptons,
        pt=pt,
        charge=charge,
        dxy=(rng.normal(0, 1, number) * np.where(prompt, 0.002, 0.02)).astype(np.float32),
        dxyErr=error,
        dz=(rng.normal(0, 1, number) * np.where(prompt, 0.005, 0.05)).astype(np.float32),
        pfRelIso03_all=rng.exponential(np.where(prompt, 0.03, 0.6)).astype(np.float32),
    )


def _with(collection, **columns):
    counts = ak.num(collection)
    names = {name: collection[name] for name in collection.fields}
    return ak.zip({**names, **{name: ak.unflatten(values, counts) for name, values in columns.items()}})


def _kind(values: object) -> object:
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content
