"""How much a selection bends a mass spectrum, on made spectra."""

from __future__ import annotations

import numpy as np
import pytest
from studies.heavy_higgs.sculpting import sculpting

from colonnade.errors import FitError
from colonnade.statistics.resonance import Spectrum


def test_a_selection_near_the_signal_sculpts_and_a_blind_one_does_not():
    rng = np.random.default_rng(3)
    edges = np.linspace(600, 1500, 46)
    mass = 300 + rng.exponential(300, 60_000)
    near = np.exp(-0.5 * ((mass - 1000) / 100) ** 2) > rng.random(len(mass))
    before, kept, shaped = (
        Spectrum.fill(each, edges, np.full(len(each), 0.2)) for each in (mass, mass[::2], mass[near])
    )
    half, sculpted = (sculpting(before, each, (900.0, 1100.0), np.random.default_rng(1)) for each in (kept, shaped))
    assert half.window_ratio == pytest.approx(1, abs=4 * half.window_ratio_error)
    assert half.divergence < half.divergence_expected + 4 * half.divergence_error
    assert sculpted.window_ratio > 2
    assert sculpted.divergence > half.divergence + 50 * half.divergence_error


def test_sculpting_of_a_known_change():
    edges = np.linspace(0, 4, 5)
    before = Spectrum(edges, [400, 400, 100, 100])
    after = Spectrum(edges, [100, 100, 100, 100])
    found = sculpting(before, after, (2.0, 4.0), np.random.default_rng(1))
    assert found.window_ratio == pytest.approx(0.5 / 0.2)
    p, q = np.array([0.4, 0.4, 0.1, 0.1]), np.full(4, 0.25)
    m = (p + q) / 2
    assert found.divergence == pytest.approx(0.5 * (p @ np.log2(p / m) + q @ np.log2(q / m)))
    assert found.divergence_expected < 0.02
    with pytest.raises(FitError, match="need the same bins"):
        sculpting(before, Spectrum(edges + 1, [1, 1, 1, 1]), (2.0, 4.0), np.random.default_rng(1))
