"""The parametrised detector: from true particles to what an analysis sees, for all events of a batch at once.

What is left out: pile-up and multiparton interactions (the soft term's resolution stands for them), jet
directions (not smeared), tails of the jet response, jets taken for electrons or photons, triggers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from colonnade.samples import response
from colonnade.samples.generator import Batch
from colonnade.samples.jets import cluster, energy_correlations, flavour
from colonnade.samples.particles import Bools, Floats, Ints, Jets, Particles, Truth, classify, near_pairs

CALORIMETER_ETA, MUON_ETA, DRESSING_CONE = 4.9, 2.7, 0.1
FAT_JET_RADIUS, FAT_JET_MINIMUM = 1.0, 150.0
# a prompt photon with more than this share of its momentum around it is part of a jet
PHOTON_ISOLATION = 0.2
Columns = Mapping[str, np.ndarray[Any, Any]]
Response = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Collection:
    """A jagged collection as flat columns.

    Attributes
    ----------
    counts
        Objects of each event; None for one value an event.
    columns
        Name to values.
    """

    counts: Ints | None
    columns: Columns


@dataclass(frozen=True)
class _Kind:
    """What tells electrons, muons and photons apart: the mass in GeV, resolution, efficiency and wrong charges.

    `resolution` and `efficiency` are functions of transverse momentum and pseudorapidity, `flip` (the rate of wrong
    charges) of pseudorapidity; it is None for what leaves no track.
    """

    mass: float
    resolution: Response
    efficiency: Response
    flip: Callable[[Floats], Floats] | None


_ELECTRON = _Kind(0.00051099895, response.electron_resolution, response.electron_efficiency, response.charge_flip_rate)
_MUON = _Kind(0.1056583755, response.muon_resolution, response.muon_efficiency, np.zeros_like)
_PHOTON = _Kind(0.0, response.electron_resolution, response.electron_efficiency, None)


def simulate(batch: Batch, content: tuple[str, ...], rng: np.random.Generator) -> dict[str, Collection]:
    """Return what the detector makes of a batch.

    Parameters
    ----------
    batch
        Generated events.
    content
        Collections beside the usual ones: `FatJet`, `Particle`, `GenPart`.
    rng
        Source of all smearing.

    Returns
    -------
    dict
        Electron, Muon, Tau, Photon, Jet (hardest first), MET, GenMET, GenBoson and what `content` names; GeV,
        radians and cm.
    """
    particles, truth = batch.particles, classify(batch.particles)
    visible = (particles.status > 0) & particles.visible & (np.abs(particles.eta) < CALORIMETER_ETA)
    code = np.abs(particles.pdg)
    prompt_lepton = truth.prompt | truth.from_tau
    electron = visible & (code == 11)
    muon = visible & (code == 13) & (np.abs(particles.eta) < MUON_ETA)
    dressed, dressing = _dress(particles, electron & prompt_lepton, visible & truth.prompt & (code == 22))
    around = visible & (code != 11) & (code != 13) & ~dressing & (particles.pt > response.ISOLATION_MINIMUM)
    photon = visible & truth.prompt & (code == 22) & ~dressing & (particles.pt > 8.0)
    photon[photon] = _isolation(particles, photon, around) < PHOTON_ISOLATION
    seen = Seen(len(batch))
    collections = {
        "Electron": _measured(_ELECTRON, dressed, truth, electron, around, rng, seen),
        "Muon": _measured(_MUON, particles, truth, muon, around, rng, seen),
        "Photon": _measured(_PHOTON, particles, truth, photon, around, rng, seen),
    }
    rest = visible & ~photon & ~dressing & ~((code == 11) & prompt_lepton) & ~((code == 13) & prompt_lepton)
    hadrons = particles.take(rest)
    collections |= _jets(hadrons, particles, truth, rng, seen)
    seen.add_soft(hadrons.event, hadrons.px, hadrons.py)
    collections["MET"] = Collection(None, missing_momentum(seen, response.SOFT_RESOLUTION, rng))
    collections |= _generated(batch, hidden=(particles.status > 0) & ~particles.visible)
    if "FatJet" in content:
        collections["FatJet"] = _fat_jets(hadrons, rng)
    if "Particle" in content:
        collections["Particle"] = _stable(particles, visible)
    if "GenPart" in content:
        collections["GenPart"] = _decays(particles)
    return collections


def _dress(particles: Particles, electron: Bools, photon: Bools) -> tuple[Particles, Bools]:
    """Add photons to the prompt electrons that radiated them; return also which photons were used."""
    left, right = near_pairs(particles.take(electron), particles.take(photon), DRESSING_CONE)
    right, first = np.unique(right, return_index=True)  # a photon between two electrons counts once
    radiated = np.flatnonzero(photon)[right]
    used = np.zeros(len(photon), dtype=bool)
    used[radiated] = True
    return _moved(particles, radiated, np.flatnonzero(electron)[left[first]], 1.0), used


def _moved(particles: Particles, parts: Ints, wholes: Ints, sign: float) -> Particles:
    """Add the momenta of parts to those of their wholes, or take them away."""
    columns = {name: getattr(particles, name).copy() for name in ("px", "py", "pz", "energy")}
    for values in columns.values():
        np.add.at(values, wholes, sign * values[parts])
    return replace(particles, **columns)


def _isolation(particles: Particles, candidate: Bools, around: Bools) -> Floats:
    """Return, of each candidate, the pT sum around it over its own pT."""
    chosen, others = particles.take(candidate), particles.take(around)
    one, other = near_pairs(chosen, others, response.ISOLATION_CONE)
    different = np.flatnonzero(candidate)[one] != np.flatnonzero(around)[other]
    total = np.bincount(one[different], weights=others.pt[other[different]], minlength=len(chosen.pdg))
    return total / chosen.pt


def _smeared(resolution: Floats, rng: np.random.Generator) -> Floats:
    """Draw the factors by which true values are measured; none is below a tenth."""
    return np.maximum(1.0 + resolution * rng.standard_normal(len(resolution)), 0.1)


def _measured(
    kind: _Kind,
    particles: Particles,
    truth: Truth,
    candidate: Bools,
    around: Bools,
    rng: np.random.Generator,
    seen: Seen,
) -> Collection:
    """Smear leptons or photons, keep the identified ones, note the prompt ones for the missing momentum."""
    isolation = _isolation(particles, candidate, around)
    where = np.flatnonzero(candidate)
    event, eta, phi = particles.event[where], particles.eta[where], particles.phi[where]
    true_pt = np.maximum(particles.pt[where], 1e-3)
    resolution = kind.resolution(true_pt, eta)
    pt = true_pt * _smeared(resolution, rng)
    prompt = (truth.prompt | truth.from_tau)[where]
    seen.add(event[prompt], pt[prompt], phi[prompt], (resolution * pt)[prompt])
    kept = rng.random(len(where)) < kind.efficiency(pt, eta)
    columns = {"pt": pt, "eta": eta, "phi": phi, "mass": np.full(len(where), kind.mass)}
    if kind.flip is not None:
        flip = rng.random(len(where)) < kind.flip(eta)
        columns["charge"] = (np.where(flip, -1, 1) * np.sign(particles.charge[where])).astype(np.int32)
    columns["pfRelIso03_all"] = isolation * true_pt / pt
    if kind.flip is not None:
        columns |= _impact(particles, where, pt, eta, rng)
    columns["genPartFlav"] = _origin(particles, truth, where)
    return _sorted(event, columns, kept, len(particles.counts))


def _impact(particles: Particles, where: Ints, pt: Floats, eta: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """Return transverse and longitudinal impact parameter of straight tracks as measured, with their errors, in cm."""
    x, y, z = particles.vx[where], particles.vy[where], particles.vz[where]
    px, py, pz = particles.px[where], particles.py[where], particles.pz[where]
    pt_squared = np.maximum(px**2 + py**2, 1e-12)
    true = {
        "dxy": (x * py - y * px) / np.sqrt(pt_squared) / 10.0,
        "dz": (z - (x * px + y * py) / pt_squared * pz) / 10.0,
    }
    errors = {"dxy": response.impact_resolution(pt, eta), "dz": response.z0_resolution(pt, eta) * np.cosh(eta)}
    columns = {}
    for name, error in errors.items():
        columns[name] = true[name] + error * rng.standard_normal(len(where))
        columns[f"{name}Err"] = error
    return columns


def _origin(particles: Particles, truth: Truth, where: Ints) -> Ints:
    """Return NanoAOD's code for where a lepton comes from: 1 prompt, 15 tau, 5 bottom, 4 charm, 3 lighter."""
    mother = particles.mother[where]
    conditions = [truth.prompt[where], truth.from_tau[where], truth.bottom[mother], truth.charm[mother]]
    return np.select(conditions, [1, 15, 5, 4], 3).astype(np.int32)


def _jets(
    hadrons: Particles, particles: Particles, truth: Truth, rng: np.random.Generator, seen: Seen
) -> dict[str, Collection]:
    """Cluster and smear jets, tag them, and find hadronic taus among them and in the record."""
    jets = cluster(hadrons, 0.4, response.JET_MINIMUM / 2)
    event = jets.event
    resolution = response.jet_resolution(jets.pt)
    scale = _smeared(resolution, rng)
    pt, eta, phi = jets.pt * scale, jets.eta, jets.phi
    kept = pt > response.JET_MINIMUM
    seen.add(event[kept], pt[kept], phi[kept], (resolution * pt)[kept])
    seen.add_soft(event[kept], -jets.px[kept], -jets.py[kept])  # they are no part of the soft term
    kind = flavour(jets, particles, truth)
    efficiency = np.where(np.abs(eta) < 2.5, response.btag_efficiency(kind, pt), 0.0)
    drawn = rng.random(len(event))
    tagged = drawn < efficiency
    # a flat score on each side of the working point, 0.5: above it with exactly the table's efficiency
    above = 1.0 - 0.5 * drawn / np.maximum(efficiency, 1e-12)
    below = 0.5 * (1.0 - drawn) / np.maximum(1.0 - efficiency, 1e-12)
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": jets.mass * scale,
        "btag": np.where(tagged, above, below),
        "hadronFlavour": kind.astype(np.int32),
        "nConstituents": jets.constituents.astype(np.int32),
    }
    return {
        "Jet": _sorted(event, columns, kept, len(jets.counts)),
        "Tau": _taus(particles, truth, jets, kept, columns, rng),
    }


def _taus(
    particles: Particles, truth: Truth, jets: Jets, kept: Bools, columns: Columns, rng: np.random.Generator
) -> Collection:
    """Return identified hadronic taus, and jets taken for one: of those kept, by their columns."""
    child = np.flatnonzero((truth.tau_index >= 0) & (np.abs(particles.pdg) == 16))
    taus = _moved(particles, child, truth.tau_index[child], -1.0).take(truth.hadronic_tau)
    charged = (truth.tau_index >= 0) & (particles.charge != 0)
    tracks = np.bincount(truth.tau_index[charged], minlength=len(particles.pdg))[truth.hadronic_tau]
    true_pt = np.maximum(taus.pt, 1e-3)
    pt_scale = _smeared(response.tau_resolution(true_pt), rng)
    prongs = np.where(tracks > 1, 3, 1)
    found = rng.random(len(prongs)) < response.tau_efficiency(prongs, true_pt * pt_scale, taus.eta)
    away = np.ones(len(kept), dtype=bool)
    away[near_pairs(jets, taus, 0.4)[0]] = False
    jet, number = {name: values[kept] for name, values in columns.items()}, np.count_nonzero(kept)
    prongs_of_jet = np.where(rng.random(number) < 0.5, 1, 3)
    # each number of prongs has its own chance, so the sum of both is spread over the draw of prongs
    chance = 2.0 * np.where(prongs_of_jet == 1, response.TAU_FAKE_RATE[1], response.TAU_FAKE_RATE[3])
    fake = away[kept] & (np.abs(jet["eta"]) < 2.5) & (rng.random(number) < chance)
    sign = np.where(rng.random(number) < 0.5, -1.0, 1.0)
    both = {
        "pt": (true_pt * pt_scale, jet["pt"]),
        "eta": (taus.eta, jet["eta"]),
        "phi": (taus.phi, jet["phi"]),
        "mass": (taus.mass * pt_scale, np.minimum(jet["mass"], 1.5)),
        "charge": (taus.charge, sign),
        "prongs": (prongs, prongs_of_jet),
        "genPartFlav": (np.full(len(prongs), 5), np.zeros(number)),
    }
    joined = {name: np.concatenate(parts) for name, parts in both.items()}
    joined |= {name: joined[name].astype(np.int32) for name in ("charge", "prongs", "genPartFlav")}
    event = np.concatenate((taus.event, jets.event[kept]))
    return _sorted(event, joined, np.concatenate((found, fake)), len(jets.counts))


def _fat_jets(hadrons: Particles, rng: np.random.Generator) -> Collection:
    """Cluster large jets, ungroomed as there is no pile-up; D2 is of the true constituents."""
    jets = cluster(hadrons, FAT_JET_RADIUS, FAT_JET_MINIMUM * 0.7)
    scale = _smeared(response.jet_resolution(jets.pt), rng)
    mass = jets.mass * _smeared(np.full(len(scale), response.FAT_JET_MASS_RESOLUTION), rng)
    second, third = energy_correlations(jets, hadrons)
    columns: dict[str, Any] = {
        "pt": jets.pt * scale,
        "eta": jets.eta,
        "phi": jets.phi,
        "mass": mass * scale,
        "D2": third / np.maximum(second, 1e-9) ** 3,
        "nConstituents": jets.constituents.astype(np.int32),
    }
    return _sorted(jets.event, columns, columns["pt"] > FAT_JET_MINIMUM, len(jets.counts))


def _stable(particles: Particles, visible: Bools) -> Collection:
    """Return the true stable particles that leave a trace in the tracker's acceptance."""
    kept = particles.take(visible & (np.abs(particles.eta) < 2.5) & (particles.pt > 0.5))
    columns = kept.kinematics() | {
        "charge": np.sign(kept.charge).astype(np.int32),
        "pdgId": kept.pdg.astype(np.int32),
    }
    return _sorted(kept.event, columns, np.ones(len(kept.pdg), dtype=bool), len(kept.counts))


def _decays(particles: Particles) -> Collection:
    """Return top quarks, W bosons and the fermions that they decay to, in the record's order with their mothers."""
    code, has_mother = np.abs(particles.pdg), particles.mother >= 0
    heavy = np.isin(code, (6, 24))
    kept = heavy | (has_mother & heavy[particles.mother] & (code <= 16))
    chosen = particles.take(kept)
    counts = chosen.counts
    place = np.cumsum(kept) - 1 - (np.cumsum(counts) - counts)[particles.event]
    mother = np.where(has_mother & kept[particles.mother], place[particles.mother], -1)
    columns = chosen.kinematics() | {
        "pdgId": chosen.pdg.astype(np.int32),
        "status": np.abs(chosen.status).astype(np.int32),
        "genPartIdxMother": mother[kept].astype(np.int16),
    }
    return Collection(counts, columns)


def _generated(batch: Batch, hidden: Bools) -> dict[str, Collection]:
    """Return true missing momentum and the hard process's boson, one value an event."""
    particles = batch.particles
    event = particles.event[hidden]
    x = np.bincount(event, weights=particles.px[hidden], minlength=len(batch))
    y = np.bincount(event, weights=particles.py[hidden], minlength=len(batch))
    boson, has = np.maximum(batch.boson, 0), batch.boson >= 0
    columns = {name: np.where(has, values[boson], 0.0) for name, values in particles.kinematics().items()}
    columns["pdgId"] = np.where(has, particles.pdg[boson], 0).astype(np.int32)
    return {
        "GenMET": Collection(None, {"pt": np.hypot(x, y), "phi": np.arctan2(y, x)}),
        "GenBoson": Collection(None, columns),
    }


def _sorted(event: Ints, columns: Columns, kept: Bools, events: int) -> Collection:
    """Keep some objects, hardest first in each event."""
    order = np.flatnonzero(kept)
    order = order[np.lexsort((-columns["pt"][order], event[order]))]
    counts = np.bincount(event[order], minlength=events)
    return Collection(counts, {name: values[order] for name, values in columns.items()})


class Seen:
    """What each event's detector measured so far: momentum sums and their covariance.

    Parameters
    ----------
    events
        The number of events.
    """

    def __init__(self, events: int) -> None:
        self.events = events
        self.x, self.y, self.scalar = np.zeros((3, events))
        self.soft_x, self.soft_y = np.zeros((2, events))
        self.xx, self.xy, self.yy = np.zeros((3, events))

    def add(self, event: Ints, pt: Floats, phi: Floats, error: Floats) -> None:
        """Add measured objects, in GeV; `error` is along the object's direction, across it there is none."""
        cosine, sine = np.cos(phi), np.sin(phi)
        self.x += self._sum(event, pt * cosine)
        self.y += self._sum(event, pt * sine)
        self.scalar += self._sum(event, pt)
        self.xx += self._sum(event, (error * cosine) ** 2)
        self.xy += self._sum(event, error**2 * cosine * sine)
        self.yy += self._sum(event, (error * sine) ** 2)

    def add_soft(self, event: Ints, px: Floats, py: Floats) -> None:
        """Add what is measured together, as the soft term, in GeV."""
        self.soft_x += self._sum(event, px)
        self.soft_y += self._sum(event, py)

    def _sum(self, event: Ints, values: Floats) -> Floats:
        total: Floats = np.bincount(event, weights=values, minlength=self.events).astype(np.float64)
        return total


def missing_momentum(seen: Seen, soft_resolution: float, rng: np.random.Generator) -> dict[str, Floats]:
    """Return the columns of MET.

    The significance is the object-based one of ATLAS-CONF-2018-038: S^2 = E^T V^-1 E with E the missing
    momentum and V the covariance summed over all objects and the soft term. In the frame along E that is
    |E|^2 / (sigma_L^2 (1 - rho_LT^2)), the form of R. Guevara (docs/references.md).

    Parameters
    ----------
    seen
        Everything measured.
    soft_resolution
        Of the soft term, in x and in y, in GeV.
    rng
        Draws the soft term's error.
    """
    soft_x = seen.soft_x + soft_resolution * rng.standard_normal(seen.events)
    soft_y = seen.soft_y + soft_resolution * rng.standard_normal(seen.events)
    x, y = -(seen.x + soft_x), -(seen.y + soft_y)
    xx, yy = seen.xx + soft_resolution**2, seen.yy + soft_resolution**2
    squared = (x**2 * yy - 2.0 * x * y * seen.xy + y**2 * xx) / (xx * yy - seen.xy**2)
    return {
        "pt": np.hypot(x, y),
        "phi": np.arctan2(y, x),
        "significance": np.sqrt(np.maximum(squared, 0.0)),
        "sumEt": seen.scalar + np.hypot(soft_x, soft_y),
        "covXX": xx,
        "covXY": seen.xy,
        "covYY": yy,
    }
