"""Evaluation against counting by hand and closed forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from helpers.training_project import TOY, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import ConfigError
from colonnade.inference import fold_of
from colonnade.statistics import asimov_significance
from colonnade.training.evaluation import (
    accuracy,
    area_under_curve,
    best,
    calibration,
    distributions,
    importance,
    points_of,
    roc,
    significance_scan,
)
from colonnade.training.results import Evaluation, RocCurve, SignalEvaluation


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), levels=st.integers(2, 30))
def test_area_under_curve_is_the_share_of_ordered_pairs(seed, levels):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, 60) / levels  # many ties
    target = np.arange(60) < 25
    weight = rng.uniform(0.1, 3, 60)
    pairs = weight[target][:, None] * weight[~target]
    above = score[target][:, None] > score[~target]
    equal = score[target][:, None] == score[~target]
    expected = (pairs * (above + 0.5 * equal)).sum() / pairs.sum()
    assert area_under_curve(score, weight, target) == pytest.approx(expected)


def test_roc_of_two_gaussians():
    rng = np.random.default_rng(1)
    target = np.arange(200_000) < 100_000
    score = rng.normal(np.where(target, 1.0, 0.0), 1.0)
    expected = 0.5 * (1 + math.erf(1 / 2))  # Phi(d / sqrt 2), d = 1
    assert area_under_curve(score, np.ones(len(score)), target) == pytest.approx(expected, abs=4e-3)
    false, true = roc(score, np.ones(len(score)), target)
    assert (false[0], true[0]) == (0, 0)
    assert (false[-1], true[-1]) == pytest.approx((1, 1))


def test_accuracy_counts_events_on_the_right_side():
    assert accuracy(np.array([0.2, 0.7, 0.6, 0.4]), np.array([False, True, False, True])) == 0.5


def test_significance_is_that_of_the_events_above_the_cut():
    rng = np.random.default_rng(2)
    target = np.arange(3000) < 600
    score = np.where(target, rng.beta(5, 2, 3000), rng.beta(2, 4, 3000))
    weight = np.where(target, 0.05, 2.0)
    for entry in significance_scan(score, weight, target, asimov_significance, 0.2, cuts=[0.0, 0.3, 0.85]):
        above = score > entry.cut
        s, b = weight[above & target].sum(), weight[above & ~target].sum()
        error = 2.0 * math.sqrt((above & ~target).sum())
        assert (entry.signal, entry.background) == pytest.approx((s, b))
        assert entry.background_statistical == pytest.approx(error)
        if error > 0.3 * b:
            assert entry.z is None
        else:
            assert entry.z == pytest.approx(float(asimov_significance(s, b, math.hypot(0.2 * b, error))))


def test_no_significance_is_quoted_where_chance_would_make_it():
    score = np.array([0.1] * 100 + [0.9] * 3 + [0.95] * 50)
    target = np.arange(153) >= 103
    weight = np.ones(153)
    scan = significance_scan(score, weight, target, asimov_significance, 0.1, cuts=[0.0, 0.5, 0.92])
    assert [entry.z is None for entry in scan] == [False, True, True]
    assert best(scan).cut == 0.0


def test_cuts_follow_the_background_where_few_events_are_left():
    # all of the search happens in the last thousandth of the score
    rng = np.random.default_rng(4)
    score = np.concatenate(
        [1 - 1e-4 * rng.uniform(0, 1, 500), rng.uniform(0, 1, 1000), 1 - 1e-3 * rng.uniform(0, 1, 400)]
    )
    target = np.arange(1900) < 500
    weight = np.where(target, 0.01, 1.0)
    scan = significance_scan(score, weight, target, asimov_significance, 0.1)
    left = np.array([entry.background for entry in scan if 20 < entry.background < 300])
    assert np.diff(np.log(np.unique(left))).max() < 0.15
    assert best(scan).background < 60


def test_a_shortened_evaluation_says_the_same_with_fewer_numbers(sample):
    (point, _) = points_of(sample, by_met)
    scan = significance_scan(point.score, point.weight, point.target, asimov_significance, 0.2)
    false, true = roc(point.score, point.weight, point.target)
    counts = distributions(point)
    whole = Evaluation(
        luminosity=10.0,
        background_error=0.2,
        cut=0.85,
        points=(
            SignalEvaluation(
                signal=point.signal,
                parameters={"m": 100.0},
                auc=1 / 3,
                auc_training=0.5,
                accuracy=0.5,
                roc=RocCurve(tuple(false), tuple(true)),
                significance=tuple(scan),
                best=best(scan),
                at_cut=scan[0],
                distributions=counts,
                distributions_training=counts,
            ),
        ),
        calibration=(),
        importance={},
        negative_weights=(),
        effective_events={},
        differences={"onnx": 0.0},
    )
    assert Evaluation.from_json(json.loads(json.dumps(whole.to_json())), "here") == whole
    with pytest.raises(ConfigError, match=r"here.*points\.0\.auc"):
        Evaluation.from_json({**whole.to_json(), "points": [{**whole.to_json()["points"][0], "auc": "good"}]}, "here")
    (small,) = whole.shortened().points
    assert small.auc == 0.33333
    for line, values in ((small.roc.false, false), (small.roc.true, true)):
        assert len(line) <= 100
        assert [line[0], line[-1]] == pytest.approx([values[0], values[-1]])
    assert len(small.significance) <= 80
    assert all(entry.z is not None for entry in small.significance)
    scores = small.distributions
    assert sum(scores.background.events) == (~sample.target).sum()
    assert sum(scores.signal.events) == (sample.process == sample.processes.index(point.signal)).sum()


def test_a_calibrated_score_is_on_the_diagonal():
    rng = np.random.default_rng(3)
    score = rng.uniform(0, 1, 100_000)
    target = rng.random(100_000) < score
    table = calibration(score, np.ones(100_000), target)
    assert len(table) == 10
    for row in table:
        assert row.signal_share == pytest.approx(row.score, abs=0.02)


@pytest.fixture(scope="module")
def sample():
    return make_sample(TOY)


def by_met(inputs, rows):
    """A score that knows MET and the hypothesis, but not x."""
    return np.clip(inputs.event[:, 0] / 300 + inputs.event[:, 2] / 10_000, 0, 1)


def test_background_is_scored_under_each_signals_hypothesis(sample):
    points = points_of(sample, by_met)
    assert [(point.signal, point.parameters) for point in points] == [("S_100", (100.0,)), ("S_200", (200.0,))]
    first, second = points
    background = ~first.target
    assert background.sum() == (~sample.target).sum()
    assert second.score[~second.target] - first.score[background] == pytest.approx(0.01, abs=1e-6)
    assert np.isnan(sample.inputs.event[~sample.target, 2]).all()  # the sample is as it was


def test_weights_make_up_for_events_left_out(sample):
    split = sample.split(1, 0)
    (point, _) = points_of(sample, by_met, split.test, len(sample) / len(split.test))
    assert set(point.rows) <= set(split.test)
    whole = sample.weight[~sample.target].sum()
    assert point.weight[~point.target].sum() == pytest.approx(whole, rel=0.2)


def test_splits_share_no_event_and_follow_the_fold(sample):
    for folds in (1, 2, 3):
        for fold in range(folds):
            split = sample.split(folds, fold)
            everything = np.concatenate([split.train, split.validation, split.test])
            assert np.array_equal(np.sort(everything), np.arange(len(sample)))
            if folds > 1:
                assert set(fold_of(sample.identity, folds)[split.test]) == {fold}
            seen = len(split.train) + len(split.validation)
            assert len(split.validation) / seen == pytest.approx(0.2, abs=0.04)


def test_distributions_count_every_event(sample):
    point = points_of(sample, by_met)[0]
    table = distributions(point)
    assert sum(table.signal.events) == (sample.process == 1).sum()
    assert sum(table.background.events) == (sample.process == 0).sum()


def test_a_feature_that_is_not_used_has_no_importance(sample):
    rows = np.arange(len(sample))
    table = importance(sample, by_met, rows, np.ones(len(rows)))
    assert table["x"] == 0
    assert table["jet_pt"] == 0
    assert table["met"] > 0.1
    assert next(iter(table)) == "met"
