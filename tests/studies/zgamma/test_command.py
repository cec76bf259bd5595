"""The study's command: from a workflow's tables to numbers, pictures and page."""

from __future__ import annotations

import json

import pytest
from helpers.resonance_tables import make_project
from studies.zgamma.__main__ import command

from colonnade.cli import entry

WORKFLOW = """
datasets: ["*"]
processor: processors/heavy_higgs.py
parameters: {table_unit: MeV}
luminosity: 278.0
executor: {kind: iterative}
"""
SETTINGS = """
model: models/heavy_higgs.py
processes: [zjets]
region: all
observable: reco_zv_mass
experiments: 4
sigmas: [1]
shapes: [{shape: exponential}]
experiment:
  events: 512
  low: 600.0
  high: 1500.0
  window: [900.0, 1100.0]
  mean: 1000.0
  sigma: 50.0
  background: {shape: exponential}
  rejections: [0.0, 0.5]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with two tables and the settings of a study."""
    folder = make_project(tmp_path_factory.mktemp("study"), WORKFLOW)
    (folder / "study.yaml").write_text(SETTINGS, encoding="utf-8")
    return folder


def run(project, *words):
    """Run the command and return its exit code."""
    places = ("--workflow", project / "workflows" / "search.yaml", "--settings", project / "study.yaml")
    with pytest.raises(SystemExit) as caught:
        entry(command, [str(word) for word in (*places, "--workers", 1, *words)], "python -m studies.zgamma")
    return int(caught.value.code or 0)


def test_more_experiments_keep_those_that_are_there(project):
    output = project / "results" / "search_study"
    assert run(project) == 0
    found = json.loads((output / "pseudo_experiments.json").read_text())
    assert found["statistics"]["z"]["toys"] == 4
    assert found["simulated_events"] > 5000
    assert found["kept"][0] == pytest.approx(512, abs=1e-9)
    assert found["kept"][1] == pytest.approx(256, rel=0.2)
    page = (output / "page.html").read_text(encoding="utf-8")
    assert "ROC curve of one network" in page
    assert list((output / "plots").glob("*.png"))
    folders = {path.parent for path in output.glob("pseudo_experiments/*/block_*.npz")}
    assert run(project, "--experiments", 6) == 0
    more = json.loads((output / "pseudo_experiments.json").read_text())
    assert more["statistics"]["z"]["toys"] == 6
    assert {path.parent for path in output.glob("pseudo_experiments/*/block_*.npz")} == folders
    pairs = zip(more["statistics"]["z"]["global_counts"], found["statistics"]["z"]["global_counts"], strict=True)
    assert all(new >= old for new, old in pairs)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("window: [900.0, 1100.0]", "window: [500.0, 2000.0]", "must lie inside"),
        ("region: all", "region: nowhere", "no such region"),
        ("experiments: 4", "experimints: 4", "did you mean experiments"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(project, tmp_path, capsys, old, new, words):
    settings = tmp_path / "study.yaml"
    settings.write_text(SETTINGS.replace(old, new), encoding="utf-8")
    assert run(project, "--settings", settings, "--output", tmp_path / "out") != 0
    said = capsys.readouterr().err
    assert words in said
    assert said.strip().count("\n") == 0
