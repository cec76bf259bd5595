"""Jets against a brute-force anti-kT, energy correlations against their triple sum, flavour labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from colonnade.samples.jets import cluster, energy_correlations, flavour
from colonnade.samples.particles import Particles, Truth


def brute_force(momenta: list[np.ndarray], radius: float) -> list[np.ndarray]:
    """Anti-kT as arXiv:0802.1189 defines it: merge the nearest pair or make a jet, until nothing is left."""
    left, jets = [np.array(p) for p in momenta], []

    def rapidity(p: np.ndarray) -> float:
        return 0.5 * math.log((p[3] + p[2]) / (p[3] - p[2]))

    def squared(p: np.ndarray) -> float:
        return float(p[0] ** 2 + p[1] ** 2)

    while left:
        best, pair = min((1.0 / squared(p), (i, -1)) for i, p in enumerate(left))
        for i, j in itertools.combinations(range(len(left)), 2):
            dphi = math.remainder(math.atan2(left[i][1], left[i][0]) - math.atan2(left[j][1], left[j][0]), math.tau)
            apart = (rapidity(left[i]) - rapidity(left[j])) ** 2 + dphi**2
            distance = min(1.0 / squared(left[i]), 1.0 / squared(left[j])) * apart / radius**2
            if distance < best:
                best, pair = distance, (i, j)
        i, j = pair
        if j < 0:
            jets.append(left.pop(i))
        else:
            second, first = left.pop(j), left.pop(i)
            left.append(first + second)
    return sorted(jets, key=squared, reverse=True)


@pytest.mark.parametrize("radius", [0.4, 1.0])
def test_clustering_equals_brute_force(radius: float, particles_of: Callable[..., Particles]) -> None:
    rng = np.random.default_rng(3)
    counts = [6, 0, 11, 1, 15]
    number = sum(counts)
    particles = particles_of(
        counts,
        pt=rng.exponential(15.0, number) + 0.5,
        eta=rng.uniform(-1.0, 1.0, number),
        phi=rng.uniform(-1.5, 1.5, number) + np.pi,  # across the seam of the azimuth
    )
    jets = cluster(particles, radius, 5.0)
    found = np.stack((jets.px, jets.py, jets.pz, jets.energy), axis=1)
    momenta = np.stack((particles.px, particles.py, particles.pz, particles.energy), axis=1)
    start, seen = 0, 0
    for event, count in enumerate(counts):
        expected = [p for p in brute_force(list(momenta[start : start + count]), radius) if np.hypot(*p[:2]) >= 5.0]
        assert jets.counts[event] == len(expected)
        np.testing.assert_allclose(found[seen : seen + len(expected)], np.reshape(expected, (-1, 4)), rtol=1e-6)
        start, seen = start + count, seen + len(expected)


def test_constituents_add_up_to_their_jet(particles_of: Callable[..., Particles]) -> None:
    rng = np.random.default_rng(4)
    counts = [30, 0, 25]
    particles = particles_of(
        counts, pt=rng.exponential(8.0, 55) + 0.1, eta=rng.uniform(-2, 2, 55), phi=rng.uniform(-3, 3, 55)
    )
    jets = cluster(particles, 0.4, 5.0)
    jet = np.repeat(np.arange(len(jets.px)), jets.constituents)
    for name in ("px", "py", "pz", "energy"):
        total = np.bincount(jet, weights=getattr(particles, name)[jets.index], minlength=len(jets.px))
        np.testing.assert_allclose(total, getattr(jets, name), rtol=1e-6, atol=1e-6)
    assert len(set(jets.index)) == len(jets.index)


def test_energy_correlations_equal_their_sums(particles_of: Callable[..., Particles]) -> None:
    rng = np.random.default_rng(5)
    particles = particles_of(
        [9, 7], pt=rng.exponential(20.0, 16) + 1.0, eta=rng.normal(0, 0.2, 16), phi=rng.normal(3.1, 0.2, 16)
    )
    jets = cluster(particles, 1.0, 5.0)
    second, third = energy_correlations(jets, particles)
    stops = np.cumsum(jets.constituents)
    for jet, stop in enumerate(stops):
        inside = jets.index[stop - jets.constituents[jet] : stop]
        pt, eta, phi = particles.pt[inside], particles.eta[inside], particles.phi[inside]
        z = pt / pt.sum()

        def apart(i: int, j: int, eta: np.ndarray = eta, phi: np.ndarray = phi) -> float:
            return math.hypot(eta[i] - eta[j], math.remainder(phi[i] - phi[j], math.tau))

        items = range(len(inside))
        e2 = sum(z[i] * z[j] * apart(i, j) for i, j in itertools.combinations(items, 2))
        e3 = sum(
            z[i] * z[j] * z[k] * apart(i, j) * apart(i, k) * apart(j, k) for i, j, k in itertools.combinations(items, 3)
        )
        assert second[jet] == pytest.approx(e2, rel=1e-9, abs=1e-15)
        assert third[jet] == pytest.approx(e3, rel=1e-9, abs=1e-15)


def test_flavour_prefers_bottom_and_needs_a_hadron_nearby(particles_of: Callable[..., Particles]) -> None:
    # three hard pions, far apart; a charm hadron near the first two, a bottom hadron near the second
    particles = particles_of(
        [6],
        pt=[50.0, 40.0, 30.0, 20.0, 20.0, 20.0],
        eta=[0.0, 1.0, -1.0, 0.1, 1.1, 1.1],
        phi=[0.0, 2.0, -2.0, 0.0, 2.0, 2.0],
        pdg=[211, 211, 211, 421, 421, 521],
    )
    none = np.zeros(6, dtype=bool)
    truth = Truth(
        prompt=none,
        from_tau=none,
        tau_index=np.full(6, -1),
        hadronic_tau=none,
        bottom=np.abs(particles.pdg) == 521,
        charm=np.abs(particles.pdg) == 421,
    )
    jets = cluster(particles.take(np.abs(particles.pdg) == 211), 0.4, 5.0)
    assert flavour(jets, particles, truth).tolist() == [4, 5, 0]


def test_an_event_without_particles_has_no_jets(particles_of: Callable[..., Particles]) -> None:
    particles = particles_of([0, 0], pt=[], eta=[], phi=[])
    assert cluster(particles, 0.4, 5.0).counts.tolist() == [0, 0]
