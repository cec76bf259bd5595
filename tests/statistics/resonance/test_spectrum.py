"""Spectra: filling, ranges, merging, and the sentences for bad ones."""

from __future__ import annotations

import hist
import numpy as np
import pytest

from colonnade.errors import EventError, FitError
from colonnade.statistics.resonance import Exponential, Gaussian, Spectrum, fit_background, fit_bump

EDGES = np.linspace(0.0, 10.0, 11)


def test_histogram_and_sample_give_the_same_spectrum():
    rng = np.random.default_rng(1)
    x, w = rng.uniform(-1, 11, 500), rng.normal(1.0, 0.5, 500)
    histogram = hist.Hist(hist.axis.Regular(10, 0, 10, name="m"), storage=hist.storage.Weight()).fill(x, weight=w)
    one, two = Spectrum.from_hist(histogram), Spectrum.fill(x, EDGES, w, name="m")
    assert one.name == "m"
    assert one.values == pytest.approx(two.values)
    assert one.variances == pytest.approx(two.variances)
    with pytest.raises(FitError, match="pick a region and a variation"):
        Spectrum.from_hist(hist.Hist(hist.axis.Regular(2, 0, 1, name="a"), hist.axis.Regular(2, 0, 1, name="b")))


def test_range_takes_whole_bins_and_stays_on_the_axis():
    spectrum = Spectrum(EDGES, np.arange(10.0))
    part = spectrum.between(2.0, 5.5)
    assert part.edges.tolist() == [2, 3, 4, 5]
    assert part.values.tolist() == [2, 3, 4]
    with pytest.raises(FitError, match="reaches outside the axis \\(0 to 10\\)"):
        spectrum.between(-1, 5)
    with pytest.raises(FitError, match="no whole bin"):
        spectrum.between(2.1, 2.9)


def test_merging_keeps_the_sums_and_leaves_no_zero_variance():
    values = np.array([0, 0, 3, 0, 5, 0, 0, 1, 0, 0.0])
    merged = Spectrum(EDGES, values).merged()
    assert merged.values.tolist() == [3, 5, 1]
    assert merged.edges.tolist() == [0, 3, 5, 10]
    assert np.all(merged.variances > 0)


def test_a_spectrum_does_not_change_with_the_array_it_came_from():
    values = np.ones(10)
    spectrum = Spectrum(EDGES, values)
    values[:] = 7
    assert spectrum.values.sum() == 10
    with pytest.raises(ValueError, match="read-only"):
        spectrum.values[0] = 3


@pytest.mark.parametrize(
    ("values", "variances", "sentence"),
    [
        (np.zeros(10), None, "no event lies between 0 and 10"),
        (-np.ones(10), np.ones(10), "weights sum to -10 between 0 and 10"),
        (np.array([-5.0, *[0.1] * 9]), np.ones(10), "weights sum to -4.1"),
    ],
)
def test_unfittable_content_is_one_sentence(values, variances, sentence):
    spectrum = Spectrum(EDGES, values, variances)
    with pytest.raises(FitError, match=sentence):
        fit_background(spectrum, Exponential(), cost="chi2" if variances is not None else "poisson")


def test_not_a_number_is_named_by_its_bin():
    with pytest.raises(EventError, match="bin 3 \\(3 to 4\\)"):
        Spectrum(EDGES, [1, 1, 1, np.nan, *[1] * 6])
    with pytest.raises(EventError, match="1 of 3 entries"):
        Spectrum.fill([1.0, np.inf, 2.0], EDGES)
    with pytest.raises(FitError, match="must rise"):
        Spectrum([0, 2, 1], [1, 1])
    with pytest.raises(FitError, match="one value and variance a bin"):
        Spectrum(EDGES, np.ones(9))


def test_window_over_the_range_and_too_few_bins():
    spectrum = Spectrum(EDGES, np.full(10, 50.0))
    with pytest.raises(FitError, match="covers the fit range"):
        fit_background(spectrum, Exponential(), blind=(-1, 11))
    with pytest.raises(FitError, match="1 fitted bins can't determine the 2 parameters"):
        fit_background(spectrum, Exponential(), blind=(0.5, 9))
    with pytest.raises(FitError, match="window 5 to 4 is empty"):
        fit_background(spectrum, Exponential(), blind=(5, 4))
    empty_sides = Spectrum(EDGES, [0, 0, 0, 9, 9, 9, 9, 0, 0, 0])
    with pytest.raises(FitError, match="sidebands hold no event"):
        fit_background(empty_sides, Exponential(), blind=(3, 7))
    other = Spectrum(np.linspace(0, 10, 21), np.full(20, 50.0))
    frozen = fit_background(other, Exponential())
    with pytest.raises(FitError, match="fitted on other bins"):
        fit_bump(spectrum, Exponential(), Gaussian(5.0, 1.0), frozen=frozen)
