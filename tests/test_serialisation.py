"""What is kept comes back to the last bit, and damage is noticed."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hist import Hist
from hist.axis import Regular, StrCategory
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from colonnade.accumulators import load, write_accumulator
from colonnade.histograms import Histogram, HistogramSet
from colonnade.serialisation import DamagedError, decode, encode

DECLARED = (Histogram("pt", Regular(5, 0, 10)), Histogram("eta", Regular(3, -1, 1), regions=("SR",)))


def filled() -> HistogramSet:
    made = HistogramSet(DECLARED, ["CR", "SR"], ["nominal", "up"])
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(50, 2))
    masks = {"CR": rng.random(50) < 0.5, "SR": rng.random(50) < 0.5}
    made.fill({"pt": rng.normal(5, 4, 50), "eta": rng.normal(size=50)}, masks, weights)
    return made


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return isinstance(other, float) and np.float64(one).tobytes() == np.float64(other).tobytes()
    return type(one) is type(other) and one == other


arrays = of_numpy.arrays(st.sampled_from([np.float64, np.float32, np.int64, np.bool_]), of_numpy.array_shapes())
leaves = st.none() | st.booleans() | st.complex_numbers(allow_nan=False) | st.binary() | st.sets(st.integers())
leaves |= st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | arrays
keys = st.text() | st.integers() | st.none()
results = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(results)
def test_plain_results_come_back(result: Any) -> None:
    assert same(decode(encode(result)), result)


def test_a_name_that_looks_like_a_mark_comes_back() -> None:
    assert decode(encode({"@": "array", "n": 1})) == {"@": "array", "n": 1}


def test_numbers_that_are_none_come_back() -> None:
    assert math.isnan(decode(encode({"x": math.nan}))["x"])
    assert decode(encode([math.inf, -0.0]))[0] == math.inf
    assert math.copysign(1, decode(encode([-0.0]))[0]) == -1


def test_histograms_come_back_to_the_last_bit() -> None:
    made = Hist.new.StrCat(["a"], name="region").Reg(4, 0, 1, name="x", label="X [GeV]").Weight()
    made.fill("a", x=np.array([0.1, 0.3, 7.0]), weight=np.array([0.1, 0.2, 1 / 3]))
    back = decode(encode({"h": made}))["h"]
    assert back == made
    assert back.axes["x"].label == "X [GeV]"
    assert np.asarray(back.view(flow=True)).tobytes() == np.asarray(made.view(flow=True)).tobytes()


def test_sets_of_histograms_come_back_and_add() -> None:
    made = filled()
    back = decode(encode({"histograms": made}), DECLARED)["histograms"]
    assert back == made
    assert back + made == made + made


def test_a_set_of_other_histograms_is_refused() -> None:
    with pytest.raises(DamagedError):
        decode(encode(filled()), DECLARED[:1])


@pytest.mark.parametrize("place", [0, 25, 60, -1])
def test_any_flipped_bit_is_noticed(place: int) -> None:
    blob = bytearray(encode({"a": np.arange(100.0)}))
    blob[place] ^= 4
    with pytest.raises(DamagedError):
        decode(bytes(blob))


def test_a_truncated_result_is_noticed() -> None:
    blob = encode({"a": np.arange(100.0)})
    for length in (0, 10, len(blob) - 1):
        with pytest.raises(DamagedError):
            decode(blob[:length])


@pytest.mark.parametrize("value", [object(), np.array([object()]), {"a": lambda: 1}])
def test_what_needs_pickle_is_not_kept(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_nothing_is_unpickled() -> None:
    with pytest.raises(DamagedError):
        decode(pickle.dumps({"a": 1}))


def test_a_growing_axis_without_categories_is_written_and_read(tmp_path: Path) -> None:
    made = Hist(StrCategory([], growth=True, name="cut"), Regular(3, 0, 3, name="x"))
    write_accumulator({"never filled": made}, tmp_path / "accumulator.zip")
    assert load(tmp_path) == {"never filled": made}
