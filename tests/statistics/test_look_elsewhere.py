"""Global p-values against brute force and theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from colonnade.errors import FitError
from colonnade.statistics.look_elsewhere import Calibration, GrossVitells, probability, upcrossings
from colonnade.statistics.resonance import (
    BackgroundTable,
    Exponential,
    Gaussian,
    Spectrum,
    fit_bump,
    fit_bumps,
)


def test_upcrossings():
    scans = [[0, 2, 0, 2, 2, 0], [2, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0.0]]
    assert upcrossings(scans, 1.0).tolist() == [2, 0, 1]


def test_gross_and_vitells_against_brute_force():
    """Their extrapolation from 200 scans against the maxima of 700: a peak looked for at 31 masses."""
    edges = np.linspace(100, 200, 51)
    table = BackgroundTable(Exponential(), edges)
    centers = 0.5 * (edges[1:] + edges[:-1])
    expected = 400 * np.exp(-(centers - 100) / 50)
    counts = np.random.default_rng(7).poisson(expected, size=(700, 50)).astype(float)
    masses = np.arange(120, 181, 2.0)
    fits = [fit_bumps(table, counts, Gaussian(mass, 3.0).fractions(edges)) for mass in masses]
    z = np.stack([found.z for found in fits], axis=1)
    assert np.isfinite(z).all()
    one = fit_bump(Spectrum(edges, counts[0]), Exponential(), Gaussian(150.0, 3.0))
    assert z[0, 15] == pytest.approx(one.z_signed, abs=2e-3)
    assert fits[15].signal[0] == pytest.approx(one.n_signal_total.value, abs=0.01 * one.n_signal_total.error)
    few = GrossVitells.from_scans(z[:200], level=0.5)
    toys = Calibration(z)
    for level in (2.0, 2.5, 3.0):
        brute, guess = toys.p_global(level), few.p_global(level)
        error = math.hypot(brute.high - brute.value, guess.high - guess.value)
        # the formula counts crossings, of which a scan can have several: Poisson's chance of any at all.
        # Beyond the statistics 10 % are left to steps in mass, between which maxima hide
        assert abs(1 - math.exp(-guess.value) - brute.value) < 3 * error + 0.1 * brute.value
        assert guess.value > 5 * stats.norm.sf(level)


def test_calibration_of_independent_places():
    """Five independent normal places: the largest has the known distribution Phi^5."""
    z = np.random.default_rng(11).normal(size=(40000, 5))
    toys = Calibration(z)
    for level in (1.0, 2.0):
        truth = 1 - stats.norm.cdf(level) ** 5
        p = toys.p_global(level)
        assert abs(p.value - truth) < 3 * (p.high - p.low)
    expected = stats.norm.ppf((1 - stats.norm.sf(3)) ** (1 / 5))
    size = toys.size(3.0)
    assert size.low < size.value < size.high
    assert abs(size.value - expected) < 3 * (size.high - size.low)
    local = toys.size(2.0, place=0)
    assert abs(local.value - 2.0) < 3 * (local.high - local.low)


def test_interval_of_the_size_covers():
    """The quantile's interval holds the truth in about 68 % of repetitions."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        size = Calibration(rng.normal(size=(1000, 1))).size(2.0)
        hits += size.low <= 2.0 <= size.high
    # binomial error 2.7 %; ranks are whole numbers, so it covers a little more
    assert 0.60 < hits / 300 < 0.80


def test_failed_fits_are_counted_not_used():
    z = np.array([[1.0, np.nan], [np.nan, np.nan], [0.5, 2.0]])
    toys = Calibration(z)
    assert toys.lost == 1
    assert toys.maxima.tolist() == [1.0, 2.0]
    with pytest.raises(FitError, match="no scan has a converged fit"):
        Calibration([[np.nan]])
    with pytest.raises(FitError, match="make at least 741"):
        Calibration(np.zeros((100, 1))).size(3.0)


def test_intervals():
    interval = probability(10, 100)
    assert interval.value == 0.1
    # Clopper and Pearson: the ends are where the tail probabilities are 15.9 %
    assert stats.binom.sf(9, 100, interval.low) == pytest.approx(stats.norm.sf(1), rel=1e-6)
    assert stats.binom.cdf(10, 100, interval.high) == pytest.approx(stats.norm.sf(1), rel=1e-6)
    assert probability(0, 10).low == 0
    assert probability(10, 10).high == 1


def test_bad_input():
    with pytest.raises(FitError, match="at least one trial"):
        probability(0, 0)
    with pytest.raises(FitError, match="1 complete scans"):
        GrossVitells.from_scans([[0.0, 1.0], [np.nan, 0.0]])
