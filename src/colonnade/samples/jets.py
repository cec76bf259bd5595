"""Jets of a batch: anti-kT clustering, flavour, and the shape of large jets."""

from __future__ import annotations

import awkward as ak
import numpy as np

from colonnade.samples.generator import captured, require_extra
from colonnade.samples.particles import Floats, Ints, Jets, Particles, Truth, near_pairs


def cluster(particles: Particles, radius: float, minimum: float) -> Jets:
    """Cluster particles with the anti-kT algorithm (arXiv:0802.1189; fastjet, arXiv:1111.6097).

    Parameters
    ----------
    particles
        What is clustered; four-momenta are added.
    radius
        The algorithm's R.
    minimum
        Lowest transverse momentum of a jet in GeV.
    """
    fastjet = require_extra("fastjet")
    momenta = ak.zip(
        {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy},
        with_name="Momentum4D",
    )
    events = ak.unflatten(momenta, particles.counts)
    with captured():
        sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
        found = sequence.inclusive_jets(min_pt=minimum)
        inside = sequence.constituent_index(min_pt=minimum)
    order = ak.argsort(found.px**2 + found.py**2, axis=1, ascending=False)
    found, inside = found[order], inside[order]
    counts = ak.to_numpy(ak.num(found, axis=1)).astype(np.int64)
    per_jet = ak.flatten(inside, axis=1)
    constituents = ak.to_numpy(ak.num(per_jet, axis=1)).astype(np.int64)
    starts = np.cumsum(particles.counts) - particles.counts
    event_of_constituent = np.repeat(np.repeat(np.arange(len(counts)), counts), constituents)
    index = ak.to_numpy(ak.flatten(per_jet, axis=1)).astype(np.int64) + starts[event_of_constituent]
    flat = ak.flatten(found, axis=1)
    return Jets(
        counts=counts,
        px=ak.to_numpy(flat.px),
        py=ak.to_numpy(flat.py),
        pz=ak.to_numpy(flat.pz),
        energy=ak.to_numpy(flat.E),
        constituents=constituents,
        index=index,
    )


def flavour(jets: Jets, particles: Particles, truth: Truth, distance: float = 0.3) -> Ints:
    """Return 5, 4 or 0 for a jet with a bottom hadron, else a charm hadron, else neither, within a distance.

    Hadrons of more than 5 GeV count, as in ATLAS's labels (arXiv:1907.05120).
    """
    result = np.zeros(len(jets.px), dtype=np.int64)
    for code, heavy in ((4, truth.charm), (5, truth.bottom)):
        hadrons = particles.take(heavy & (particles.pt > 5.0))
        result[near_pairs(jets, hadrons, distance)[0]] = code
    return result


def energy_correlations(jets: Jets, particles: Particles) -> tuple[Floats, Floats]:
    """Return each jet's e2 and e3 with beta = 1 (arXiv:1305.0007); D2 = e3 / e2^3 (arXiv:1409.6298).

    e2 = sum over pairs of z_i z_j R_ij, e3 = sum over triples of z_i z_j z_k R_ij R_ik R_jk, with z the share
    of the constituents' summed pT. With M_ij = sqrt(z_i z_j) R_ij, which is 0 on the diagonal, the second sum
    is tr(M^3) / 6: one matrix product a jet, no triple loop.
    """
    eta, phi, pt = particles.eta[jets.index], particles.phi[jets.index], particles.pt[jets.index]
    stops = np.cumsum(jets.constituents)
    second, third = np.zeros(len(stops)), np.zeros(len(stops))
    for jet, (start, stop) in enumerate(zip(stops - jets.constituents, stops, strict=True)):
        share = pt[start:stop] / pt[start:stop].sum()
        delta_phi = np.subtract.outer(phi[start:stop], phi[start:stop])
        delta_phi = np.remainder(delta_phi + np.pi, 2.0 * np.pi) - np.pi
        apart = np.hypot(np.subtract.outer(eta[start:stop], eta[start:stop]), delta_phi)
        second[jet] = share @ apart @ share / 2.0
        root = np.sqrt(share)
        matrix = root[:, None] * apart * root
        third[jet] = np.einsum("ij,ij->", matrix @ matrix, matrix) / 6.0
    return second, third
