"""Classifiers: scores against a loop over events, and the ways a model file or its input can be wrong."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import ColonnadeError, ConfigError, EventError, InputError, MissingColumnError
from colonnade.inference import (
    CARD_KEY,
    Card,
    Classifier,
    CollectionCard,
    Feature,
    ParameterCard,
    fold_of,
    scorers_of,
    stack_inputs,
)
from colonnade.kinematics.collections import mixed as mix

onnx = pytest.importorskip("onnx", reason="onnx, of the train extra, makes the models of this test")
from onnx import TensorProto, helper, numpy_helper

from colonnade.training.export import combine_folds, write_model

EVENT = np.array([0.01, -0.5], dtype=np.float32)
JET = np.array([0.02, 0.3], dtype=np.float32)
CARD = Card(
    name="toy",
    kind="test",
    event=(Feature(name="mll", unit="GeV"), Feature(name="dphi", unit="rad")),
    collections=(
        CollectionCard(
            name="jets",
            index="jet_event",
            features=(Feature(name="jet_pt", unit="GeV"), Feature(name="jet_eta")),
        ),
    ),
)


def graph_of(factor: float = 1.0, opset: int = 18):
    """sigmoid(factor * (event . EVENT + sum over jets of jet . JET)), with ONNX operators only."""
    nodes = [
        helper.make_node("MatMul", ["event", "w_event"], ["a"]),
        helper.make_node("MatMul", ["jets", "w_jet"], ["b"]),
        helper.make_node("Unsqueeze", ["jet_event", "last"], ["place"]),
        helper.make_node("ScatterND", ["a", "place", "b"], ["sum"], reduction="add"),
        helper.make_node("Squeeze", ["sum", "last"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info("event", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("jets", TensorProto.FLOAT, ["m", 2]),
            helper.make_tensor_value_info("jet_event", TensorProto.INT64, ["m"]),
        ],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
        [
            numpy_helper.from_array((EVENT * np.float32(factor)).reshape(2, 1), "w_event"),
            numpy_helper.from_array((JET * np.float32(factor)).reshape(2, 1), "w_jet"),
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def by_loop(mll, dphi, jet_pt, jet_eta, factor=1.0):
    scores = []
    for place in range(len(mll)):
        total = float(mll[place]) * EVENT[0] + float(dphi[place]) * EVENT[1]
        for pt, eta in zip(jet_pt[place], jet_eta[place], strict=True):
            total += float(pt) * JET[0] + float(eta) * JET[1]
        scores.append(1 / (1 + math.exp(-factor * total)))
    return scores


def made(counts, seed=0):
    rng = np.random.default_rng(seed)
    total = int(np.sum(counts))
    counts = np.asarray(counts, dtype=np.int64)
    return {
        "mll": rng.uniform(10, 200, len(counts)),
        "dphi": rng.uniform(-3, 3, len(counts)),
        "jet_pt": ak.unflatten(rng.exponential(50, total), counts),
        "jet_eta": ak.unflatten(rng.uniform(-4, 4, total), counts),
        "met": rng.exponential(50, len(counts)),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def toy(folder):
    return write_model(folder / "toy.onnx", [graph_of()], CARD)


def columns(events):
    return (ak.to_list(events[name]) for name in ("mll", "dphi", "jet_pt", "jet_eta"))


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(0, 6), max_size=30), seed=st.integers(0, 1000))
def test_scores_are_those_of_a_loop_over_events(toy, counts, seed):
    events = made(counts, seed)
    assert toy.score(events) == pytest.approx(by_loop(*columns(events)), abs=1e-6)


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0], [5], [0, 3, 0]])
def test_no_events_no_jets_one_event(toy, counts):
    events = made(counts)
    scores = toy.score(events)
    assert scores.shape == (len(counts),)
    assert scores == pytest.approx(by_loop(*columns(events)), abs=1e-6)


def test_more_events_than_one_batch_of_the_graph(toy):
    counts = np.random.default_rng(1).poisson(1.5, 7000)
    events = made(counts)
    scores = toy.score(events)
    assert scores == pytest.approx(by_loop(*columns(events)), abs=1e-6)
    part = {name: values[4000:5000] for name, values in events.items()}
    assert np.array_equal(toy.score(part), scores[4000:5000])


def test_variations_of_one_call_are_those_of_their_own_calls(toy):
    variations = [made([1, 0, 4], 1), made([], 2), made([2] * 5, 3)]
    together = toy.score_variations(variations)
    assert [len(scores) for scores in together] == [3, 0, 5]
    for variation, scores in zip(variations, together, strict=True):
        assert np.array_equal(scores, toy.score(variation))


def identity(count, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 10**6, count) for name in ("run", "luminosityBlock", "event")}


def test_each_event_is_scored_by_the_network_of_its_fold(folder):
    factors = [0.2, 1.0, -0.5]
    card = CARD.model_copy(update={"folds": 3})
    model = write_model(folder / "folds.onnx", [graph_of(factor) for factor in factors], card)
    events, who = made(np.random.default_rng(3).poisson(1.0, 300)), identity(300)
    folds = fold_of(who, 3)
    assert set(folds) == {0, 1, 2}
    each = [by_loop(*columns(events), factor) for factor in factors]
    expected = [each[fold][place] for place, fold in enumerate(folds)]
    assert model.score(events, who) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(MissingColumnError, match="no column 'run'"):
        model.score(events)


def test_only_the_chosen_fold_is_in_the_file_once():
    model = combine_folds([graph_of(), graph_of(2.0)])
    assert [node.op_type for node in model.graph.node] == ["Constant", "Equal", "If"]


def test_splitmix64_gives_the_published_sequence():
    gamma = 0x9E3779B97F4A7C15
    states = np.array([0, gamma, (2 * gamma) % 2**64], dtype=np.uint64)
    assert [hex(value) for value in mix(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


@given(count=st.integers(2, 7), seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_folds_are_even_and_depend_on_the_event_only(count, seed):
    who = {
        "run": np.ones(4000, dtype=np.uint32),
        "luminosityBlock": np.arange(4000, dtype=np.uint32) // 100,
        "event": np.arange(seed, 4000 + seed, dtype=np.uint64),
    }
    folds = fold_of(who, count)
    shares = np.bincount(folds, minlength=count) / 4000
    assert shares == pytest.approx(1 / count, abs=5 * math.sqrt(1 / count / 4000))
    order = np.random.default_rng(seed).permutation(4000)
    assert np.array_equal(fold_of({name: column[order] for name, column in who.items()}, count), folds[order])
    # a salt divides independently: the folds of one division are even within another
    salted = fold_of(who, count, salt=1)
    assert np.mean(salted == folds) == pytest.approx(1 / count, abs=5 * math.sqrt(1 / count / 4000))


@pytest.mark.parametrize(
    ("name", "value"),
    [("mll", math.nan), ("dphi", math.inf), ("jet_pt", math.nan), ("mll", 1e39), ("mll", None)],
)
def test_a_feature_that_is_no_number_is_named(toy, name, value):
    events = made([1, 2, 0])
    listed = ak.to_list(events[name])
    if name == "jet_pt":
        listed[1][0] = value
    else:
        listed[1] = value
    with pytest.raises(EventError, match=f"Feature {name} is not a finite number in 1 of 3 entries"):
        toy.score(events | {name: ak.Array(listed)})


def test_large_values_that_cancel_or_add_up_are_numbers(toy):
    events = made([1, 2, 0]) | {"mll": np.array([3e38, 3e38, 1.0])}
    assert toy.score(events)[0] == 1.0


def test_columns_of_the_wrong_kind(toy):
    events = made([1, 2, 0])
    with pytest.raises(EventError, match="jet_pt has one value an event but the model toy takes a list of jets"):
        toy.score(events | {"jet_pt": events["mll"]})
    with pytest.raises(EventError, match="mll has lists of values but the model toy takes one value"):
        toy.score(events | {"mll": events["jet_pt"]})
    with pytest.raises(EventError, match="of jets of the model toy list different numbers"):
        toy.score(events | {"jet_eta": events["jet_eta"][:, :1]})
    with pytest.raises(EventError, match="different lengths: mll 3, dphi 2, jets 3"):
        toy.score(events | {"dphi": events["dphi"][:2]})
    with pytest.raises(EventError, match="mll does not hold numbers"):
        toy.score(events | {"mll": ak.Array(["a", "b", "c"])})
    del events["jet_pt"]
    with pytest.raises(MissingColumnError, match=r"needs the observable jet_pt \[GeV\].*did you mean jet_eta"):
        toy.score(events)


def with_card(model, card):
    """A file with a given card, written without the checks of `write_model`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    import hashlib

    digest = hashlib.sha256(copy.graph.SerializeToString()).hexdigest()
    helper.set_model_props(copy, {CARD_KEY: card.model_copy(update={"graph_sha256": digest}).model_dump_json()})
    return copy.SerializeToString()


def external(folder):
    model = graph_of()
    onnx.external_data_helper.convert_model_to_external_data(
        model, location="weights.bin", size_threshold=0, convert_attribute=False
    )
    onnx.save_model(model, folder / "external.onnx")
    return with_card(onnx.load(folder / "external.onnx", load_external_data=False), CARD)


def flipped(folder):
    content = bytearray((folder / "toy.onnx").read_bytes())
    place = content.find(EVENT.tobytes())
    assert place > 0
    content[place] ^= 1
    return bytes(content)


def wide():
    event = (*CARD.event, Feature(name="met", unit="GeV"))
    return CARD.model_copy(update={"event": event})


BAD_FILES = {
    "no card": (lambda _: graph_of().SerializeToString(), ConfigError, "has no card"),
    "card is no json": (
        lambda _: (m := graph_of(), helper.set_model_props(m, {CARD_KEY: "{"}), m.SerializeToString())[-1],
        ConfigError,
        "not valid JSON",
    ),
    "card is of another format": (
        lambda _: with_card(graph_of(), CARD.model_copy(update={"format": 2})),
        ConfigError,
        "format = 2",
    ),
    "other opset than the card's": (
        lambda _: with_card(graph_of(opset=17), CARD),
        ConfigError,
        "is of opset 17",
    ),
    "opset of the future": (
        lambda _: with_card(graph_of(opset=99), CARD.model_copy(update={"opset": 99})),
        InputError,
        "can't run the model .*opset 99",
    ),
    "other features than the graph's": (
        lambda _: with_card(graph_of(), wide()),
        ConfigError,
        "takes 'event' with 2 columns but its card lists 3",
    ),
    "other inputs than the graph's": (
        lambda _: with_card(graph_of(), CARD.model_copy(update={"collections": ()})),
        ConfigError,
        "takes the inputs event, jet_event, jets but its card describes event",
    ),
    "truncated": (
        lambda folder: (folder / "toy.onnx").read_bytes()[:200],
        InputError,
        "is damaged or no ONNX file",
    ),
    "flipped bit": (flipped, InputError, "is damaged: its graph is not the one"),
    "text": (lambda _: b"not a model at all", InputError, "is damaged or no ONNX file"),
    "empty": (lambda _: b"", InputError, "is damaged or no ONNX file"),
    "weights elsewhere": (external, InputError, "keeps weights in another file"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_sentence(toy, folder, case):
    make, error, words = BAD_FILES[case]
    path = folder / f"{case.replace(' ', '_')}.onnx"
    path.write_bytes(make(folder))
    with pytest.raises(error, match=words) as raised:
        Classifier.load(path)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_never_gives_another_score(toy, folder, data):
    content = bytearray((folder / "toy.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.onnx"
    path.write_bytes(content)
    events = made([1, 0, 2])
    try:
        scores = Classifier.load(path).score(events)
    except ColonnadeError:
        return
    assert np.array_equal(scores, toy.score(events))


def test_a_missing_file():
    with pytest.raises(InputError, match=r"nowhere\.onnx can't be read: No such file"):
        Classifier.load(Path("nowhere.onnx"))


def test_it_travels_by_value_and_does_not_change_with_its_file(folder):
    path = folder / "travels.onnx"
    model = write_model(path, [graph_of(0.7)], CARD)
    blob = pickle.dumps(model)
    assert len(blob) < 10_000
    assert pickle.loads(blob) == model  # noqa: S301 - our own
    code = (
        "import pickle, sys; from colonnade.inference import Classifier as C; print(pickle.dumps(C.load(sys.argv[1])))"
    )
    blobs = {
        subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, env={"PYTHONHASHSEED": seed}, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(blobs) == 1  # as kept results are found again by it
    events = made([1, 2])
    assert np.array_equal(pickle.loads(blob).score(events), model.score(events))  # noqa: S301 - our own
    path.unlink()
    alone = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).card.folds)"
    seen = subprocess.run([sys.executable, "-c", alone], input=blob, capture_output=True, check=True)
    assert int(seen.stdout) == model.card.folds  # in a process that never saw the file
    scores = model.score(events)
    write_model(path, [graph_of(0.8)], CARD)
    from colonnade.inference import onnx_file

    onnx_file.session_of.cache_clear()  # as in a process that has not scored yet
    assert np.array_equal(model.score(events), scores)


def test_leading_objects_become_columns_and_missing_ones_are_filled():
    collection = CARD.collections[0].model_copy(update={"leading": 2, "fill": (None, 10.0)})
    card = CARD.model_copy(update={"collections": (collection,), "missing": True})
    events = made([0, 1, 3])
    columns = stack_inputs(card, events).event
    pt, eta = ak.to_list(events["jet_pt"]), ak.to_list(events["jet_eta"])
    expected = [
        [math.nan, 10.0, math.nan, 10.0],
        [pt[1][0], eta[1][0], math.nan, 10.0],
        [pt[2][0], eta[2][0], pt[2][1], eta[2][1]],
    ]
    assert columns[:, 2:] == pytest.approx(np.array(expected), nan_ok=True)
    assert stack_inputs(card, made([])).event.shape == (0, 6)
    with pytest.raises(EventError, match="mll is not a finite number"):
        stack_inputs(card, events | {"mll": np.array([1.0, math.inf, 1.0])})


def test_a_scorer_names_each_hypothesis(folder):
    card = CARD.model_copy(
        update={
            "event": CARD.event[:1],
            "parameters": (ParameterCard(name="dphi", unit="rad", values=(0.5, 2.0)),),
            "folds": 2,
        }
    )
    model = write_model(folder / "hypotheses.onnx", [graph_of(), graph_of(0.3)], card)
    scorers = scorers_of(model)
    assert list(scorers) == ["score_0.5", "score_2"]
    events, who = [made([1, 0, 2, 5], 1), made([3, 0], 2)], [identity(4, 1), identity(2, 2)]
    for scorer, value in zip(scorers.values(), (0.5, 2.0), strict=True):
        for place, scores in enumerate(scorer.score_variations(events, who)):
            assert np.array_equal(scores, model.score(events[place], who[place], {"dphi": value}))
    with pytest.raises(MissingColumnError, match="needs a value of its parameter dphi"):
        model.score(events[0], who[0])


def test_a_scorer_of_other_units_is_refused(toy):
    assert scorers_of(toy, "s", {"mll": "GeV", "met": "GeV"}) == {"s": toy}
    for feature in CARD.features():
        with pytest.raises(ConfigError, match=f"{feature.name} in '{feature.unit}', .* gives it in 'MeV'"):
            scorers_of(toy, "s", {feature.name: "MeV"})


def test_a_card_without_sense_is_refused():
    with pytest.raises(ValueError, match="mll is listed twice"):
        Card(name="x", kind="test", event=(CARD.event[0], CARD.event[0]))
    with pytest.raises(ValueError, match="at least one feature"):
        Card(name="x", kind="test")
    with pytest.raises(ValueError, match="unknown rule for folds"):
        Card(name="x", kind="test", event=CARD.event, folds=2, fold_rule="event mod 2")
    with pytest.raises(ValueError, match="one fill value for each"):
        CollectionCard(name="jets", index="jet_event", features=CARD.event, leading=1)
