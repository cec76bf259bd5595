"""Metrics at thresholds against sums over events, and the document's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies.monojet.metrics import at_thresholds, peak, sensitivity_gain
from studies.monojet.settings import STUDIES

from colonnade.errors import ConfigError

PROJECT = Path(__file__).parents[3]
scored = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.73, 0.9, 1.0]), st.booleans()), min_size=2).filter(
    lambda drawn: len({signal for _, signal in drawn}) == 2
)


@given(scored)
def test_thresholds_equal_sums_over_events(drawn) -> None:
    score, target = np.array([s for s, _ in drawn]), np.array([t for _, t in drawn])
    rows = at_thresholds(score, target)
    assert [row.threshold for row in rows] == [round(0.05 * place, 2) for place in range(21)]
    for row in rows:
        called = [s > row.threshold for s, _ in drawn]
        true = sum(c and t for c, (_, t) in zip(called, drawn, strict=True))
        assert row.recall == pytest.approx(true / target.sum())
        assert row.precision == pytest.approx(true / sum(called) if any(called) else 1.0)
        assert row.accuracy == pytest.approx(np.mean([c == t for c, (_, t) in zip(called, drawn, strict=True)]))
        assert row.mean_precision_recall == pytest.approx((row.precision + row.recall) / 2)
        assert row.product_precision_recall == pytest.approx(row.precision * row.recall)
    assert peak(rows).product_precision_recall == max(row.product_precision_recall for row in rows)


def test_a_perfect_score_is_perfect() -> None:
    score, target = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])
    (row,) = at_thresholds(score, target, [0.5])
    assert (row.accuracy, row.precision, row.recall) == (1.0, 1.0, 1.0)


def test_the_documents_two_metrics_are_what_its_tables_print() -> None:
    """Table 2: at 0.25, precision 0.789 and recall 0.942 are printed as accuracy 0.866 and product 0.743."""
    signal = np.concatenate([np.full(942, 0.9), np.full(58, 0.1)])
    wrong = round(942 / 0.789) - 942
    background = np.concatenate([np.full(wrong, 0.9), np.full(1000 - wrong, 0.1)])
    target = np.arange(2000) < 1000
    (row,) = at_thresholds(np.concatenate([signal, background]), target, [0.25])
    assert row.mean_precision_recall == pytest.approx(0.866, abs=6e-4)
    assert row.product_precision_recall == pytest.approx(0.743, abs=6e-4)
    assert row.accuracy == pytest.approx((942 + 1000 - wrong) / 2000)
    assert abs(row.accuracy - row.mean_precision_recall) > 0.01


def test_the_gain_in_sensitivity_of_tables_4_and_5() -> None:
    yields = STUDIES["monojet_full"].yields
    assert sum(yields.values()) == pytest.approx(245_466.11)
    cell = {"znunu": 0.964, "wtaunu": 1 - 0.777, "wmunu": 1 - 0.904}
    row_column = {"znunu": 0.963, "wtaunu": 1 - 0.730, "wmunu": 1 - 0.862}
    after = sum(events * cell.get(name, 1.0) for name, events in yields.items())
    assert after == pytest.approx(182_564.77, abs=0.01)
    assert sensitivity_gain(yields, cell, "znunu") == pytest.approx(1.1178, abs=5e-5)
    assert sensitivity_gain(yields, row_column, "znunu") == pytest.approx(1.1073, abs=5e-5)


def test_a_gain_needs_its_yields() -> None:
    with pytest.raises(ConfigError, match="no yield, or no efficiency, of b"):
        sensitivity_gain({"a": 1.0}, {"a": 0.5, "b": 0.1}, "a")
    with pytest.raises(ConfigError, match="of a"):
        sensitivity_gain({"a": 1.0}, {}, "a")
    assert sensitivity_gain({"a": 4.0}, {"a": 0.25}, "a") == pytest.approx(0.5)
