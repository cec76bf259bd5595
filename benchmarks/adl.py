"""The eight queries of the IRIS-HEP analysis description languages benchmark, as colonnade processors.

What each asks is the first line of its class; https://github.com/iris-hep/adl-benchmarks-index has the words. Events
are not weighted, so `kind` should be "data".
"""

# an analysis fills in a base class's hooks: their arguments are given, their docstrings say what comes out
# ruff: noqa: D401, RUF012
from __future__ import annotations

__all__ = ["QUERIES"]

import awkward as ak
import numpy as np
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.kinematics import (
    assign,
    combinations,
    count,
    event_sum,
    ht,
    invariant_mass,
    leading,
    merge,
    near,
    select,
    smallest,
    transverse_mass,
    vector_sum,
)

MET = Histogram("met", Regular(100, 0, 200), label=r"$E_T^{miss}$", unit="GeV")
JET_PT = Histogram("jet_pt", Regular(100, 15, 60), label=r"jet $p_T$", unit="GeV")
TOP_MASS, Z_MASS = 172.5, 91.2


class Query(Processor):
    """What the queries share: one region of all events."""

    regions = {"all": Region()}

    def objects(self, events, shift):
        """Nothing but what is read."""
        return Objects()

    def cuts(self, events, objects, observables):
        """No cuts but the preselection."""
        return {}


class Q1(Query):
    """Missing transverse momentum of all events."""

    histograms = (MET,)

    def observables(self, events, objects):
        """Missing momentum."""
        return {"met": events.MET.pt}


class Q2(Query):
    """Transverse momentum of all jets."""

    histograms = (JET_PT,)

    def observables(self, events, objects):
        """One entry a jet."""
        return {"jet_pt": events.Jet.pt}


class Q3(Query):
    """Transverse momentum of jets with |eta| < 1."""

    histograms = (JET_PT,)

    def observables(self, events, objects):
        """One entry a jet."""
        return {"jet_pt": select(events.Jet, lambda jet: abs(jet.eta) < 1).pt}


class Q4(Query):
    """Missing momentum of events with at least two jets of more than 40 GeV."""

    histograms = (MET,)

    def skim(self, events):
        """Two hard jets."""
        return {"two jets": count(events.Jet, lambda jet: jet.pt > 40) >= 2}

    def observables(self, events, objects):
        """Missing momentum."""
        return {"met": events.MET.pt}


class Q5(Query):
    """Missing momentum of events with a pair of muons of opposite charge and a mass of 60 to 120 GeV."""

    histograms = (MET,)

    def common(self, events):
        """All pairs of muons."""
        first, second = combinations(events.Muon)
        mass = invariant_mass(first, second)
        return Objects(pairs=(first.charge != second.charge) & (mass > 60) & (mass < 120))

    def skim(self, events):
        """One pair."""
        return {"muon pair": lambda objects: event_sum(objects.pairs) > 0}

    def observables(self, events, objects):
        """Missing momentum."""
        return {"met": events.MET.pt}


class Q6(Query):
    """Momentum, and largest b-tag, of the three jets whose mass is closest to that of the top quark."""

    histograms = (
        Histogram("trijet_pt", Regular(100, 15, 40), label=r"trijet $p_T$", unit="GeV"),
        Histogram("largest_btag", Regular(100, 0, 1), label="largest b-tag"),
    )

    def skim(self, events):
        """Three jets."""
        return {"three jets": count(events.Jet) >= 3}

    def observables(self, events, objects):
        """What the best three jets are."""
        three = combinations(events.Jet, 3)
        best = smallest(abs(invariant_mass(*three) - TOP_MASS), *three)
        return {
            "trijet_pt": vector_sum(*best).pt,
            "largest_btag": np.maximum.reduce([jet.btag for jet in best]),
        }


class Q7(Query):
    """Sum of the momenta of jets of more than 30 GeV that are not within 0.4 of a lepton of more than 10 GeV."""

    histograms = (Histogram("ht", Regular(100, 0, 200), label=r"$\\sum p_T$", unit="GeV"),)

    def observables(self, events, objects):
        """The sum."""
        jets = select(events.Jet, lambda jet: jet.pt > 30)
        for leptons in (events.Electron, events.Muon):
            jets = select(jets, ~near(jets, select(leptons, lambda lepton: lepton.pt > 10), 0.4))
        return {"ht": ht(jets)}


class Q8(Query):
    """Transverse mass of missing momentum and the hardest lepton beside the pair that is closest to a Z boson."""

    histograms = (Histogram("mt", Regular(100, 0, 200), label=r"$m_T$", unit="GeV"),)

    def common(self, events):
        """Leptons, hardest first, and their pairs."""
        return Objects(
            electrons=events.Electron,
            muons=events.Muon,
            leptons=lambda objects: ranked(merge(objects.electrons, objects.muons)),
            pairs=lambda objects: z_pairs(objects.leptons),
            met=events.MET,
        )

    def skim(self, events):
        """Three leptons, among them a pair."""
        return {
            "three leptons": count(events.Electron) + count(events.Muon) >= 3,
            "pair": lambda objects: count(objects.pairs) > 0,
        }

    def observables(self, events, objects):
        """The transverse mass."""
        (pair,) = smallest(objects.pairs.distance, objects.pairs)
        leptons = objects.leptons
        other = leading(select(leptons, (leptons.rank != pair.rank) & (leptons.rank != pair.partner)))
        return {"mt": transverse_mass(other, objects.met, massless=True)}


def ranked(leptons):
    """Leptons that know their place in the event."""
    return assign(leptons, rank=ak.local_index(leptons.pt))


def z_pairs(leptons):
    """The first leptons of pairs of the same flavour and opposite charge; they know the second, and how near a Z."""
    first, second = combinations(leptons)
    distance = abs(invariant_mass(first, second) - Z_MASS)
    pairs = assign(first, partner=second.rank, distance=distance)
    return select(pairs, (first.kind == second.kind) & (first.charge != second.charge))


QUERIES = {query.__name__: query for query in (Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8)}
