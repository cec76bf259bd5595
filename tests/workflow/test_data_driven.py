"""A whole workflow with a background that is made of data: blind, in the model, the same when it is fitted again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot
from rich.console import Console

from colonnade.cli import main
from colonnade.errors import ConfigError
from colonnade.histograms import load
from colonnade.workflow import load_workflow, run_workflow

PROCESSOR = """
import numpy as np
from hist.axis import Regular
from colonnade import Histogram, Objects, Processor, Region

class Fakes(Processor):
    histograms = (Histogram("x", Regular(5, 0, 1)),)
    regions = {
        "SR": Region("tight", signal=True),
        "AR": Region("loose", transfer="ff"),
        "side": Region("loose"),
    }

    def objects(self, events, shift):
        return Objects(x=events.x, tight=events.tight)

    def observables(self, events, objects):
        return {"x": objects.x}

    def cuts(self, events, objects, observables):
        return {"tight": objects.tight, "loose": ~objects.tight}

    def transfers(self, events, objects, transfers):
        factor = np.full(len(objects.x), 0.25)
        transfers.add("ff", factor, factor * 1.2, factor * 0.8)
"""
WORKFLOW = """
processor: processors/fakes.py
luminosity: 1.0
executor: {kind: iterative}
plots: null
data_driven:
  nonprompt: {from: data, minus: [prompt], regions: {SR: AR}}
model:
  channels: {SR: {histogram: x}}
  luminosity_uncertainty: 0.02
  systematics: [{name: ff, type: normsys, processes: [nonprompt], variation: ff}]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(4)
    manifest = {}
    for name, kind, count, tight in (
        ("data", "data", 2000, 0.3),
        ("prompt", "background", 600, 0.8),
        ("S", "signal", 500, 1.0),
    ):
        with uproot.recreate(root / f"{name}.root") as file:
            columns = {"x": rng.random(count), "tight": rng.random(count) < tight, "genWeight": np.ones(count)}
            file.mktree("Events", {key: each.dtype for key, each in columns.items()}).extend(columns)
        metadata = {"process": name, "kind": kind} | (
            {} if kind == "data" else {"xsec_pb": count / 1000, "sumw": "events"}
        )
        manifest[name] = {"files": {f"{name}.root": "Events"}, "metadata": metadata}
    (root / "datasets.json").write_text(json.dumps(manifest))
    for folder, suffix, text in (("processors", "py", PROCESSOR), ("workflows", "yaml", WORKFLOW)):
        (root / folder).mkdir()
        (root / folder / f"fakes.{suffix}").write_text(text)
    return root


def test_the_background_is_in_histograms_and_fit_and_data_stay_blind(root, tmp_path):
    run_workflow(load_workflow(root / "workflows" / "fakes.yaml"), tmp_path / "run", console=Console(quiet=True))
    x = load(tmp_path / "run")["x"]
    prediction = x["nonprompt"]["SR", :, :]
    expected = (x["data"]["side", "nominal", :].values() - x["prompt"]["side", "nominal", :].values()) * 0.25
    assert prediction["nominal", :].values() == pytest.approx(expected)
    assert prediction["ff_up", :].values() == pytest.approx(expected * 1.2)
    assert x["data"]["SR", :, :].values().sum() == 0
    workspace = json.loads((tmp_path / "run" / "workspace.json").read_text())
    samples = {sample["name"]: sample for sample in workspace["channels"][0]["samples"]}
    assert samples["nonprompt"]["data"] == pytest.approx(expected)
    kinds = {modifier["name"] for modifier in samples["nonprompt"]["modifiers"]}
    assert "ff" in kinds
    assert "lumi" not in kinds
    assert "lumi" in {modifier["name"] for modifier in samples["prompt"]["modifiers"]}
    with pytest.raises(SystemExit) as ended:
        main(["fit", str(tmp_path / "run")])
    assert ended.value.code == 0
    assert json.loads((tmp_path / "run" / "workspace.json").read_text()) == workspace


def test_wrong_names_are_found_before_events_are_read(root, tmp_path):
    changed = load_workflow(root / "workflows" / "fakes.yaml", ["data_driven.nonprompt.minus=[promt]"])
    with pytest.raises(ConfigError, match=r"data_driven.nonprompt: no process matches 'promt' \(did you mean prompt"):
        run_workflow(changed, tmp_path / "run", console=Console(quiet=True))
    assert not (tmp_path / "run" / "histograms.zip").exists()
