"""Images against the pseudo-code as plain loops, and what must hold for any image."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import ConfigError, EventError

PROJECT = Path(__file__).parents[3]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from processors.event_images import (
    GRID,
    Grid,
    SparseImages,
    compress,
    jet_width,
    make_images,
)

_spec = importlib.util.spec_from_file_location("image_loops", Path(__file__).with_name("loops.py"))
loops = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(loops)

COARSE = Grid(rows=10, columns=13, cell=0.5)
SPECIES = [(11, 0.000511), (-13, 0.1057), (22, 0.0), (211, 0.1396), (-2212, 0.9383)]


def _number(low: float, high: float):
    return st.floats(low, high, allow_nan=False, width=32)


particle = st.builds(
    lambda pt, eta, phi, kind, charge: {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": kind[1],
        "charge": float(charge),
        "pdgId": kind[0],
    },
    _number(0.125, 500),
    _number(-3, 3),
    _number(-3.125, 3.125),
    st.sampled_from(SPECIES),
    st.integers(-1, 1),
)
jet = st.builds(
    lambda pt, eta, phi, width: {"pt": pt, "eta": eta, "phi": phi, "width": width},
    _number(20, 500),
    _number(-3, 3),
    _number(-3.125, 3.125),
    _number(0, 0.375),
)
events = st.lists(st.tuples(st.lists(particle, max_size=60), st.lists(jet, max_size=4)), max_size=3)


def jagged(things: list[list[dict]], like: dict) -> ak.Array:
    # one event more gives the type where there is nothing, and is cut off again
    return ak.Array([*things, [like]])[:-1]


def columns(drawn):
    particles = jagged(
        [pair[0] for pair in drawn],
        {"pt": 1.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, "charge": 0.0, "pdgId": 22},
    )
    jets = jagged([pair[1] for pair in drawn], {"pt": 1.0, "eta": 0.0, "phi": 0.0, "width": 0.0})
    return particles, jets


@settings(deadline=None, max_examples=15)
@given(events, st.sampled_from(["fraction", "energy"]))
def test_images_equal_the_pseudo_code(drawn, emf) -> None:
    sparse = make_images(*columns(drawn), emf=emf, grid=COARSE)
    rng = np.random.default_rng(5)
    orders = np.random.default_rng(5)
    row_order = orders.permuted(np.tile(np.arange(10), (len(drawn), 1)), axis=1)
    column_order = orders.permuted(np.tile(np.arange(13), (len(drawn), 1)), axis=1)
    made = {
        name: compress(sparse, name, size=6, rng=rng if name == "stochastic" else None)
        for name in ("cell", "row_column", "stochastic", "none")
    }
    for i, (particles, jets) in enumerate(drawn):
        image, outside = loops.dense_image(particles, jets, 10, 13, 0.5, emf == "fraction")
        assert sparse.outside[i] == outside
        expected = {
            "cell": loops.by_cell(image, 6),
            "row_column": loops.by_row_and_column(image, 6),
            "stochastic": loops.stochastic(image, 6, row_order[i], column_order[i]),
            "none": image,
        }
        for name, batch in made.items():
            np.testing.assert_allclose(batch.images[i], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
            kept = np.count_nonzero(batch.images[i, ..., :8].any(axis=-1))
            assert batch.lost_cells[i] == np.count_nonzero(image[..., :8].any(axis=-1)) - kept, name
            if image[..., 0].sum():
                share = 1 - expected[name][..., 0].sum() / image[..., 0].sum()
                assert batch.lost_pt[i] == pytest.approx(share, abs=1e-5), name


@settings(deadline=None, max_examples=15)
@given(events, st.randoms(use_true_random=False))
def test_the_order_of_particles_does_not_matter(drawn, random) -> None:
    shuffled = [(random.sample(p, len(p)), random.sample(j, len(j))) for p, j in drawn]
    one, other = (make_images(*columns(d), grid=COARSE) for d in (drawn, shuffled))
    assert np.array_equal(one.cells, other.cells)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(events, st.integers(-2, 2))
def test_whole_turns_change_nothing(drawn, turns) -> None:
    # off the cell borders, where rounding may choose either side
    inside = [([{**p, "phi": (math.floor(p["phi"] / 0.5) + 0.5) * 0.5} for p in ps], js[:0]) for ps, js in drawn]
    turned = [([{**p, "phi": p["phi"] + turns * 2 * math.pi} for p in ps], js) for ps, js in inside]
    one, other = (make_images(*columns(d), grid=COARSE) for d in (inside, turned))
    assert np.array_equal(one.cells, other.cells)


def test_the_documents_grid() -> None:
    assert (GRID.rows, GRID.columns, GRID.eta, GRID.phi) == (100, 126, 2.5, pytest.approx(3.15))
    particles, jets = columns([([], [])])
    assert compress(make_images(particles, jets), "cell").images.shape == (1, 60, 60, 10)
    whole = compress(make_images(particles, jets), "none").images
    assert whole.shape == (1, 100, 126, 10)
    assert not whole[..., :8].any()


def test_a_slice_is_the_images_of_its_events() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        (
            [{"pt": 1.0, "eta": e, "phi": 0.0, "mass": 0.0, "charge": 0.0, "pdgId": 22} for e in rng.normal(size=n)],
            [],
        )
        for n in (3, 0, 5, 2)
    ]
    sparse = make_images(*columns(drawn))
    part = sparse[1:3]
    assert len(part) == 2
    assert np.array_equal(compress(part, "cell").images, compress(sparse, "cell").images[1:3])


@settings(deadline=None, max_examples=15)
@given(events, st.lists(st.integers(0, 2), max_size=5))
def test_images_can_be_taken_and_joined(drawn, places) -> None:
    chosen = [place for place in places if place < len(drawn)]
    sparse = make_images(*columns(drawn), grid=COARSE)
    taken = sparse.take(np.array(chosen, dtype=np.int64))
    again = make_images(*columns([drawn[place] for place in chosen]), grid=COARSE)
    joined = SparseImages.join([sparse[place : place + 1] for place in chosen] or [sparse[:0]])
    for one in (taken, joined):
        for name in ("offsets", "cells", "values", "outside"):
            assert np.array_equal(getattr(one, name), getattr(again, name)), name


def test_images_of_two_grids_are_not_joined() -> None:
    particles, jets = columns([([], [])])
    with pytest.raises(ConfigError, match="one grid"):
        SparseImages.join([make_images(particles, jets), make_images(particles, jets, grid=COARSE)])
    with pytest.raises(ConfigError, match="at least one"):
        SparseImages.join([])


def test_jet_width_is_the_mean_distance() -> None:
    jets = ak.Array([[{"pt": 100.0, "eta": 0.0, "phi": 3.1}], [{"pt": 50.0, "eta": 2.0, "phi": 0.0}]])
    particles = ak.Array(
        [
            [
                {"pt": 60.0, "eta": 0.1, "phi": 3.1},
                {"pt": 40.0, "eta": 0.0, "phi": -3.1},  # across the seam
                {"pt": 70.0, "eta": 1.0, "phi": 3.1},  # too far
            ],
            [],
        ]
    )
    across = 2 * math.pi - 6.2
    widths = jet_width(jets, particles)
    assert widths.tolist() == [[pytest.approx((60 * 0.1 + 40 * across) / 100)], [0.0]]


def test_what_is_wrong_is_said() -> None:
    particles, jets = columns([([], [])])
    sparse = make_images(particles, jets)
    with pytest.raises(ConfigError, match="did you mean row_column"):
        compress(sparse, "row_colum")
    with pytest.raises(ConfigError, match="needs a random generator"):
        compress(sparse, "stochastic")
    broken, _ = columns([([{"pt": math.nan, "eta": 0.0, "phi": 0.0, "mass": 0.0, "charge": 0.0, "pdgId": 22}], [])])
    with pytest.raises(EventError, match="pt holds 1 values"):
        make_images(broken, jets)
    with pytest.raises(EventError, match="as many events"):
        make_images(particles, jets[:0])
    with pytest.raises(IndexError):
        sparse[::2]
