"""A study as a whole: samples in the numbers it asks for, then columns, tables on its page, curves beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from studies.monojet.run import run_study
from studies.monojet.settings import STUDIES

from colonnade.errors import ConfigError
from colonnade.workflow import load_workflow

PROJECT = Path(__file__).parents[3]
MODELS = PROJECT / "models" / "monojet.py"


@dataclass
class Made:
    skipped: bool


@pytest.fixture
def calls(monkeypatch):
    """Stand in for what makes samples, columns and trainings; note what each was asked for."""
    seen = {"samples": [], "columns": [], "studies": []}

    def make_samples(_manifest, names, *, workers, events):
        seen["samples"].append((tuple(names), workers, events))
        return [Made(skipped=name.endswith("pt280")) for name in names]

    def make_columns(_workflow, models, folder, _console):
        seen["columns"].append(({name for model in models for name in model.columns()}, folder))

    def run_image_study(name, study, jagged, columns, folder, **others):
        seen["studies"].append((name, study, jagged, columns, others["device"]))
        assert set(others["others"]) == set(study.others)
        folder.mkdir(parents=True)
        entry = {"compression": "cell", "down": "strides", "history": [{"step": 1, "training": 0.5, "validation": 0.5}]}
        return {"models": {"cell_strides": entry}}

    monkeypatch.setattr("colonnade.samples.make_samples", make_samples, raising=False)
    monkeypatch.setattr("studies.monojet.run.make_columns", make_columns)
    monkeypatch.setattr("studies.monojet.study.run_image_study", run_image_study)
    monkeypatch.setattr("studies.monojet.tables.markdown", lambda _study, _result: "TABLES")
    monkeypatch.setattr("studies.monojet.tables.thresholds_markdown", lambda _result: "THRESHOLDS")
    return seen


@pytest.fixture
def workflow(tmp_path):
    (tmp_path / "docs" / "monojet").mkdir(parents=True)
    for page in ("monojet.md", "monojet/thresholds.md"):
        (tmp_path / "docs" / page).write_text("<!-- monojet_scaled -->\nold\n<!-- /monojet_scaled -->\n")
    return replace(load_workflow(PROJECT / "workflows" / "monojet.yaml"), root=tmp_path, path=tmp_path / "monojet.yaml")


def run(workflow, calls, study, **others):
    # the manifest stays the project's; everything that is written goes to the workflow's root
    workflow = replace(
        workflow, settings=workflow.settings.model_copy(update={"manifest": str(PROJECT / "datasets.json")})
    )
    return run_study(workflow, MODELS, "monojet_scaled", study, console=Console(file=StringIO()), **others)


def test_everything_is_made_and_written(workflow, calls, tmp_path) -> None:
    study = STUDIES["monojet_scaled"]
    folder = run(workflow, calls, study, workers=3, device="meta")
    (big, small) = sorted(calls["samples"], key=lambda call: -call[2])
    assert set(big[0]) == {"monojet_znunu_pt1000", "monojet_wtaunu_pt1000"}
    assert (big[1], big[2]) == (3, study.events["monojet_znunu_pt1000"])
    assert len(small[0]) == 7
    assert small[2] == study.events["monojet_*"]
    ((columns, place),) = calls["columns"]
    assert {"particle_pdgId", "jet_width", "particle_log_pt", "jet_dphi", "pt_beside_met"} <= columns
    assert place == tmp_path / "columns" / "monojet"
    ((name, _, jagged, _, device),) = calls["studies"]
    assert (name, jagged.backgrounds, device) == ("monojet", ("wtaunu",), "meta")
    assert folder == place / "comparisons" / "monojet_scaled"
    assert (folder / "study.md").read_text() == "TABLES\nTHRESHOLDS"
    assert (folder / "curves.png").is_file()
    page = (tmp_path / "docs" / "monojet.md").read_text()
    assert page == "<!-- monojet_scaled -->\nTABLES\n<!-- /monojet_scaled -->\n"
    page = (tmp_path / "docs" / "monojet" / "thresholds.md").read_text()
    assert page == "<!-- monojet_scaled -->\nTHRESHOLDS\n<!-- /monojet_scaled -->\n"
    assert (tmp_path / "docs" / "images" / "monojet_scaled_curves.png").is_file()


def test_given_columns_are_used_as_they_are(workflow, calls, tmp_path) -> None:
    study = replace(STUDIES["monojet_full"], document="")
    run(workflow, calls, study, columns=tmp_path / "mine")
    assert calls["samples"] == calls["columns"] == []
    assert calls["studies"][0][3] == tmp_path / "mine"


def test_the_full_study_takes_the_manifests_numbers(workflow, calls) -> None:
    run(workflow, calls, replace(STUDIES["monojet_full"], document=""))
    ((names, _, events),) = calls["samples"]
    assert len(names) == 9
    assert events is None


def test_a_missing_network_on_sets_is_said(workflow, calls) -> None:
    study = replace(STUDIES["monojet_full"], jagged="modle")
    with pytest.raises(ConfigError, match="did you mean model"):
        run(workflow, calls, study)
    study = replace(STUDIES["monojet_full"], others=("raw_azimut",))
    with pytest.raises(ConfigError, match="did you mean raw_azimuth"):
        run(workflow, calls, study)
