"""Models that others trained: scores against numpy's own arithmetic, and what does not fit the graph."""

from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, EventError, InputError, MissingColumnError
from colonnade.inference import OnnxScorer, ScorerSettings

onnx = pytest.importorskip("onnx", reason="onnx, of the train extra, makes the models of this test")
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]], dtype=np.float32)


def write(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def declared(**content):
    return parse_settings(ScorerSettings, {"onnx": "made.onnx", **content}, "scorers.score")


@pytest.fixture
def classes(tmp_path):
    """Three logits of two features, x @ WEIGHTS."""
    return write(
        tmp_path / "made.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["logits"])],
        {"x": ["N", 2]},
        {"logits": ["N", 3]},
        {"w": WEIGHTS},
    )


@pytest.fixture
def sums(tmp_path):
    """The sum over an event's objects of object @ (1, 10), any number of objects."""
    nodes = [
        helper.make_node("MatMul", ["jets", "w"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["score"], keepdims=0),
    ]
    constants = {"w": np.array([[1.0], [10.0]], dtype=np.float32), "axis": np.array([1], dtype=np.int64)}
    return write(tmp_path / "made.onnx", nodes, {"jets": ["N", "P", 2]}, {"score": ["N", 1]}, constants)


EVENTS = {"msd": np.array([1.0, 2.0, -3.0]), "n2ddt": np.array([0.5, 0.0, 4.0])}


def test_several_outputs_are_columns_of_the_graph(classes):
    scorer = OnnxScorer.load(
        classes, declared(inputs={"x": ["msd", "n2ddt"]}, outputs={"qcd": "logits:0", "top": "logits:2"})
    )
    found = scorer.score(EVENTS)
    expected = np.stack([EVENTS["msd"], EVENTS["n2ddt"]], axis=1) @ WEIGHTS
    assert list(found) == ["qcd", "top"]
    assert found["qcd"] == pytest.approx(expected[:, 0])
    assert found["top"] == pytest.approx(expected[:, 2])
    # by value, in another process too
    classes.unlink()
    assert pickle.loads(pickle.dumps(scorer)).score(EVENTS)["top"] == pytest.approx(expected[:, 2])  # noqa: S301


def test_variations_with_other_events_are_scored_in_one_call(classes, monkeypatch):
    scorer = OnnxScorer.load(classes, declared(inputs={"x": ["msd", "n2ddt"]}, outputs={"qcd": "logits:0"}))
    few = {name: values[1:] for name, values in EVENTS.items()}
    none = {name: values[:0] for name, values in EVENTS.items()}
    calls, session = [], scorer._session()

    class Counted:
        def __getattr__(self, name):
            return getattr(session, name)

        def run(self, *arguments):
            calls.append(arguments)
            return session.run(*arguments)

    monkeypatch.setattr(OnnxScorer, "_session", lambda _: Counted())
    first, second, third = scorer.score_variations([EVENTS, few, none])
    assert len(calls) == 1
    assert second["qcd"] == pytest.approx(first["qcd"][1:])
    assert len(third["qcd"]) == 0


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_candidates_get_a_score_each_and_the_best_is_kept(tmp_path_factory, counts, seed):
    path = tmp_path_factory.mktemp("made") / "made.onnx"
    write(
        path, [helper.make_node("MatMul", ["x", "w"], ["s"])], {"x": ["N", 2]}, {"s": ["N", 1]}, {"w": WEIGHTS[:, :1]}
    )
    rng = np.random.default_rng(seed)
    mass, met = rng.normal(size=sum(counts)).astype("f4"), rng.normal(size=len(counts)).astype("f4")
    columns = {"mass": ak.unflatten(mass, counts), "met": met}
    jagged = OnnxScorer.load(path, declared(inputs={"x": ["mass", "met"]})).score(columns)
    lists = iter(mass)
    expected = [
        [0.5 * next(lists) + 1.5 * event for _ in range(count)] for count, event in zip(counts, met, strict=True)
    ]
    assert [len(each) for each in jagged.tolist()] == counts
    assert np.concatenate([np.zeros(0), *jagged.tolist()]) == pytest.approx(
        np.concatenate([np.zeros(0), *expected]), rel=1e-5, abs=1e-5
    )
    best = OnnxScorer.load(path, declared(inputs={"x": ["mass", "met"]}, best=-99.0)).score(columns)
    assert best[""] == pytest.approx([max(each, default=-99.0) for each in expected], rel=1e-5, abs=1e-5)
    assert best["best"].tolist() == [int(np.argmax(each)) if each else -1 for each in jagged.tolist()]


@pytest.mark.parametrize("counts", [[2, 0, 3, 2, 5], [1]])
def test_any_number_of_objects_is_given_as_it_is(sums, counts):
    rng = np.random.default_rng(3)
    pt, eta = rng.normal(size=(2, sum(counts)))
    columns = {"pt": ak.unflatten(pt, counts), "eta": ak.unflatten(eta, counts)}
    found = OnnxScorer.load(sums, declared(inputs={"jets": ["pt", "eta"]})).score(columns)
    for score, p, e in zip(found, columns["pt"], columns["eta"], strict=True):
        assert score == pytest.approx(np.sum(np.asarray(p) + 10 * np.asarray(e)), rel=1e-5)


@pytest.mark.parametrize("features_first", [False, True])
def test_a_fixed_number_of_objects_is_filled(tmp_path, features_first):
    shape = ["N", 2, 3] if features_first else ["N", 3, 2]
    nodes = [helper.make_node("ReduceSum", ["jets", "axes"], ["score"], keepdims=0)]
    path = write(
        tmp_path / "made.onnx", nodes, {"jets": shape}, {"score": ["N"]}, {"axes": np.array([1, 2], dtype=np.int64)}
    )
    given = {"features": ["pt", "eta"], "fill": -7.0, "features_first": features_first}
    scorer = OnnxScorer.load(path, declared(inputs={"jets": given}))
    columns = {
        "pt": ak.Array([[1.0, 2.0, 3.0, 400.0], [], [5.0]]),
        "eta": ak.Array([[0.1, 0.2, 0.3, 400.0], [], [0.5]]),
    }
    assert scorer.score(columns) == pytest.approx([6.6, -42.0, 5.5 - 28.0])
    swapped = declared(inputs={"jets": {**given, "features_first": not features_first}})
    with pytest.raises(ConfigError, match=r"jets .*\[N, [23], [23]\] in the graph.*\[N, "):
        OnnxScorer.load(path, swapped)


def test_what_does_not_fit_the_graph_is_said_with_both_shapes(classes, sums, tmp_path):
    with pytest.raises(ConfigError, match=r"input jets .*\[N, P, 2\].*\(pt\) make \[N, P, 1\]"):
        OnnxScorer.load(sums, declared(inputs={"jets": ["pt"]}))
    with pytest.raises(ConfigError, match=r"no input 'jet' \(did you mean jets.*jets \[N, P, 2\]"):
        OnnxScorer.load(sums, declared(inputs={"jet": ["pt", "eta"]}))
    two = write(
        tmp_path / "two.onnx",
        [helper.make_node("Add", ["a", "b"], ["c"])],
        {"a": ["N", 3], "b": [1, 3]},
        {"c": ["N", 3]},
    )
    with pytest.raises(ConfigError, match=r"input b .*not declared"):
        OnnxScorer.load(two, declared(inputs={"a": ["x", "y", "z"]}))
    with pytest.raises(ConfigError, match=r"input b .*\[1, 3\].*\[N, 3\].*first axis of any length"):
        OnnxScorer.load(two, declared(inputs={"a": ["x", "y", "z"], "b": ["x", "y", "z"]}))


def test_outputs_that_the_graph_lacks_are_refused(classes):
    inputs = {"x": ["msd", "n2ddt"]}
    classes = write(
        classes, [helper.make_node("MatMul", ["x", "w"], ["logits"])], {"x": ["N", 2]}, {"logits": ["N", 3]},
        {"w": WEIGHTS},
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"logits .*\[N, 3\].* name a column as logits:0"):
        OnnxScorer.load(classes, declared(inputs=inputs))
    for wanted, words in (
        ("logit:0", "did you mean logits"),
        ("logits:3", "N, 4 or more"),
        ("logits", "name a column"),
    ):
        with pytest.raises(ConfigError, match=words):
            OnnxScorer.load(classes, declared(inputs=inputs, outputs={"a": wanted}))


def test_wrong_values_are_refused_by_name(classes):
    scorer = OnnxScorer.load(classes, declared(inputs={"x": ["msd", "n2ddt"]}, outputs={"a": "logits:0"}))
    with pytest.raises(MissingColumnError, match="n2ddt"):
        scorer.score({"msd": EVENTS["msd"], "n2": EVENTS["n2ddt"]})
    with pytest.raises(EventError, match="n2ddt is not a finite number in 1 of 3"):
        scorer.score({**EVENTS, "n2ddt": np.array([0.0, np.nan, 1.0])})
    with pytest.raises(EventError, match="different numbers of entries"):
        scorer.score({"msd": ak.Array([[1.0], [2.0, 3.0]]), "n2ddt": ak.Array([[1.0], [2.0]])})
    with pytest.raises(EventError, match=r"different lengths: msd 3, n2ddt 2"):
        scorer.score({**EVENTS, "n2ddt": EVENTS["n2ddt"][:2]})
    with pytest.raises(EventError, match="none of its features is a list"):
        OnnxScorer.load(classes, declared(inputs={"x": ["msd", "n2ddt"]}, outputs={"a": "logits:0"}, best=0.0)).score(
            EVENTS
        )
    with pytest.raises(ConfigError, match="one file"):
        declared(xgboost="trees.json", inputs={"x": ["a"]})
    damaged = classes.with_name("damaged.onnx")
    damaged.write_bytes(classes.read_bytes()[:50])
    with pytest.raises(InputError, match="damaged"):
        OnnxScorer.load(damaged, declared(inputs={"x": ["msd", "n2ddt"]}))


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
def test_xgboosts_own_file_scores_as_xgboost(tmp_path, objective):
    xgboost = pytest.importorskip("xgboost", reason="needs the train extra")
    pytest.importorskip("onnxmltools", reason="needs the train extra")
    from colonnade.training.export import convert_trees

    rng = np.random.default_rng(5)
    events = rng.normal(size=(400, 3)).astype(np.float32)
    events[rng.random(events.shape) < 0.1] = np.nan
    values = np.nan_to_num(events).sum(axis=1)
    target = values if objective.startswith("reg") else np.digitize(values, [0.0] if "binary" in objective else [-1, 1])
    options = {"objective": objective, "max_depth": 3, **({"num_class": 3} if "multi" in objective else {})}
    names = ["a", "b", "c"]
    booster = xgboost.train(options, xgboost.DMatrix(events, label=target, feature_names=names), num_boost_round=8)
    booster.save_model(tmp_path / "trees.json")
    expected = booster.predict(xgboost.DMatrix(events, feature_names=names))
    outputs = {
        "binary:logistic": {"signal": "probabilities:1"},
        "multi:softprob": {"one": "probabilities:1", "two": "probabilities:2"},
        "reg:squarederror": {},
    }[objective]
    given = {"onnx": None, "xgboost": "trees.json", "inputs": {"event": names}, "outputs": outputs, "missing": True}
    scorer = OnnxScorer.load(tmp_path / "trees.json", declared(**given), convert_trees(tmp_path / "trees.json", names))
    found = scorer.score(dict(zip(names, events.T, strict=True)))
    if objective.startswith("multi"):
        assert np.stack([found["one"], found["two"]], 1) == pytest.approx(expected[:, 1:], abs=1e-5)
    else:
        assert (found["signal"] if outputs else found) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ConfigError, match=r"a, b, c.*order of the training"):
        convert_trees(tmp_path / "trees.json", ["b", "a", "c"])
    (tmp_path / "trees.json").write_text("{}")
    with pytest.raises(InputError, match="can't read the trees"):
        convert_trees(tmp_path / "trees.json")
