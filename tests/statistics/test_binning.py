"""Bins by statistical error: what they promise holds for any input, or they say that it can't."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from colonnade.errors import FitError
from colonnade.statistics.binning import Sample, right_to_left


def fill(edges: list[float], sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return contents and variances of the bins."""
    index = np.searchsorted(edges, sample.scores, side="right")
    contents, variances = (
        np.bincount(index, each, minlength=len(edges) + 1) for each in (sample.weights, sample.variances)
    )
    return contents, variances


def draw(seed: int, n_signal: int, n_background: int, negative: float, ties: bool) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for count, (a, b) in ((n_signal, (4, 2)), (n_background, (2, 4))):
        scores = rng.beta(a, b, count)
        weights = rng.uniform(0.5, 1.5, count) * np.where(rng.random(count) < negative, -1, 1)
        samples.append(Sample.of(np.round(scores, 1) if ties else scores, weights))
    return samples[0], samples[1]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.booleans(),
    st.sampled_from([0.05, 0.15, 0.5]),
)
def test_every_bin_satisfies_the_bound(seed, n_signal, n_background, negative, ties, error) -> None:
    signal, background = draw(seed, n_signal, n_background, negative, ties)
    possible = all(
        sample.weights.sum() > 0 and np.sqrt(sample.variances.sum()) < error * sample.weights.sum()
        for sample in (signal, background)
    )
    if not possible:
        with pytest.raises(FitError, match="allow a larger error"):
            right_to_left(signal, background, error=error)
        return
    edges = right_to_left(signal, background, error=error)
    assert edges == sorted(set(edges))
    for sample in (signal, background):
        contents, variances = fill(edges, sample)
        assert len(contents) == len(edges) + 1
        assert contents.sum() == pytest.approx(sample.weights.sum())
        assert (contents > 0).all()
        assert (np.sqrt(variances) < error * contents * (1 + 1e-9)).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_right_to_left_has_more_signal_in_each_lower_bin(seed, ties) -> None:
    signal, background = draw(seed, 3000, 3000, 0.0, ties)
    contents, _ = fill(right_to_left(signal, background), signal)
    assert (np.diff(contents) < 0).all()


def brute_force(signal: Sample, background: Sample, error: float) -> list[float]:
    """Right to left, straight from its description, looking at every event for every step."""
    edges, below, before = [], np.inf, 0.0
    for edge in sorted(set(signal.scores) | set(background.scores), reverse=True):
        contents = []
        for sample in (signal, background):
            inside = (sample.scores >= edge) & (sample.scores < below)
            contents.append((sample.weights[inside].sum(), np.sqrt(sample.variances[inside].sum())))
        (s, s_error), (b, b_error) = contents
        if s > before and b > 0 and s_error < error * s and b_error < error * b:
            edges.append(edge)
            below, before = edge, s
    return sorted(edges)[1:]


@pytest.mark.parametrize("ties", [False, True])
def test_right_to_left_against_its_description(ties: bool) -> None:
    signal, background = draw(7, 700, 900, 0.0, ties)
    assert right_to_left(signal, background) == brute_force(signal, background, 0.15)


def test_background_above_the_highest_signal_is_kept() -> None:
    rng = np.random.default_rng(1)
    signal, background = Sample.of(rng.uniform(0, 0.5, 2000)), Sample.of(rng.uniform(0, 1, 2000))
    contents, _ = fill(right_to_left(signal, background), background)
    assert contents.sum() == 2000
    assert contents[-1] >= (background.scores > 0.5).sum()


def test_a_fine_histogram_gives_edges_of_its_own_and_nearly_those_of_the_scores() -> None:
    signal, background = draw(5, 20_000, 20_000, 0.0, ties=False)
    fine = []
    for sample in (signal, background):
        contents, edges = np.histogram(sample.scores, np.linspace(0, 1, 1001), weights=sample.weights)
        squares, _ = np.histogram(sample.scores, edges, weights=sample.variances)
        fine.append(Sample(edges[:-1], contents, squares))
    from_bins, from_scores = right_to_left(*fine), right_to_left(signal, background)
    assert set(np.round(np.array(from_bins) * 1000, 9)) <= set(range(1001))
    assert len(from_bins) == pytest.approx(len(from_scores), abs=max(2, 0.1 * len(from_scores)))
    assert fill(from_bins, fine[0])[0].sum() == pytest.approx(signal.weights.sum())


def test_impossible_input_is_an_error() -> None:
    good = Sample.of(np.linspace(0, 1, 1000))
    none = Sample.of([])
    with pytest.raises(FitError, match="without signal and background"):
        right_to_left(none, good)
    with pytest.raises(FitError, match="all events together hold signal"):
        right_to_left(Sample.of([0.5]), good)
    with pytest.raises(FitError, match="all events together hold signal"):
        right_to_left(Sample.of(good.scores, -good.weights), good)
    with pytest.raises(FitError, match="above 0"):
        right_to_left(good, good, error=0.0)
    with pytest.raises(FitError, match="not a number"):
        Sample.of([np.nan])
    with pytest.raises(FitError, match="equal length"):
        Sample.of([1.0], [1.0, 2.0])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_events_does_not_matter(seed) -> None:
    signal, background = draw(seed, 500, 500, 0.0, ties=True)
    order = np.random.default_rng(seed).permutation(500)
    shuffled = Sample(signal.scores[order], signal.weights[order], signal.variances[order])
    one, other = right_to_left(signal, background), right_to_left(shuffled, background)
    assume(len(one) == len(other))  # a sum in another order may differ in its last bit, right at the bound
    assert one == other
