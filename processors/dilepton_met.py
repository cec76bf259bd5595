"""Dark matter in events with two leptons and missing transverse momentum.

The search of an ATLAS thesis: a Z' that decays to electrons or muons beside invisible particles. Momenta in GeV,
lengths in cm, angles in radians.
"""

from __future__ import annotations

import numpy as np
from hist.axis import Integer, Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.kinematics import (
    assign,
    count,
    delta_phi,
    event_sum,
    ht,
    invariant_mass,
    leading,
    merge,
    mt2,
    near,
    propagate,
    pt_sum,
    select,
    sort_by_pt,
    transverse_energy,
    transverse_mass,
    vector_sum,
)

ELECTRON, MUON = 0, 1

# uncertainty of the jet energy scale: 4.6 % at 20 GeV falling to 1 %, the size that ATLAS finds (arXiv:1703.09665)
JES_CONSTANT, JES_NOISE = 0.01, 0.9  # the latter in GeV
# uncertainty of the identification of each electron (arXiv:1902.04655) and each muon (arXiv:2012.00578)
ELECTRON_UNCERTAINTY, MUON_UNCERTAINTY = 0.01, 0.005
# uncertainty of the efficiency to tag a b-jet, and of the rate of tagging others (arXiv:1907.05120)
BTAG_UNCERTAINTY, MISTAG_UNCERTAINTY = 0.03, 0.20
BTAG_WORKING_POINT = 0.5

SEARCH = ("SR_ee", "SR_mm")  # where the score is fitted
CONTROL = ("CR_ee", "CR_mm", "CR_em")  # where the modelling of what is not cut on is looked at
WHOLE = (*CONTROL, *SEARCH, "CC_ee", "CC_mm")  # all but the bins of MET


def signal_regions(flavour: str) -> dict[str, Region]:
    """Return the regions of one flavour: control, signal as a whole and in three bins of MET, and cut and count."""
    pair = (flavour, "opposite sign", "b-veto")
    return {
        f"CR_{flavour}": Region(*pair, "mll < 110"),
        f"SR_{flavour}": Region(*pair, "mll > 110", signal=True),
        f"SR1_{flavour}": Region(*pair, "mll > 110", "MET < 100", signal=True),
        f"SR2_{flavour}": Region(*pair, "mll > 110", "100 < MET < 150", signal=True),
        f"SR3_{flavour}": Region(*pair, "mll > 110", "MET > 150", signal=True),
        f"CC_{flavour}": Region(*pair, "MET significance > 10", "mT > 160", "mll > 120", "mT2 > 110", signal=True),
    }


class DileptonMET(Processor):
    """Two leptons of opposite charge and missing transverse momentum."""

    histograms = (
        Histogram("mll", Regular(60, 0, 600), label=r"$m_{\ell\ell}$", unit="GeV"),
        Histogram("mt2", Regular(60, 0, 600), label=r"$m_{T2}$", unit="GeV"),
        Histogram("mt", Regular(60, 0, 600), label=r"$m_T(\ell\ell, E_T^{miss})$", unit="GeV", regions=WHOLE),
        Histogram("met", Regular(50, 0, 500), label=r"$E_T^{miss}$", unit="GeV"),
        Histogram("met_significance", Regular(40, 0, 40), label=r"$E_T^{miss}$ significance", regions=WHOLE),
        Histogram("ht", Regular(50, 0, 1000), label=r"$H_T$", unit="GeV", regions=CONTROL),
        Histogram("rt", Regular(40, 0, 4), label=r"$E_T^{miss} / H_T$", regions=CONTROL),
        Histogram("et_ll", Regular(50, 0, 500), label=r"$E_T(\ell\ell)$", unit="GeV", regions=CONTROL),
        Histogram("mt_ll", Regular(60, 0, 600), label=r"$m_T(\ell, \ell)$", unit="GeV", regions=CONTROL),
        Histogram("mjj", Regular(50, 0, 1000), label=r"$m_{jj}$", unit="GeV", regions=CONTROL),
        Histogram("n_jets", Integer(0, 10), label="jets", regions=CONTROL),
        Histogram("n_bjets", Integer(0, 5), label="b-jets", regions=CONTROL),
        Histogram("n_central_jets", Integer(0, 10), label="central light jets", regions=CONTROL),
        Histogram("n_forward_jets", Integer(0, 10), label="forward light jets", regions=CONTROL),
        Histogram("jet_pt", Regular(50, 0, 500), label=r"jet $p_T$", unit="GeV", regions=CONTROL),
        Histogram("jet_eta", Regular(45, -4.5, 4.5), label=r"jet $\eta$", regions=CONTROL),
        Histogram("jet_phi", Regular(32, -3.2, 3.2), label=r"jet $\phi$", regions=CONTROL),
        Histogram("lep1_pt", Regular(50, 0, 500), label=r"leading lepton $p_T$", unit="GeV", regions=WHOLE),
        Histogram("lep1_eta", Regular(50, -2.5, 2.5), label=r"leading lepton $\eta$", regions=CONTROL),
        Histogram("lep1_phi", Regular(32, -3.2, 3.2), label=r"leading lepton $\phi$", regions=CONTROL),
        Histogram("lep2_pt", Regular(50, 0, 500), label=r"second lepton $p_T$", unit="GeV", regions=CONTROL),
        Histogram("lep2_eta", Regular(50, -2.5, 2.5), label=r"second lepton $\eta$", regions=CONTROL),
        Histogram("lep2_phi", Regular(32, -3.2, 3.2), label=r"second lepton $\phi$", regions=CONTROL),
        Histogram("dphi_ll", Regular(32, 0, 3.2), label=r"$|\Delta\phi(\ell, \ell)|$", regions=CONTROL),
        Histogram("dphi_ll_met", Regular(32, 0, 3.2), label=r"$|\Delta\phi(\ell\ell, E_T^{miss})|$", regions=CONTROL),
        Histogram(
            "dphi_leading_met",
            Regular(32, 0, 3.2),
            label=r"$|\Delta\phi|$(leading lepton, $E_T^{miss}$)",
            regions=CONTROL,
        ),
        Histogram(
            "dphi_closest_met",
            Regular(32, 0, 3.2),
            label=r"$|\Delta\phi|$(closest lepton, $E_T^{miss}$)",
            regions=CONTROL,
        ),
    )

    shifts = ("jet_energy_scale",)

    # the different-flavour region measures top pairs, so it has no veto on b-jets
    regions = {**signal_regions("ee"), **signal_regions("mm"), "CR_em": Region("em", "opposite sign")}

    def __init__(self, *, min_met: float = 50.0, **others):
        super().__init__(**others)
        self.min_met = min_met
        # a classifier that is told the mass gives a score for each: score_130, score_400, ...
        self.histograms = (
            *type(self).histograms,
            *(
                Histogram(name, Regular(100, 0, 1), label=name.replace("_", " "), regions=SEARCH)
                for name in self.scorers
            ),
        )

    def electrons(self, events):
        """Electrons from the primary vertex, outside the gap between barrel and end-cap."""
        return select(
            events.Electron,
            lambda electron: (
                (electron.pt > 20)
                & (abs(electron.eta) < 2.47)
                & ((abs(electron.eta) < 1.37) | (abs(electron.eta) > 1.52))
                & (abs(electron.dxy) < 5 * electron.dxyErr)
                & (abs(electron.dz) < 0.05 * np.cosh(electron.eta))  # |z0 sin(theta)| < 0.5 mm
                & (electron.pfRelIso03_all < 0.15)
            ),
        )

    def muons(self, events):
        """Muons from the primary vertex."""
        return select(
            events.Muon,
            lambda muon: (
                (muon.pt > 20)
                & (abs(muon.eta) < 2.5)
                & (abs(muon.dxy) < 3 * muon.dxyErr)
                & (abs(muon.dz) < 0.05 * np.cosh(muon.eta))
                & (muon.pfRelIso03_all < 0.15)
            ),
        )

    def common(self, events):
        """Leptons, hardest first; their `kind` is 0 for electrons, 1 for muons."""
        return Objects(
            all_jets=events.Jet,
            met=events.MET,
            electrons=self.electrons(events),
            muons=self.muons(events),
            leptons=lambda objects: merge(objects.electrons, objects.muons),
            lepton1=lambda objects: leading(objects.leptons, 0),
            lepton2=lambda objects: leading(objects.leptons, 1),
            mll=lambda objects: invariant_mass(objects.lepton1, objects.lepton2),
        )

    def skim(self, events):
        """Exactly two leptons, hard enough for the triggers, no light resonance; and missing momentum, nearly."""
        return {
            "two leptons": lambda objects: count(objects.electrons) + count(objects.muons) == 2,
            "MET within reach": self.within_reach,
            "lepton pT": triggered,
            "mll > 10": lambda objects: objects.mll > 10,
        }

    def within_reach(self, objects):
        """Missing momentum that no shift of the jets can lift above the cut goes no further."""
        return objects.met.pt + event_sum(objects.all_jets, lambda jet: jet.pt * jet_uncertainty(jet)) > self.min_met

    def objects(self, events, shift):
        """Jets apart from leptons, and missing momentum, which follows the jets' energy scale."""
        jets, met = events.Jet, events.MET
        if shift["jet_energy_scale"]:
            sigma = shift["jet_energy_scale"]
            jets = assign(jets, pt=lambda jet: jet.pt * (1 + sigma * jet_uncertainty(jet)))
            met = propagate(met, events.Jet, jets)
        return Objects(
            met=met,
            all_jets=jets,
            clean_jets=lambda objects: clean_jets(objects.all_jets, objects.leptons),
            jets=lambda objects: select(objects.clean_jets, lambda jet: jet.tagged | (jet.pt >= 40)),
            b_jets=lambda objects: select(objects.clean_jets, lambda jet: jet.tagged),
            light_jets=lambda objects: select(objects.jets, lambda jet: ~jet.tagged),
        )

    def preselection(self, objects):
        """Missing momentum."""
        return {"MET": objects.met.pt > self.min_met}

    def observables(self, events, objects):
        """What histograms and training use; jets stay as many as there are."""
        lep1, lep2, jets, met = objects.lepton1, objects.lepton2, objects.jets, objects.met
        pair = vector_sum(lep1, lep2)
        to_lep1, to_lep2 = abs(delta_phi(lep1, met)), abs(delta_phi(lep2, met))
        scalar = ht(lep1, lep2, jets)
        return {
            "mll": objects.mll,
            "mt2": mt2(lep1, lep2, met, precision=1e-6),
            "mt": transverse_mass(pair, met),
            "mt_ll": transverse_mass(lep1, lep2),
            "et_ll": transverse_energy(pair),
            "pt_ll": pair.pt,
            "met": met.pt,
            "met_significance": events.MET.significance * (met.pt / events.MET.pt),
            "ht": scalar,
            "vector_ht": pt_sum(lep1, lep2, jets),
            "rt": met.pt / scalar,
            "mjj": invariant_mass(leading(jets, 0), leading(jets, 1)),
            "n_jets": count(jets),
            "n_bjets": count(objects.b_jets),
            "n_light_jets": count(objects.light_jets),
            "n_central_jets": count(objects.light_jets, lambda jet: abs(jet.eta) < 2.5),
            "n_forward_jets": count(objects.light_jets, lambda jet: abs(jet.eta) >= 2.5),
            "jet_pt": jets.pt,
            "jet_eta": jets.eta,
            "jet_phi": jets.phi,
            "lep1_pt": lep1.pt,
            "lep1_eta": lep1.eta,
            "lep1_phi": lep1.phi,
            "lep2_pt": lep2.pt,
            "lep2_eta": lep2.eta,
            "lep2_phi": lep2.phi,
            "opposite_sign": lep1.charge != lep2.charge,
            "muons": (lep1.kind == MUON) * 1 + (lep2.kind == MUON),
            "dphi_ll": abs(delta_phi(lep1, lep2)),
            "dphi_ll_met": abs(delta_phi(pair, met)),
            "dphi_leading_met": to_lep1,
            "dphi_closest_met": np.minimum(to_lep1, to_lep2),
        }

    def cuts(self, events, objects, observables):
        """The cuts of the regions; those of CC are the thesis's Table 5.3."""
        mll, met = observables["mll"], observables["met"]
        return {
            "ee": observables["muons"] == 0,
            "mm": observables["muons"] == 2,
            "em": observables["muons"] == 1,
            "opposite sign": observables["opposite_sign"],
            "b-veto": observables["n_bjets"] == 0,
            "mll < 110": mll < 110,
            "mll > 110": mll > 110,
            "mll > 120": mll > 120,
            "MET < 100": met < 100,
            "100 < MET < 150": (met >= 100) & (met < 150),
            "MET > 150": met >= 150,
            "MET significance > 10": observables["met_significance"] > 10,
            "mT > 160": observables["mt"] > 160,
            "mT2 > 110": observables["mt2"] > 110,
        }

    def weights(self, events, objects, weights):
        """Uncertainties of the efficiencies to identify leptons and to tag jets."""
        nominal = np.ones(len(events))
        electrons = (objects.lepton1.kind == ELECTRON) * 1 + (objects.lepton2.kind == ELECTRON)
        for name, sigma, number in (
            ("electron_identification", ELECTRON_UNCERTAINTY, electrons),
            ("muon_identification", MUON_UNCERTAINTY, 2 - electrons),
        ):
            weights.add(name, nominal, (1 + sigma) ** number, (1 - sigma) ** number)
        for name, sigma, concerned in (
            ("b_tagging", BTAG_UNCERTAINTY, bottom),
            ("mistagging", MISTAG_UNCERTAINTY, not_bottom),
        ):
            jets = select(objects.clean_jets, lambda jet: (abs(jet.eta) < 2.5) & concerned(jet))  # noqa: B023
            up, down = tagging_weight(jets, sigma), tagging_weight(jets, -sigma)
            weights.add(name, nominal, up, down)


def jet_uncertainty(jet):
    """Relative uncertainty of a jet's energy."""
    return np.hypot(JES_CONSTANT, JES_NOISE / jet.pt)


def triggered(objects):
    """Leading and second lepton above: ee 25, 25; mumu 27, 20; emu 25, 20; mue 27, 25 GeV."""
    first, second = objects.lepton1, objects.lepton2
    return (first.pt > np.where(first.kind == MUON, 27, 25)) & (second.pt > np.where(second.kind == MUON, 20, 25))


def clean_jets(jets, leptons):
    """Jets of at least 30 GeV that are no lepton, hardest first; `tagged` tells which hold a b-hadron, it seems."""
    jets = select(jets, lambda jet: (jet.pt >= 30) & (abs(jet.eta) < 4.5))
    jets = sort_by_pt(select(jets, ~near(jets, leptons, 0.4)))
    return assign(jets, tagged=lambda jet: (jet.btag > BTAG_WORKING_POINT) & (abs(jet.eta) < 2.5))


def bottom(jet):
    """Jets with a b-hadron."""
    return jet.hadronFlavour == 5


def not_bottom(jet):
    """Jets without one."""
    return jet.hadronFlavour != 5


def tagging_probability(jet):
    """Probability that a jet is tagged, as in the detector simulation (ATL-PHYS-PUB-2015-022 for b-jets)."""
    efficiency = 0.80 * np.tanh(0.003 * jet.pt) * 30 / (1 + 0.086 * jet.pt)
    return np.where(jet.hadronFlavour == 5, efficiency, np.where(jet.hadronFlavour == 4, 0.15, 0.003))


def tagging_weight(jets, sigma):
    """Event weight when jets are tagged more often by a fraction: tagged ones weigh more, the others less."""

    def logarithm(jet):
        probability = tagging_probability(jet)
        return np.log(np.where(jet.tagged, 1 + sigma, (1 - (1 + sigma) * probability) / (1 - probability)))

    return np.exp(event_sum(jets, logarithm))
