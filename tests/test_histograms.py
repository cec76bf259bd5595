"""Filling against plain hist fills, to the last bit; adding; files."""

import pickle

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np
import pytest
from helpers.made_histograms import REGIONS, VARIATIONS, masks, some_set, weights
from hist import axis
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from colonnade.errors import ConfigError, EventError
from colonnade.histograms import Histogram, HistogramSet, combine


def check(histogram, observables, size, plain=None):
    """Compare with one hist fill for each region and variation."""
    filled = HistogramSet([histogram], REGIONS, VARIATIONS)
    chosen, factors = masks(size), weights(size)
    filled.fill(observables, chosen, factors)
    made = filled[histogram.name]
    for region in REGIONS:
        for v, variation in enumerate(VARIATIONS):
            expected = hist.Hist(*histogram.axes, storage=hist.storage.Weight())
            values, factor = (plain or (lambda mask: ([observables[n][mask] for n in histogram.observables], mask)))(
                chosen[region]
            )
            expected.fill(*values, weight=factors[factor, v])
            view = made[{"region": region, "variation": variation}].view(flow=True)
            assert np.array_equal(view, expected.view(flow=True)), (region, variation)
    return made


AXES = [
    axis.Regular(20, -2, 3),
    axis.Regular(7, 0, 1, underflow=False),
    axis.Regular(7, 0, 1, overflow=False),
    axis.Regular(5, 0, 1, flow=False),
    axis.Regular(6, 0, 1, circular=True),
    axis.Regular(6, 0.1, 100, transform=axis.transform.log),
    axis.Regular(6, 0, 100, transform=axis.transform.sqrt),
    axis.Variable([-1, 0, 0.5, 2, 2.5]),
    axis.Variable([0, 0.5, 2], flow=False),
    axis.Variable([0, 0.5, 2], overflow=False),
    axis.Variable([0, 0.5, 2], circular=True),
    axis.Integer(-2, 3),
    axis.Integer(-2, 3, flow=False),
    axis.IntCategory([2, -1, 7]),
    axis.Boolean(),
]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("given_axis", AXES, ids=str)
class TestOneAxis:
    def values(self, given_axis, size=500):
        rng = np.random.default_rng(3)
        if isinstance(given_axis, (bh.axis.Integer, bh.axis.IntCategory)):
            return rng.integers(-5, 9, size)
        if isinstance(given_axis, bh.axis.Boolean):
            return rng.random(size) < 0.5
        drawn = rng.normal(0.5, 1, size)
        edges = given_axis.edges
        return np.concatenate([drawn, edges, np.nextafter(edges, -9), np.nextafter(edges, 9), [-1e99, 1e99, 0.0, -0.0]])

    def test_equals_hist(self, given_axis):
        if given_axis.traits.circular or getattr(given_axis, "transform", None):
            values = np.abs(self.values(given_axis))
            values = values[values < 1e9]
        else:
            values = self.values(given_axis)
        check(Histogram("x", given_axis), {"x": values}, len(values))

    def test_jagged_equals_hist(self, given_axis):
        rng = np.random.default_rng(4)
        counts = rng.poisson(1.5, 300)
        values = ak.unflatten(np.abs(self.values(given_axis, 2000))[: counts.sum()], counts)
        if isinstance(given_axis, bh.axis.Boolean):
            values = values == 1

        def plain(mask):
            owner = np.repeat(np.flatnonzero(mask), ak.num(values[mask]).to_numpy())
            return [ak.flatten(values[mask])], owner

        check(Histogram("x", given_axis), {"x": values}, 300, plain)

    def test_no_events(self, given_axis):
        kind = bool if isinstance(given_axis, bh.axis.Boolean) else int
        check(Histogram("x", given_axis), {"x": np.zeros(0, dtype=kind)}, 0)


@pytest.mark.parametrize("number", [1, len(VARIATIONS)])
def test_events_taken_in_blocks_give_the_same_bits(number, monkeypatch):
    rng = np.random.default_rng(3)
    declared = [Histogram(f"x{number}", axis.Regular(9, 0, 1)) for number in range(20)]
    declared.append(Histogram("jagged", axis.Regular(9, 0, 1), regions=("C", "A")))
    observables = {histogram.name: rng.normal(0.5, 0.5, 500) for histogram in declared}
    observables["jagged"] = ak.unflatten(rng.random(1000), rng.multinomial(1000, np.full(500, 1 / 500)))
    sets = []
    for block, together in ((1 << 16, 1 << 23), (40, 1 << 23), (40, 1200)):  # all events at once, 10; two histograms
        monkeypatch.setattr("colonnade.histograms.filled._BLOCK", block)
        monkeypatch.setattr("colonnade.histograms.filled._TOGETHER", together)
        sets.append(HistogramSet(declared, REGIONS, VARIATIONS[:number]))
        sets[-1].fill(observables, {**masks(500), "C": np.arange(500) > 300}, weights(500)[:, :number])
    assert sets[0] == sets[1] == sets[2]
    assert sets[0]["jagged"].sum(flow=True).value != 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 30), st.sampled_from([2, 4]), st.integers(0, 10**6))
def test_each_sum_takes_its_events_in_their_order(number, bins, rare, seed):
    """One variation is filled entry by entry, few event by event, many bin by bin: to the bits of a plain loop."""
    rng = np.random.default_rng(seed)
    events = int(rng.integers(0, 200))
    counts = rng.choice([0, 1, 2, 11], events)  # more in an event than are written at a time
    number = 1 if seed % 2 else number
    content = rng.normal(0.5, 0.5, counts.sum()).astype(np.float32 if seed % 3 else np.float64)
    content[np.repeat(np.arange(events) % rare == 0, counts)] = np.nan  # of events that are not filled
    weight = rng.normal(1, 5, (events, number))
    declared = Histogram("x", axis.Regular(bins, 0, 1))
    filled = HistogramSet([declared], REGIONS, [f"v{k}" for k in range(number)])
    filled.fill({"x": ak.unflatten(content, counts)}, {"A": np.arange(events) % rare != 0}, weight)
    values, variances = np.zeros((number, bins + 2)), np.zeros((number, bins + 2))
    place = 0
    for event in range(events):
        for x in content[place : place + counts[event]]:
            if event % rare != 0:
                values[:, declared.axes[0].index(x) + 1] += weight[event]
                variances[:, declared.axes[0].index(x) + 1] += weight[event] * weight[event]
        place += counts[event]
    made = filled["x"]["A", ...].view(flow=True)
    assert np.array_equal(made.value[:number], values)
    assert np.array_equal(made.variance[:number], variances)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(allow_nan=False, allow_infinity=False, width=64)),
    st.integers(1, 30),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_regular_bins_are_those_of_boost(values, bins, low, width):
    check(Histogram("x", axis.Regular(bins, low, low + width)), {"x": values}, len(values))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-3, 3, width=32)),
    st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=8, unique=True),
)
def test_variable_bins_are_those_of_boost(values, edges):
    check(Histogram("x", axis.Variable(sorted(edges))), {"x": values}, len(values))


class TestSeveralAxes:
    two = Histogram(
        "xy",
        axis.Regular(5, 0, 1),
        axis.Variable([0, 1, 4]),
        observables=("x", "y"),
        label=("X", "Y"),
        unit=("GeV", ""),
    )

    def test_flat(self):
        rng = np.random.default_rng(1)
        made = check(self.two, {"x": rng.normal(0.5, 1, 400), "y": rng.normal(1, 2, 400)}, 400)
        assert [one.label for one in made.axes[2:]] == ["X [GeV]", "Y"]
        assert made.axes.name == ("region", "variation", "x", "y")

    def test_three_axes(self):
        rng = np.random.default_rng(1)
        three = Histogram("xyz", *(axis.Regular(3, 0, 1) for _ in range(3)), observables=("x", "y", "z"))
        check(three, {name: rng.normal(0.5, 1, 200) for name in "xyz"}, 200)

    def test_a_flat_one_repeats_for_each_object(self):
        rng = np.random.default_rng(2)
        counts = rng.poisson(2, 200)
        x, y = ak.unflatten(rng.random(counts.sum()), counts), rng.normal(1, 2, 200)

        def plain(mask):
            owner = np.repeat(np.flatnonzero(mask), counts[mask])
            return [ak.flatten(x[mask]), y[owner]], owner

        check(self.two, {"x": x, "y": y}, 200, plain)
        check(self.two, {"x": x, "y": ak.mask(y, np.ones(200, dtype=bool))}, 200, plain)

    def test_jagged_ones_must_agree(self):
        x, y = ak.Array([[1.0], []]), ak.Array([[], [1.0]])
        with pytest.raises(ConfigError, match="different numbers of objects"):
            HistogramSet([self.two], REGIONS, VARIATIONS).fill({"x": x, "y": y}, masks(2), weights(2))


class TestValues:
    histogram = Histogram("x", axis.Regular(4, 0, 4))

    def fill(self, values, size=None):
        filled = HistogramSet([self.histogram], ["A"], ["nominal"])
        size = len(values) if size is None else size
        filled.fill({"x": values}, {"A": np.ones(size, dtype=bool)}, np.ones((size, 1)), where="in file f")
        return filled["x"]["A", "nominal", :].values(flow=True).tolist()

    def test_missing_values_are_not_filled(self):
        assert self.fill(ak.Array([0.5, None, 2.5, 9.0])) == [0, 1, 0, 1, 0, 1]
        assert self.fill(ak.Array([[0.5, None], [], None, [2.5]])) == [0, 1, 0, 1, 0, 0]
        assert self.fill(np.ma.masked_array([0.5, 1.5], [False, True])) == [0, 1, 0, 0, 0, 0]

    def test_nan_is_an_error_where_it_would_be_filled(self):
        with pytest.raises(EventError, match=r"'x' of histogram 'x' is not a number \(NaN\) in file f\."):
            self.fill(np.array([1.0, np.nan]))
        with pytest.raises(EventError, match="not a number"):
            self.fill(ak.Array([[1.0], [2.0, np.nan]]))
        logarithmic = Histogram("x", axis.Regular(4, 1, 4, transform=axis.transform.log))
        with pytest.raises(EventError, match="not a number"):
            HistogramSet([logarithmic], ["A"], ["nominal"]).fill(
                {"x": np.array([np.nan])}, {"A": np.ones(1, dtype=bool)}, np.ones((1, 1))
            )
        filled = HistogramSet([self.histogram], ["A"], ["nominal"])
        filled.fill({"x": np.array([1.0, np.nan])}, {"A": np.array([True, False])}, np.ones((2, 1)))
        assert filled["x"].sum(flow=True).value == 1

    @pytest.mark.parametrize(
        "given_axis",
        [
            axis.Regular(4, 0, 4),
            axis.Variable([0, 1, 4]),
            axis.Integer(0, 4),
            axis.Integer(0, 4, underflow=False, overflow=False),
            axis.Variable([0, 1, 4], underflow=False, overflow=False),
            axis.IntCategory([1, 2]),
        ],
        ids=lambda each: type(each).__name__,
    )
    def test_infinity_is_an_error_where_it_would_be_filled(self, given_axis):
        for kind in (np.float32, np.float64):
            for value in (np.inf, -np.inf):
                filled = HistogramSet([Histogram("x", given_axis)], ["A"], ["nominal"])
                values = {"x": np.array([1.0, value], kind)}
                with pytest.raises(EventError, match=r"'x' of histogram 'x' is infinite in file f\."):
                    filled.fill(values, {"A": np.ones(2, dtype=bool)}, np.ones((2, 1)), where="in file f")
                filled = HistogramSet([Histogram("x", given_axis)], ["A"], ["nominal"])
                filled.fill(values, {"A": np.array([True, False])}, np.ones((2, 1)))
                assert filled["x"].sum(flow=True).value == 1
        missing = ak.mask(np.array([1.0, np.inf]), np.array([True, False]))
        filled.fill({"x": missing}, {"A": np.ones(2, dtype=bool)}, np.ones((2, 1)))
        assert filled["x"].sum(flow=True).value == 2

    @pytest.mark.parametrize("given_axis", [axis.Integer(0, 4), axis.Regular(4, 0, 4), axis.Variable([0, 1, 2, 3, 4])])
    def test_numbers_beyond_any_axis_keep_their_side(self, given_axis):
        def fill(values):
            filled = HistogramSet([Histogram("x", given_axis)], ["A"], ["nominal"])
            filled.fill({"x": values}, {"A": np.ones(len(values), dtype=bool)}, np.ones((len(values), 1)))
            return filled["x"]["A", "nominal", :].values(flow=True).tolist()

        assert fill(np.array([2**63, 2**64 - 1, 3], np.uint64)) == [0, 0, 0, 0, 1, 2]
        assert fill(np.array([-(2**63), 2**63 - 1, 3])) == [1, 0, 0, 0, 1, 1]
        assert fill(np.array([-1e300, 1e300, 3.5])) == [1, 0, 0, 0, 1, 1]
        assert fill(np.array([-1e30, 1e30, 3.5], np.float32)) == [1, 0, 0, 0, 1, 1]

    def test_a_number_between_two_categories_is_none(self):
        filled = HistogramSet([Histogram("x", axis.IntCategory([1, 2, 7]))], ["A"], ["nominal"])
        values = np.array([1.0, 1.7, 2.0, 2.9, 7.0, 6.999, -1.0, 1e300])
        filled.fill({"x": values}, {"A": np.ones(len(values), dtype=bool)}, np.ones((len(values), 1)))
        assert filled["x"]["A", "nominal", :].values(flow=True).tolist() == [1, 1, 1, 5]
        for values in (np.array([1, 2**64 - 1, 2**63], np.uint64), np.array([1, -(2**63), 2**40])):
            filled = HistogramSet([Histogram("x", axis.IntCategory([1, 2, 7]))], ["A"], ["nominal"])
            filled.fill({"x": values}, {"A": np.ones(3, dtype=bool)}, np.ones((3, 1)))
            assert filled["x"]["A", "nominal", :].values(flow=True).tolist() == [1, 0, 0, 2]

    def test_integers_and_truths(self):
        assert self.fill(np.array([1, 1, 3], dtype=np.uint8)) == [0, 0, 2, 0, 1, 0]
        assert self.fill(np.array([True, False])) == [0, 1, 1, 0, 0, 0]

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (np.array(["a", "b"]), "not numbers"),
            (ak.Array(["a", "b"]), "can't be filled"),
            (ak.Array([[[1.0]], []]), "nested deeper"),
            (ak.Array([{"y": 1}, {"y": 2}]), "records with the columns y"),
            ("text", "can't be filled"),
            (np.array([1.0, 2.0, 3.0]), "3 entries for 2 events"),
            (ak.Array([[1.0]]), "1 entries for 2 events"),
        ],
    )
    def test_what_can_not_be_filled(self, values, words):
        with pytest.raises(ConfigError, match=words) as caught:
            self.fill(values, 2)
        assert "'x'" in str(caught.value)

    def test_an_observable_that_is_not_there(self):
        with pytest.raises(ConfigError, match=r"needs the observable 'x'.*did you mean xx"):
            HistogramSet([self.histogram], ["A"], ["nominal"]).fill({"xx": np.zeros(0)}, {}, np.zeros((0, 1)))


class TestDeclaration:
    def test_axes_are_named_and_labelled_without_touching_the_given_ones(self):
        given_axis = axis.Regular(3, 0, 1)
        declared = Histogram("mll", given_axis, label="mass", unit="GeV")
        assert (declared.axes[0].name, declared.axes[0].label) == ("mll", "mass [GeV]")
        assert given_axis.name == ""
        assert Histogram("n", axis.Integer(0, 4), label="jets").axes[0].label == "jets"
        assert Histogram("n", axis.Integer(0, 4)).axes[0].label == "n"
        assert Histogram("n", axis.Regular(3, 0, 1, label="own")).axes[0].label == "own"
        assert type(Histogram("n", bh.axis.Regular(3, 0, 1)).axes[0]) is axis.Regular
        assert Histogram("n", axis.Regular(3, 0.1, 1, transform=axis.transform.log)).axes[0].transform is not None

    def test_frozen_comparable_and_picklable(self):
        declared = Histogram("mll", axis.Regular(3, 0, 1), label="mass", unit="GeV", regions=["A"])
        with pytest.raises(AttributeError):
            declared.name = "other"
        again = pickle.loads(pickle.dumps(declared))  # noqa: S301 - what was just made
        assert again == declared
        assert hash(again) == hash(declared)
        assert again.units == ("GeV",)
        assert declared != Histogram("mll", axis.Regular(4, 0, 1), label="mass", unit="GeV", regions=["A"])
        assert declared != Histogram("mll", axis.Regular(3, 0, 1), label="other", unit="GeV", regions=["A"])
        assert "mll" in repr(declared)

    @pytest.mark.parametrize(
        ("arguments", "options", "words"),
        [
            (("",), {}, "must be neither empty"),
            (("a/b", axis.Regular(1, 0, 1)), {}, "nor hold '/'"),
            (("a",), {}, "0 axes but 1 observables"),
            (("a", axis.Regular(1, 0, 1), axis.Regular(1, 0, 1)), {}, "2 axes but 1 observables"),
            (("a", *[axis.Regular(1, 0, 1)] * 2), {"observables": ("b", "b")}, "must differ"),
            (("region", axis.Regular(1, 0, 1)), {}, "not be 'region'"),
            (("a", *[axis.Regular(1, 0, 1)] * 2), {"observables": ("b", "c"), "label": "x"}, "a label for each"),
            (("a", *[axis.Regular(1, 0, 1)] * 2), {"observables": ("b", "c"), "unit": ("x",) * 3}, "3 units"),
            (("a", 5), {}, "not an axis"),
            (("a", axis.Regular(1, 0, 1, growth=True)), {}, "grows"),
            (("a", axis.StrCategory(["b"])), {}, "StrCategory"),
        ],
    )
    def test_contradictions(self, arguments, options, words):
        with pytest.raises(ConfigError, match=words):
            Histogram(*arguments, **options)

    def test_regions(self):
        declared = Histogram("x", axis.Regular(2, 0, 1), regions=["C", "A"])
        filled = HistogramSet([declared], REGIONS, ["nominal"])
        assert list(filled["x"].axes["region"]) == ["A", "C"]
        filled.fill({"x": np.full(10, 0.2)}, {name: np.ones(10, dtype=bool) for name in "AB"}, np.ones((10, 1)))
        assert filled["x"]["A", "nominal", 0].value == 10
        assert filled["x"].sum(flow=True).value == 10
        with pytest.raises(ConfigError, match="unknown region 'AA'"):
            HistogramSet([Histogram("x", axis.Regular(2, 0, 1), regions=["AA"])], REGIONS, ["nominal"])

    def test_twice(self):
        with pytest.raises(ConfigError, match="'x' is declared twice"):
            HistogramSet([Histogram("x", axis.Regular(2, 0, 1))] * 2, REGIONS, ["nominal"])


class TestSet:
    def test_it_is_a_mapping_to_histograms(self):
        filled = some_set()
        assert list(filled) == ["x", "y"]
        assert len(filled) == 2
        assert "x" in filled
        assert "z" not in filled
        assert isinstance(filled["x"], hist.Hist)
        assert filled["x"].storage_type is hist.storage.Weight
        assert filled["x"].axes.name == ("region", "variation", "x")
        filled["x"].reset()
        assert filled["x"].sum().value != 0  # a copy was given
        with pytest.raises(KeyError):
            filled["z"]

    def test_no_histograms(self):
        empty = HistogramSet([], REGIONS, VARIATIONS)
        empty.fill({}, masks(5), weights(5))
        assert len(empty + empty) == 0

    def test_filling_goes_on(self):
        filled = some_set()
        once = filled["x"].values(flow=True).copy()
        rng = np.random.default_rng(0)
        observables = {"x": rng.random(50), "y": ak.unflatten(rng.random(100) * 4, 2)}
        filled.fill(observables, masks(50, 0), weights(50, 0))
        assert np.allclose(filled["x"].values(flow=True), 2 * once)

    def test_variations_in_several_calls(self):
        together, apart = some_set(), some_set(variations=VARIATIONS) * 0
        rng = np.random.default_rng(0)
        observables = {"x": rng.random(50), "y": ak.unflatten(rng.random(100) * 4, 2)}
        for first in range(len(VARIATIONS)):
            apart.fill(observables, masks(50, 0), weights(50, 0)[:, first : first + 1], first)
        assert apart == together

    def test_adding_is_that_of_the_histograms(self):
        one, other, third = some_set(1), some_set(2), some_set(3)
        total = one + other
        for name in one:
            assert total[name] == one[name] + other[name]
        kept = some_set(1)
        kept += other
        assert kept == total
        assert one == some_set(1)
        assert np.allclose(((one + other) + third)["x"].values(), (one + (other + third))["x"].values())
        assert one + other == other + one

    def test_adding_others_is_an_error(self):
        with pytest.raises(ConfigError, match="combine"):
            some_set() + some_set(variations=["nominal"])
        with pytest.raises(ConfigError, match="combine"):
            some_set().__iadd__(HistogramSet([], REGIONS, VARIATIONS))
        with pytest.raises(TypeError):
            some_set() + 1
        assert some_set() != 1

    def test_scaling(self):
        scaled = 3.0 * some_set()
        assert np.allclose(scaled["x"].values(), 3 * some_set()["x"].values())
        assert np.allclose(scaled["x"].variances(), 9 * some_set()["x"].variances())

    def test_pickling_is_small_and_whole(self):
        filled = some_set()
        blob = pickle.dumps(filled)
        assert pickle.loads(blob) == filled  # noqa: S301 - what was just made
        assert pickle.loads(blob) + filled == filled + filled  # noqa: S301
        assert len(blob) < 4000 + 16 * sum(histogram.size for histogram in filled.values())

    def test_combine(self):
        one, other = some_set(1), some_set(2, ["nominal", "new_up"])
        total = combine([one, other])
        assert total.variations == (*VARIATIONS, "new_up")
        for name in one:
            for variation in total.variations:
                parts = [
                    part[name][:, variation if variation in part.variations else "nominal", :] for part in (one, other)
                ]
                assert total[name][:, variation, :] == parts[0] + parts[1]
        assert combine([one]) == one
        with pytest.raises(ConfigError, match="can't be combined"):
            combine([one, HistogramSet([], REGIONS, VARIATIONS)])
