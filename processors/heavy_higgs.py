"""A heavy Higgs boson in two leptons and a large jet: H -> ZZ -> ll qq.

The lepton pair is one Z, the large jet holds both quarks of the other. Input is either ntuples with large jets, or a
table with one row an event and the course's column names (`lep1_pt`, `fatjet_D2`, `reco_zv_mass`, ...), as CSV or
parquet. Momenta in GeV; `table_unit` says what a table is in.
"""

from __future__ import annotations

import awkward as ak
import numpy as np
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.errors import ConfigError
from colonnade.kinematics import count, invariant_mass, leading, merge, near, select, sort_by_pt, vector_sum

UNITS = {"GeV": 1.0, "MeV": 1e-3}
# columns of a table with the unit of an energy
ENERGIES = ("lep1_pt", "lep2_pt", "fatjet_pt", "Zll_mass", "Zll_pt", "MET", "reco_zv_mass")
OTHERS = ("fatjet_eta", "fatjet_D2")


class HeavyHiggs(Processor):
    """A lepton pair from a Z and a large jet."""

    histograms = (
        Histogram("reco_zv_mass", Regular(60, 300, 1800), label=r"$m_{\ell\ell J}$", unit="GeV"),
        Histogram("lep1_pt", Regular(50, 0, 800), label=r"leading lepton $p_T$", unit="GeV"),
        Histogram("lep2_pt", Regular(50, 0, 500), label=r"second lepton $p_T$", unit="GeV"),
        Histogram("fatjet_pt", Regular(50, 150, 900), label=r"large jet $p_T$", unit="GeV"),
        Histogram("fatjet_eta", Regular(40, -2, 2), label=r"large jet $\eta$"),
        Histogram("fatjet_D2", Regular(50, 0, 5), label=r"large jet $D_2$"),
        Histogram("Zll_mass", Regular(40, 70, 110), label=r"$m_{\ell\ell}$", unit="GeV"),
        Histogram("Zll_pt", Regular(50, 0, 900), label=r"$p_T(\ell\ell)$", unit="GeV"),
        Histogram("MET", Regular(50, 0, 300), label=r"$E_T^{miss}$", unit="GeV"),
    )

    # no cut of any region is on reco_zv_mass
    regions = {
        "all": Region("Z mass"),
        "cuts": Region("Z mass", "Zll pT > 250", "large jet pT > 250", "D2 < 1.5", "MET < 100", signal=True),
        "network": Region("Z mass", "network", signal=True),
        "network_tight": Region("Z mass", "network > 0.9", signal=True),
        "network_mass": Region("Z mass", "network with mass", signal=True),
    }

    def __init__(self, *, table_unit: str = "GeV", **others):
        super().__init__(**others)
        if table_unit not in UNITS:
            msg = f"table_unit = {table_unit!r} is unknown; choose GeV or MeV."
            raise ConfigError(msg)
        self.table_unit = table_unit

    @staticmethod
    def is_table(events):
        """Whether events are the rows of a table, which has no collections."""
        return "Electron" not in ak.fields(events)

    def leptons(self, events):
        """Isolated electrons and muons, hardest first; `kind` tells them apart."""
        return merge(
            select(events.Electron, lambda e: (e.pt > 20) & (abs(e.eta) < 2.47) & (e.pfRelIso03_all < 0.15)),
            select(events.Muon, lambda muon: (muon.pt > 20) & (abs(muon.eta) < 2.5) & (muon.pfRelIso03_all < 0.15)),
        )

    def skim(self, events):
        """Exactly two leptons."""
        return {} if self.is_table(events) else {"two leptons": count(self.leptons(events)) == 2}

    def objects(self, events, shift):
        """The lepton pair and the hardest large jet apart from it; or a table's columns."""
        if self.is_table(events):
            scale = UNITS[self.table_unit]
            energies = {name: column(events, name) * scale for name in ENERGIES}
            return Objects(**energies, **{name: column(events, name) for name in OTHERS})
        leptons = self.leptons(events)
        jets = select(events.FatJet, lambda jet: (jet.pt > 200) & (abs(jet.eta) < 2.0))
        jets = sort_by_pt(select(jets, ~near(jets, leptons, 1.0)))
        return Objects(lepton1=leading(leptons, 0), lepton2=leading(leptons, 1), jets=jets, met=events.MET)

    def preselection(self, objects):
        """Two leptons of one flavour and opposite charge, and a large jet; a table's rows have them all."""
        if "jets" not in objects:
            return {}
        one, two = objects.lepton1, objects.lepton2
        return {
            "same flavour": one.kind == two.kind,
            "opposite sign": one.charge != two.charge,
            "leading lepton": one.pt > 30,
            "large jet": count(objects.jets) > 0,
        }

    def observables(self, events, objects):
        """The course's variables."""
        if "jets" not in objects:
            return {name: getattr(objects, name) for name in (*ENERGIES, *OTHERS)}
        one, two, jet = objects.lepton1, objects.lepton2, leading(objects.jets, 0)
        pair = vector_sum(one, two)
        return {
            "reco_zv_mass": invariant_mass(one, two, jet),
            "lep1_pt": one.pt,
            "lep2_pt": two.pt,
            "fatjet_pt": jet.pt,
            "fatjet_eta": jet.eta,
            "fatjet_D2": jet.D2,
            "Zll_mass": invariant_mass(one, two),
            "Zll_pt": pair.pt,
            "MET": objects.met.pt,
        }

    def cuts(self, events, objects, observables):
        """The square cuts, and the networks' halves of the score; a region without its network is empty."""
        nothing = np.zeros(len(events))
        return {
            "Z mass": (observables["Zll_mass"] > 70) & (observables["Zll_mass"] < 110),
            "Zll pT > 250": observables["Zll_pt"] > 250,
            "large jet pT > 250": observables["fatjet_pt"] > 250,
            "D2 < 1.5": observables["fatjet_D2"] < 1.5,
            "MET < 100": observables["MET"] < 100,
            "network": observables.get("score", nothing) > 0.5,
            "network > 0.9": observables.get("score", nothing) > 0.9,
            "network with mass": observables.get("score_mass", nothing) > 0.5,
        }

    def weights(self, events, objects, weights):
        """A table brings its weight, which already is the events expected of a row."""
        if self.is_table(events) and "FullEventWeight" in ak.fields(events):
            weights.add("FullEventWeight", np.asarray(events.FullEventWeight))


def column(events, name):
    """A column of a table; NanoAOD's naming reads `Zll_mass` as the field `mass` of `Zll`."""
    if name in ak.fields(events):
        return np.asarray(events[name], dtype=np.float64)
    group, _, field = name.partition("_")
    return np.asarray(events[group][field], dtype=np.float64)
