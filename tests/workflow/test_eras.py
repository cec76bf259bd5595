"""Several data-taking periods: what each is worth, what of it is kept, and what the fit knows of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from helpers.search import colonnade_does, write_muons
from rich.console import Console

from colonnade import load
from colonnade.errors import ConfigError, InputError
from colonnade.workflow import load_run, load_workflow, run_workflow
from colonnade.workflow.run import _classifiers

QUIET = Console(quiet=True)
PROCESSOR = """
import awkward as ak
import numpy as np
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region


class Search(Processor):
    histograms = (Histogram("pt", Regular(4, 0, 100)),)
    regions = {"CR": Region("soft"), "SR": Region("hard", signal=True)}

    def __init__(self, *, threshold=50.0, **others):
        super().__init__(**others)
        self.threshold = threshold

    def objects(self, events, shift):
        return Objects(muons=events.Muon)

    def observables(self, events, objects):
        return {"pt": ak.max(objects.muons.pt, axis=1)}

    def cuts(self, events, objects, observables):
        return {"soft": observables["pt"] < self.threshold, "hard": observables["pt"] >= self.threshold}

    def weights(self, events, objects, weights):
        pt = np.asarray(ak.max(objects.muons.pt, axis=1))
        nominal, up, down = (self.corrections["sf"]["sf"].evaluate(pt, each) for each in ("nominal", "up", "down"))
        weights.add("sf", nominal, up, down)
        if events.metadata["extra"]["prefiring"]:
            weights.add("prefiring", np.ones(len(pt)), np.full(len(pt), 1.02))
"""
ERAS = {
    "2016": {"luminosity": 1.5, "corrections": {"sf": "2016.json"}},
    "2017": {"luminosity": 2.25, "corrections": {"sf": "2017.json"}, "parameters": {"threshold": 50.0}},
}
ERAS["2016"]["parameters"] = {"threshold": 50.0}
MODEL: dict[str, Any] = {
    "channels": {
        "CR": {"histogram": "pt", "edges": [0, 25, 50], "flow": False},
        "SR": {"histogram": "pt", "edges": [50, 75, 100], "flow": False},
    },
    "luminosity_uncertainties": {"lumi": {"2016": 0.01, "2017": 0.02}, "lumi_2016": {"2016": 0.015}},
    "systematics": [
        {"name": "sf", "type": "histosys", "variation": "sf", "correlation": 0.5},
        {"name": "prefiring", "type": "histosys", "variation": "prefiring", "decorrelate": "era"},
        {"name": "theory", "type": "normsys", "up": 1.1, "processes": ["background"], "decorrelate": "era"},
    ],
}
WORKFLOW: dict[str, Any] = {
    "processor": "processors/search.py",
    "eras": ERAS,
    "executor": {"kind": "iterative", "workers": 1},
    "plots": None,
    "model": MODEL,
}


def correction(folder: Path, name: str, nominal: float, up: float) -> None:
    """Write a scale factor with its variations."""
    content = [{"key": key, "value": value} for key, value in (("nominal", nominal), ("up", up), ("down", 2 - up))]
    inputs = [{"name": "pt", "type": "real"}, {"name": "variation", "type": "string"}]
    data = {"nodetype": "category", "input": "variation", "content": content}
    one = {"name": "sf", "version": 1, "inputs": inputs, "output": {"name": "w", "type": "real"}, "data": data}
    (folder / name).write_text(json.dumps({"schema_version": 2, "corrections": [one]}))


def change(folder: Path, **changes: Any) -> Path:
    """Write the workflow with changes, and return its place."""
    path = folder / "workflows" / "search.yaml"
    path.write_text(yaml.safe_dump(WORKFLOW | changes))
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search in two eras, three processes each."""
    folder = tmp_path_factory.mktemp("eras")
    for name in ("processors", "workflows"):
        (folder / name).mkdir()
    (folder / "processors" / "search.py").write_text(PROCESSOR)
    correction(folder, "2016.json", 0.9, 1.05)
    correction(folder, "2017.json", 1.1, 1.08)
    rng = np.random.default_rng(1)
    entries = {}
    for era, prefiring in (("2016", True), ("2017", False)):
        for name, (events, hard) in {"data": (900, 0.2), "background": (2000, 0.2), "signal": (300, 0.9)}.items():
            write_muons(folder / f"{name}{era}.root", rng, events, data=name == "data", hard=hard)
            metadata: dict[str, Any] = {"process": name, "kind": name, "era": era, "extra": {"prefiring": prefiring}}
            if name != "data":
                metadata |= {"xsec_pb": 1.0 if name == "background" else 0.05, "sumw": "events"}
            entries[f"{name}{era}"] = {"files": {f"{name}{era}.root": "Events"}, "metadata": metadata}
    (folder / "datasets.json").write_text(json.dumps(entries))
    run_workflow(load_workflow(change(folder)), folder / "out", console=QUIET)
    return folder


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    """The project, to be changed."""
    return Path(shutil.copytree(project, tmp_path / "project"))


def in_region(project: Path, name: str, era: str, region: str) -> np.ndarray[Any, Any]:
    with uproot.open(project / f"{name}{era}.root") as file:
        pt = ak.to_numpy(ak.max(file["Events"]["Muon_pt"].array(), axis=1))
    pt = pt[pt < 50] if region == "CR" else pt[pt >= 50]
    return np.histogram(pt, np.linspace(0, 100, 5))[0]


def test_simulation_is_worth_its_own_eras_luminosity_and_data_are_counted(project: Path) -> None:
    run = load_run(project / "out")
    assert run.luminosity == 3.75
    total = load(project / "out")["pt"]
    for region in ("CR", "SR"):
        expected = {
            era: in_region(project, "background", era, region) * scale * ERAS[era]["luminosity"] * 1000 / 2000
            for era, scale in (("2016", 0.9), ("2017", 1.1))
        }
        for era, each in expected.items():
            filled = load(project / "out", era)["pt"]["background"]
            np.testing.assert_allclose(filled[region, "nominal", :].values(), each, rtol=1e-12)
        summed = sum(expected.values())
        np.testing.assert_allclose(total["background"][region, "nominal", :].values(), summed, rtol=1e-12)
    data = total["data"]["CR", "nominal", :].values()
    assert (
        data.tolist() == (in_region(project, "data", "2016", "CR") + in_region(project, "data", "2017", "CR")).tolist()
    )
    # data of the signal region stay hidden in each era
    assert not any(load(project / "out", era)["pt"]["data"]["SR", "nominal", :].values().any() for era in ERAS)
    with uproot.open(project / "out" / "histograms.root") as file:
        summed = sum(file[f"{era}/CR/pt/background"].values() for era in ERAS)
        np.testing.assert_allclose(file["CR/pt/background"].values(), summed, rtol=1e-12)


def test_one_era_is_shown_alone(project: Path, copied: Path) -> None:
    run = load_run(copied / "out")
    yields = {era: run.with_plots(era=era).yields["CR"] for era in ERAS}
    whole = run.yields["CR"]
    assert whole.total is not None
    assert sum(each.data for each in yields.values()) == whole.data
    assert sum(each.total.value for each in yields.values()) == pytest.approx(whole.total.value, rel=1e-12)
    assert run.with_plots(era="2016").luminosity == 1.5
    assert {*run.with_plots(era="2016").result.cutflow} == {"data2016", "background2016", "signal2016"}
    # of both eras together: what is each one's own adds in quadrature, what is shared as it is
    one, other = (each.total.value for each in yields.values())
    squares = [(0.1 * one) ** 2, (0.1 * other) ** 2, (0.02 * one) ** 2, (0.01 * one + 0.02 * other) ** 2]
    squares.append((0.015 * one) ** 2)
    ratios = 1.05 / 0.9, 1.08 / 1.1  # up and down of 2017 are both below what is nominal
    squares.append(sum(each * (ratio**0.5**0.5 - 1) for each, ratio in zip((one, other), ratios, strict=True)) ** 2)
    squares.append((one * (ratios[0] ** 0.5**0.5 - 1)) ** 2)
    assert whole.total.up == pytest.approx(np.sqrt(sum(squares)), rel=1e-9)
    assert colonnade_does("plot", copied / "out", "--era", "2017", "--formats", "png", "--histograms", "pt") == 0
    assert colonnade_does("report", copied / "out", "--era", "2017") == 0
    assert "2.25" in (copied / "out" / "report.html").read_text()
    with pytest.raises(InputError, match=r"no histograms of the era '2018'.*; it has: 2016, 2017"):
        load(project / "out", "2018")
    with pytest.raises(ConfigError, match=r"plots\.era: '2018' is unknown"):
        run.with_plots(era="2018")


def test_a_new_correction_of_one_era_leaves_the_other_kept(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workflow = change(copied)
    assert colonnade_does("run", workflow, "--output", copied / "again") == 0
    assert "0 events, 6,400 kept" in capsys.readouterr().out
    correction(copied, "2017.json", 1.2, 1.3)
    assert colonnade_does("run", workflow, "--output", copied / "again") == 0
    assert "3,200 events, 3,200 kept" in capsys.readouterr().out
    assert load(copied / "again", "2016")["pt"]["background"] == load(copied / "out", "2016")["pt"]["background"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eras": {"2016": ERAS["2016"]}}, "data2017 is of the era '2017', which is not declared"),
        ({"eras": {}, "luminosity": 1.0}, "are of different eras"),
        ({"eras": ERAS | {"2017": {"luminosity": 1.0}}}, "eras.2017.*threshold is missing, which the era 2016 has"),
        ({"eras": ERAS | {"2017": ERAS["2017"] | {"corrections": {"sf": "no.json"}}}}, "there is no file"),
        ({"luminosity": 5.0}, "each era has its own, 3.75 fb"),
        ({"model": MODEL | {"luminosity_uncertainties": {"lumi": {"2018": 0.1}}}}, "the era '2018' is unknown"),
        ({"model": MODEL | {"luminosity_uncertainty": 0.1}}, "give one of luminosity_uncertainty"),
    ],
)
def test_what_is_wrong_with_eras_is_said_before_events_are_read(
    copied: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    for file in copied.glob("*.root"):
        file.write_bytes(b"")  # nothing could be read
    assert colonnade_does("run", change(copied, **changes), "--output", copied / "new") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(words, error), error


def test_an_uncertainty_by_era_needs_eras(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workflow = change(copied, eras={}, luminosity=1.0, datasets=["*2016"], corrections={"sf": "2016.json"})
    assert colonnade_does("run", workflow, "--output", copied / "new") == 2
    assert "declares no" in capsys.readouterr().err


def test_a_process_that_an_era_lacks_is_said(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workflow = change(copied, datasets=["data*", "background*", "signal2016"])
    assert colonnade_does("run", workflow, "--output", copied / "new") == 0
    assert "signal has no dataset of the era 2017" in " ".join(capsys.readouterr().out.split())


def test_training_columns_are_of_all_eras(copied: Path) -> None:
    import pyarrow.parquet as pq

    assert colonnade_does("columns", change(copied), "--output", copied / "columns", "--executor", "iterative") == 0
    weights = pq.read_table(copied / "columns" / "background.parquet")["weight"].to_numpy()
    total = load(copied / "out")["pt"]["background"][:, "nominal", ::sum].values().sum()
    assert weights.sum() == pytest.approx(total, rel=1e-12)


def test_the_folder_knows_what_the_run_knew(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fit of what a run left has the eras' parameters; an unchanged run makes no histogram and no fit again."""
    before = load_run(copied / "out").fit
    assert {"lumi", "lumi_2016", "sf", "sf_2016", "sf_2017", "theory_2017"} <= {
        each.name for each in before.diagnostics.pulls
    }
    assert colonnade_does("run", change(copied), "--output", copied / "out") == 0
    assert capsys.readouterr().out.count("unchanged") == 3  # not the ledger, which names the copied files
    assert colonnade_does("fit", copied / "out") == 0
    after = load_run(copied / "out").fit
    assert after.points == before.points
    assert after.systematics == before.systematics


def test_one_setting_of_an_era_is_changed_on_the_command_line(copied: Path) -> None:
    path = change(copied, eras={int(era): each for era, each in ERAS.items()})  # as YAML reads them
    workflow = load_workflow(path, ["eras.2016.luminosity=3.5"])
    assert workflow.luminosities == {"2016": 3.5, "2017": 2.25}
    assert workflow.settings.luminosity == 5.75
    assert workflow.of_era("2016").settings.corrections == {"sf": "2016.json"}


def test_evaluations_of_an_eras_own_scorers_are_told(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One that eras share keeps its name, each era's own has the era's beside it."""
    models, workflows = tmp_path / "models", tmp_path / "workflows"
    workflows.mkdir()
    models.mkdir()
    (tmp_path / "datasets.json").write_text("{}")
    evaluation = request.config.rootpath / "models" / "dilepton_met.evaluation.json"
    for name in ("all", "first", "second"):
        shutil.copy(evaluation, models / f"{name}.evaluation.json")
    eras = {
        era: {"luminosity": 1.0, "scorers": {"own": f"models/{name}.onnx", "shared": "models/all.onnx"}}
        for era, name in (("2016", "first"), ("2017", "second"))
    }
    settings = {"processor": "processors/search.py", "scorers": {"shared": "models/all.onnx"}, "eras": eras}
    (workflows / "search.yaml").write_text(yaml.safe_dump(settings))
    step = _classifiers(load_workflow(workflows / "search.yaml"))
    assert list(step.settings) == ["shared", "own (2016)", "own (2017)"]
