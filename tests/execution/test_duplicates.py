"""The same event twice: within a dataset, across primary datasets, and what priority makes of it."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import uproot
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.cli import main
from colonnade.errors import ConfigError, InputError
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.execution import skimming as duplicates_module
from colonnade.execution.skimming import find_duplicates
from colonnade.manifest import load_manifest

HERE = ExecutorSettings(kind="iterative")


def write(path, run, block, event, **triggers):
    columns = {"run": run.astype("u4"), "luminosityBlock": block.astype("u4"), "event": event.astype("u8")}
    columns |= {f"HLT_{name}": fired for name, fired in triggers.items()} | {"x": np.ones(len(run), "f4")}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in columns.items()}).extend(columns)


def identities(rng, count):
    return rng.integers(355_000, 355_004, count), rng.integers(1, 50, count), rng.integers(0, 3000, count) + 2**33


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two primary datasets of the same collisions: each holds the events in which its trigger fired."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(5)
    unique = np.unique(np.stack(identities(rng, 4000), axis=1), axis=0)
    rng.shuffle(unique)
    muon, electron = rng.random(len(unique)) < 0.5, rng.random(len(unique)) < 0.4
    for name, fired in (("muon", muon), ("electron", electron)):
        write(folder / f"{name}.root", *unique[fired].T, Mu=muon[fired], Ele=electron[fired])
    manifest = {
        name: {"files": {f"{name}.root": "Events"}, "metadata": {"process": "data", "kind": "data"}}
        for name in ("muon", "electron")
    }
    (folder / "plain.json").write_text(json.dumps(manifest))
    for rank, (name, trigger) in enumerate({"muon": "HLT_Mu", "electron": "HLT_Ele"}.items(), start=1):
        manifest[name]["metadata"] |= {"triggers": [trigger], "priority": rank}
    (folder / "ranked.json").write_text(json.dumps(manifest))
    expected = {tuple(int(each) for each in key) for key in unique[muon & electron]}
    return folder, expected, int((muon | electron).sum())


class Counted(Processor):
    regions = {"all": Region()}
    histograms = (Histogram("x", Regular(1, 0, 2)),)

    def objects(self, events, shift):
        return Objects(x=events.x)

    def observables(self, events, objects):
        return {"x": objects.x}

    def cuts(self, events, objects, observables):
        return {}


@pytest.mark.parametrize("kind", ["iterative", "futures"])
def test_all_events_of_two_primary_datasets_are_found(folder, kind):
    place, expected, _ = folder
    datasets = load_manifest(place / "plain.json").select("*")
    executor = ExecutorSettings(kind=kind, workers=2)
    found = find_duplicates(datasets, chunk_size=333, executor=executor)
    assert found.count == len(expected) > 500
    assert [twice.event for twice in found.first] == sorted(expected)[:20]
    assert {name for twice in found.first for name, _ in twice.places} == {"muon", "electron"}
    run, block, event = min(expected)
    with pytest.raises(InputError, match=rf"run {run}, block {block}, event {event}, is in dataset muon, .*muon\.root"):
        found.check()


def test_priority_counts_each_collision_once(folder):
    place, _, collisions = folder
    datasets = load_manifest(place / "ranked.json").select("*")
    assert find_duplicates(datasets, chunk_size=500, executor=HERE).count == 0
    result = run_datasets(Counted(), datasets, luminosity=1.0, executor=HERE)
    assert result.histograms["x"]["data"].sum().value == collisions
    rows = {row["cut"]: row["raw"] for row in result.cutflow["electron"]["all"]}
    assert rows["primary dataset"] < rows["all events"]
    # alone, a dataset keeps what its trigger took
    alone = run_datasets(Counted(), [datasets[1]], luminosity=1.0, executor=HERE)
    assert alone.histograms["x"]["data"].sum().value == rows["all events"]


def test_within_a_dataset_and_within_a_file(tmp_path, monkeypatch):
    rng = np.random.default_rng(6)
    keys = np.stack(identities(rng, 3000), axis=1)  # some of them twice or three times
    for part in range(3):
        write(tmp_path / f"{part}.root", *keys[part::3].T)
    metadata = {"process": "mc", "kind": "background", "xsec_pb": 1.0, "weight": "1"}
    manifest = {name: {"files": {"?.root": "Events"}, "metadata": metadata} for name in ("one", "two")}
    (tmp_path / "datasets.json").write_text(json.dumps(manifest))
    counted = Counter(map(tuple, keys.tolist()))
    many = sum(count - 1 for count in counted.values())
    assert many > 0
    datasets = load_manifest(tmp_path / "datasets.json").select("*")
    # simulated samples have the same numbers as each other
    assert find_duplicates(datasets, executor=HERE).count == 2 * many
    monkeypatch.setattr(duplicates_module, "BUCKETS", 3)
    found = find_duplicates(datasets[:1], chunk_size=100, executor=HERE)
    assert found.count == many
    assert found.first[0].event == min(key for key, count in counted.items() if count > 1)


def test_the_command_names_them(folder, monkeypatch, capsys):
    place, expected, _ = folder
    with pytest.raises(SystemExit) as ended:
        main(["datasets", "check", "--manifest", str(place / "plain.json"), "--events", "--workers", "1"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert ":".join(map(str, min(expected))) in out
    assert f"{len(expected):,} of" in err
    with pytest.raises(SystemExit) as ended:
        main(["datasets", "check", "--manifest", str(place / "ranked.json"), "--events", "--workers", "1"])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"triggers": ["HLT_Elk"]},
            r"Dataset electron: none of its files has the trigger HLT_Elk \(did you mean HLT_Ele",
        ),
        ({"priority": None}, "triggers and priority are given together"),
        ({"kind": "background", "xsec_pb": 1.0}, "only data have triggers"),
    ],
)
def test_wrong_triggers_are_one_sentence(folder, tmp_path, change, message):
    place, *_ = folder
    manifest = json.loads((place / "ranked.json").read_text())
    manifest["electron"]["metadata"] |= change
    manifest["electron"]["metadata"]["process"] = "other"
    for name, entry in manifest.items():
        entry["files"] = {str(place / f"{name}.root"): "Events"}
    (tmp_path / "datasets.json").write_text(json.dumps(manifest))
    with pytest.raises((ConfigError, InputError), match=message):
        run_datasets(Counted(), load_manifest(tmp_path / "datasets.json").select("*"), luminosity=1.0, executor=HERE)
