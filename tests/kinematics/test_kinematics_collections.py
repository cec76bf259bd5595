"""Selecting, ordering, counting and merging against plain awkward."""

import pickle

import awkward as ak
import numpy as np
import pytest

from colonnade.errors import ConfigError
from colonnade.kinematics import (
    accelerate,
    assign,
    count,
    event_sum,
    ht,
    leading,
    merge,
    near,
    select,
    sort_by_pt,
    take,
)
from colonnade.kinematics.views import view


def same(one, other):
    return ak.to_list(one) == ak.to_list(other)


def test_select_is_awkwards_mask_in_every_layout(jets, variant):
    other = variant(jets)
    kept = select(other, lambda jet: (jet.pt > 30) & (abs(jet.eta) < 1.5))
    expected = jets[(jets.pt > 30) & (abs(jets.eta) < 1.5)]
    assert 0 < ak.count(expected.pt) < ak.count(jets.pt)
    assert same(kept, expected)
    assert same(kept.pt, expected.pt)
    assert np.allclose(ak.flatten(kept.px), ak.flatten(expected.px))  # still a vector


def test_select_takes_a_jagged_mask_and_refuses_nonsense(jets):
    assert same(select(jets, jets.pt > 30), jets[jets.pt > 30])
    with pytest.raises(ConfigError, match="truth value"):
        select(jets, lambda jet: jet.pt)
    with pytest.raises(ConfigError, match="no column 'ptt'"):
        select(jets, lambda jet: jet.ptt > 30)
    with pytest.raises(ConfigError, match="one entry an event"):
        select(jets[:, :0].pt.to_numpy().sum(axis=1), lambda jet: jet > 1)


def test_selections_of_selections(jets):
    hard = select(select(jets, lambda jet: jet.pt > 20), lambda jet: jet.eta > 0)
    assert same(hard, jets[(jets.pt > 20) & (jets.eta > 0)])
    events = np.arange(len(jets)) % 2 == 0
    assert same(take(hard, events), jets[(jets.pt > 20) & (jets.eta > 0)][events])
    assert same(select(take(jets, events), lambda jet: jet.pt > 20), jets[events][jets[events].pt > 20])


def test_take(jets, variant):
    events = np.array([True, False] * 4)
    assert same(take(variant(jets), events), jets[events])
    assert same(take(variant(jets).pt, events), jets.pt[events])
    assert take(np.arange(8), events).tolist() == [0, 2, 4, 6]
    first = ak.firsts(jets)
    assert same(take(first, events), first[events])
    assert take(jets, np.zeros(8, dtype=bool)).pt.to_list() == []


def test_leading(jets, variant):
    for rank in (0, 1, 4, 9):
        padded = ak.pad_none(jets, rank + 1)
        assert same(leading(variant(jets), rank), padded[:, rank])
    full = jets[ak.num(jets) > 1]
    assert isinstance(leading(full, 1).pt, np.ndarray)
    assert same(leading(full, -1).pt, full.pt[:, -1])


def test_leading_of_an_optional_record_stays_missing(jets):
    hard = leading(select(jets, lambda jet: jet.pt > 30))
    events = np.array([True] * 4 + [False] * 4)
    expected = ak.firsts(jets[jets.pt > 30])
    assert same(hard.pt, expected.pt)
    assert same(take(hard, events).pt, expected.pt[events])
    assert same(take(hard, events), expected[events])


def test_assign(jets, variant):
    other = variant(jets)
    scaled = assign(other, pt=lambda jet: jet.pt * 1.1, hard=lambda jet: jet.pt > 30, index=ak.local_index(jets.pt))
    expected = ak.with_field(jets, jets.pt * 1.1, "pt")
    expected = ak.with_field(ak.with_field(expected, jets.pt > 30, "hard"), ak.local_index(jets.pt), "index")
    assert same(scaled.pt, expected.pt)
    assert same(ak.sort(scaled.phi), ak.sort(expected.phi))
    assert same(select(scaled, lambda jet: jet.hard).index, expected.index[expected.hard])
    assert ak.to_list(other.pt) == ak.to_list(jets.pt)  # the given one is left alone
    assert scaled.layout.purelist_parameter("__record__") == "Momentum4D"
    assert np.allclose(ak.flatten(scaled.px), ak.flatten(expected.px))
    with pytest.raises(ConfigError, match="one an object"):
        assign(jets, pt=np.arange(3.0))


def test_assign_keeps_missing_records(jets):
    first = leading(jets)
    scaled = assign(first, pt=lambda jet: jet.pt * 2)
    assert same(scaled.pt, ak.firsts(jets).pt * 2)
    assert same(scaled.eta, ak.firsts(jets).eta)
    assert same(scaled[["pt", "eta"]].pt, ak.firsts(jets).pt * 2)


def test_sums_of_an_assigned_collection_see_the_new_column(jets):
    ht(jets), jets.pt
    assert np.allclose(ht(assign(jets, pt=lambda jet: jet.pt * 2)), 2 * ht(jets))


def test_a_field_set_in_place_is_seen(jets):
    hard = select(jets, lambda jet: jet.pt > 30)
    before = ht(hard)
    hard["pt"] = hard.pt * 3
    assert np.allclose(ht(hard), 3 * before)


def test_count(jets, variant):
    assert count(variant(jets)).tolist() == ak.num(jets).to_list()
    assert count(variant(jets), lambda jet: jet.pt > 30).tolist() == ak.sum(jets.pt > 30, axis=1).to_list()
    with pytest.raises(ConfigError, match="expected a collection"):
        count(np.arange(3))


def test_sort_by_pt_is_stable(make_collection):
    jets = make_collection([3, 0, 8, 1])
    jets = assign(jets, pt=lambda jet: np.floor(jet.pt / 20), place=ak.local_index(jets.pt))
    order = ak.argsort(jets.pt, axis=1, ascending=False, stable=True)
    assert same(sort_by_pt(jets).place, ak.local_index(jets.pt)[order])


def test_merge(make_collection):
    electrons, muons = make_collection([2, 0, 1, 0], seed=1), make_collection([1, 0, 0, 2], seed=2)
    leptons = merge(electrons, muons)
    both = ak.concatenate([electrons, muons], axis=1)
    order = ak.argsort(both.pt, axis=1, ascending=False)
    for name in ("pt", "eta", "phi", "mass", "charge"):
        assert same(leptons[name], both[name][order])
    kinds = ak.concatenate([ak.zeros_like(electrons.charge), ak.ones_like(muons.charge)], axis=1)
    assert same(leptons.kind, kinds[order])
    assert same(
        merge(electrons, muons, electrons).pt[0], ak.sort(both.pt[0].to_list() + electrons.pt[0].to_list())[::-1]
    )
    with pytest.raises(ConfigError, match="different numbers of events"):
        merge(electrons, muons[:2])


def test_near(make_collection):
    jets, leptons = make_collection([4, 0, 3, 2, 0], seed=3), make_collection([2, 2, 0, 1, 0], seed=4)
    pairs = jets.metric_table(leptons) if hasattr(jets, "metric_table") else None
    assert pairs is None
    one, other = ak.unzip(ak.cartesian([jets, leptons], nested=True))
    expected = ak.any(one.deltaR(other) < 1.5, axis=-1)
    assert ak.any(expected)
    assert not ak.all(expected)
    assert same(near(jets, leptons, 1.5), expected)


def test_event_sum(jets):
    assert np.allclose(event_sum(jets.pt), ak.sum(jets.pt, axis=1))
    assert np.allclose(event_sum(jets, lambda jet: jet.pt**2), ak.sum(jets.pt**2, axis=1))
    assert event_sum(ak.Array([[1, None], [], [2]])).tolist() == [1.0, 0.0, 2.0]


class TestAccelerated:
    """What skips awkward's machinery gives what awkward gives."""

    def test_arithmetic_and_masks(self, jets):
        fast = accelerate(jets)
        mask = (fast.pt > 30) & (abs(fast.eta) < 1.5) | ~(fast.charge == 1)
        expected = (jets.pt > 30) & (abs(jets.eta) < 1.5) | ~(jets.charge == 1)
        assert same(mask, expected)
        assert same(fast[mask], jets[expected])
        assert same(fast.pt[mask], jets.pt[expected])
        assert same(2.0 * fast.pt - fast.mass / 3, 2.0 * jets.pt - jets.mass / 3)

    def test_what_is_not_elementwise_is_awkwards(self, jets):
        fast = accelerate(jets)
        per_event = np.arange(len(jets), dtype=float)
        assert same(fast.pt + per_event, jets.pt + per_event)
        assert same(fast.pt + ak.Array(per_event), jets.pt + per_event)
        assert same(fast.pt + jets.pt, jets.pt * 2)
        assert same(fast[ak.num(jets) > 1][:, 1].pt, jets[ak.num(jets) > 1][:, 1].pt)
        assert same(fast[:2], jets[:2])
        assert same(fast[np.arange(8) > 3], jets[4:])
        assert same((fast + fast).pt, (jets + jets).pt)
        assert same(np.divmod(fast.pt, 7)[1], np.divmod(jets.pt, 7)[1])
        with pytest.raises(ValueError, match="broadcast"):
            fast.pt + ak.Array([[1.0]] * 8)

    def test_missing_values(self, jets):
        first = leading(accelerate(jets))
        assert same(first.pt > 30, ak.firsts(jets).pt > 30)
        assert same(first.pt[first.pt > 30], ak.firsts(jets).pt[ak.firsts(jets).pt > 30])

    def test_events_give_accelerated_collections(self, jets):
        events = accelerate(ak.zip({"Jet": jets, "run": np.arange(8)}, depth_limit=1))
        assert view(events.Jet) is view(events.Jet)
        assert events.run.tolist() == list(range(8))
        taken = take(events, np.arange(8) > 3)
        assert same(taken.Jet.pt, jets.pt[4:])
        assert same(taken.Jet[taken.Jet.pt > 30], jets[4:][jets[4:].pt > 30])
        assert taken.run.tolist() == [4, 5, 6, 7]
        assert len(taken) == 4

    def test_length_and_unknown_columns(self, jets):
        fast = select(accelerate(jets), lambda jet: jet.pt > 30)
        assert len(fast) == len(jets)
        assert not hasattr(fast, "ptt")
        with pytest.raises(AttributeError, match="ptt"):
            fast.ptt  # noqa: B018

    def test_pickle(self, jets):
        fast = select(accelerate(jets), lambda jet: jet.pt > 30)
        for array in (fast, fast.pt, fast.pt > 40):
            assert same(pickle.loads(pickle.dumps(array)), array)  # noqa: S301 - what was just made

    def test_numpy_and_awkward_functions(self, jets):
        fast = select(accelerate(jets), lambda jet: jet.pt > 30)
        expected = jets[jets.pt > 30]
        assert same(ak.num(fast), ak.num(expected))
        assert same(ak.sum(fast.pt, axis=1), ak.sum(expected.pt, axis=1))
        assert np.array_equal(ak.flatten(fast.pt).to_numpy(), ak.flatten(expected.pt).to_numpy())
        assert str(ak.type(fast)).startswith("8 * var * Momentum4D[")
        assert same(ak.concatenate([fast, jets]), ak.concatenate([expected, jets]))


def test_zero_events_and_empty_collections(make_collection):
    for counts in ([], [0], [0, 0, 0]):
        jets = make_collection(counts)
        assert same(select(jets, lambda jet: jet.pt > 30), jets)
        assert same(sort_by_pt(jets), jets)
        assert same(leading(jets).pt, [None] * len(counts))
        assert count(jets).tolist() == counts
        assert ht(jets).tolist() == [0.0] * len(counts)
        assert same(near(jets, jets, 0.4), [[] for _ in counts])
        assert same(assign(jets, pt=lambda jet: jet.pt * 2).pt, jets.pt)
        assert same(merge(jets, jets).pt, jets.pt)
        assert same(take(jets, np.ones(len(counts), dtype=bool)), jets)
    assert ak.to_list(select(ak.Array([[], []]), lambda _: np.ones(0, dtype=bool))) == [[], []]
