"""Significance of a binned score against sums by hand, its error against drawn samples."""

import itertools
import math

import numpy as np
import pytest
from studies.hnl_tau.selection import binned_significance, mean_significance

from colonnade.statistics.binning import Sample, right_to_left


def make(rng, signal=800, background=4000):
    scores = np.concatenate([rng.beta(4, 2, signal), rng.beta(2, 4, background)])
    weights = np.concatenate([np.full(signal, 0.1), np.full(background, 2.0)])
    return scores, weights, np.arange(len(scores)) < signal


def test_by_hand():
    """The bins are those of the frozen binning; Z^2 is the sum of s^2 / b."""
    scores, weights, is_signal = make(np.random.default_rng(1))
    found = binned_significance(scores, weights, is_signal)
    signal, background = (Sample.of(scores[which], weights[which]) for which in (is_signal, ~is_signal))
    edges = [-math.inf, *right_to_left(signal, background, rest="apart"), math.inf]
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (scores >= low) & (scores < high)
        total += weights[inside & is_signal].sum() ** 2 / weights[inside & ~is_signal].sum()
    assert found.value == pytest.approx(math.sqrt(total))
    assert found.bins == len(edges) - 1 > 2


def test_the_error_is_the_spread_of_repeated_samples():
    """Bins fixed by one sample, events counted 0, 1, 2, ... times: the replicas spread as the error says."""
    rng = np.random.default_rng(2)
    scores, weights, is_signal = make(rng)
    draws = rng.poisson(1.0, (400, len(scores))).astype(np.uint8)
    found = binned_significance(scores, weights, is_signal, draws=draws)
    assert found.replicas.std() == pytest.approx(found.error, rel=0.15)
    assert found.replicas.mean() == pytest.approx(found.value, rel=0.03)


def test_too_few_events_for_a_bin():
    """Then all events are one bin, and `bins` says so."""
    scores, weights, is_signal = make(np.random.default_rng(3), signal=10)
    found = binned_significance(scores, weights, is_signal)
    assert found.bins == 0
    assert found.value == pytest.approx(1.0 / math.sqrt(8000.0))
    assert binned_significance(scores[10:], weights[10:], is_signal[10:]).value == 0.0


def test_a_well_separated_signal_is_not_diluted():
    """The highest bin holds nearly all signal, so that no other can hold more: joined to the rest, it is lost."""
    rng = np.random.default_rng(7)
    scores = np.concatenate([rng.normal(5, 1, 900), rng.normal(0, 1, 20_000)])
    is_signal = np.arange(len(scores)) < 900
    weights = np.where(is_signal, 0.01, 1.0)
    joined, apart = (binned_significance(scores, weights, is_signal, rest=rest) for rest in ("joined", "apart"))
    assert joined.bins == 1
    assert joined.value == pytest.approx(9.0 / math.sqrt(20_000))
    assert apart.bins == 2
    assert apart.value > 10 * joined.value


def test_an_unknown_background_does_not_count():
    """A score turned the wrong way leaves the signal with a handful of background events: no significance of them."""
    rng = np.random.default_rng(8)
    scores = np.concatenate([rng.normal(-5, 1, 900), rng.normal(0, 1, 20_000)])
    is_signal = np.arange(len(scores)) < 900
    weights = np.where(is_signal, 0.01, 1.0)
    low_end = scores < np.sort(scores[~is_signal])[5]
    inflated = weights[low_end & is_signal].sum() / math.sqrt(5)
    assert binned_significance(scores, weights, is_signal).value < 0.5 * inflated


def test_a_better_score_is_more_significant():
    scores, weights, is_signal = make(np.random.default_rng(4))
    worse = np.random.default_rng(5).permutation(scores)
    assert (
        binned_significance(scores, weights, is_signal).value
        > 1.5 * binned_significance(worse, weights, is_signal).value
    )
    # only the order of scores counts
    assert binned_significance(scores**3, weights, is_signal).value == pytest.approx(
        binned_significance(scores, weights, is_signal).value
    )


def test_mean_over_channels():
    rng = np.random.default_rng(6)
    channels = [binned_significance(*make(rng)) for _ in range(5)]
    mean = mean_significance(channels)
    assert mean.value == pytest.approx(np.mean([one.value for one in channels]))
    assert mean.error == pytest.approx(math.sqrt(sum(one.error**2 for one in channels)) / 5)
