"""What a user may hand to `colonnade train` and `colonnade run` that can't be used: one sentence each."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colonnade.cli import main

onnx = pytest.importorskip("onnx", reason="needs the train extra")
pytest.importorskip("xgboost", reason="needs the train extra")

SCORED = """
processor: processors/mini.py
luminosity: 10.0
executor: {kind: iterative}
scorers: {score: models/mini_trees.onnx}
"""


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def refused(capsys, *arguments):
    """Run a command that must fail, and give its message: one sentence, whatever the terminal's width."""
    assert call(*arguments) in (2, 3)
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("Error") == 1
    assert error.endswith(".\n")
    assert "Traceback" not in error
    return " ".join(error.split())


@pytest.fixture(scope="module")
def trained(mini, tmp_path_factory):
    """A copy of the small project with a trained model and its columns."""
    root = tmp_path_factory.mktemp("trained") / "mini"
    shutil.copytree(mini, root, ignore=shutil.ignore_patterns("columns", "results", "*.onnx"))
    assert call("train", root / "models" / "mini.py", "--variant", "trees", "--threads", 1) == 0
    (root / "workflows" / "scored.yaml").write_text(SCORED)
    return root


@pytest.fixture
def project(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "mini")
    return tmp_path / "mini"


def without_card(path):
    model = onnx.load(path)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def other_opset(path):
    model = onnx.load(path)
    for entry in model.opset_import:
        entry.version = 12 if entry.domain == "" else entry.version
    path.write_bytes(model.SerializeToString())


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_card, "has no card"),
        (other_opset, "is of opset 12"),
        (one_bit, "is damaged"),
        (half, "is damaged or no ONNX file"),
        (lambda path: path.unlink(), "make it with colonnade train"),
    ],
)
def test_a_model_that_can_not_be_scored_with(project, capsys, damage, words):
    damage(project / "models" / "mini_trees.onnx")
    assert words in refused(capsys, "run", project / "workflows" / "scored.yaml")
    assert not (project / "results" / "scored" / "histograms.zip").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"met": objects.met,', '"mett": objects.met,', "did you mean mett"),
        ('"leading_pt": events.Muon.pt[:, 0],', "", "needs the observable leading_pt"),
        (
            'Histogram("met", Regular(20, 0, 400), unit="GeV")',
            'Histogram("met", Regular(20, 0, 400), unit="MeV")',
            "MeV",
        ),
        ('"jet_pt": objects.jet_pt,', '"jet_pt": objects.met,', "jet_pt has one value an event"),
        ("events.Muon.pt[:, 0]", 'events.Muon.pt[:, 0] * float("inf")', "leading_pt is not a finite number"),
    ],
)
def test_a_processor_that_drifted_from_the_model(project, capsys, old, new, words):
    path = project / "processors" / "mini.py"
    text = path.read_text()
    assert old in text
    text = text.replace(old, new)
    if "mett" in new or '"jet_pt": objects.met' in new:  # so that it is the model that complains
        name = "met" if "mett" in new else "jet_pt"
        text = text.replace(f'        Histogram("{name}", Regular(20, 0, 400), unit="GeV"),\n', "")
    path.write_text(text)
    assert words in refused(capsys, "run", project / "workflows" / "scored.yaml")


def changed(path, **columns):
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values(table)))
    pq.write_table(table, path)


def weights(factor):
    return lambda table: np.abs(np.asarray(table["weight"])) * factor


@pytest.mark.parametrize(
    ("processes", "damage", "words"),
    [
        (("top",), lambda path: pq.write_table(pq.read_table(path).drop_columns(["met"]), path), "no column 'met'"),
        (
            ("top",),
            lambda path: pq.write_table(pq.read_table(path).drop_columns(["weight"]), path),
            "no column 'weight'",
        ),
        (("S_100",), lambda path: path.write_bytes(b"PAR1"), "S_100.parquet can't be read"),
        (("S_100", "S_300"), lambda path: pq.write_table(pq.read_table(path)[:0], path), "no signal events"),
        (("top", "zll"), lambda path: pq.write_table(pq.read_table(path)[:0], path), "no background events"),
        (("S_100", "S_300"), lambda path: changed(path, weight=weights(0.0)), "add up to 0"),
        (("top", "zll"), lambda path: changed(path, weight=weights(-1.0)), "can't be made positive"),
        (("top",), lambda path: changed(path, weight=weights(np.inf)), "not finite"),
    ],
)
@pytest.mark.parametrize("how", [("--variant", "trees"), ("--variant", "told")])
def test_columns_that_can_not_be_trained_on(project, capsys, processes, damage, words, how):
    before = (project / "models" / "mini_trees.onnx").read_bytes()
    for process in processes:
        damage(project / "columns" / "mini" / f"{process}.parquet")
    where = ("--columns", project / "columns" / "mini", "--threads", 1)
    assert words in refused(capsys, "train", project / "models" / "mini.py", *where, *how)
    assert (project / "models" / "mini_trees.onnx").read_bytes() == before
    assert not (project / "models" / "mini_told.onnx").exists()
