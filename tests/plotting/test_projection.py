"""Sums over processes with their uncertainties, against plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.config import parse_settings
from colonnade.execution import Ledger, Result
from colonnade.plotting.pictures import stack_of
from colonnade.plotting.projection import Histogram, axis_of, model_uncertainties, project
from colonnade.plotting.run import Run
from colonnade.statistics.settings import ModelSettings, SystematicSettings

numbers = st.floats(-50, 200, allow_nan=False)


def histogram(contents, variances=None, regions=("SR",), edges=(0, 1, 2, 4)):
    """Contents: variation to numbers, underflow and overflow included."""
    made = hist.Hist(
        hist.axis.StrCategory(list(regions), name="region", overflow=False),
        hist.axis.StrCategory(list(contents), name="variation", overflow=False),
        hist.axis.Variable(list(edges), name="x", label="x [GeV]"),
        storage=hist.storage.Weight(),
    )
    view = made.view(flow=True)
    for place, values in enumerate(contents.values()):
        view.value[:, place] = values
        view.variance[:, place] = np.abs(values) if variances is None else variances
    return made


def filled(contents, **options):
    return Histogram.of(histogram(contents, **options))


def naive_band(parts, bins):
    """The band of one source after the other, one bin after the other."""
    up, down = [], []
    for place in bins:
        above = below = 0.0
        for source in {name.rpartition("_")[0] for part in parts for name in part if name != "nominal"}:
            moved = []
            for direction in ("up", "down"):
                total = 0.0
                for part in parts:
                    total += part.get(f"{source}_{direction}", part["nominal"])[place] - part["nominal"][place]
                moved.append(total)
            above += max(*moved, 0.0) ** 2
            below += min(*moved, 0.0) ** 2
        up.append(math.sqrt(above))
        down.append(math.sqrt(below))
    return up, down


@given(st.lists(st.lists(numbers, min_size=5, max_size=5), min_size=8, max_size=8))
def test_band_is_that_of_a_plain_loop(rows):
    first = {"nominal": rows[0], "jes_up": rows[1], "jes_down": rows[2], "tag_up": rows[3], "tag_down": rows[4]}
    second = {"nominal": rows[5], "jes_up": rows[6], "jes_down": rows[7]}
    found = project({"a": filled(first), "b": filled(second)}, ["a", "b"], "SR")
    up, down = naive_band([first, second], (1, 2, 3))
    np.testing.assert_allclose(found.up, up, atol=1e-9)
    np.testing.assert_allclose(found.down, down, atol=1e-9)
    np.testing.assert_allclose(found.values, np.add(rows[0], rows[5])[1:4])
    np.testing.assert_allclose(found.variances, np.abs(rows[0])[1:4] + np.abs(rows[5])[1:4])
    np.testing.assert_allclose(found.total_up, np.hypot(np.sqrt(found.variances), up), atol=1e-9)


def test_opposite_shifts_of_two_processes_cancel():
    first = filled({"nominal": [0, 10, 10, 10, 0], "s_up": [0, 12, 12, 12, 0], "s_down": [0, 8, 8, 8, 0]})
    second = filled({"nominal": [0, 10, 10, 10, 0], "s_up": [0, 8, 8, 8, 0], "s_down": [0, 12, 12, 12, 0]})
    found = project({"a": first, "b": second}, ["a", "b"], "SR")
    assert not found.up.any()
    assert not found.down.any()


def test_one_direction_is_mirrored():
    found = project({"a": filled({"nominal": [0, 10, 10, 10, 0], "s_up": [0, 13, 9, 10, 0]})}, ["a"], "SR")
    assert found.up.tolist() == [3, 1, 0]
    assert found.down.tolist() == [3, 1, 0]


def test_flat_uncertainties_move_their_processes_together():
    parts = {"ww": filled({"nominal": [0, 10, 0, 0, 0]}), "zz": filled({"nominal": [0, 30, 0, 0, 0]})}
    flat = (
        SystematicSettings(name="norm", type="normsys", up=1.2, down=0.9, processes=("w*", "z*")),
        SystematicSettings(name="other", type="normsys", up=2, down=0.5, processes=("tt",)),
    )
    found = project(parts, ["ww", "zz"], "SR", flat)
    assert found.up[0] == pytest.approx(8)
    assert found.down[0] == pytest.approx(4)
    only = (SystematicSettings(name="norm", type="normsys", up=1.2, regions=("CR*",)),)
    assert not project(parts, ["ww", "zz"], "SR", only).up.any()


def test_members_are_combined_in_the_band():
    """A PDF band as NumPy makes it of the members, the strong coupling once, processes added with one parameter."""
    rng = np.random.default_rng(3)
    names = ["nominal", *(f"pdf_{place}" for place in range(5)), "alphas_up", "alphas_down"]
    contents = {process: dict(zip(names, rng.uniform(5, 9, (len(names), 5)), strict=True)) for process in "ab"}
    pdf = SystematicSettings(
        name="pdf", type="histosys", variation="pdf", combine="hessian", alpha_s="alphas", processes=("a", "b")
    )
    of_model = model_uncertainties(ModelSettings.model_construct(systematics=(pdf,)), [])
    size = np.zeros(5)
    for each in contents.values():
        nominal, *members, up, down = each.values()
        size += np.sqrt(np.square(np.array(members) - nominal).sum(axis=0) + ((up - down) / 2) ** 2)
    found = project({process: filled(each) for process, each in contents.items()}, ["a", "b"], "SR", of_model)
    np.testing.assert_allclose(found.up, size[1:4], rtol=1e-12)
    np.testing.assert_allclose(found.down, size[1:4], rtol=1e-12)
    apart = project({"c": filled(contents["a"])}, ["c"], "SR", of_model)
    assert (apart.up < size[1:4]).all(), "of a process that it does not name nothing is combined"
    # of the yield the members of the yield are combined, not those of its bins
    (whole,) = project({"a": filled(contents["a"]).integral()}, ["a"], "SR", of_model).up
    nominal, *members, up, down = (values.sum() for values in contents["a"].values())
    assert whole == pytest.approx(np.hypot(np.linalg.norm(np.array(members) - nominal), (up - down) / 2))


def test_flow_is_outside():
    apart = project(
        {"a": filled({"nominal": [5, 1, 2, 3, 7]}), "b": filled({"nominal": [1, 0, 0, 0, 0]})}, ["a", "b"], "SR"
    )
    assert (apart.values.tolist(), apart.outside) == ([1, 2, 3], 13)


def test_a_region_that_no_process_has():
    assert project({"a": filled({"nominal": [0, 1, 1, 1, 0]})}, ["a", "b"], "CR") is None


@pytest.mark.parametrize(
    ("axis", "edges", "unit", "bins"),
    [
        (hist.axis.Regular(2, 0, 4, label=r"$m$ [GeV]"), [0, 2, 4], "GeV", ()),
        (hist.axis.Integer(0, 3, label="jets"), [-0.5, 0.5, 1.5, 2.5], "", ()),
        (hist.axis.StrCategory(["ee", "mm"], label="flavour"), [0, 1, 2], "", ("ee", "mm")),
        (hist.axis.IntCategory([11, 13], label="id"), [0, 1, 2], "", ("11", "13")),
        (hist.axis.Variable([1, 2, 5], label="a [b] c"), [1, 2, 5], "", ()),
    ],
)
def test_axes(axis, edges, unit, bins):
    found = axis_of(axis)
    assert found.edges.tolist() == edges
    assert (found.unit, found.bins) == (unit, bins)


def run_of(parts, blinded=False, **kinds):
    """A run of one histogram, x."""
    result = Result({"x": parts}, {}, Ledger(0.0, {}))
    return Run("", result, kinds, blinded=blinded, signal_regions=("SR",))


def test_blinded_data_are_not_in_the_stack():
    parts = {
        "a": histogram({"nominal": [0, 9, 0, 0, 0]}),
        "data": histogram({"nominal": [0, 4, 0, 0, 0]}),
    }
    shown = stack_of(run_of(parts, a="background", data="data"), "x", "SR")
    assert shown.data.tolist() == [4, 0, 0]
    assert shown.data_variances is None
    assert stack_of(run_of(parts, blinded=True, a="background", data="data"), "x", "SR").data is None


def test_zero_seen_is_not_blinded():
    parts = {"a": histogram({"nominal": [0, 9, 0, 0, 0]}), "data": histogram({"nominal": [0, 0, 0, 0, 0]})}
    assert stack_of(run_of(parts, blinded=True, a="background", data="data"), "x", "SR").data is None
    assert stack_of(run_of(parts, a="background", data="data"), "x", "SR").data.tolist() == [0, 0, 0]


def test_data_alone_and_nothing_at_all():
    alone = stack_of(run_of({"data": histogram({"nominal": [2, 1, 1, 1, 0]})}, data="data"), "x", "SR")
    assert alone.backgrounds == ()
    assert alone.note == "not shown: 40 %"
    empty = {"a": histogram({"nominal": [0, 0, 0, 0, 0]})}
    assert stack_of(run_of(empty, a="background"), "x", "SR") is None


def test_significance_of_each_bin():
    parts = {
        "b": histogram({"nominal": [0, 100, 50, 0, 0]}, variances=0),
        "s": histogram({"nominal": [0, 10, 0, 5, 0]}, variances=0),
    }
    shown = stack_of(run_of(parts, b="background", s="signal"), "x", "SR")
    (found,) = shown.significances
    # ../data/README: Z(10, 100, 0); no background in the last bin
    assert found[0] == pytest.approx(0.9839916447569)
    assert found[1] == 0
    assert np.isnan(found[2])


def test_the_luminosity_moves_no_background_that_is_made_of_data():
    model = parse_settings(ModelSettings, {"channels": {"SR": {"histogram": "x"}}, "luminosity_uncertainty": 0.1}, "")
    ledger = Ledger(0.0, {})
    run = Run("", Result({}, {}, ledger), {"ww": "background", "fakes": "background"}, model=model)
    for made, moved in (((), True), (("fakes",), False)):
        (luminosity,) = replace(run, data_driven=made).of_model
        assert luminosity.processes == (("ww", "fakes") if moved else ("ww",))
