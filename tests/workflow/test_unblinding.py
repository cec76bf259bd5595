"""A search from files to fit.json, blinded and then unblinded: what is stored, and what provenance says of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from helpers.search import WORKFLOW, colonnade_does, make_search

import colonnade
from colonnade.versions import digest
from colonnade.workflow.settings import load_workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    make_search(folder)
    (folder / "workflows" / "blind.yaml").write_text(json.dumps(WORKFLOW))
    (folder / "workflows" / "open.yaml").write_text(json.dumps(WORKFLOW | {"unblind": True}))
    return folder


def run(project: Path, name: str) -> tuple[dict, dict]:
    folder = project / "results" / name
    assert colonnade_does("run", project / "workflows" / f"{name}.yaml", "--output", folder) == 0
    return tuple(json.loads((folder / f"{each}.json").read_text()) for each in ("fit", "provenance"))


@pytest.fixture(scope="module")
def blind(project):
    return run(project, "blind")


@pytest.fixture(scope="module")
def opened(project):
    return run(project, "open")


def test_nothing_observed_is_stored_while_blinded(project, blind):
    fit, provenance = blind
    folder = project / "results" / "blind"
    assert fit["blinded"] is True
    assert fit["observed_channels"] == ["CR"]
    for point in fit["points"]:
        assert point["significance"]["observed"] is None
        assert point["limit"]["observed"] is None
        assert point["mu_hat"] is None
    assert fit["diagnostics"]["yields"]["SR"]["observed"] is None
    assert provenance["unblinded"] is False
    assert provenance["unblinding"] is None
    seen = colonnade.load(folder)["pt"]["data"]
    assert seen["SR", "nominal", :].sum(flow=True).value == 0
    assert seen["CR", "nominal", :].sum(flow=True).value > 800
    # the workspace's counts of the signal region are the prediction, which is not whole
    counts = {
        each["name"]: each["data"] for each in json.loads((folder / "workspace.json").read_text())["observations"]
    }
    assert counts["CR"] == [round(value) for value in counts["CR"]]
    assert counts["SR"] != [round(value) for value in counts["SR"]]
    assert zipfile.ZipFile(folder / "histograms.zip").testzip() is None


def test_unblinding_is_kept_with_time_and_configuration(project, opened):
    fit, provenance = opened
    assert fit["blinded"] is False
    assert fit["points"][0]["limit"]["observed"] > 0
    assert fit["points"][0]["significance"]["observed"] is not None
    assert sum(fit["diagnostics"]["yields"]["SR"]["observed"]) > 100
    assert provenance["unblinded"] is True
    settings = load_workflow(project / "workflows" / "open.yaml").settings
    first = provenance["unblinding"]
    assert first["config_sha256"] == digest(settings.model_dump(mode="json", by_alias=True))
    assert provenance["started"] <= first["time"] <= provenance["finished"]
    # seen once with these settings, it stays so
    _, again = run(project, "open")
    assert again["unblinding"] == first


def test_the_report_tells_decisions_and_blinding(project, blind):
    page = (project / "results" / "blind" / "report.html").read_text()
    assert "What building the model changed" in page
    assert "asimov data" in page
    assert "stands for the data of the other regions, which are blinded" in page
    assert blind[0]["decisions"]
