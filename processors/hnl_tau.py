"""Heavy neutral leptons that mix with the tau neutrino: three leptons, one or two of them hadronic taus.

W -> tau N, N -> tau W or its charge conjugate: five channels, tau e e (`tee`), tau e mu (`tem`), tau mu mu (`tmm`),
tau tau e (`tte`) and tau tau mu (`ttm`). Leptons are numbered taus first, then electrons, then muons, the hardest of a
kind first. Momenta in GeV, angles in radians.
"""

from __future__ import annotations

import awkward as ak
import numpy as np
from hist.axis import Integer, Regular
from processors.three_leptons import three_lepton_features

from colonnade import Histogram, Objects, Processor, Region
from colonnade.errors import ConfigError
from colonnade.inference import fold_of
from colonnade.kinematics import assign, count, event_sum, merge, near, select

TAU, ELECTRON, MUON = 0, 1, 2
# number of taus, electrons, muons
CHANNELS = {"tee": (1, 2, 0), "tem": (1, 1, 1), "tmm": (1, 0, 2), "tte": (2, 1, 0), "ttm": (2, 0, 1)}
# no two leptons within this distance, no lepton within it of a jet that counts
APART = 0.5
# the simulated detector takes a jet for a tau so often (docs/samples.md, one and three prongs together)
FAKE_RATE = 0.03
FAKES = ("weighted", "sampled")
# the simulation has no model of the mass of a jet taken for a tau: every hadronic tau is given this one
TAU_MASS = 1.777
# draws of fakes: independent of the folds of a training
_FIRST, _SECOND, _CHARGE = 101, 102, 103
_FINE = 1 << 20


class HNLTau(Processor):
    """Three leptons of total charge one without b-jets.

    Jets taken for taus make most of the background, yet a simulated jet is one in 33 times. `tau_fakes="weighted"` lets
    each simulated event that lacks one or two taus have them from its jets, drawn at random, and weights it with the
    probability of just that; `"sampled"` takes the taus that the simulated detector drew. Both expect the same.
    """

    histograms = (
        Histogram("mt_tot", Regular(60, 0, 1200), label=r"$m_T^{tot}$", unit="GeV"),
        Histogram("met", Regular(50, 0, 500), label=r"$E_T^{miss}$", unit="GeV"),
        Histogram("pt_1", Regular(50, 0, 500), label=r"lepton 1 $p_T$", unit="GeV"),
        Histogram("pt_2", Regular(50, 0, 500), label=r"lepton 2 $p_T$", unit="GeV"),
        Histogram("pt_3", Regular(50, 0, 500), label=r"lepton 3 $p_T$", unit="GeV"),
        Histogram("mass_23", Regular(60, 0, 300), label=r"$m_{23}$", unit="GeV"),
        Histogram("mass_123", Regular(50, 0, 1000), label=r"$m_{123}$", unit="GeV"),
        Histogram("hnl_met_mass_a", Regular(50, 0, 1000), label="HNL candidate with missing momentum", unit="GeV"),
        Histogram("w_angle_23", Regular(32, 0, 3.2), label="angle of 2 and 3 in the W frame", unit="rad"),
        Histogram("planes_angle_a", Regular(32, 0, 1.6), label="angle of the W planes", unit="rad"),
        Histogram("n_jets", Integer(0, 8), label="jets"),
        Histogram("score_125", Regular(50, 0, 1), label="score at 125 GeV"),
        Histogram("score_300", Regular(50, 0, 1), label="score at 300 GeV"),
        Histogram("score_1000", Regular(50, 0, 1), label="score at 1000 GeV"),
    )

    regions = {name: Region(name, signal=True) for name in CHANNELS}

    def __init__(self, *, tau_fakes: str = "weighted", **others):
        super().__init__(**others)
        if tau_fakes not in FAKES:
            msg = f"tau_fakes = {tau_fakes!r} is unknown; choose {' or '.join(FAKES)}."
            raise ConfigError(msg)
        self.tau_fakes = tau_fakes
        # without a model there are no scores to show
        self.histograms = tuple(
            histogram
            for histogram in type(self).histograms
            if not histogram.name.startswith("score") or histogram.name in self.scorers
        )

    def common(self, events):
        """Isolated leptons, hardest first with `kind`; jets apart from them; the weight of jets taken for taus."""
        electrons = select(
            events.Electron,
            lambda lepton: (lepton.pt > 10) & (abs(lepton.eta) < 2.5) & (lepton.pfRelIso03_all < 0.15),
        )
        muons = select(
            events.Muon, lambda lepton: (lepton.pt > 10) & (abs(lepton.eta) < 2.4) & (lepton.pfRelIso03_all < 0.15)
        )
        light = merge(electrons, muons)
        taus = select(events.Tau, lambda tau: (tau.pt > 20) & (abs(tau.eta) < 2.3))
        taus = select(taus, ~near(taus, light, APART))
        jets = select(events.Jet, lambda jet: (jet.pt > 20) & (abs(jet.eta) < 2.5))
        jets = select(jets, ~near(jets, light, APART))
        weight = np.ones(len(events))
        if self.tau_fakes == "weighted" and "genPartFlav" in ak.fields(events.Tau):
            taus, weight = with_fakes(events, light, taus, jets)
        leptons = merge(taus, electrons, muons)
        return Objects(
            leptons=leptons, jets=select(jets, ~near(jets, leptons, APART)), fake_weight=weight, met=events.MET
        )

    def skim(self, events):
        """Exactly three leptons, not all of them taus, of total charge one; no b-jet."""
        return {
            "three leptons": lambda objects: count(objects.leptons) == 3,
            "one or two taus": lambda objects: np.isin(count(objects.leptons, lambda one: one.kind == TAU), (1, 2)),
            "total charge": lambda objects: abs(event_sum(objects.leptons, lambda one: one.charge * 1.0)) == 1,
            "b-veto": lambda objects: count(objects.jets, lambda jet: jet.btag > 0.5) == 0,
        }

    def objects(self, events, shift):
        """Nothing that a shift concerns."""
        return Objects()

    def observables(self, events, objects):
        """The features of classifier and regression, and the channel as numbers."""
        kind, pt, eta, phi, mass, charge = in_order(objects.leptons)
        leptons = [(pt[:, place], eta[:, place], phi[:, place], mass[:, place]) for place in range(3)]
        met = (np.asarray(objects.met.pt, dtype=np.float64), np.asarray(objects.met.phi, dtype=np.float64))
        numbers = [(kind == one).sum(axis=1) for one in (TAU, ELECTRON, MUON)]
        features = three_lepton_features(leptons, met, list(charge.T), numbers[TAU])
        channels = {
            f"is_{name}": np.all([number == each for number, each in zip(numbers, wanted, strict=True)], axis=0) * 1.0
            for name, wanted in CHANNELS.items()
        }
        return {**features, **channels, "n_jets": count(objects.jets)}

    def cuts(self, events, objects, observables):
        """The channels."""
        return {name: observables[f"is_{name}"] > 0 for name in CHANNELS}

    def weights(self, events, objects, weights):
        """How probable it is that just these jets are taken for taus."""
        weights.add("tau_fakes", np.asarray(objects.fake_weight))


def in_order(leptons):
    """Return kind, pt, eta, phi, mass, charge of three leptons an event, [N, 3]: by kind, then by falling pt.

    The mass of a tau is a constant, as else a network could tell jets by theirs, which only the simulation cuts off.
    """
    columns = [
        np.asarray(ak.flatten(leptons[name]), dtype=np.float64).reshape(-1, 3)
        for name in ("kind", "pt", "eta", "phi", "mass", "charge")
    ]
    columns[4] = np.where(columns[0] == TAU, TAU_MASS, columns[4])
    order = np.lexsort((-columns[1], columns[0]), axis=1)
    return [np.take_along_axis(column, order, axis=1) for column in columns]


def with_fakes(events, light, taus, jets):
    """Return true taus together with the jets taken for taus, and the probability that it is just so many jets.

    With n jets that could be, exactly k are with probability C(n, k) p^k (1 - p)^(n - k), any of them as likely as
    the others: so k are drawn, k being what is missing to three leptons. The draw depends on the event's identity only.
    """
    true = select(taus, lambda tau: tau.genPartFlav == 5)
    candidates = select(jets, lambda jet: abs(jet.eta) < 2.3)
    candidates = select(candidates, ~near(candidates, true, 0.4))
    number, missing = count(candidates), 3 - count(light) - count(true)
    first = fold_of(events, _FINE, salt=_FIRST) * number // _FINE
    second = fold_of(events, _FINE, salt=_SECOND) * np.maximum(number - 1, 0) // _FINE
    second += second >= first
    event = np.repeat(np.arange(len(number)), number)
    place = np.arange(len(event)) - np.repeat(np.cumsum(number) - number, number)
    drawn = ((missing >= 1) & (missing <= 2))[event] & (place == first[event])
    drawn |= (missing == 2)[event] & (place == second[event])
    # the charge of a jet is as likely + as -
    sign = 2 * ((fold_of(events, _FINE, salt=_CHARGE)[event] >> place.clip(0, 19)) & 1) - 1
    fakes = select(assign(candidates, charge=sign), lambda _jet: drawn)
    ways = np.select([missing == 1, missing == 2], [number, number * (number - 1) // 2], 1)
    fake = np.clip(missing, 0, 2)
    weight = ways * FAKE_RATE**fake * (1 - FAKE_RATE) ** np.maximum(number - fake, 0)
    return merge(true, fakes), weight.astype(np.float64)
