"""A search from files to fit.json, blinded and then unblinded: what is stored, and what provenance says of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

import colonnade
from colonnade.cli import main
from colonnade.workflow.provenance import digest
from colonnade.workflow.settings import load_workflow

PROCESSOR = """
import awkward as ak
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region


class Search(Processor):
    histograms = (Histogram("pt", Regular(4, 0, 100)),)
    regions = {"CR": Region("soft"), "SR": Region("hard", signal=True)}

    def objects(self, events, shift):
        return Objects(muons=events.Muon)

    def observables(self, events, objects):
        return {"pt": ak.max(objects.muons.pt, axis=1)}

    def cuts(self, events, objects, observables):
        return {"soft": observables["pt"] < 50, "hard": observables["pt"] >= 50}
"""

WORKFLOW = """
processor: processors/search.py
luminosity: 1.0
executor: {kind: iterative}
plots: {formats: [png], resolution: 50}
model:
  channels:
    CR: {histogram: pt, edges: [0, 25, 50]}
    SR: {histogram: pt, edges: [50, 75, 100]}
  normalisations: [{name: norm, processes: [background], control: [CR]}]
"""


def write_muons(path: Path, rng: np.random.Generator, events: int, *, data: bool, hard: float) -> None:
    pt = np.where(rng.uniform(size=events) < hard, rng.uniform(50, 100, events), rng.uniform(0, 50, events))
    flat = {"pt": pt, "eta": np.zeros(events), "phi": np.zeros(events), "mass": np.full(events, 0.1)}
    muons = ak.zip({name: ak.unflatten(values, np.ones(events, np.int64)) for name, values in flat.items()})
    columns = {"run": np.ones(events, np.uint32), "event": np.arange(events, dtype=np.uint64)}
    columns |= {"luminosityBlock": np.ones(events, np.uint32)} | ({} if data else {"genWeight": np.ones(events)})
    types = {"Muon": ak.type(muons).content} | {name: values.dtype for name, values in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree("Events", types)
        file["Events"].extend({"Muon": muons} | columns)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    for name in ("processors", "workflows"):
        (folder / name).mkdir()
    (folder / "processors" / "search.py").write_text(PROCESSOR)
    (folder / "workflows" / "blind.yaml").write_text(WORKFLOW)
    (folder / "workflows" / "open.yaml").write_text(f"unblind: true\n{WORKFLOW}")
    rng = np.random.default_rng(0)
    entries = {}
    sizes = {"data": (1100, 0.2), "background": (4000, 0.2), "signal": (500, 0.9)}
    for name, (events, hard) in sizes.items():
        write_muons(folder / f"{name}.root", rng, events, data=name == "data", hard=hard)
        metadata = {"process": name, "kind": name} | (
            {} if name == "data" else {"xsec_pb": 1.0 if name[0] == "b" else 0.05}
        )
        entries[name] = {"files": {f"{name}.root": "Events"}, "metadata": metadata}
    (folder / "datasets.json").write_text(json.dumps(entries))
    return folder


def run(project: Path, name: str) -> tuple[dict, dict]:
    with pytest.raises(SystemExit) as caught:
        main(["run", str(project / "workflows" / f"{name}.yaml"), "--output", str(project / "results" / name)])
    assert caught.value.code == 0
    folder = project / "results" / name
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
