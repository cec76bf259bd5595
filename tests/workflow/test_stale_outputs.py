"""Runs of a search into one folder, with changes between them: nothing of an earlier run stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.search import WORKFLOW, colonnade_does, make_search

from colonnade.execution import run as execution
from colonnade.execution.ledger import Ledger, StoppedError
from colonnade.versions import file_digest
from colonnade.workflow import run as workflow_run

MODEL_FILES = {"workspace.json", "fit.json"}


@pytest.fixture
def search(tmp_path: Path) -> Path:
    make_search(tmp_path)
    return tmp_path


def run(project: Path, settings: dict[str, Any] | None = None, **manifest: Any) -> Path:
    """Run the search with other settings, and with other metadata of its datasets; return its folder."""
    (project / "workflows" / "search.yaml").write_text(json.dumps(WORKFLOW | (settings or {})))
    path = project / "datasets.json"
    entries = json.loads(path.read_text())
    for name, metadata in manifest.items():
        entries[name]["metadata"] |= metadata
    path.write_text(json.dumps(entries))
    assert colonnade_does("run", project / "workflows" / "search.yaml") == 0
    folder = project / "results" / "search"
    for record in json.loads((folder / "provenance.json").read_text())["steps"].values():
        for name, digest in record["files"].items():
            assert file_digest(folder / name) == digest
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pictures(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "plots").rglob("*.png")}


def test_without_its_model_a_run_has_no_limits(search: Path) -> None:
    folder = run(search)
    assert names(folder) >= MODEL_FILES
    assert "limit" in " ".join(pictures(folder))
    run(search, {"model": None})
    assert not names(folder) & MODEL_FILES
    assert "limit" not in " ".join(pictures(folder))
    assert "expected limit" not in (folder / "report.html").read_text().lower()


def test_a_channel_that_is_removed_is_gone(search: Path) -> None:
    folder = run(search)
    model = WORKFLOW["model"]
    run(search, {"model": {"channels": {"SR": model["channels"]["SR"]}}})
    assert [each["name"] for each in json.loads((folder / "workspace.json").read_text())["channels"]] == ["SR"]


def test_without_plots_no_picture_stays(search: Path) -> None:
    folder = run(search)
    assert pictures(folder)
    run(search, {"plots": None})
    assert "plots" not in names(folder)
    assert "data:image" not in (folder / "report.html").read_text()


def test_fewer_plots_leave_no_others(search: Path) -> None:
    folder = run(search, {"model": None})
    assert {path.name for path in (folder / "plots").iterdir() if path.is_dir()} >= {"CR", "SR"}
    run(search, {"model": None, "plots": WORKFLOW["plots"] | {"regions": ["CR"]}})
    assert not (folder / "plots" / "SR").exists()


def test_a_run_that_stops_leaves_its_ledger_only(search: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(search)
    (folder / "bumps.json").write_text("{}")

    def stopped(*_: Any, **__: Any) -> None:
        error = StoppedError("The cluster is gone.")
        error.ledger = Ledger(0.0, {})
        raise error

    monkeypatch.setattr(workflow_run, "run_datasets", stopped)
    assert colonnade_does("run", search / "workflows" / "search.yaml") != 0
    assert names(folder) == {"ledger.json", "provenance.json"}


def test_a_step_that_fails_leaves_nothing_of_an_earlier_run(search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(search)
    changed = WORKFLOW["model"] | {"systematics": [{"name": "jes", "type": "histosys", "variation": "jes"}]}
    (search / "workflows" / "search.yaml").write_text(json.dumps(WORKFLOW | {"model": changed, "luminosity": 2.0}))
    assert colonnade_does("run", search / "workflows" / "search.yaml") == 2
    assert "jes" in capsys.readouterr().err
    assert not names(folder) & {*MODEL_FILES, "plots", "report.html"}
    run(search)
    assert names(folder) >= {*MODEL_FILES, "plots", "report.html"}


@pytest.mark.parametrize("harm", ["after the events", "during the events"])
def test_a_run_that_is_killed_leaves_nothing_that_the_next_takes_over(
    search: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    folder = run(search)
    fit = file_digest(folder / "fit.json")
    place = (execution, "collect") if harm == "during the events" else (workflow_run, "write_zip")

    def killed(*_: Any) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(*place, killed)
        (search / "workflows" / "search.yaml").write_text(json.dumps(WORKFLOW | {"luminosity": 3.0}))
        assert colonnade_does("run", search / "workflows" / "search.yaml") == 9
    if harm == "during the events":
        assert file_digest(folder / "fit.json") == fit
        assert json.loads((folder / "provenance.json").read_text())["config"]["luminosity"] == 1.0
    else:
        assert not (folder / "fit.json").exists()
    run(search, {"luminosity": 3.0})
    changed = json.loads((folder / "fit.json").read_text())
    assert changed["luminosity"] == 3.0


def test_what_only_pictures_show_makes_them_anew(search: Path) -> None:
    """The luminosity of data, a label, and a signal's parameters in the legend, without a model."""
    (search / "datasets.json").write_text(
        json.dumps({"data": json.loads((search / "datasets.json").read_text())["data"]})
    )
    folder = run(search, {"model": None})
    picture = folder / "plots" / "CR" / "pt.png"
    first = file_digest(picture)
    run(search, {"model": None, "luminosity": 139.0})
    second = file_digest(picture)
    assert second != first
    processor = search / "processors" / "search.py"
    processor.write_text(
        processor.read_text().replace("Regular(4, 0, 100)", 'Regular(4, 0, 100), label="muon", unit="GeV"')
    )
    run(search, {"model": None, "luminosity": 139.0})
    assert file_digest(picture) != second
    axes = json.loads((folder / "provenance.json").read_text())["steps"]["histograms"]
    assert axes["files"]["histograms.zip"] == file_digest(folder / "histograms.zip")


def test_signal_parameters_count_without_a_model(search: Path) -> None:
    folder = run(search, {"model": None}, signal={"signal": {"m_Zprime": 400}})
    key = json.loads((folder / "provenance.json").read_text())["steps"]["plots"]["key"]
    run(search, {"model": None}, signal={"signal": {"m_Zprime": 500}})
    assert json.loads((folder / "provenance.json").read_text())["steps"]["plots"]["key"] != key


def test_unblinding_and_back_leaves_no_observed_number(search: Path) -> None:
    folder = run(search, {"unblind": True})
    assert json.loads((folder / "fit.json").read_text())["points"][0]["limit"]["observed"] is not None
    run(search)
    assert json.loads((folder / "fit.json").read_text())["points"][0]["limit"]["observed"] is None
    assert "observed limit" not in (folder / "report.html").read_text().lower()
