"""Weights against coffea's; corrections and luminosity masks."""

import json

import awkward as ak
import cloudpickle
import coffea.analysis_tools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import ConfigError, EventError
from colonnade.processor.corrections import Corrections, LuminosityMask, luminosity_mask
from colonnade.processor.weights import Weights

NAMES = {"id": ("up", "down"), "trigger": ("up",), "pileup": ()}


@given(st.integers(0, 20), st.integers(0, 1000), st.booleans())
def test_they_are_coffeas(size, seed, shift):
    rng = np.random.default_rng(seed)
    ours, theirs = Weights(size), coffea.analysis_tools.Weights(size)
    for name, given_variations in NAMES.items():
        values = [rng.uniform(0.5, 1.5, size) for _ in range(1 + len(given_variations))]
        if size:
            values[0][0] = 0.0  # an event without weight
        ours.add(name, *(value.copy() for value in values), shift=shift)
        theirs.add(name, *(value.copy() for value in values), shift=shift)
    assert np.allclose(ours.weight(), theirs.weight())
    assert ours.variations == ("id_up", "id_down", "trigger_up", "trigger_down")
    for name in ours.variations:
        word = name.removesuffix("_up") + "Up" if name.endswith("_up") else name.removesuffix("_down") + "Down"
        assert np.allclose(ours.weight(name), theirs.weight(word)), name
    order, matrix = ours.matrix()
    assert order == ("nominal", *ours.variations)
    assert np.allclose(matrix[:, 3], ours.weight("trigger_up"))


def test_variations_that_are_not_wanted_are_not_made():
    def never():
        raise AssertionError

    weights = Weights(2, wanted=lambda _: False)
    weights.add("id", np.ones(2), never, never)
    weights.add("nan", np.ones(2), np.full(2, np.nan))
    assert weights.variations == ()
    wanted = Weights(2)
    wanted.add("id", np.ones(2), lambda: np.full(2, 1.5), lambda: np.full(2, 0.5))
    assert wanted.weight("id_up").tolist() == [1.5, 1.5]


def test_what_is_done_to_the_product_leaves_the_events_alone():
    generator = np.array([1.0, -1.0, 2.0])
    weights = Weights(3)
    weights.add("generator", generator)
    product = weights.weight()
    product *= 0.0
    assert generator.tolist() == [1.0, -1.0, 2.0]


def test_awkward_and_other_types():
    weights = Weights(3)
    weights.add("a", ak.Array([1, 2, 3]))
    weights.add("b", np.array([True, False, True]))
    weights.add("c", np.float32([0.5, 0.5, 0.5]))
    assert weights.weight().tolist() == [0.5, 0.0, 1.5]
    assert weights.weight().dtype == np.float64


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([1.0, np.nan], EventError, "1 of 2 events in dataset 'd'"),
        (ak.Array([1.0, None]), EventError, "'w' is missing, infinite"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), EventError, "'w' is missing"),
        ([1.0], ConfigError, "for each of 2 events"),
        (ak.Array([[1.0], [2.0, 3.0]]), ConfigError, "one number an event"),
        (np.array(["a", "b"]), ConfigError, "one number"),
        (2.0, ConfigError, "'w'"),
    ],
)
def test_bad_weights(values, error, words):
    with pytest.raises(error, match=words):
        Weights(2, "in dataset 'd'").add("w", np.array(values) if isinstance(values, list) else values)


def test_what_does_not_fit():
    weights = Weights(2)
    weights.add("w", np.ones(2))
    with pytest.raises(ConfigError, match="'w' is added twice"):
        weights.add("w", np.ones(2))
    with pytest.raises(EventError, match="varied up to 0"):
        weights.add("x", np.ones(2), np.zeros(2))
    huge = Weights(1)
    huge.add("a", np.full(1, 1e200))
    huge.add("b", np.full(1, 1e200))
    with pytest.raises(EventError, match="product of the weights, variation nominal, is not finite"):
        huge.weight()


class TestCorrections:
    def test_real_file(self, shared_data, tmp_path):
        path = tmp_path / "mine.json"
        path.write_bytes((shared_data / "corrections" / "correctionlib_mycorrections.json").read_bytes())
        corrections = Corrections({"mine": path})
        assert corrections["mine"]
        blob = cloudpickle.dumps(corrections)
        path.unlink()  # a worker elsewhere never saw it
        again = cloudpickle.loads(blob)
        for one in (corrections, again):
            assert one["mine"]["gen2_to_gen1"].evaluate(12.0, 0.3) == pytest.approx(1.1786200886832467)
            assert one["mine"]["ptweight"].evaluate(35.0, "nominal") == pytest.approx(1.06)
        assert again["mine"] is again["mine"]  # parsed once a process
        assert list(corrections) == ["mine"]
        assert len(corrections) == 1
        assert corrections.paths == {"mine": str(path)}

    def test_in_an_analysis(self, toy, make_events, shared_data):
        class Corrected(toy):
            def weights(self, events, objects, weights):
                super().weights(events, objects, weights)
                evaluator = self.corrections["mine"]["ptweight"]
                weights.add("pt", evaluator.evaluate(np.full(len(events), 35.0), "nominal"))

        path = shared_data / "corrections" / "correctionlib_mycorrections.json"
        made = Corrected(corrections={"mine": path}).process(make_events())["toy"]["histograms"]["ht"]
        expected = toy().process(make_events())["toy"]["histograms"]["ht"]
        assert np.allclose(made.values(), 1.06 * expected.values())

    def test_mistakes(self, toy, tmp_path):
        with pytest.raises(ConfigError, match=r"'mine': .*nowhere.json can't be read: No such file"):
            toy(corrections={"mine": tmp_path / "nowhere.json"})
        bad = tmp_path / "bad.json"
        bad.write_text("{}")
        with pytest.raises(ConfigError, match="can't be read as a correctionlib file"):
            Corrections({"bad": bad})["bad"]
        with pytest.raises(ConfigError, match=r"correction 'bda' \(did you mean bad\?\)"):
            Corrections({"bad": bad})["bda"]
        with pytest.raises(ConfigError, match="none is given"):
            Corrections({})["x"]


class TestLuminosityMask:
    @pytest.fixture
    def golden(self, tmp_path):
        path = tmp_path / "golden.json"
        path.write_text(json.dumps({"1": [[2, 3], [7, 7]]}))
        return str(path)

    def test_data_outside_are_dropped(self, toy, make_events, golden):
        events = make_events(kind="data", luminosity_mask=golden)
        made = toy(unblind=True).process(events)["toy"]
        assert made["events"] == 1000  # all were processed
        assert made["cutflow"]["all"]["luminosity mask"][0] == 300
        block = events.luminosityBlock.to_numpy()
        inside = events[(block == 2) | (block == 3) | (block == 7)]
        del events.attrs["metadata"]["luminosity_mask"]
        expected = toy(unblind=True).process(inside)["toy"]
        assert made["histograms"] == expected["histograms"]

    @given(
        st.dictionaries(
            st.integers(1, 5).map(str),
            st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)).map(sorted), max_size=4),
        )
    )
    def test_against_a_loop(self, certified):
        run, block = (grid.ravel().astype(np.uint32) for grid in np.meshgrid(np.arange(7), np.arange(12)))
        expected = [
            any(first <= one <= last for first, last in certified.get(str(number), []))
            for number, one in zip(run, block, strict=True)
        ]
        assert LuminosityMask(certified)(run, block).tolist() == expected

    def test_simulation_is_not_masked(self, toy, make_events, golden):
        made = toy().process(make_events(luminosity_mask=golden))["toy"]
        assert "luminosity mask" not in made["cutflow"]["all"]

    def test_mistakes(self, toy, make_events, golden, tmp_path):
        events = make_events(kind="data", luminosity_mask=golden)
        blind = ak.Array(
            ak.without_field(events, "run").layout,
            with_name="Events",
            behavior=events.behavior,
            attrs=dict(events.attrs),
        )
        with pytest.raises(ConfigError, match="without the column 'run' in dataset 'toy'"):
            toy().process(blind)
        with pytest.raises(ConfigError, match=r"nowhere\.json can't be read"):
            luminosity_mask(str(tmp_path / "nowhere.json"))
        for content, words in (
            ("{", "not valid JSON"),
            ("[1]", "must give for each run"),
            ('{"1": [[1]]}', "for each run"),
        ):
            path = tmp_path / f"{len(content)}.json"
            path.write_text(content)
            with pytest.raises(ConfigError, match=words):
                luminosity_mask(str(path))
