"""The dilepton analysis as an idiomatic coffea processor: NanoEvents, awkward, vector, hist, as coffea's documentation.

Written to be fair: events without two leptons are dropped before anything else is computed, everything is columnar,
and each histogram is filled once for each region and variation with arrays that are ready.
"""

from __future__ import annotations

import awkward as ak
import hist
import mt2
import numpy as np
from coffea import processor
from coffea.analysis_tools import PackedSelection, Weights

# name: axis; those that are filled in the control regions only come second
EVERYWHERE = {
    "mll": hist.axis.Regular(60, 0, 600, name="mll"),
    "mt2": hist.axis.Regular(60, 0, 600, name="mt2"),
    "mt": hist.axis.Regular(60, 0, 600, name="mt"),
    "met": hist.axis.Regular(50, 0, 500, name="met"),
    "met_significance": hist.axis.Regular(40, 0, 40, name="met_significance"),
    "ht": hist.axis.Regular(50, 0, 1000, name="ht"),
    "n_jets": hist.axis.Integer(0, 10, name="n_jets"),
    "n_bjets": hist.axis.Integer(0, 5, name="n_bjets"),
    "jet_pt": hist.axis.Regular(50, 0, 500, name="jet_pt"),
    "lep1_pt": hist.axis.Regular(50, 0, 500, name="lep1_pt"),
    "lep2_pt": hist.axis.Regular(50, 0, 500, name="lep2_pt"),
    "dphi_ll_met": hist.axis.Regular(32, 0, 3.2, name="dphi_ll_met"),
}
IN_CONTROL = {
    "rt": hist.axis.Regular(40, 0, 4, name="rt"),
    "et_ll": hist.axis.Regular(50, 0, 500, name="et_ll"),
    "mt_ll": hist.axis.Regular(60, 0, 600, name="mt_ll"),
    "mjj": hist.axis.Regular(50, 0, 1000, name="mjj"),
    "n_central_jets": hist.axis.Integer(0, 10, name="n_central_jets"),
    "n_forward_jets": hist.axis.Integer(0, 10, name="n_forward_jets"),
    "jet_eta": hist.axis.Regular(45, -4.5, 4.5, name="jet_eta"),
    "jet_phi": hist.axis.Regular(32, -3.2, 3.2, name="jet_phi"),
    "lep1_eta": hist.axis.Regular(50, -2.5, 2.5, name="lep1_eta"),
    "lep1_phi": hist.axis.Regular(32, -3.2, 3.2, name="lep1_phi"),
    "lep2_eta": hist.axis.Regular(50, -2.5, 2.5, name="lep2_eta"),
    "lep2_phi": hist.axis.Regular(32, -3.2, 3.2, name="lep2_phi"),
    "dphi_ll": hist.axis.Regular(32, 0, 3.2, name="dphi_ll"),
    "dphi_leading_met": hist.axis.Regular(32, 0, 3.2, name="dphi_leading_met"),
    "dphi_closest_met": hist.axis.Regular(32, 0, 3.2, name="dphi_closest_met"),
}
CONTROL = ("CR_ee", "CR_mm", "CR_em")


def region_cuts():
    """Name the cuts of each region."""
    regions = {}
    for flavour in ("ee", "mm"):
        pair = (flavour, "opposite sign", "b-veto")
        regions[f"CR_{flavour}"] = (*pair, "mll < 110")
        regions[f"SR_{flavour}"] = (*pair, "mll > 110")
        regions[f"SR1_{flavour}"] = (*pair, "mll > 110", "MET < 100")
        regions[f"SR2_{flavour}"] = (*pair, "mll > 110", "100 < MET < 150")
        regions[f"SR3_{flavour}"] = (*pair, "mll > 110", "MET > 150")
        regions[f"CC_{flavour}"] = (*pair, "MET significance > 10", "mT > 160", "mll > 120", "mT2 > 110")
    regions["CR_em"] = ("em", "opposite sign")
    return regions


class DileptonMET(processor.ProcessorABC):
    """Two leptons and missing momentum.

    Parameters
    ----------
    histograms
        Those to fill; all, where it is not given.
    systematics
        Whether to vary weights and objects.
    """

    def __init__(self, histograms=None, *, systematics=True):
        self.axes = EVERYWHERE | IN_CONTROL
        self.restricted = set(IN_CONTROL)
        self.regions = region_cuts()
        self.names = list(self.axes if histograms is None else histograms)
        self.systematics = systematics
        self.shifts = {"nominal": 0}
        if systematics:
            self.shifts |= {"jet_energy_scale_up": 1, "jet_energy_scale_down": -1}

    def process(self, events):
        """Fill histograms and cutflows of a chunk of simulated events."""
        sumw = ak.sum(events.genWeight)
        count = len(events)
        electrons, muons = self.electrons(events), self.muons(events)
        two = ak.num(electrons) + ak.num(muons) == 2
        # missing momentum that no shift of the jets can lift above the cut
        uncertainty = events.Jet.pt * np.hypot(0.01, 0.9 / events.Jet.pt)
        two = two & (events.MET.pt + ak.sum(uncertainty, axis=1) > 50)
        events, electrons, muons = events[two], electrons[two], muons[two]
        electrons["kind"], muons["kind"] = ak.zeros_like(electrons.charge), ak.ones_like(muons.charge)
        leptons = ak.concatenate(
            [
                ak.zip(
                    {name: one[name] for name in ("pt", "eta", "phi", "mass", "charge", "kind")}, with_name="Momentum4D"
                )
                for one in (electrons, muons)
            ],
            axis=1,
        )
        leptons = leptons[ak.argsort(leptons.pt, axis=1, ascending=False)]
        first, second = leptons[:, 0], leptons[:, 1]
        mll = (first + second).mass
        second_cut = np.where(
            second.kind == first.kind, np.where(first.kind == 1, 20, 25), np.where(first.kind == 1, 25, 20)
        )
        keep = (first.pt > np.where(first.kind == 1, 27, 25)) & (second.pt > second_cut) & (mll > 10)
        events, leptons = events[keep], leptons[keep]

        filled = {
            name: hist.Hist(
                hist.axis.StrCategory([], name="region", growth=True),
                hist.axis.StrCategory([], name="variation", growth=True),
                axis,
                storage=hist.storage.Weight(),
            )
            for name, axis in self.axes.items()
            if name in self.names
        }
        cutflow = {}
        for variation, sigma in self.shifts.items():
            self.fill(events, leptons, variation, sigma, filled, cutflow)
        return {events.metadata["dataset"]: {"histograms": filled, "cutflow": cutflow, "sumw": sumw, "events": count}}

    def postprocess(self, accumulator):
        """Leave the result."""
        return accumulator

    def electrons(self, events):
        """Select electrons."""
        electron = events.Electron
        return electron[
            (electron.pt > 20)
            & (abs(electron.eta) < 2.47)
            & ((abs(electron.eta) < 1.37) | (abs(electron.eta) > 1.52))
            & (abs(electron.dxy) < 5 * electron.dxyErr)
            & (abs(electron.dz) < 0.05 * np.cosh(electron.eta))
            & (electron.pfRelIso03_all < 0.15)
        ]

    def muons(self, events):
        """Select muons."""
        muon = events.Muon
        return muon[
            (muon.pt > 20)
            & (abs(muon.eta) < 2.5)
            & (abs(muon.dxy) < 3 * muon.dxyErr)
            & (abs(muon.dz) < 0.05 * np.cosh(muon.eta))
            & (muon.pfRelIso03_all < 0.15)
        ]

    def fill(self, events, leptons, variation, sigma, filled, cutflow):  # noqa: C901, PLR0915 - as one writes it
        """Fill one variation of the objects, and for the nominal one those of the weights."""
        met = ak.zip({"pt": events.MET.pt, "phi": events.MET.phi}, with_name="Momentum2D")
        jets = ak.zip(
            {name: events.Jet[name] for name in ("pt", "eta", "phi", "mass", "btag", "hadronFlavour")},
            with_name="Momentum4D",
        )
        if sigma:
            pt = jets.pt * (1 + sigma * np.hypot(0.01, 0.9 / jets.pt))
            change = pt - jets.pt
            px = met.px - ak.sum(change * np.cos(jets.phi), axis=1)
            py = met.py - ak.sum(change * np.sin(jets.phi), axis=1)
            met = ak.zip({"pt": np.hypot(px, py), "phi": np.arctan2(py, px)}, with_name="Momentum2D")
            jets = ak.with_field(jets, pt, "pt")
        keep = met.pt > 50
        events, leptons, jets, met = events[keep], leptons[keep], jets[keep], met[keep]
        first, second = leptons[:, 0], leptons[:, 1]
        jets = jets[(jets.pt >= 30) & (abs(jets.eta) < 4.5)]
        jets = jets[(jets.deltaR(first) >= 0.4) & (jets.deltaR(second) >= 0.4)]
        jets = jets[ak.argsort(jets.pt, axis=1, ascending=False)]
        jets["tagged"] = (jets.btag > 0.5) & (abs(jets.eta) < 2.5)
        taggable = jets[abs(jets.eta) < 2.5]
        jets = jets[jets.tagged | (jets.pt >= 40)]
        light = jets[~jets.tagged]
        observables = self.observables(events, first, second, jets, light, met)

        selection = PackedSelection()
        mll, size, muons = observables["mll"], observables["met"], first.kind + second.kind
        selection.add("ee", muons == 0)
        selection.add("mm", muons == 2)
        selection.add("em", muons == 1)
        selection.add("opposite sign", first.charge != second.charge)
        selection.add("b-veto", observables["n_bjets"] == 0)
        selection.add("mll < 110", mll < 110)
        selection.add("mll > 110", mll > 110)
        selection.add("mll > 120", mll > 120)
        selection.add("MET < 100", size < 100)
        selection.add("100 < MET < 150", (size >= 100) & (size < 150))
        selection.add("MET > 150", size >= 150)
        selection.add("MET significance > 10", observables["met_significance"] > 10)
        selection.add("mT > 160", observables["mt"] > 160)
        selection.add("mT2 > 110", observables["mt2"] > 110)

        weights = Weights(len(events))
        weights.add("generator", events.genWeight)
        variations = {variation: None}
        if variation == "nominal" and self.systematics:
            self.efficiencies(weights, first, second, taggable, met)
            variations |= {
                f"{name[:-2]}_up" if name.endswith("Up") else f"{name[:-4]}_down": name for name in weights.variations
            }
        factors = {name: weights.weight(modifier) for name, modifier in variations.items()}
        for region, cuts in self.regions.items():
            mask = selection.all(*cuts)
            if variation == "nominal":
                cutflow[region] = np.array([np.sum(selection.all(*cuts[: n + 1])) for n in range(len(cuts))])
            for name in self.names:
                if name in self.restricted and region not in CONTROL:
                    continue
                values = observables[name][mask]
                present = None
                if name == "mjj":
                    present = ~ak.is_none(values)
                    values = values[present]
                for label, factor in factors.items():
                    weight = factor[mask]
                    if name.startswith("jet_"):
                        weight = ak.flatten(ak.broadcast_arrays(weight, values)[0])
                    elif present is not None:
                        weight = weight[present]
                    filled[name].fill(
                        region=region,
                        variation=label,
                        weight=weight,
                        **{name: ak.flatten(values) if name.startswith("jet_") else values},
                    )

    def observables(self, events, first, second, jets, light, met):
        """Compute what is filled and cut on."""
        pair = first + second
        et = np.hypot(pair.mass, pair.pt)
        scalar = first.pt + second.pt + ak.sum(jets.pt, axis=1)
        two = ak.pad_none(jets, 2)
        dphi = [abs(lepton.deltaphi(met)) for lepton in (first, second)]
        transverse = [np.hypot(lepton.pt, lepton.mass) for lepton in (first, second)]
        return {
            "mll": pair.mass,
            "mt2": mt2.mt2(
                first.mass, first.px, first.py, second.mass, second.px, second.py, met.px, met.py, 0.0, 0.0, 1e-6
            ),
            "mt": np.sqrt(np.maximum((et + met.pt) ** 2 - (pair.px + met.px) ** 2 - (pair.py + met.py) ** 2, 0)),
            "met": met.pt,
            "met_significance": events.MET.significance * (met.pt / events.MET.pt),
            "ht": scalar,
            "rt": met.pt / scalar,
            "et_ll": et,
            "mt_ll": np.sqrt(np.maximum((transverse[0] + transverse[1]) ** 2 - pair.pt**2, 0)),
            "mjj": (two[:, 0] + two[:, 1]).mass,
            "n_jets": ak.num(jets),
            "n_bjets": ak.sum(jets.tagged, axis=1),
            "n_central_jets": ak.sum(abs(light.eta) < 2.5, axis=1),
            "n_forward_jets": ak.sum(abs(light.eta) >= 2.5, axis=1),
            "jet_pt": jets.pt,
            "jet_eta": jets.eta,
            "jet_phi": jets.phi,
            "lep1_pt": first.pt,
            "lep1_eta": first.eta,
            "lep1_phi": first.phi,
            "lep2_pt": second.pt,
            "lep2_eta": second.eta,
            "lep2_phi": second.phi,
            "dphi_ll": abs(first.deltaphi(second)),
            "dphi_ll_met": abs(pair.deltaphi(met)),
            "dphi_leading_met": dphi[0],
            "dphi_closest_met": np.minimum(*dphi),
        }

    def efficiencies(self, weights, first, second, taggable, met):
        """Add the uncertainties of identification and tagging."""
        nominal = np.ones(len(first))
        muons = ak.to_numpy(first.kind + second.kind)
        for name, sigma, number in (
            ("electron_identification", 0.01, 2 - muons),
            ("muon_identification", 0.005, muons),
        ):
            weights.add(name, nominal, (1 + sigma) ** number, (1 - sigma) ** number)
        for name, sigma, bottom in (("b_tagging", 0.03, True), ("mistagging", 0.20, False)):
            jets = taggable[(taggable.hadronFlavour == 5) == bottom]
            chance = 0.80 * np.tanh(0.003 * jets.pt) * 30 / (1 + 0.086 * jets.pt)
            chance = ak.where(jets.hadronFlavour == 5, chance, ak.where(jets.hadronFlavour == 4, 0.15, 0.003))
            up, down = (
                ak.to_numpy(ak.prod(ak.where(jets.tagged, 1 + s, (1 - (1 + s) * chance) / (1 - chance)), axis=1))
                for s in (sigma, -sigma)
            )
            weights.add(name, nominal, up, down)
