"""Combinations of objects against itertools, and the best of them against a loop."""

from __future__ import annotations

import itertools

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import ConfigError
from colonnade.kinematics import combinations, select, smallest

LISTS = st.lists(st.lists(st.integers(-1000, 1000).map(float), max_size=6), min_size=1, max_size=5)


def collection(lists: list[list[float]]) -> ak.Array:
    counts = [len(one) for one in lists]
    flat = np.array([number for one in lists for number in one], dtype=np.float64)
    return ak.zip({"pt": ak.unflatten(flat, counts)})


@given(LISTS, st.sampled_from([2, 3]))
def test_as_itertools(lists: list[list[float]], number: int) -> None:
    taken = combinations(collection(lists), number)
    assert len(taken) == number
    for place, one in enumerate(taken):
        expected = [[some[place] for some in itertools.combinations(event, number)] for event in lists]
        assert one.pt.tolist() == expected


@given(LISTS)
def test_of_a_selection(lists: list[list[float]]) -> None:
    first, second = combinations(select(collection(lists), lambda one: one.pt > 0))
    pairs = [list(itertools.combinations([pt for pt in event if pt > 0], 2)) for event in lists]
    assert first.pt.tolist() == [[a for a, _ in event] for event in pairs]
    assert second.pt.tolist() == [[b for _, b in event] for event in pairs]


@given(LISTS)
def test_smallest(lists: list[list[float]]) -> None:
    pairs = combinations(collection(lists))
    first, second = smallest(abs(pairs[0].pt + pairs[1].pt), *pairs)
    best = [
        min(itertools.combinations(event, 2), key=lambda pair: abs(sum(pair))) if len(event) > 1 else (None, None)
        for event in lists
    ]
    assert first.pt.tolist() == [a for a, _ in best]
    assert second.pt.tolist() == [b for _, b in best]


def test_what_is_not_a_number_is_not_the_smallest() -> None:
    some = collection([[1.0, 2.0], [3.0]])
    (one,) = smallest(ak.Array([[np.nan, 5.0], [np.nan]]), some)
    assert one.pt.tolist() == [2.0, None]


def test_wrong_arguments() -> None:
    some = collection([[1.0, 2.0], [3.0]])
    with pytest.raises(ConfigError, match="of 4 objects"):
        combinations(some, 4)
    with pytest.raises(ConfigError, match="expected a collection"):
        combinations(some[:, 0])
    with pytest.raises(ConfigError, match="as many entries"):
        smallest(ak.Array([[1.0], [2.0]]), some)
