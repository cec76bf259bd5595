"""Monojet: one hard jet and missing transverse momentum, Z -> nu nu against W -> tau nu, by what else is in the event.

Every event is kept: networks learn from a slice of the boson's true pT without any cut, and are judged in each slice
and after the selection. Momenta in GeV, angles in radians.
"""

from __future__ import annotations

import awkward as ak
import numpy as np
from hist.axis import Integer, Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.kinematics import count, delta_phi, select, sort_by_pt
from processors.event_images import ImageScorer, jet_width

PARTICLE = ("pt", "eta", "phi", "mass", "charge", "pdgId")
# of the jets in images; the tracker's particles, of which images are made, reach as far
IMAGE_JET_ETA = 2.5
# in azimuth, how near the missing momentum the hardest particle is looked for
BESIDE = 0.2


class Monojet(Processor):
    """A jet and missing momentum, with the particles that networks look at."""

    histograms = (
        Histogram("met", Regular(60, 0, 1500), label=r"$E_T^{miss}$", unit="GeV"),
        Histogram("leading_jet_pt", Regular(60, 0, 1500), label=r"leading jet $p_T$", unit="GeV"),
        Histogram("n_jets", Integer(0, 10), label="jets"),
        Histogram("dphi_jet_met", Regular(32, 0, np.pi), label=r"least $\Delta\phi(jet, E_T^{miss})$", unit="rad"),
        Histogram("boson_pt", Regular(60, 0, 1500), label=r"true boson $p_T$", unit="GeV"),
        Histogram("n_particles", Regular(50, 0, 300), label="particles"),
        Histogram("score", Regular(50, 0, 1), label="score of the set network"),
        Histogram("score_image", Regular(50, 0, 1), label="score of the image network"),
    )

    selection = ("MET > 250", "leading jet", "at most four jets", "dphi(jet, MET) > 0.4")
    regions = {
        "all": Region(),
        "high": Region("boson pT > 1000"),
        "medium": Region("boson pT 500 to 1000"),
        "low": Region("boson pT 280 to 500"),
        "monojet": Region(*selection, signal=True),
        "monojet_set": Region(*selection, "set network", signal=True),
        "monojet_image": Region(*selection, "image network", signal=True),
    }

    classifiers = {"score_image": ImageScorer}

    def __init__(self, *, threshold: float = 0.5, image_threshold: float = 0.5, **others):
        super().__init__(**others)
        self.threshold = threshold
        self.image_threshold = image_threshold

    def objects(self, events, shift):
        """The jets that the selection counts, those in images, and true stable particles, all hardest first."""
        return Objects(
            jets=sort_by_pt(select(events.Jet, lambda jet: (jet.pt > 30) & (abs(jet.eta) < 2.8))),
            image_jets=sort_by_pt(select(events.Jet, lambda jet: abs(jet.eta) < IMAGE_JET_ETA)),
            particles=events.Particle,
            met=events.MET,
            boson_pt=events.GenBoson.pt,
        )

    def observables(self, events, objects):
        """The selection's quantities, and jagged columns of particles and jets."""
        jets, particles = objects.jets, objects.particles
        apart = abs(delta_phi(jets, objects.met))
        turned = delta_phi(particles, objects.met)
        kind = abs(particles.pdgId)
        return {
            "met": objects.met.pt,
            "leading_jet_pt": first(jets.pt),
            "leading_jet_eta": first(jets.eta),
            "n_jets": count(jets),
            "dphi_jet_met": ak.to_numpy(ak.fill_none(ak.min(apart, axis=1), np.pi)),
            "boson_pt": objects.boson_pt,
            "n_particles": count(particles),
            # what images are made of
            **{f"particle_{name}": particles[name] for name in PARTICLE},
            **{f"jet_{name}": objects.image_jets[name] for name in ("pt", "eta", "phi")},
            "jet_width": jet_width(objects.image_jets, particles),
            "jet_dphi": delta_phi(objects.image_jets, objects.met),
            # what the set network takes: angles from the missing momentum, kinds as numbers
            "particle_log_pt": np.log(particles.pt),
            "particle_dphi": turned,
            # one number that says much: what of a tau lepton is seen flies with its neutrinos
            "pt_beside_met": ak.to_numpy(ak.fill_none(ak.max(particles.pt[abs(turned) < BESIDE], axis=1), 0.0)),
            "particle_is_electron": kind == 11,
            "particle_is_muon": kind == 13,
            "particle_is_photon": kind == 22,
            # without networks all events fail them
            **{name: np.full(len(events), -1.0) for name in ("score", "score_image") if name not in self.scorers},
        }

    def cuts(self, events, objects, observables):
        """The monojet selection (ATLAS, arXiv:1711.03301), slices of the boson's pT, and the networks."""
        boson = observables["boson_pt"]
        return {
            "MET > 250": observables["met"] > 250,
            "leading jet": (observables["leading_jet_pt"] > 250) & (abs(observables["leading_jet_eta"]) < 2.4),
            "at most four jets": observables["n_jets"] <= 4,
            "dphi(jet, MET) > 0.4": observables["dphi_jet_met"] > 0.4,
            "boson pT > 1000": boson > 1000,
            "boson pT 500 to 1000": (boson > 500) & (boson <= 1000),
            "boson pT 280 to 500": (boson > 280) & (boson <= 500),
            "set network": observables["score"] > self.threshold,
            "image network": observables["score_image"] > self.image_threshold,
        }


def first(values):
    """The first of each event's values, 0 where there is none."""
    return ak.to_numpy(ak.fill_none(ak.firsts(values), 0.0))
