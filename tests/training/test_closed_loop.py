"""One declaration from events to columns, training, model file and scores inside the event loop."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from colonnade.cli import main
from colonnade.errors import ConfigError, MissingColumnError
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.histograms import load
from colonnade.inference import Classifier, scorers_of
from colonnade.manifest import load_manifest
from colonnade.workflow import load_workflow
from colonnade.workflow.analysis import load_analysis, make_processor

pytest.importorskip("torch", reason="needs the train extra")


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


@pytest.fixture(scope="module")
def model(mini):
    """Trees, for they are exported in no time; what follows does not depend on the kind of model."""
    assert call("train", mini / "models" / "mini.py", "--variant", "trees", "--threads", 1) == 0
    return Classifier.load(mini / "models" / "mini_trees.onnx")


def scored_run(mini, model):
    analysis = load_analysis(mini, "processors/mini.py")
    return run_datasets(
        analysis(scorers=scorers_of(model, units=analysis.units())),
        load_manifest(mini / "datasets.json").select(["*"]),
        luminosity=10.0,
        executor=ExecutorSettings(kind="iterative"),
        chunk_size=333,
    )


def test_the_event_loop_scores_what_was_trained(mini, model):
    result = scored_run(mini, model)
    for process in ("top", "zll", "S_100", "S_300"):
        table = pq.read_table(mini / "columns" / "mini" / f"{process}.parquet")
        observables = {name: _column(table[name]) for name in ("met", "leading_pt", "jet_pt", "jet_eta")}
        identity = {name: np.asarray(table[name]) for name in ("run", "luminosityBlock", "event")}
        scores = model.score(observables, identity)
        weight = np.asarray(table["weight"])
        expected, _ = np.histogram(scores, bins=20, range=(0, 1), weights=weight)
        filled = result.histograms["score"][process]
        nominal = filled[{"variation": "nominal", "region": sum}]
        assert nominal.values() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        shifted = filled[{"variation": "jet_energy_scale_up", "region": sum}]
        assert shifted.sum().value == pytest.approx(weight.sum())
        assert not np.allclose(shifted.values(), nominal.values())
        # with jets 5 % harder, the trees give other scores: the same as when the columns are changed so
        observables["jet_pt"] = observables["jet_pt"] * np.float32(1.05)
        moved, _ = np.histogram(model.score(observables, identity), bins=20, range=(0, 1), weights=weight)
        # an event or two may lie on a tree's threshold, where the two orders of rounding part
        assert np.abs(shifted.values() - moved).sum() < 3 * np.abs(weight).max()


def _column(column):
    import awkward as ak

    return ak.from_arrow(column.combine_chunks())


def test_a_processor_whose_features_drifted_is_refused(mini, model):
    card = model.card
    renamed = card.model_copy(update={"event": (replace(card.event[0], name="mett"), card.event[1])})
    drifted = Classifier(model.path, model.digest, renamed)
    with pytest.raises(MissingColumnError, match=r"needs the observable mett .GeV., .*did you mean met"):
        scored_run(mini, drifted)
    other = card.model_copy(update={"event": (replace(card.event[0], unit="MeV"), card.event[1])})
    with pytest.raises(ConfigError, match="met in 'MeV', but the processor gives it in 'GeV'"):
        scored_run(mini, Classifier(model.path, model.digest, other))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--variant", "treees"), "--variant = 'treees' is unknown (did you mean trees?)"),
        (("--search", "grid"), "declares no search 'grid'"),
        (("--columns", "nowhere"), "nowhere holds no training columns"),
        (("--device", "cuda:7"), "--device cuda:7 can't be used here"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(mini, model, arguments, words, capsys):
    assert call("train", mini / "models" / "mini.py", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert words in error.replace("\n", " ")
    assert "Traceback" not in error


@pytest.mark.usefixtures("model")  # whose training makes the columns
def test_a_search_of_the_model_file_is_run_by_its_name(mini, capsys):
    path = mini / "models" / "searched.py"
    search = "from colonnade.training import Search\ndepths = Search({'network__depth': (1, 2)}, base='trees')\n"
    path.write_text((mini / "models" / "mini.py").read_text() + search)
    columns = mini / "columns" / "mini"
    assert call("train", path, "--columns", columns, "--search", "dep*", "--workers", 1) == 0
    assert "the ten best" in capsys.readouterr().out
    trials = json.loads((columns / "searches" / "searched_depths" / "search.json").read_text())["trials"]
    assert [trial["changes"] for trial in trials] == [{"network__depth": 1}, {"network__depth": 2}]
    assert all(0.5 < point["auc"] < 1 for trial in trials for point in trial["points"])


def test_columns_of_every_observable_without_a_model(mini, tmp_path, capsys):
    (mini / "models" / "mini.py").rename(mini / "models" / "elsewhere.py")
    try:
        assert call("columns", mini / "workflows" / "mini.yaml", "--output", tmp_path, "--datasets", "S_*") == 0
    finally:
        (mini / "models" / "elsewhere.py").rename(mini / "models" / "mini.py")
    assert "1,0" in capsys.readouterr().out or list(tmp_path.glob("*.parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["S_100.parquet", "S_300.parquet", "columns.json"]


def test_a_run_fits_the_score_and_reports_on_its_classifier(mini, model):
    workflow = """
processor: processors/mini.py
luminosity: 10.0
executor: {kind: iterative}
scorers: {score: models/mini_trees.onnx}
model:
  channels:
    low: {histogram: met, rebin: 20}
    high: {histogram: score, bins: {error: 0.3}}
plots: {histograms: [score], regions: [high], formats: [png]}
"""
    (mini / "workflows" / "scored.yaml").write_text(workflow)
    output = mini / "results" / "scored"
    assert call("run", mini / "workflows" / "scored.yaml", "--output", output) == 0
    fit = json.loads((output / "fit.json").read_text())
    assert {point["signal"] for point in fit["points"]} == {"S_100", "S_300"}
    assert all(point["significance"]["expected"] > 0 for point in fit["points"])
    chosen = [each for each in fit["decisions"] if each["kind"] == "chosen bins"]
    assert {place for each in chosen for place in each["where"]} == {"high, S_100", "high, S_300"}
    classifiers = json.loads((output / "classifiers.json").read_text())
    assert classifiers == {"score": json.loads((mini / "models" / "mini_trees.evaluation.json").read_text())}
    page = (output / "report.html").read_text()
    assert 'id="classifiers"' in page
    pictures = json.loads((output / "plots" / "index.json").read_text())["pictures"]
    assert sum(picture["kind"] == "classifier" for picture in pictures) >= 4


def test_a_run_scores_with_a_model_that_others_trained(mini, model):
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.array([[0.002], [0.001]], dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (mini / "models" / "foreign.onnx").write_bytes(made.SerializeToString())
    workflow = """
processor: processors/mini.py
luminosity: 10.0
executor: {kind: iterative}
scorers: {score: {onnx: models/foreign.onnx, inputs: {x: [met, leading_pt]}}}
plots: null
"""
    path = mini / "workflows" / "foreign.yaml"
    path.write_text(workflow)
    output = mini / "results" / "foreign"
    assert call("run", path, "--output", output) == 0
    assert json.loads((output / "provenance.json").read_text())["inputs"]["scorers"]["score"]["path"].endswith("n.onnx")
    table = pq.read_table(mini / "columns" / "mini" / "zll.parquet")
    scores = 0.002 * np.asarray(table["met"]) + 0.001 * np.asarray(table["leading_pt"])
    expected, _ = np.histogram(scores, bins=20, range=(0, 1), weights=np.asarray(table["weight"]))
    filled = load(output)["score"]["zll"][{"variation": "nominal", "region": sum}]
    # an event or two may lie on an edge, where single and double precision part
    assert np.abs(filled.values() - expected).sum() < 3 * np.asarray(table["weight"]).max()
    path.write_text(workflow.replace("[met, leading_pt]", "[met]"))
    with pytest.raises(ConfigError, match=r"input x .*\[N, 2\].*\[N, 1\]"):
        make_processor(load_workflow(path))
