"""The Analysis Grand Challenge: the cross-section of top-quark pairs in events with one lepton and four jets.

Selection, observables and systematic uncertainties are those of the benchmark's own implementation
(iris-hep/analysis-grand-challenge, cms-open-data-ttbar). CMS NanoAOD is read as it is; simulated samples of this
project have neither identification criteria of leptons and jets nor a quark-gluon discriminant, so isolation selects
leptons and the number of constituents tells quarks from gluons, in both. Momenta in GeV, angles in radians.
"""

from __future__ import annotations

from itertools import permutations

import awkward as ak
import numpy as np
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.kinematics import (
    assign,
    combinations,
    count,
    delta_r,
    event_sum,
    follow,
    ht,
    invariant_mass,
    leading,
    merge,
    nearest,
    normal,
    per_object,
    select,
    smallest,
    vector_sum,
)

# names of the discriminant of b-jets: of the benchmark's files, of later ones, and of this project's samples
TAGGERS = ("btagCSVV2", "btagDeepFlavB", "btag")
TAGGED = 0.5
MOST_JETS = 6
W, HADRONIC, LEPTONIC = 1, 2, 3
# by number of jets, the places of both jets of the W (in one order), of the b-jet beside it, and of the other b-jet
PLACES = {
    jets: np.array([place for place in permutations(range(jets), 4) if place[0] < place[1]]).reshape(-1, 4)
    for jets in (0, *range(4, MOST_JETS + 1))
}
# what describes an assignment of jets: label, unit, lower and upper end
FEATURES = {
    "deltar_leptonbtoplep": (r"$\Delta R(\ell, b_{lep})$", "", 0, 6),
    "deltar_w1w2": (r"$\Delta R(W_1, W_2)$", "", 0, 6),
    "deltar_w1btophad": (r"$\Delta R(W_1, b_{had})$", "", 0, 6),
    "deltar_w2btophad": (r"$\Delta R(W_2, b_{had})$", "", 0, 6),
    "mass_leptonbtoplep": (r"$m(\ell, b_{lep})$", "GeV", 50, 300),
    "mass_w1w2": (r"$m(W_1, W_2)$", "GeV", 50, 300),
    "mass_w1w2btophad": (r"$m(W_1, W_2, b_{had})$", "GeV", 50, 550),
    "pt_w1w2btophad": (r"$p_T(W_1, W_2, b_{had})$", "GeV", 50, 550),
    **{f"pt_{jet}": (f"$p_T$ of {jet}", "GeV", 25, 300) for jet in ("w1", "w2", "btophad", "btoplep")},
    **{f"btag_{jet}": (f"b-tag of {jet}", "", 0, 1) for jet in ("w1", "w2", "btophad", "btoplep")},
    **{f"constituents_{jet}": (f"constituents of {jet}", "", 0, 50) for jet in ("w1", "w2", "btophad", "btoplep")},
}


class AGCTtbar(Processor):
    """One electron or muon and at least four jets, one or more of them b-tagged."""

    regions = {
        "4j1b": Region("exactly one b-jet", signal=True),
        "4j2b": Region("two b-jets", signal=True),
    }
    shifts = ("pt_scale_up", "pt_res_up")

    def __init__(self, **others):
        super().__init__(**others)
        self.histograms = (
            Histogram("ht", Regular(25, 50, 550), label="$H_T$", unit="GeV", regions=["4j1b"]),
            Histogram("trijet_mass", Regular(25, 50, 550), label="$m_{bjj}$", unit="GeV", regions=["4j2b"]),
        )
        if "assignment" in self.scorers:
            # the benchmark's observables of the best assignment of jets
            self.histograms += tuple(
                Histogram(f"assignment_{name}", Regular(25, low, high), label=label, unit=unit, regions=["4j2b"])
                for name, (label, unit, low, high) in FEATURES.items()
            )

    def common(self, events):
        """The leptons, electrons and muons together."""
        leptons = merge(
            *(
                select(collection[identified(collection)], lambda one: (one.pt > 30) & (abs(one.eta) < 2.1))
                for collection in (events.Electron, events.Muon)
            )
        )
        return Objects(leptons=leptons)

    def skim(self, events):
        """Exactly one lepton."""
        return {"one lepton": lambda objects: count(objects.leptons) == 1}

    def objects(self, events, shift):
        """Jets whose momenta are shifted by 3 %, or smeared by 5 %."""
        jets, tagger = events.Jet, next(name for name in TAGGERS if name in ak.fields(events.Jet))
        if "jetId" in ak.fields(jets):
            jets = jets[jets.isTightLeptonVeto]
        factor = 1 + 0.03 * shift["pt_scale"] + 0.05 * shift["pt_res"] * normal(events, jets, "pt_res")
        jets = assign(jets, pt=jets.pt * factor, tag=jets[tagger])
        jets = select(jets, lambda jet: (jet.pt > 30) & (abs(jet.eta) < 2.4))
        return Objects(jets=jets, tagged=count(jets, lambda jet: jet.tag > TAGGED))

    def preselection(self, objects):
        """Four jets, one of them tagged."""
        return {"four jets": count(objects.jets) >= 4, "b-jet": objects.tagged >= 1}

    def observables(self, events, objects):
        """The benchmark's observables, and what describes each assignment of jets in events with two b-jets."""
        jets, lepton = objects.jets, leading(objects.leptons)
        number = np.where(objects.tagged >= 2, np.minimum(count(jets), MOST_JETS), 0)
        places = np.concatenate([PLACES[0], *(PLACES[each] for each in number)])
        ways = np.array([len(PLACES[each]) for each in number], dtype=np.int64)
        # the truth teaches; a run that scores does not read it
        taught = "assignment" not in self.scorers and "GenPart" in ak.fields(events)
        truth = roles(events, jets, lepton) if taught else np.nan * jets.pt
        chosen = assign(jets, role=truth)
        w1, w2, hadronic, leptonic = (follow(ak.unflatten(place, ways), chosen) for place in places.T)
        named = {"w1": w1, "w2": w2, "btophad": hadronic, "btoplep": leptonic}
        top = vector_sum(w1, w2, hadronic)
        return {
            "tagged": objects.tagged,
            "ht": ht(jets),
            "trijet_mass": trijet_mass(jets),
            "deltar_leptonbtoplep": delta_r(leptonic, lepton),
            "deltar_w1w2": delta_r(w1, w2),
            "deltar_w1btophad": delta_r(w1, hadronic),
            "deltar_w2btophad": delta_r(w2, hadronic),
            "mass_leptonbtoplep": invariant_mass(leptonic, lepton),
            "mass_w1w2": invariant_mass(w1, w2),
            "mass_w1w2btophad": top.mass,
            "pt_w1w2btophad": top.pt,
            **{f"pt_{name}": jet.pt for name, jet in named.items()},
            **{f"btag_{name}": jet.tag for name, jet in named.items()},
            **{f"constituents_{name}": jet.nConstituents for name, jet in named.items()},
            "right": right(w1, w2, hadronic, leptonic),
        }

    def cuts(self, events, objects, observables):
        """The numbers of b-jets."""
        return {"exactly one b-jet": observables["tagged"] == 1, "two b-jets": observables["tagged"] >= 2}

    def weights(self, events, objects, weights):
        """The benchmark's variations of b-tagging, by the momentum of each of four jets, and of the scale of W+jets."""
        one = np.ones(len(events))
        for place in range(4):
            size = 0.075 / 50 * np.asarray(leading(objects.jets, place).pt)
            weights.add(f"btag_var_{place}", one, 1 + size, 1 - size)
        weights.add("scale_var", one, 1.025 * one, 0.975 * one)


def identified(leptons):
    """Whether electrons or muons pass the benchmark's criteria, or, where a file has none, isolation."""
    if "cutBased" in ak.fields(leptons):
        return (leptons.cutBased == 4) & (leptons.sip3d < 4)
    if "tightId" in ak.fields(leptons):
        return leptons.tightId & (leptons.sip3d < 4) & (leptons.pfRelIso04_all < 0.15)
    return leptons.pfRelIso03_all < 0.15


def trijet_mass(jets):
    """The mass of the three jets, one of them tagged, with the largest transverse momentum."""
    triplets = combinations(jets, 3)
    tag = np.maximum(np.maximum(triplets[0].tag, triplets[1].tag), triplets[2].tag)
    key = ak.where(tag > TAGGED, -vector_sum(*triplets).pt, np.nan)
    return np.asarray(invariant_mass(*smallest(key, *triplets)))


def roles(events, jets, lepton):
    """What each jet comes from: the nearest quark of a top quark's or W boson's decay within 0.4; 0 without any."""
    particles = events.GenPart
    mother = abs(ak.fill_none(follow(particles.genPartIdxMother, particles).pdgId, 0))
    quarks = assign(particles, mother=mother)
    quarks = select(quarks, lambda one: (abs(one.pdgId) < 6) & ((one.mother == 6) | (one.mother == 24)))
    quark = nearest(jets, quarks, 0.4)
    # top quarks decay to a b-quark and W+, antiquarks to its antiquark and W-
    same = quark.pdgId * per_object(lepton.charge, jets) > 0
    role = ak.where(quark.mother == 24, W, ak.where(same, LEPTONIC, HADRONIC))
    return ak.fill_none(role, 0)


def right(w1, w2, hadronic, leptonic):
    """1 for the right assignment, 0 for others; not a number where none, or more than one, is right."""
    found = (w1.role == W) & (w2.role == W) & (hadronic.role == HADRONIC) & (leptonic.role == LEPTONIC)
    known = per_object(event_sum(found * 1.0) == 1, found)
    return ak.where(known, found * 1.0, np.nan)
