"""A narrow resonance in the mass of a Z and a photon: S -> Z gamma at 150 GeV.

The Z decays to electrons or muons. The window around the searched mass and its sidebands are the two samples that a
semi-supervised network is trained to tell apart. Momenta in GeV, angles in radians.
"""

from __future__ import annotations

import numpy as np
from hist.axis import Integer, Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.kinematics import (
    count,
    delta_phi,
    delta_r,
    invariant_mass,
    leading,
    merge,
    near,
    select,
    sort_by_pt,
    vector_sum,
)

# the mass range of the fits, and the window within it
LOW, HIGH = 132.0, 168.0
WINDOW = (144.0, 156.0)


class ZGamma(Processor):
    """Two leptons of a Z and an isolated photon."""

    histograms = (
        Histogram("mllg", Regular(36, LOW, HIGH), label=r"$m_{\ell\ell\gamma}$", unit="GeV"),
        Histogram("mllg_wide", Regular(50, 100, 200), label=r"$m_{\ell\ell\gamma}$", unit="GeV", observables=("mllg",)),
        Histogram("mll", Regular(40, 76, 106), label=r"$m_{\ell\ell}$", unit="GeV"),
        Histogram("photon_pt", Regular(50, 0, 100), label=r"photon $p_T$", unit="GeV"),
        Histogram("photon_eta", Regular(48, -2.4, 2.4), label=r"photon $\eta$"),
        Histogram("lep1_pt", Regular(50, 0, 150), label=r"leading lepton $p_T$", unit="GeV"),
        Histogram("lep2_pt", Regular(50, 0, 100), label=r"second lepton $p_T$", unit="GeV"),
        Histogram("dr_ll", Regular(50, 0, 5), label=r"$\Delta R(\ell, \ell)$"),
        Histogram("dr_lg", Regular(50, 0, 5), label=r"$\Delta R$(photon, closest lepton)"),
        Histogram("dphi_zg", Regular(32, 0, 3.2), label=r"$|\Delta\phi(Z, \gamma)|$"),
        Histogram("pt_zg", Regular(50, 0, 150), label=r"$p_T(\ell\ell\gamma)$", unit="GeV"),
        Histogram("met", Regular(50, 0, 100), label=r"$E_T^{miss}$", unit="GeV"),
        Histogram("n_jets", Integer(0, 8), label="jets"),
    )

    regions = {
        # what the fits and the pseudo-experiments take: the sidebands alone until the search is unblinded
        "ZG": Region("mass range", signal=True),
        "SB": Region("mass range", "sideband"),
        "WIN": Region("mass range", "window", signal=True),
    }

    def __init__(self, *, photon_pt: float = 15.0, **others):
        super().__init__(**others)
        self.photon_pt = photon_pt

    def leptons(self, events):
        """Isolated electrons and muons, hardest first; `kind` tells them apart."""
        electrons = select(
            events.Electron,
            lambda lepton: (lepton.pt > 10) & (abs(lepton.eta) < 2.47) & (lepton.pfRelIso03_all < 0.15),
        )
        muons = select(
            events.Muon, lambda lepton: (lepton.pt > 10) & (abs(lepton.eta) < 2.5) & (lepton.pfRelIso03_all < 0.15)
        )
        return merge(electrons, muons)

    def skim(self, events):
        """Exactly two leptons."""
        return {"two leptons": count(self.leptons(events)) == 2}

    def objects(self, events, shift):
        """The lepton pair, the hardest photon apart from it, jets apart from both."""
        leptons = self.leptons(events)
        photons = select(
            events.Photon,
            lambda photon: (photon.pt > self.photon_pt) & (abs(photon.eta) < 2.37) & (photon.pfRelIso03_all < 0.15),
        )
        photons = sort_by_pt(select(photons, ~near(photons, leptons, 0.4)))
        jets = select(events.Jet, lambda jet: (jet.pt > 30) & (abs(jet.eta) < 4.5))
        jets = select(jets, ~near(jets, leptons, 0.4))
        return Objects(
            lepton1=leading(leptons, 0),
            lepton2=leading(leptons, 1),
            photons=photons,
            jets=select(jets, ~near(jets, photons, 0.4)),
            met=events.MET,
        )

    def preselection(self, objects):
        """A Z of two leptons of one flavour, hard enough for the triggers, and a photon."""
        one, two = objects.lepton1, objects.lepton2
        mll = invariant_mass(one, two)
        return {
            "same flavour": one.kind == two.kind,
            "opposite sign": one.charge != two.charge,
            "leading lepton": one.pt > 25,
            "Z mass": abs(mll - 91.19) < 15,
            "photon": count(objects.photons) > 0,
        }

    def observables(self, events, objects):
        """What histograms, networks and fits use."""
        one, two, photon = objects.lepton1, objects.lepton2, leading(objects.photons, 0)
        pair, system = vector_sum(one, two), vector_sum(one, two, photon)
        return {
            "mllg": invariant_mass(one, two, photon),
            "mll": invariant_mass(one, two),
            "photon_pt": photon.pt,
            "photon_eta": photon.eta,
            "lep1_pt": one.pt,
            "lep2_pt": two.pt,
            "dr_ll": delta_r(one, two),
            "dr_lg": np.minimum(delta_r(one, photon), delta_r(two, photon)),
            "dphi_zg": abs(delta_phi(pair, photon)),
            "pt_zg": system.pt,
            "met": objects.met.pt,
            "n_jets": count(objects.jets),
        }

    def cuts(self, events, objects, observables):
        """The mass range, the window, and what is left of the range: the sidebands."""
        mass = observables["mllg"]
        inside = (mass >= WINDOW[0]) & (mass <= WINDOW[1])
        return {
            "mass range": (mass >= LOW) & (mass <= HIGH),
            "window": inside,
            "sideband": ~inside,
        }
