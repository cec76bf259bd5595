"""Weightings against table 5.2 of R. Guevara's thesis, and what each policy on negative weights costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import ConfigError, EventError
from colonnade.training.declaration import NEGATIVE_POLICIES, WEIGHTINGS
from colonnade.training.weights import apply_policy, compare_policies, effective_number, fit_scale, training_weights


def balanced(weighting, weights, target, points=None):
    points = np.zeros(len(weights), dtype=np.int64) if points is None else points
    regions = np.zeros(len(weights), dtype=np.uint64)
    return training_weights(weighting, np.asarray(weights, dtype=np.float64), np.asarray(target), points, regions)


def test_the_ratios_are_those_of_table_5_2():
    # 69,664,290 background and 2,991,598 signal events; 2,715,280.4 and 388.4 expected: one in 1000 of them here
    counts, expected = np.array([69664, 2992]), np.array([2715280.4, 388.4])
    target = np.repeat([False, True], counts)
    weights = np.repeat(expected / counts, counts)
    before = weights[target][0] / weights[~target][0]
    for weighting, ratio in (
        ("signal_up_raw", 69664290 / 2991598),
        ("background_down_raw", 69664290 / 2991598),
        ("signal_up_weighted", 6990.9),
        ("background_down_weighted", 6990.9),
    ):
        result = balanced(weighting, weights, target)
        after = result[target][0] / result[~target][0]
        assert after / before == pytest.approx(ratio, rel=3e-4)
    # weighted balancing gives both classes the same total
    result = balanced("signal_up_weighted", weights, target)
    assert result[target].sum() == pytest.approx(result[~target].sum())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), weighting=st.sampled_from(WEIGHTINGS))
def test_any_weighting_has_mean_one_and_only_rescales_classes(seed, weighting):
    rng = np.random.default_rng(seed)
    target = np.arange(60) < rng.integers(5, 55)
    points = rng.integers(0, 3, 60)
    weights = rng.uniform(0.1, 5, 60)
    result = balanced(weighting, weights, target, points)
    assert result.mean() == pytest.approx(1)
    unit = weighting in ("none", "background_ratio")
    groups = [(~target, "background")]
    apart = weighting in ("equal_points", "equal_cells")
    groups += [(target & (points == p), p) for p in range(3)] if apart else [(target, "signal")]
    for chosen, _ in groups:
        if chosen.any():
            ratio = result[chosen] / (1 if unit else weights[chosen])
            assert ratio == pytest.approx(ratio[0])


def test_background_ratio_evens_the_numbers():
    target = np.arange(100) < 10
    result = balanced("background_ratio", np.linspace(1, 2, 100), target)
    assert result[target].sum() == pytest.approx(result[~target].sum())


def test_equal_points_even_out_the_signals():
    target = np.array([True] * 6 + [False] * 4)
    points = np.array([1, 1, 1, 1, 2, 2, 0, 0, 0, 0])
    result = balanced("equal_points", np.array([9.0] * 4 + [0.1] * 2 + [5.0] * 4), target, points)
    assert result[:4].sum() == pytest.approx(result[4:6].sum())
    assert result[:6].sum() == pytest.approx(result[6:].sum())


def test_equal_cells_even_out_the_regions_too():
    """By hand: two regions, the second with a hundredth of the background and a point of its own."""
    target = np.array([True, True, True, False, False, True, True, False])
    points = np.array([1, 1, 2, 0, 0, 1, 2, 0])
    weights = np.array([1.0, 3.0, 0.1, 300.0, 100.0, 5.0, 7.0, 4.0])
    regions = np.array([1, 1, 1, 1, 1, 2, 2, 2], dtype=np.uint64)
    result = training_weights("equal_cells", weights, target, points, regions)
    # each point in each region 1, background of each region 2: sums of 8, so the mean of 8 events is 1
    assert result == pytest.approx([0.25, 0.75, 1.0, 1.5, 0.5, 1.0, 1.0, 2.0])
    # a region without background teaches nothing
    alone = training_weights("equal_cells", weights, target, points, np.array([1] * 7 + [2], dtype=np.uint64))
    assert alone[-1] == 0
    assert alone.mean() == pytest.approx(1)
    with pytest.raises(EventError, match="No region has both signal and background"):
        training_weights("equal_cells", weights, target, points, target.astype(np.uint64))


def test_effective_number_of_equal_weights_is_their_number():
    assert effective_number(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_number(np.array([1.0, -1.0])) == 0
    assert effective_number(np.zeros(3)) == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), policy=st.sampled_from(NEGATIVE_POLICIES))
def test_a_policy_keeps_each_process_total(seed, policy):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random(300) < 0.2, -1.0, 1.0) * rng.uniform(0.5, 2, 300)
    process = rng.integers(0, 2, 300)
    treated = apply_policy(weights, process, policy)
    for group in (0, 1):
        assert treated[process == group].sum() == pytest.approx(weights[process == group].sum())
    assert policy == "keep" or treated.min() >= 0
    if policy == "absolute":
        chosen = process == 0
        factor = weights[chosen].sum() / np.abs(weights[chosen]).sum()
        assert treated[chosen] == pytest.approx(np.abs(weights[chosen]) * factor)


def test_reports_tell_effective_statistics_and_bias():
    # negative weights only where x = 1: dropping or flipping them moves the mean of x up
    x = np.repeat([0.0, 1.0, 1.0], [600, 300, 100])
    weights = np.repeat([1.0, 1.0, -1.0], [600, 300, 100])
    reports = {
        report.policy: report for report in compare_policies(weights, np.zeros(1000, dtype=np.int64), ["top"], {"x": x})
    }
    assert reports["keep"].negative == 0.1
    assert reports["keep"].effective == pytest.approx(800**2 / 1000)
    assert reports["drop"].effective == pytest.approx(900)
    assert reports["absolute"].effective == pytest.approx(1000)
    assert reports["keep"].bias["x"] == 0
    # means 0.25 (keep), 1/3 (drop), 0.4 (absolute); error of the first sqrt(600/16 + 400 * 9/16) / 800
    error = np.sqrt(600 * 0.25**2 + 400 * 0.75**2) / 800
    assert reports["drop"].bias["x"] == pytest.approx((1 / 3 - 0.25) / error)
    assert reports["absolute"].bias["x"] == pytest.approx((0.4 - 0.25) / error)


@pytest.mark.parametrize(
    ("weights", "target", "words"),
    [
        ([1, 1], [True, True], "no background events"),
        ([1, 1], [False, False], "no signal events"),
        ([0, 0, 1], [True, True, False], "signal training events add up to 0"),
        ([1, 1, -3], [True, True, False], "background training events add up to -3"),
    ],
)
def test_classes_that_can_not_be_trained(weights, target, words):
    with pytest.raises(EventError, match=words):
        balanced("mc", weights, target)


def test_weights_that_no_policy_can_save():
    process = np.zeros(3, dtype=np.int64)
    with pytest.raises(EventError, match="add up to -1, so they can't be made positive"):
        apply_policy(np.array([1.0, -1.0, -1.0]), process, "absolute")
    with pytest.raises(EventError, match="1 of 3 training weights are not finite"):
        apply_policy(np.array([1.0, np.nan, 1.0]), process, "keep")
    with pytest.raises(ConfigError, match=r"weighting = 'signal_up' is unknown \(did you mean"):
        balanced("signal_up", [1, 1], [True, False])
    with pytest.raises(EventError, match="a signal point add up to -1"):
        balanced("equal_points", [2, -1, 1], [True, True, False], np.array([1, 2, 0]))


def test_scales_are_fitted_to_what_is_there():
    values = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, 4.0], [5.0, 5.0, 8.0]], dtype=np.float32)
    scale = fit_scale("zscore", values)
    assert (values[:, 0] - scale.shift[0]) / scale.width[0] == pytest.approx([-np.sqrt(1.5), 0, np.sqrt(1.5)])
    assert scale.shift.tolist() == [3, 5, 6]
    assert scale.width[1] == 1  # constant
    scale = fit_scale("minmax", values)
    assert (scale.shift.tolist(), scale.width.tolist()) == ([1, 5, 4], [4, 1, 4])
    for name in ("none", "batch", "layer"):
        assert fit_scale(name, values).width.tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match=r"'zscor' is unknown \(did you mean zscore"):
        fit_scale("zscor", values)
