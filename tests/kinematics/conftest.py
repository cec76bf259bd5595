"""Made collections: jagged four-momenta in every layout awkward may hand over."""

import awkward as ak
import numpy as np
import pytest
import vector

vector.register_awkward()


def _collection(rng, counts):
    number = int(np.sum(counts))
    columns = {
        "pt": rng.exponential(40, number) + 1,
        "eta": rng.normal(0, 1.5, number),
        "phi": rng.uniform(-np.pi, np.pi, number),
        "mass": rng.exponential(5, number),
        "charge": rng.choice([-1, 1], number),
    }
    jagged = {name: ak.unflatten(values, counts) for name, values in columns.items()}
    return ak.zip(jagged, with_name="Momentum4D")


@pytest.fixture
def make_collection():
    """A function that draws a collection with so many objects in each event."""
    return lambda counts, seed=1: _collection(np.random.default_rng(seed), np.asarray(counts, dtype=np.int64))


@pytest.fixture
def jets(make_collection):
    return make_collection([2, 0, 1, 3, 5, 0, 2, 4])


def _variants():
    def not_from_zero(jets):
        return ak.concatenate([jets[:1], jets])[1:]

    def list_array(jets):
        return jets[np.arange(len(jets))]

    def indexed(jets):
        whole = ak.concatenate([jets, jets])
        return whole[: len(jets)][ak.local_index(whole[: len(jets)].pt) >= 0]

    def indexed_lists(jets):
        layout = ak.contents.IndexedArray(ak.index.Index64(np.arange(len(jets))), jets.layout)
        return ak.Array(layout, behavior=jets.behavior)

    def optional_type(jets):
        return ak.mask(jets, np.ones(len(jets), dtype=bool))

    def virtual(jets):
        form, length, buffers = ak.to_buffers(ak.to_packed(jets))
        lazy = {name: (lambda values=values: values) for name, values in buffers.items()}
        return ak.from_buffers(form, length, lazy, behavior=jets.behavior)

    return [lambda jets: jets, not_from_zero, list_array, indexed, indexed_lists, optional_type, virtual]


@pytest.fixture(params=_variants(), ids=lambda made: made.__name__)
def variant(request):
    """A function that gives the same collection in another layout."""
    return request.param
