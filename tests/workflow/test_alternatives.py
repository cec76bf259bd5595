"""Alternative samples: variations of a process, with statistics of their own, and never a process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.search import WORKFLOW, colonnade_does, make_search, write_muons
from rich.console import Console

from colonnade import load
from colonnade.workflow import load_run, load_workflow, run_workflow

SYSTEMATICS = [
    {"name": "hdamp", "type": "histosys", "variation": "hdamp", "processes": ["background"]},
    {"name": "shower", "type": "histosys", "variation": "shower", "processes": ["background"]},
    {"name": "mass", "type": "normsys", "variation": "mass", "processes": ["background"]},
    {"name": "tune", "type": "normsys", "variation": "tune", "processes": ["background"], "combine": "envelope"},
]
SAMPLES = {  # name: events, fraction of hard ones, cross-section
    "hdamp_up": (3000, 0.3, 1.0),
    "hdamp_down": (3000, 0.1, 1.0),
    "shower_up": (30, 0.2, 1.0),
    "mass_up": (3000, 0.2, 1.1),
    "tune_0": (3000, 0.15, 1.0),
    "tune_1": (3000, 0.3, 1.0),
    "tune_2": (3000, 0.25, 1.0),
}


def write_workflow(folder: Path) -> Path:
    path = folder / "workflows" / "search.yaml"
    model = WORKFLOW["model"] | {"systematics": SYSTEMATICS, "normalisations": []}
    path.write_text(yaml.safe_dump(WORKFLOW | {"model": model, "plots": None}))
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose background has alternative samples."""
    folder = tmp_path_factory.mktemp("alternatives")
    make_search(folder)
    entries = json.loads((folder / "datasets.json").read_text())
    rng = np.random.default_rng(3)
    for name, (events, hard, xsec) in SAMPLES.items():
        write_muons(folder / f"{name}.root", rng, events, data=False, hard=hard)
        metadata: dict[str, Any] = {"process": "background", "kind": "background", "xsec_pb": xsec, "varies": name}
        metadata["sumw"] = "events"
        entries[f"background_{name}"] = {"files": {f"{name}.root": "Events"}, "metadata": metadata}
    (folder / "datasets.json").write_text(json.dumps(entries))
    run_workflow(load_workflow(write_workflow(folder)), folder / "out", console=Console(quiet=True))
    return folder


def test_each_is_a_variation_of_its_process(project: Path) -> None:
    found = load(project / "out")["pt"]
    assert set(found) == {"data", "background", "signal"}
    background = found["background"]
    assert list(background.axes["variation"]) == ["nominal", *SAMPLES]
    for name, (events, hard, xsec) in SAMPLES.items():
        factor = xsec * 1000 / events
        filled = background["SR", name, :]
        raw = filled.values() / factor
        assert np.allclose(raw, np.rint(raw)), name
        assert raw.sum() == pytest.approx(hard * events, abs=5 * np.sqrt(hard * events)), name
        # its own statistics
        np.testing.assert_allclose(filled.variances(), filled.values() * factor, rtol=1e-12)


def test_it_is_no_process_of_its_own(project: Path) -> None:
    run = load_run(project / "out")
    assert run.of_kind("background") == ["background"]
    expected = load(project / "out")["pt"]["background"]["CR", "nominal", :].values().sum()
    assert run.yields["CR"].total.value == pytest.approx(expected)
    from colonnade.plotting.run import merged_cutflow

    assert merged_cutflow(run.result, ["background"], "CR")[0].weighted == pytest.approx(1000.0)
    assert len(run.result.cutflow) == 3 + len(SAMPLES)  # its own account is there
    assert run.result.ledger.datasets["background_mass_up"].varies == "mass_up"


def test_the_fit_knows_it(project: Path) -> None:
    run = load_run(project / "out")
    effects = {(each.parameter, each.channel): each for each in run.fit.systematics if each.process == "background"}
    filled = load(project / "out")["pt"]["background"]["SR", :, ::sum]
    expected = filled["mass_up"].value / filled["nominal"].value - 1
    assert effects["mass", "SR"].up == pytest.approx(expected)
    tunes = [filled[f"tune_{number}"].value / filled["nominal"].value - 1 for number in range(3)]
    assert effects["tune", "SR"].up == pytest.approx(max(tunes))
    assert effects["tune", "SR"].down == pytest.approx(min(tunes))
    assert effects["mass", "SR"].sides == effects["shower", "SR"].sides == "mirrored"
    assert effects["hdamp", "SR"].sides == "both"
    assert effects["hdamp", "SR"].up > 0.3
    assert effects["hdamp", "SR"].down < -0.3
    assert any("less than the statistical error" in note for note in effects["shower", "CR"].notes)
    assert not any("statistical error" in note for note in effects["hdamp", "SR"].notes)
    assert colonnade_does("fit", project / "out") == 0  # the same from the folder
    again = {(each.parameter, each.channel): each for each in load_run(project / "out").fit.systematics}
    assert any("less than the statistical error" in note for note in again["shower", "CR"].notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"process": "backgrounds"}, "is the alternative hdamp_up of backgrounds, which has no dataset"),
        ({"era": "2016"}, "different eras"),
        ({"varies": "hdamp_down"}, "which has background; give one alternative for each, not 2"),
        ({"varies": "hdamp up"}, "varies"),
    ],
)
def test_what_is_no_alternative_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "project", ignore=shutil.ignore_patterns("*.root")))
    entries = json.loads((folder / "datasets.json").read_text())
    entries["background_hdamp_up"]["metadata"] |= change
    (folder / "datasets.json").write_text(json.dumps(entries))
    assert colonnade_does("run", write_workflow(folder), "--output", folder / "new") == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_dumps_are_without_and_skims_with_them(project: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    workflow = write_workflow(project)
    assert colonnade_does("columns", workflow, "--output", tmp_path / "columns", "--executor", "iterative") == 0
    names = set(pq.read_table(tmp_path / "columns" / "background.parquet")["dataset"].to_pylist())
    assert names == {"background"}
    assert colonnade_does("skim", workflow, "--output", tmp_path / "skim") == 0
    skimmed = json.loads((tmp_path / "skim" / "datasets.json").read_text())
    assert skimmed["background_mass_up"]["metadata"]["varies"] == "mass_up"
