"""Scores that a shift can't change are not made again, and are the same to the bit."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from colonnade.processor.chunk_run import score_all


class Scorer:
    """Scores of the missing momentum and the jets of an event; remembers of how many shifts."""

    def __init__(self):
        self.calls = []

    def score_variations(self, variations, identities):
        self.calls.append(len(identities))
        return [np.sqrt(one["met"]) + np.asarray(ak.sum(one.get("jets"), axis=1)) for one in variations]


@pytest.fixture
def made():
    jets = ak.Array([[1.0, 2.0], [], [3.0]])
    return {"met": np.array([0.0, 2.0, 3.0]), "jets": jets, "taus": np.ones(3)}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, False),
        ({"taus": np.zeros(3)}, False),
        ({"jets": ak.Array([[1.0, 2.0], [], [3.0]])}, False),
        ({"jets": ak.Array([[1.0], [2.0], [3.0]])}, True),
        ({"jets": ak.Array([[1.0, 2.0], [], [3.5]])}, True),
        ({"met": np.array([-0.0, 2.0, 3.0])}, True),
        ({"met": np.array([0, 2, 3], dtype=np.float32)}, True),
        ({"met": ak.Array([0.0, 2.0, None])}, True),
    ],
)
def test_a_shift_is_scored_where_it_changes_an_input(made, change, again):
    scorer, events, places = Scorer(), np.zeros(3), np.arange(3)
    nominal, one = score_all(scorer, [(made, events, places), ({**made, **change}, events, places)])
    assert scorer.calls == [1] + [1] * again
    assert (one is not nominal) == again


def test_other_events_are_scored(made):
    events = np.zeros(3)
    scorer = Scorer()
    shifts = [(made, events, np.array(places)) for places in ([0, 1, 2], [0, 1, 3], [0, 1, 2])]
    score_all(scorer, shifts)
    assert scorer.calls == [1, 1]
