"""Bump hunting on pyBumpHunter's data, global p-values against brute force and theory."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from colonnade.statistics.scans import bump_hunt, bump_hunt_toys, scan_masses
from scipy import stats

from colonnade.errors import ConfigError, FitError
from colonnade.statistics.resonance import BackgroundTable, Exponential, Gaussian, Spectrum, fit_bump
from colonnade.statistics.look_elsewhere import Calibration, GrossVitells, normal_fit, probability, upcrossings

FILE = Path(__file__).parents[3] / "shared" / "data" / "statistics" / "pyBumpHunter_data.root"


def test_pybumphunter_row():
    """The row of the data folder's README: bin 16, width 4, excess 208, local p 1.7341e-4, 285 windows."""
    if not FILE.exists():
        pytest.skip("needs pyBumpHunter_data.root beside the project, in ../shared/data/statistics")
    import uproot

    edges = np.linspace(0, 20, 61)
    with uproot.open(FILE) as file:
        data, expected = (
            np.histogram(file[tree][branch].array(library="np"), edges)[0]
            for tree, branch in (("data", "data"), ("bkg", "bkg"))
        )
    found = bump_hunt(data, expected, edges, widths=(2, 6))
    assert (found.first, found.width, found.excess, found.windows) == (16, 4, 208, 285)
    assert found.p_local == pytest.approx(1.7341e-4, abs=5e-9)
    assert found.z_local == pytest.approx(3.5776, abs=5e-5)
    toys = bump_hunt_toys(expected, np.random.default_rng(1), toys=2000)
    p_global = probability(int((toys <= found.p_local).sum()), len(toys))
    # looked for in 285 overlapping windows: between one and 285 times less unlikely
    assert 2 * found.p_local < p_global.value < 285 * found.p_local
    json.dumps(found.to_dict(), allow_nan=False)


def test_hunt_against_a_plain_loop():
    rng = np.random.default_rng(3)
    expected = np.linspace(30, 2, 12)
    counts = rng.poisson(expected)
    best = min(
        (float(stats.poisson.sf(counts[i : i + w].sum() - 1, expected[i : i + w].sum())), w, i)
        for w in (1, 2, 3)
        for i in range(12 - w + 1)
        if counts[i : i + w].sum() > expected[i : i + w].sum()
    )
    found = bump_hunt(counts, expected, np.arange(13), widths=(1, 3))
    assert (found.p_local, found.width, found.first) == pytest.approx(best, rel=1e-9)
    assert found.windows == 12 + 11 + 10


def test_one_window_has_no_look_elsewhere():
    """With one window the global p-value is the local one, but for the toys' discreteness."""
    toys = bump_hunt_toys([400.0], np.random.default_rng(5), toys=20000, widths=(1, 1))
    for local in (0.3, 0.1, 0.02):
        assert np.mean(toys <= local) == pytest.approx(local, abs=0.25 * local)


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
    z, signal = scan_masses(table, counts, Gaussian(150.0, 3.0), np.arange(120, 181, 2.0))
    assert np.isfinite(z).all()
    one = fit_bump(Spectrum(edges, counts[0]), Exponential(), Gaussian(150.0, 3.0))
    assert z[0, 15] == pytest.approx(one.z_signed, abs=2e-3)
    assert signal[0, 15] == pytest.approx(one.n_signal_total.value, abs=0.01 * one.n_signal_total.error)
    few = GrossVitells.from_scans(z[:200], level=0.5)
    toys = Calibration(z)
    for level in (2.0, 2.5, 3.0):
        brute, guess = toys.p_global(level), few.p_global(level)
        error = math.hypot(brute.high - brute.value, guess.high - guess.value)
        # the formula counts crossings, of which a scan can have several: Poisson's chance of any at all.
        # Beyond the statistics 10 % are left to steps in mass, between which maxima hide
        assert abs(1 - math.exp(-guess.value) - brute.value) < 3 * error + 0.1 * brute.value
        assert few.trials_factor(level).value > 5
        assert few.z_global(level) < level
    assert toys.trials_factor(2.0, 15).value == pytest.approx(toys.p_global(2.0).value / toys.p_local(2.0, 15).value)


def test_calibration_of_independent_places():
    """Five independent normal places: the largest has the known distribution Phi^5."""
    z = np.random.default_rng(11).normal(size=(40000, 5))
    toys = Calibration(z)
    for level in (1.0, 2.0):
        truth = 1 - stats.norm.cdf(level) ** 5
        p = toys.p_global(level)
        assert abs(p.value - truth) < 3 * (p.high - p.low)
        local = toys.p_local(level, 2)
        assert abs(local.value - stats.norm.sf(level)) < 3 * (local.high - local.low)
    expected = stats.norm.ppf((1 - stats.norm.sf(3)) ** (1 / 5))
    size = toys.size(3.0)
    assert size.low < size.value < size.high
    assert abs(size.value - expected) < 3 * (size.high - size.low)
    local = toys.size(2.0, place=0)
    assert abs(local.value - 2.0) < 3 * (local.high - local.low)
    report = json.loads(json.dumps(toys.summary(labels=list("abcde")), allow_nan=False))
    assert report["global"]["size"]["3"]["value"] == pytest.approx(size.value)
    assert report["local"][1]["place"] == "b"
    assert report["local"][1]["normal"]["width"] == pytest.approx(1.0, abs=0.02)


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
    assert toys.p_local(0.0, 1).value == 1.0
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
    fit = normal_fit(np.random.default_rng(1).normal(0.2, 1.1, 20000))
    assert abs(fit.mean - 0.2) < 4 * fit.mean_error
    assert abs(fit.width - 1.1) < 4 * fit.width_error


def test_bad_input():
    with pytest.raises(ConfigError, match="windows of 2 to 6 bins do not fit a histogram of 4"):
        bump_hunt([1, 1, 1, 1], [1, 1, 1, 1], range(5))
    with pytest.raises(FitError, match="expectation of 0 or more"):
        bump_hunt([1, 1], [0, 0], range(3), widths=(1, 2))
    with pytest.raises(FitError, match="at least one trial"):
        probability(0, 0)
    with pytest.raises(FitError, match="make more toys"):
        normal_fit([1.0, 1.0, 1.0])
    with pytest.raises(FitError, match="1 complete scans"):
        GrossVitells.from_scans([[0.0, 1.0], [np.nan, 0.0]])
