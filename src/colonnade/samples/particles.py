"""Generated particles and jets as flat columns with a count for each event, and what each particle truly is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Momenta:
    """What follows from the momenta (`px`, `py`, `pz`, `energy` in GeV) of objects; each event has `counts` of them."""

    counts: Ints
    px: Floats
    py: Floats
    pz: Floats
    energy: Floats

    @cached_property
    def event(self) -> Ints:
        """The index of each object's event."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def pt(self) -> Floats:
        """Transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @cached_property
    def phi(self) -> Floats:
        """Azimuth in radians."""
        return np.arctan2(self.py, self.px)

    @cached_property
    def eta(self) -> Floats:
        """Pseudorapidity; +-20 or more along the beam."""
        return np.arcsinh(self.pz / np.maximum(self.pt, 1e-9))

    @cached_property
    def mass(self) -> Floats:
        """Invariant mass in GeV, 0 where rounding makes it imaginary."""
        squared = self.energy**2 - self.px**2 - self.py**2 - self.pz**2
        return np.sqrt(np.maximum(squared, 0.0))

    def kinematics(self) -> dict[str, Floats]:
        """Return the columns `pt`, `eta`, `phi` and `mass`."""
        return {"pt": self.pt, "eta": self.eta, "phi": self.phi, "mass": self.mass}


@dataclass(frozen=True)
class Particles(Momenta):
    """Every particle of a batch of events: one entry a particle, events one after the other.

    Attributes
    ----------
    counts
        Particles of each event.
    pdg
        Particle Data Group code.
    status
        Pythia's status code: positive for what is stable.
    mother
        Index of the (first) mother in these arrays, -1 for none.
    px, py, pz, energy
        In GeV.
    vx, vy, vz
        Point of production in mm.
    charge
        In units of e.
    visible
        Whether a detector could see a particle of this kind.
    """

    counts: Ints
    pdg: Ints
    status: Ints
    mother: Ints
    px: Floats
    py: Floats
    pz: Floats
    energy: Floats
    vx: Floats
    vy: Floats
    vz: Floats
    charge: Floats
    visible: Bools

    def take(self, mask: Bools) -> Particles:
        """Return the particles that a mask keeps; their mothers are no longer known."""
        kept = {
            field.name: getattr(self, field.name)[mask]
            for field in fields(self)
            if field.name not in {"counts", "mother"}
        }
        counts = np.bincount(self.event[mask], minlength=len(self.counts))
        return Particles(counts=counts, mother=np.full(counts.sum(), -1), **kept)


@dataclass(frozen=True)
class Jets(Momenta):
    """Jets as flat columns, hardest first in each event.

    Attributes
    ----------
    counts
        Jets of each event.
    px, py, pz, energy
        In GeV.
    constituents
        Constituents of each jet.
    index
        The constituents' places in the particles that were clustered, jet after jet.
    """

    counts: Ints
    px: Floats
    py: Floats
    pz: Floats
    energy: Floats
    constituents: Ints
    index: Ints


@dataclass(frozen=True)
class Truth:
    """What the particles of a batch truly are; one entry a particle.

    Attributes
    ----------
    prompt
        Stable, not from a hadron's or tau's decay, nor from the beams.
    from_tau
        Stable electron or muon from the decay of a prompt tau.
    tau_index
        For stable particles and neutrinos, the index of the prompt tau that is their mother, else -1.
    hadronic_tau
        Prompt taus that decay without an electron or muon.
    bottom, charm
        Hadrons with that quark.
    """

    prompt: Bools
    from_tau: Bools
    tau_index: Ints
    hadronic_tau: Bools
    bottom: Bools
    charm: Bools


def pairs_within_events(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Return the flat indices of every pair of one item of each collection in the same event.

    Parameters
    ----------
    first, second
        The number of items of each event in the two collections.

    Examples
    --------
    >>> pairs_within_events(np.array([1, 2]), np.array([2, 1]))
    (array([0, 0, 1, 2]), array([0, 1, 2, 2]))
    """
    event = np.repeat(np.arange(len(first)), first)
    partners = second[event]
    left = np.repeat(np.arange(len(event)), partners)
    starts = np.cumsum(second) - second
    within = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
    return left, within + starts[event[left]]


def near_pairs(first: Momenta, second: Momenta, distance: float) -> tuple[Ints, Ints]:
    """Return the pairs of `pairs_within_events` that are less than a distance apart in (eta, phi)."""
    left, right = pairs_within_events(first.counts, second.counts)
    delta_eta = first.eta[left] - second.eta[right]
    delta_phi = np.remainder(first.phi[left] - second.phi[right] + np.pi, 2.0 * np.pi) - np.pi
    near = delta_eta**2 + delta_phi**2 < distance**2
    return left[near], right[near]


def classify(particles: Particles) -> Truth:
    """Find prompt leptons and photons, hadronic taus and heavy hadrons from Pythia's record.

    Pythia's status codes 21 to 69 are of the hard process, showers and beam remnants; from 71 on particles
    come from hadronisation and decays (Pythia 8 manual, "Particle Properties"). So a stable lepton below 70
    is prompt; a prompt tau is one below 70 that has decayed.
    """
    code, status = np.abs(particles.pdg), np.abs(particles.status)
    stable = particles.status > 0
    early = (status > 20) & (status < 70)
    has_mother = particles.mother >= 0
    mother = np.where(has_mother, particles.mother, 0)
    tau = (code == 15) & ~stable & early
    child_of_tau = has_mother & tau[mother] & (code != 15)
    tau_index = np.where(child_of_tau, mother, -1)
    lepton = (code == 11) | (code == 13)
    leptonic = np.zeros(len(code), dtype=bool)
    leptonic[mother[child_of_tau & lepton]] = True
    # a tau that radiates appears again as its own daughter; only the last copy has other daughters
    decayed = np.zeros(len(code), dtype=bool)
    decayed[mother[child_of_tau & (code == 16)]] = True
    return Truth(
        prompt=stable & early,
        from_tau=stable & child_of_tau & lepton,
        tau_index=tau_index,
        hadronic_tau=tau & decayed & ~leptonic,
        bottom=_holds(code, 5),
        charm=_holds(code, 4) & ~_holds(code, 5),
    )


def _holds(code: Ints, quark: int) -> Bools:
    """Tell the hadrons whose heaviest quark this is, from the digits of their code (PDG, section 44)."""
    meson, baryon = (code // 100) % 10, (code // 1000) % 10
    hadron = (code > 100) & (code < 1_000_000)
    result: Bools = hadron & ((baryon == quark) | ((baryon == 0) & (meson == quark)))
    return result
