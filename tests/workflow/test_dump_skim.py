"""Dumps and skims of a small project: the same numbers again, nothing blind, resumed where they were."""

from __future__ import annotations

import dataclasses
import json

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.training_project import write_events, write_project
from rich.console import Console

from colonnade.errors import ConfigError, InputError
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.manifest import load_manifest
from colonnade.training.columns import read_card
from colonnade.workflow import load_workflow
from colonnade.workflow.analysis import make_processor
from colonnade.workflow.columns import make_dump, make_skim

pq = pytest.importorskip("pyarrow.parquet")
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_project(tmp_path_factory.mktemp("project"))
    write_events(root / "data.root", 500, 50.0, 1.0, 11)
    # a part of which nothing passes, in the middle of a dataset
    with uproot.open(root / "zll_a.root") as file:
        events, runs = file["Events"].arrays(), file["Runs"].arrays()
    columns = {name: np.asarray(events[name]) if events[name].ndim == 1 else events[name] for name in events.fields}
    columns = {name: values for name, values in columns.items() if not name.startswith("n")}
    columns["MET_pt"] = np.where((np.arange(700) >= 233) & (np.arange(700) < 466), 1.0, columns["MET_pt"]).astype("f4")
    with uproot.recreate(root / "zll_a.root") as file:
        kinds = {name: getattr(each, "dtype", None) or ak.type(each).content for name, each in columns.items()}
        file.mktree("Events", kinds).extend(columns)
        file.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.asarray(runs.genEventSumw)})
    manifest = json.loads((root / "datasets.json").read_text())
    manifest["data"] = {"files": {"data.root": "Events"}, "metadata": {"process": "data", "kind": "data"}}
    (root / "datasets.json").write_text(json.dumps(manifest))
    return root


def workflow_of(root, **updates):
    return load_workflow(root / "workflows" / "mini.yaml", [f"{key}={value}" for key, value in updates.items()])


def filled(workflow, manifest):
    settings = workflow.settings
    result = run_datasets(
        make_processor(workflow, unblind=True),
        load_manifest(manifest).select("*"),
        luminosity=10.0,
        executor=settings.executor,
        chunk_size=settings.chunk_size,
    )
    return {
        (name, process): histogram.view(flow=True)
        for name, by_process in result.histograms.items()
        for process, histogram in by_process.items()
    }


@pytest.mark.parametrize("layout", ["ttree", "rntuple"])
def test_a_skim_gives_the_same_bits_and_the_whole_normalisation(root, tmp_path, layout):
    text = (root / "processors" / "mini.py").read_text()
    (root / "processors" / "plain.py").write_text(text.replace('Histogram("score", Regular(20, 0, 1)),', ""))
    workflow = workflow_of(root, **{"skim.layout": layout, "processor": "processors/plain.py"})
    skim = make_skim(workflow, tmp_path / "skim", QUIET)
    assert skim.events["zll_a"] < 600
    before, after = filled(workflow, root / "datasets.json"), filled(workflow, skim.manifest)
    assert before.keys() == after.keys()
    assert len(before) == 2 * 5
    for key in before:
        assert before[key].tobytes() == after[key].tobytes(), key
    entry = json.loads(skim.manifest.read_text())["zll_a"]
    with uproot.open(root / "zll_a.root") as file:
        sumw = float(file["Runs"]["genEventSumw"].array()[0])
    assert entry["metadata"]["sumw"] == sumw
    parts = [tmp_path / "skim" / path for path in entry["files"]]
    assert len(parts) == 3
    sums = []
    for part in parts:
        with uproot.open(part) as file:
            sums.append(float(file["Runs"]["genEventSumw"].array()[0]))
            events = file["Events"].arrays()
            assert len(events) >= 1
            assert {"Muon_eta", "Jet_mass"} <= set(events.fields)
    assert sum(sums) == pytest.approx(sumw, rel=1e-12)


def test_a_skim_goes_on_where_it_was_and_makes_what_was_lost(root, tmp_path):
    workflow = workflow_of(root, datasets="[zll_a, data]")
    first = make_skim(workflow, tmp_path / "skim", QUIET)
    files = sorted((tmp_path / "skim").glob("*/*.root"))
    times = {path: path.stat().st_mtime_ns for path in files}
    lost = files[1]
    lost.unlink()
    (tmp_path / "skim" / "zll_a" / "stale.root").write_bytes(b"old")
    again = make_skim(workflow, tmp_path / "skim", QUIET)
    assert again.events == first.events
    assert sorted((tmp_path / "skim").glob("*/*.root")) == files
    changed = [path for path in files if path.stat().st_mtime_ns != times[path]]
    assert changed == [lost]


def test_a_skim_is_the_same_from_processes(root, tmp_path):
    workflow = workflow_of(root, datasets="[top]", **{"cache.enabled": "false"})
    settings = workflow.settings.model_copy(update={"executor": ExecutorSettings(kind="futures", workers=2)})
    make_skim(workflow, tmp_path / "one", QUIET)
    make_skim(dataclasses.replace(workflow, settings=settings), tmp_path / "two", QUIET)
    one, two = (
        uproot.concatenate({str(path): "Events" for path in sorted((tmp_path / name / "top").glob("*.root"))})
        for name in ("one", "two")
    )
    assert ak.array_equal(one, two)


def test_regions_and_columns_choose(root, tmp_path):
    workflow = workflow_of(root, datasets="[top]", **{"skim.regions": "[high]", "skim.columns": "['Jet_phi']"})
    skim = make_skim(workflow, tmp_path, QUIET)
    with uproot.open(root / "top.root") as file:
        met = file["Events"]["MET_pt"].array(library="np")
    assert skim.events["top"] == (met > 60).sum()
    path = next(iter((tmp_path / "top").glob("*.root")))
    with uproot.open(path) as file:
        names = set(file["Events"].keys())
    assert {"Jet_phi", "MET_pt", "Muon_pt", "run", "genWeight"} <= names
    assert "Muon_phi" not in names


def test_what_weights_read_is_in_a_skim_of_few_columns(root, tmp_path):
    text = (root / "processors" / "mini.py").read_text().replace('Histogram("score", Regular(20, 0, 1)),', "")
    weights = """
    def weights(self, events, objects, weights):
        weights.add("phi", 1 + 0.1 * events.MET.phi)
"""
    (root / "processors" / "weighted.py").write_text(text + weights)
    change = {"datasets": "[top]", "processor": "processors/weighted.py", "skim.columns": "['Jet_phi']"}
    workflow = workflow_of(root, **change)
    skim = make_skim(workflow, tmp_path, QUIET)
    before, after = filled(workflow, root / "datasets.json"), filled(workflow, skim.manifest)
    assert all(before[key].tobytes() == after[key].tobytes() for key in after)
    with uproot.open(next(iter((tmp_path / "top").glob("*.root")))) as file:
        assert "Muon_phi" not in set(file["Events"].keys())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skim.regions": "[hihg]"}, r"skim.regions names the region 'hihg'.*did you mean high"),
        ({"skim.columns": "['Jets_*']"}, r"no column that matches 'Jets_\*'"),
    ],
)
def test_a_wrong_skim_is_one_sentence(root, tmp_path, change, message):
    with pytest.raises(Exception, match=message):
        make_skim(workflow_of(root, datasets="[top]", **change), tmp_path, QUIET)


def test_a_skim_over_its_own_input_is_refused(root):
    with pytest.raises(ConfigError, match=r"Dataset top: a skim in .* would be written over its own input .*top\.root"):
        make_skim(workflow_of(root, datasets="[top]"), root, QUIET)
    assert (root / "top.root").stat().st_size > 1000


def test_a_dump_has_data_shifts_and_64_bits_and_nothing_blind(root, tmp_path):
    workflow = workflow_of(
        root, **{"dump.shifts": "[nominal, jet_energy_scale_up]", "dump.observables": "[met, jet_pt]"}
    )
    make_dump(workflow, tmp_path, QUIET)
    card = read_card(tmp_path / "jet_energy_scale_up")
    assert card.shift == "jet_energy_scale_up"
    assert "data" not in card.processes
    nominal, shifted = (pq.read_table(tmp_path / name / "top.parquet") for name in ("nominal", card.shift))
    assert str(nominal.schema.field("met").type) == "double"
    with uproot.open(root / "top.root") as file:
        events = file["Events"].arrays()
    kept = events[events.MET_pt > 20]
    assert nominal["jet_pt"].to_pylist() == kept.Jet_pt.to_list()
    assert shifted["jet_pt"].to_pylist() == (kept.Jet_pt * 1.05).to_list()
    data = pq.read_table(tmp_path / "nominal" / "data.parquet")
    with uproot.open(root / "data.root") as file:
        met = file["Events"]["MET_pt"].array(library="np")
    assert sorted(data["met"].to_pylist()) == sorted(met[(met > 20) & ~(met > 60)].tolist())
    assert len(data) > 0


def test_blinded_data_alone_are_refused(root, tmp_path):
    with pytest.raises(ConfigError, match=r"data of the dataset data are blinded in the region high"):
        make_dump(workflow_of(root, **{"dump.regions": "[high]"}), tmp_path, QUIET)
    make_dump(workflow_of(root, **{"dump.regions": "[high]", "unblind": "true"}), tmp_path, QUIET)
    assert len(pq.read_table(tmp_path / "nominal" / "data.parquet")) > 0


def test_a_skim_of_weighted_events_does_not_normalise_variations_by_what_is_left(root, tmp_path):
    """Their sums are over all events, which the skim has not."""
    manifest = json.loads((root / "datasets.json").read_text())
    del manifest["top"]["metadata"]["xsec_pb"]
    manifest["top"]["metadata"]["weighted_to"] = 5.0
    (root / "weighted.json").write_text(json.dumps({"top": manifest["top"]}))
    text = (root / "processors" / "mini.py").read_text().replace('Histogram("score", Regular(20, 0, 1)),', "")
    generator = """
    def generator(self, events):
        return {"scale": (1 + events.MET.pt / 1000, 1 - events.MET.pt / 1000)}
"""
    (root / "processors" / "scaled.py").write_text(text + generator)
    change = {"manifest": "weighted.json", "processor": "processors/scaled.py", "cache.enabled": "false"}
    workflow = workflow_of(root, **change)
    filled(workflow, root / "weighted.json")  # all events: known
    skim = make_skim(workflow, tmp_path, QUIET)
    with pytest.raises(InputError, match="Dataset top is a skim, and the sum of scale_up"):
        filled(workflow, skim.manifest)
