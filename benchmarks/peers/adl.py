"""The eight queries of the analysis description languages benchmark, as coffea processors: NanoEvents and awkward.

Written as coffea's own solutions are: columnar, with combinations, argmin and masks, one fill at the end.
"""

from __future__ import annotations

__all__ = ["QUERIES"]

import awkward as ak
import hist
import numpy as np
from coffea import processor

MET = hist.axis.Regular(100, 0, 200, name="met")
JET_PT = hist.axis.Regular(100, 15, 60, name="jet_pt")


class Query(processor.ProcessorABC):
    """Fills one histogram for each thing that `values` returns."""

    axes = (MET,)

    def process(self, events):
        """Process a chunk."""
        values = self.values(events)
        filled = {}
        for axis in self.axes:
            histogram = hist.Hist(axis, storage=hist.storage.Double())
            filled[axis.name] = histogram.fill(**{axis.name: values[axis.name]})
        return {events.metadata["dataset"]: {"histograms": filled, "events": len(events)}}

    def postprocess(self, accumulator):
        """Leave the result."""
        return accumulator


class Q1(Query):
    """Missing momentum."""

    def values(self, events):
        """Of all events."""
        return {"met": events.MET.pt}


class Q2(Query):
    """Jets."""

    axes = (JET_PT,)

    def values(self, events):
        """All of them."""
        return {"jet_pt": ak.flatten(events.Jet.pt)}


class Q3(Query):
    """Central jets."""

    axes = (JET_PT,)

    def values(self, events):
        """Those with |eta| < 1."""
        return {"jet_pt": ak.flatten(events.Jet[abs(events.Jet.eta) < 1].pt)}


class Q4(Query):
    """Missing momentum beside two jets."""

    def values(self, events):
        """Where two have more than 40 GeV."""
        return {"met": events[ak.sum(events.Jet.pt > 40, axis=1) >= 2].MET.pt}


class Q5(Query):
    """Missing momentum beside a muon pair."""

    def values(self, events):
        """Of opposite charge and 60 to 120 GeV."""
        pairs = ak.combinations(events.Muon, 2, fields=["first", "second"])
        mass = (pairs.first + pairs.second).mass
        good = (mass > 60) & (mass < 120) & (pairs.first.charge == -pairs.second.charge)
        return {"met": events[ak.any(good, axis=1)].MET.pt}


class Q6(Query):
    """The trijet closest to the top quark."""

    axes = (
        hist.axis.Regular(100, 15, 40, name="trijet_pt"),
        hist.axis.Regular(100, 0, 1, name="largest_btag"),
    )

    def values(self, events):
        """Its momentum and largest b-tag."""
        jets = ak.zip({name: events.Jet[name] for name in ("pt", "eta", "phi", "mass", "btag")}, with_name="Momentum4D")
        jets = jets[ak.num(jets) >= 3]
        three = ak.combinations(jets, 3, fields=["a", "b", "c"])
        three["total"] = three.a + three.b + three.c
        best = ak.flatten(three[ak.argmin(abs(three.total.mass - 172.5), axis=1, keepdims=True)])
        return {
            "trijet_pt": best.total.pt,
            "largest_btag": np.maximum(np.maximum(best.a.btag, best.b.btag), best.c.btag),
        }


class Q7(Query):
    """Jets away from leptons."""

    axes = (hist.axis.Regular(100, 0, 200, name="ht"),)

    def values(self, events):
        """Sum their momenta."""
        jets = events.Jet[events.Jet.pt > 30]
        for leptons in (events.Electron[events.Electron.pt > 10], events.Muon[events.Muon.pt > 10]):
            jets = jets[ak.all(jets.metric_table(leptons) >= 0.4, axis=2)]
        return {"ht": ak.sum(jets.pt, axis=1)}


class Q8(Query):
    """A lepton beside a Z boson."""

    axes = (hist.axis.Regular(100, 0, 200, name="mt"),)

    def values(self, events):
        """Its transverse mass with the missing momentum."""
        events = events[ak.num(events.Electron) + ak.num(events.Muon) >= 3]
        leptons = ak.concatenate(
            [
                ak.zip(
                    {
                        **{name: one[name] for name in ("pt", "eta", "phi", "mass", "charge")},
                        "kind": ak.full_like(one.charge, kind),
                    },
                    with_name="Momentum4D",
                )
                for kind, one in enumerate((events.Electron, events.Muon))
            ],
            axis=1,
        )
        leptons = leptons[ak.argsort(leptons.pt, axis=1, ascending=False)]
        pairs = ak.argcombinations(leptons, 2, fields=["i", "j"])
        first, second = leptons[pairs.i], leptons[pairs.j]
        good = (first.kind == second.kind) & (first.charge != second.charge)
        pairs, first, second = pairs[good], first[good], second[good]
        some = ak.num(pairs) > 0
        events, leptons, pairs, first, second = events[some], leptons[some], pairs[some], first[some], second[some]
        best = ak.argmin(abs((first + second).mass - 91.2), axis=1, keepdims=True)
        pair = ak.flatten(pairs[best])
        place = ak.local_index(leptons)
        other = ak.firsts(leptons[(place != pair.i) & (place != pair.j)])
        angle = other.phi - events.MET.phi
        return {"mt": np.sqrt(2 * other.pt * events.MET.pt * (1 - np.cos(angle)))}


QUERIES = {query.__name__: query for query in (Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8)}
