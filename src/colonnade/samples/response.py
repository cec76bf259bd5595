"""The parametrised detector's numbers: efficiencies, resolutions, tagging rates, each with its public source.

DELPHES is the ATLAS card of the Delphes project (cards/delphes_card_ATLAS.tcl), itself quoting ATLAS notes.
Momenta in GeV, lengths in cm. docs/samples.md has the same tables for reading.
"""

from __future__ import annotations

import numpy as np

from colonnade.samples.particles import Floats, Ints

# particles above this count for isolation, within this distance: CMS's relative isolation, without pile-up
ISOLATION_CONE, ISOLATION_MINIMUM = 0.3, 0.5
# jets are kept and count in the missing momentum above this
JET_MINIMUM = 20.0
# soft term, for each of x and y: a choice of the size that ATLAS finds for Z events without jets
# (arXiv:1802.08168); it stands for pile-up and multiparton interactions, which are not simulated
SOFT_RESOLUTION = 9.0
# jets taken for a hadronic tau with one and three prongs: DELPHES, from ATL-PHYS-PUB-2015-045 (medium)
TAU_FAKE_RATE = {1: 0.02, 3: 0.01}
# sigma(m)/m of a large jet: a choice of the size of ATLAS's (arXiv:1807.09477)
FAT_JET_MASS_RESOLUTION = 0.10


def _by_eta(eta: Floats, edges: tuple[float, ...], values: tuple[float, ...]) -> Floats:
    """Look values up in bins of |eta| that start at 0; 0 beyond the last edge."""
    table = np.append(np.asarray(values, dtype=np.float64), 0.0)
    found: Floats = table[np.digitize(np.abs(eta), edges, right=True)]
    return found


def electron_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Return the reconstruction and identification efficiency of an electron or photon; DELPHES."""
    return np.where(pt > 10.0, _by_eta(eta, (1.5, 2.5), (0.95, 0.85)), 0.0)


def muon_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Return the reconstruction and identification efficiency of a muon; DELPHES."""
    return np.where(pt > 10.0, _by_eta(eta, (1.5, 2.7), (0.95, 0.85)), 0.0)


def tau_efficiency(prongs: Ints, pt: Floats, eta: Floats) -> Floats:
    """Return the efficiency for a hadronic tau with one or more prongs; DELPHES, ATL-PHYS-PUB-2015-045."""
    inside = (pt > JET_MINIMUM) & (np.abs(eta) < 2.5)
    return np.where(inside, np.where(prongs > 1, 0.60, 0.70), 0.0)


def btag_efficiency(flavour: Ints, pt: Floats) -> Floats:
    """Return the tagging rate of b (5), c (4) and light (0) jets; DELPHES, from ATL-PHYS-PUB-2015-022."""
    bottom = 0.80 * np.tanh(0.003 * pt) * 30.0 / (1.0 + 0.086 * pt)
    charm = 0.20 * np.tanh(0.02 * pt) / (1.0 + 0.0034 * pt)
    light = 0.002 + 7.3e-6 * pt
    return np.select([flavour == 5, flavour == 4], [bottom, charm], light)


def electron_resolution(pt: Floats, eta: Floats) -> Floats:
    """Return sigma(E)/E of an electron or photon: 10.1 %/sqrt(E) + 0.17 %; DELPHES."""
    energy = pt * np.cosh(eta)
    return np.hypot(0.0017, 0.101 / np.sqrt(energy))


def muon_resolution(pt: Floats, eta: Floats) -> Floats:
    """Return sigma(pT)/pT of a muon; DELPHES, its last bin used out to |eta| = 2.7."""
    constant = _by_eta(eta, (0.5, 1.5, 10.0), (0.01, 0.015, 0.025))
    slope = _by_eta(eta, (0.5, 1.5, 10.0), (1.0e-4, 1.5e-4, 3.5e-4))
    return np.hypot(constant, slope * pt)


def tau_resolution(pt: Floats) -> Floats:
    """Return sigma(pT)/pT of a hadronic tau: a choice, 16 % at 20 GeV and 5 % at 300 GeV."""
    return np.hypot(0.035, 0.70 / np.sqrt(pt))


def jet_resolution(pt: Floats) -> Floats:
    """Return sigma(pT)/pT of an R = 0.4 jet: noise, stochastic and constant term in quadrature.

    Chosen to meet ATLAS's 24 % at 20 GeV and 6 % at 300 GeV (arXiv:2007.02645).
    """
    result: Floats = np.sqrt((3.1 / pt) ** 2 + 0.80**2 / pt + 0.04**2)
    return result


def impact_resolution(pt: Floats, eta: Floats) -> Floats:
    """Return sigma(d0) in cm: 10 um (1 + 14 GeV/pT) central, 12 um (1 + 20 GeV/pT) forward.

    The terms add in quadrature; ATLAS expected performance, arXiv:0901.0512, tracking table.
    """
    floor = np.where(np.abs(eta) < 1.5, 10.0e-4, 12.0e-4)
    scale = np.where(np.abs(eta) < 1.5, 14.0, 20.0)
    return floor * np.hypot(1.0, scale / pt)


def z0_resolution(pt: Floats, eta: Floats) -> Floats:
    """Return sigma(z0 sin theta) in cm: 91 um (1 + 2.3 GeV/pT) central, 71 um (1 + 3.7 GeV/pT) forward.

    The terms add in quadrature; ATLAS expected performance, arXiv:0901.0512, tracking table.
    """
    floor = np.where(np.abs(eta) < 1.5, 91.0e-4, 71.0e-4)
    scale = np.where(np.abs(eta) < 1.5, 2.3, 3.7)
    return floor * np.hypot(1.0, scale / pt)


def charge_flip_rate(eta: Floats) -> Floats:
    """Return how often an electron's charge comes out wrong: a choice, 0.1 % central and 1 % forward."""
    return np.where(np.abs(eta) < 1.5, 0.001, 0.01)
