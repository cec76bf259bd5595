"""Coffea processors as users write them: together they return every kind of accumulator."""

from __future__ import annotations

from collections import Counter, UserDict
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor
from coffea.analysis_tools import PackedSelection, Weights
from coffea.processor import column_accumulator, defaultdict_accumulator


class Spread:
    """A user's own accumulator: count, sum and sum of squares."""

    def __init__(self, values: Any) -> None:
        values = np.asarray(values, dtype=np.float64)
        self.sums = np.array([len(values), values.sum(), (values**2).sum()])

    def __add__(self, other: Spread) -> Spread:
        made = Spread([])
        made.sums = self.sums + other.sums
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spread) and np.allclose(self.sums, other.sums)

    __hash__ = None  # type: ignore[assignment]


class OldStyle(processor.ProcessorABC):
    """The accumulators of coffea itself, nested."""

    def process(self, events: Any) -> Any:
        dataset = events.metadata["dataset"]
        muons = events.Muon
        out = processor.dict_accumulator(
            {
                "cutflow": defaultdict_accumulator(int),
                "sumw": defaultdict_accumulator(float),
                "nested": defaultdict_accumulator(partial(defaultdict_accumulator, int)),
                "nameless": defaultdict_accumulator(lambda: defaultdict_accumulator(lambda: 0)),
                "pt": column_accumulator(ak.to_numpy(ak.flatten(muons.pt))),
                "first": processor.value_accumulator(float, float(ak.sum(ak.values_astype(muons.pt, np.float64)))),
                "runs": processor.set_accumulator(set(ak.to_numpy(events.run).tolist())),
            }
        )
        out["cutflow"]["all"] += len(events)
        out["cutflow"][f"{dataset} muons"] += int(ak.sum(ak.num(muons)))
        out["sumw"][dataset] += float(len(events))
        out["nameless"][dataset]["all"] += len(events)
        out["nested"][dataset]["two"] += int(ak.sum(ak.num(muons) == 2))
        return out

    def postprocess(self, accumulator: Any) -> Any:
        accumulator["cutflow"]["finished"] = 1
        return accumulator


class PlainPython(processor.ProcessorABC):
    """Dictionaries, lists, sets, tuples, numbers, NumPy and objects of the user's own, keyed by anything."""

    def process(self, events: Any) -> Any:
        counts = ak.num(events.Muon)
        return {
            events.metadata["dataset"]: {
                "events": len(events),
                "fraction": np.float32(ak.sum(counts) / 8),
                "complex": complex(len(events), 1.0),
                "array": np.bincount(ak.to_numpy(counts), minlength=12)[:12],
                "list": [events.metadata["entrystart"], {"of": events.metadata["filename"].split("/")[-1]}],
                "tuple": (len(events), "events"),
                "set": {int(value) for value in ak.to_numpy(counts)},
                "spread": Spread(ak.flatten(events.Muon.pt)),
                "counter": Counter(counts.to_list()),
                "users": UserDict({"muons": int(ak.sum(counts))}),
                4: {("a", 1): True, None: 2.5},
            }
        }


class Histograms(processor.ProcessorABC):
    """Histograms of all storages, with growing axes."""

    def process(self, events: Any) -> Any:
        dataset, muons = events.metadata["dataset"], events.Muon
        pt, eta = ak.flatten(muons.pt), ak.flatten(muons.eta)
        growing = hist.axis.StrCategory([], growth=True, name="dataset")
        axis = hist.axis.Regular(20, 0, 100, name="pt", label="$p_T$ [GeV]")
        storages = {
            "double": hist.storage.Double(),
            "int": hist.storage.Int64(),
            "weight": hist.storage.Weight(),
            "mean": hist.storage.Mean(),
            "weighted_mean": hist.storage.WeightedMean(),
        }
        out = {}
        for name, storage in storages.items():
            filled = hist.Hist(growing, axis, storage=storage, label=name)
            more: dict[str, Any] = {"sample": eta} if "mean" in name else {}
            if "weight" in name:
                more["weight"] = np.where(eta > 0, 1.5, 0.25 if "mean" in name else -0.25)
            filled.fill(dataset=dataset, pt=pt, **more)
            out[name] = filled
        multiplicity = hist.Hist(
            hist.axis.IntCategory([], growth=True, name="n"), hist.axis.Boolean(name="opposite"), storage="weight"
        )
        multiplicity.fill(n=ak.num(muons), opposite=ak.sum(muons.charge, axis=1) == 0)
        nested = hist.Hist(hist.axis.Regular(8, 1, 200, name="pt", transform=hist.axis.transform.log)).fill(pt=pt)
        return {**out, "multiplicity": multiplicity, "deeper": {dataset: {"log": nested}}}


class Selections(processor.ProcessorABC):
    """PackedSelection, Weights with variations, changes in place, and columns of what is selected."""

    def __init__(self, *, threshold: float = 3.0) -> None:
        self.threshold = threshold

    def process(self, events: Any) -> Any:
        dataset = events.metadata["dataset"]
        events["Muon", "scaled"] = events.Muon.pt * 1.01
        muons = events.Muon
        muons["pt"] = muons.scaled
        muons = muons[muons.pt > self.threshold]
        weights = Weights(len(events), storeIndividual=True)
        if "genWeight" in events.fields:
            weights.add("generator", events.genWeight)
            weights.add("pileup", np.full(len(events), 1.1), np.full(len(events), 1.2), np.full(len(events), 1.0))
        selection = PackedSelection()
        selection.add_multiple({"two": ak.num(muons) == 2, "opposite": ak.sum(muons.charge, axis=1) == 0})
        keep = selection.all("two", "opposite")
        pairs = muons[keep]
        mass = (pairs[:, 0] + pairs[:, 1]).mass
        filled = hist.Hist(
            hist.axis.StrCategory([], growth=True, name="syst"),
            hist.axis.StrCategory(["os", "ss"], name="selection"),
            hist.axis.Regular(30, 0, 150, name="mass"),
            storage="weight",
        )
        for name in ("nominal", *sorted(weights.variations)):
            weight = weights.weight(None if name == "nominal" else name)[keep]
            filled.fill(syst=name, selection="os", mass=mass, weight=weight)
        flow = selection.cutflow("two", "opposite").result()
        return {
            dataset: {
                "mass": filled,
                "cutflow": dict(zip(flow.labels, map(int, flow.nevcutflow), strict=True)),
                "columns": {"mass": column_accumulator(ak.to_numpy(mass)), "muons": column_accumulator(pairs.pt)},
            }
        }


class Truth(processor.ProcessorABC):
    """Cross references and the generator's history, where there is one."""

    def __init__(self) -> None:
        self.edges = np.linspace(0, 1, 3)

    def process(self, events: Any) -> Any:
        out: dict[str, Any] = {"edges": self.edges, "n": {"jets": int(ak.sum(ak.num(events.Jet)))}}
        out["random"] = float(np.random.normal())  # noqa: NPY002 - as processors do
        near = events.Jet.nearest(events.Muon)
        out["near"] = {"muons": int(ak.sum(~ak.is_none(near, axis=1)))}
        if "GenPart" in events.fields:
            matched = ak.flatten(events.Muon.matched_gen, axis=1)
            out["pdg"] = {str(key): 1 for key in set(ak.to_list(ak.drop_none(matched.pdgId)))}
            tops = events.GenPart[(abs(events.GenPart.pdgId) == 6) & events.GenPart.hasFlags("isLastCopy")]
            out["n"] |= {"tops": int(ak.sum(ak.num(tops))), "children": int(ak.sum(ak.num(tops.children, axis=2)))}
            parents = ak.fill_none(events.Muon.matched_gen.distinctParent.pdgId, 0)
            out["parents"] = column_accumulator(ak.to_numpy(ak.flatten(parents)))
        return out

    def postprocess(self, accumulator: Any) -> Any:
        accumulator["n"]["together"] = sum(accumulator["n"].values())


ALL = (OldStyle, PlainPython, Histograms, Selections, Truth)


class Together(processor.ProcessorABC):
    """All of them; the one that changes its events comes last."""

    def __init__(self) -> None:
        self.all = [OldStyle(), PlainPython(), Histograms(), Truth(), Selections()]

    def process(self, events: Any) -> Any:
        return {type(each).__name__: each.process(events) for each in self.all}


class Reading(processor.ProcessorABC):
    """Read a file of a name that is made at run time."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = folder, name

    def process(self, events: Any) -> Any:
        return {"factor": int((Path(self.folder) / self.name).read_text()), "events": len(events)}
