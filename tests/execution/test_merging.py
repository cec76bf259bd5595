"""The order of adding is fixed, whatever the order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hist import Hist
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import EventError
from colonnade.execution.merging import FAN_IN, GROUP, MergeTree, add, fold


def by_definition(values: list[float | None]) -> float | None:
    """Add in blocks, written as the definition: groups from left to right, then blocks of groups, and so on."""
    size = GROUP
    while len(values) > 1:
        blocks = [values[start : start + size] for start in range(0, len(values), size)]
        values, size = [], FAN_IN
        for block in blocks:
            total = None
            for value in block:
                if value is not None:
                    total = value if total is None else total + value
            values.append(total)
    return values[0]


def merged(
    values: list[float | None], order: list[int], whole: frozenset[int] = frozenset()
) -> tuple[float | None, int]:
    """Merge through the tree; also return the largest number of sums that were alive at once.

    The groups in `whole` come as sums, when their first chunk is due.
    """
    tree = MergeTree(len(values))
    alive = peak = 0
    for chunk in order:
        group, place = divmod(chunk, GROUP)
        together = values[chunk - place : chunk - place + GROUP]
        if group in whole and None not in together:
            if place:
                continue
            alive += 1
            total = together[0]
            for value in together[1:]:
                total += value
            work = tree.offer_group(group, total)
        elif values[chunk] is None:
            work = tree.skip(chunk)
        else:
            alive += 1
            work = tree.offer(chunk, values[chunk])
        peak = max(peak, alive)
        while work:
            step = work.pop()
            total = step.total
            for part in step.parts:
                total = part if total is None else total + part
                alive -= 1
            if step.total is None:
                alive += 1
            work.extend(tree.added(step, total))
            assert 0 <= tree.loose <= alive
    assert tree.finished
    assert tree.loose == 0
    return tree.root, peak


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_of_arrival_gives_the_same_bits(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    number = st.floats(-1e12, 1e12, allow_subnormal=False)
    values = data.draw(st.lists(number | st.none(), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    expected = by_definition(values)
    whole = data.draw(st.frozensets(st.integers(0, count // GROUP)))
    found, _ = merged(values, order, whole)
    assert (found is None) == (expected is None)
    assert found is None or np.float64(found).tobytes() == np.float64(expected).tobytes()


def test_three_levels_are_added_as_defined() -> None:
    rng = np.random.default_rng(5)
    count = GROUP * FAN_IN + 7
    values = list(rng.normal(size=count) * 10.0 ** rng.integers(-8, 8, count))
    order = list(rng.permutation(len(values)))
    assert merged(values, order)[0] == by_definition(values)
    assert merged(values, order, frozenset(range(0, FAN_IN, 2)))[0] == by_definition(values)
    assert by_definition(values) != sum(values)  # so the order shows


def test_memory_does_not_grow_with_the_chunks() -> None:
    peaks = [merged([1.0] * count, list(range(count)))[1] for count in (300, 4000)]
    assert peaks[0] == peaks[1] <= 4


def test_no_chunks_is_nothing() -> None:
    assert MergeTree(0).finished


def histogram(value: float) -> Hist:
    made = Hist.new.Reg(4, 0, 1, name="x").Weight()
    made.fill(np.array([0.1, 0.6]), weight=value)
    return made


def test_results_add_part_by_part() -> None:
    first = {"histograms": {"x": histogram(1.5)}, "cutflow": {"a": np.array([1.0, 2.0])}, "events": 3, "name": "z"}
    second = {"histograms": {"x": histogram(2.0)}, "cutflow": {"b": np.array([5.0])}, "events": 4, "name": "z"}
    total = fold(None, first, second)
    assert total["events"] == 7
    assert total["name"] == "z"
    assert total["histograms"]["x"].sum().value == pytest.approx(7.0)
    assert total["histograms"]["x"].sum().variance == pytest.approx(2 * 1.5**2 + 2 * 2.0**2)
    assert total["cutflow"]["a"].tolist() == [1.0, 2.0]
    assert total["cutflow"]["b"].tolist() == [5.0]


def test_folding_leaves_its_inputs_alone() -> None:
    first, second = {"x": histogram(1.0), "n": 1}, {"x": histogram(2.0), "n": 2}
    fold(first, second)
    fold(None, first, second)
    assert first["n"] == 1
    assert first["x"].sum().value == 2.0
    assert second["x"].sum().value == 4.0


@pytest.mark.parametrize(
    ("one", "other"), [("a", "b"), (1, "b"), ([1], [1, 2]), (np.zeros(2), np.zeros(3)), (True, False)]
)
def test_what_does_not_add_is_refused(one: object, other: object) -> None:
    with pytest.raises(EventError, match="don't add"):
        add({"key": one}, {"key": other})
