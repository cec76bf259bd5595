"""The manifest against coffea's own parsing, hand-worked normalisations and mistakes of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea import processor
from coffea.dataset_tools import DatasetSpec
from coffea.nanoevents import BaseSchema
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import ConfigError, EventError, InputError, OutputError
from colonnade.manifest import Dataset, Metadata, add_dataset, load_manifest, normalisation
from colonnade.manifest.datasets import relative_files

ZLL: dict[str, Any] = {
    "files": {"zll.root": "Events"},
    "metadata": {"process": "zll", "kind": "background", "xsec_pb": 2000.0, "k_factor": 1.2},
}
DATA: dict[str, Any] = {
    "files": {"data/*.root": "Events"},
    "metadata": {"process": "data", "kind": "data", "luminosity": 36.2},
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "datasets.json"
    path.write_text(json.dumps(content, indent=2))
    return path


def changed(**metadata: Any) -> dict[str, Any]:
    kept = {**ZLL["metadata"], **metadata}
    return {
        "zll": {**ZLL, "metadata": {key: value for key, value in kept.items() if value is not ...}},
    }


def test_entries_keep_order_and_values(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path, {"zll": ZLL, "data": DATA}))
    assert list(manifest.datasets) == ["zll", "data"]
    zll = manifest.datasets["zll"]
    assert (zll.metadata.process, zll.metadata.xsec_pb, zll.metadata.filter_efficiency) == (
        "zll",
        2000.0,
        1.0,
    )
    assert zll.expand() == [(str(tmp_path / "zll.root"), "Events")]
    assert manifest.datasets["data"].metadata.luminosity == 36.2


def test_coffea_reads_the_same_file(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "zll.root") as file:
        file["Events"] = {"x": np.arange(7.0)}
    entry = json.loads(json.dumps(ZLL))
    entry["files"] = {str(tmp_path / "zll.root"): "Events"}
    entry["metadata"]["generate"] = {"settings": ["A:b = on"], "events": 7, "seed": 3}
    entry["files"] = {str(tmp_path / "zll.root"): "Events"}
    path = write(tmp_path, {"zll": entry})
    manifest = load_manifest(path)

    class Count(processor.ProcessorABC):
        def process(self, events: Any) -> Any:
            return {events.metadata["dataset"]: {"n": len(events), "xsec": events.metadata["xsec_pb"]}}

        def postprocess(self, accumulator: Any) -> Any:
            return accumulator

    run = processor.Runner(processor.IterativeExecutor(status=False), schema=BaseSchema)
    assert run(str(path), Count()) == {"zll": {"n": 7, "xsec": 2000.0}}
    spec = DatasetSpec(**json.loads(path.read_text())["zll"])
    assert dict(spec.metadata)["process"] == manifest.datasets["zll"].metadata.process
    assert [str(name) for name in spec.files] == [name for name, _ in manifest.datasets["zll"].expand()]


def test_globs_expand_sorted_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for name in ("b", "a", "c"):
        (tmp_path / f"data/{name}.root").touch()
    manifest = load_manifest(write(tmp_path, {"data": DATA}))
    monkeypatch.chdir("/")
    assert [Path(path).stem for path, _ in manifest.datasets["data"].expand()] == ["a", "b", "c"]


def test_a_glob_without_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Dataset data: no file matches .*data/\*\.root"):
        load_manifest(write(tmp_path, {"data": DATA})).datasets["data"].expand()


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.root").touch()
    twice = {**DATA, "files": {"data/*.root": "Events", "data/a.root": "Events"}}
    with pytest.raises(ConfigError, match="twice"):
        load_manifest(write(tmp_path, {"data": twice})).datasets["data"].expand()


def test_urls_pass_unchanged(tmp_path: Path) -> None:
    entry = {**DATA, "files": {"root://server//a.root": "Events"}}
    dataset = load_manifest(write(tmp_path, {"data": entry})).datasets["data"]
    assert dataset.expand() == [("root://server//a.root", "Events")]


def test_select_by_name_and_glob(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path, dict.fromkeys(("zll_low", "ww", "zll_high"), ZLL)))
    assert [dataset.name for dataset in manifest.select(["zll_high", "zll_*"])] == ["zll_low", "zll_high"]
    assert [dataset.name for dataset in manifest.select("ww")] == ["ww"]
    with pytest.raises(ConfigError, match=r"no dataset 'zll_hig' \(did you mean zll_high"):
        manifest.select(["zll_hig"])


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"xsec_pb": -1}, [r"zll\.metadata\.xsec_pb = -1", "greater than 0"]),
        ({"xsec_pb": "12"}, [r'zll\.metadata\.xsec_pb = "12"', "number"]),
        ({"xsec_pb": ...}, [r"zll\.metadata\.xsec_pb", "background needs its cross-section"]),
        ({"xsec": 3.0}, [r"zll\.metadata\.xsec: unknown key \(did you mean xsec_pb"]),
        ({"kind": "mc"}, [r"metadata\.kind = \"mc\"", "'data', 'background' or 'signal'"]),
        ({"kind": ...}, [r"metadata\.kind: this key is required"]),
        ({"kind": "data"}, [r"metadata\.xsec_pb = 2000\.0", "data have no cross-section"]),
        ({"kind": "data", "xsec_pb": ...}, [r"metadata\.k_factor = 1\.2", "data are counted"]),
        ({"luminosity": 3.0}, [r"metadata\.luminosity = 3\.0", "only data"]),
        ({"luminosity_mask": "golden.json"}, [r"metadata\.luminosity_mask", "only data"]),
        ({"signal": {"m_Zprime": 130}}, [r"metadata\.signal", "kind 'signal'"]),
        ({"sumw": 0.0}, [r"metadata\.sumw = 0\.0", "can't normalise"]),
        ({"sumw": -2.0}, [r"metadata\.sumw = -2\.0", "can't normalise"]),
        ({"filter_efficiency": 1.5}, [r"metadata\.filter_efficiency = 1\.5", "less than or equal to 1"]),
        ({"weighted_to": 10.0}, [r"metadata\.xsec_pb = 2000\.0", "give one of both"]),
        ({"process": "a/b"}, [r"metadata\.process = \"a/b\"", "letters"]),
        (
            {"generate": {"settings": ["A = on"], "events": 5, "seed": 1, "filter": {"mll": [80.0, 60.0]}}},
            [r"metadata\.generate\.filter\.mll", "a lower and a higher bound"],
        ),
        (
            {"generate": {"settings": ["HardQCD:all on"], "events": 5, "seed": 1}},
            [r"metadata\.generate\.settings", "Name = value"],
        ),
        (
            {"generate": {"settings": ["Random:seed = 3"], "events": 5, "seed": 1}},
            [r"metadata\.generate\.settings", "reproducibility"],
        ),
        (
            {"generate": {"settings": ["A = on"], "events": 5, "seed": 1, "seeds": 2}},
            [r"generate\.seeds", "did you mean seed"],
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, metadata: dict[str, Any], words: list[str]) -> None:
    path = write(tmp_path, changed(**metadata))
    for word in words:
        with pytest.raises(ConfigError, match=word) as caught:
            load_manifest(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1, column 2"),
        ("[]", "object of datasets"),
        ("{}", "at least one"),
        ('{"a b": {}}', "'a b' can't name a dataset"),
        ('{"zll": {"files": {}, "metadata": {"process": "a", "kind": "data"}}}', r"zll\.files"),
        ('{"zll": {"files": {"": "t"}, "metadata": {"process": "a", "kind": "data"}}}', r"zll\.files"),
        ('{"zll": {"files": {"a": "t"}}}', r"zll\.metadata: this key is required"),
        ('{"zll": {}, "zll": {}}', "written twice"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "datasets.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_manifest(path)


def test_one_process_has_one_kind(tmp_path: Path) -> None:
    other = {**ZLL, "metadata": {**ZLL["metadata"], "kind": "signal"}}
    with pytest.raises(ConfigError, match=r'other\.metadata\.kind = "signal": zll, of the same process'):
        load_manifest(write(tmp_path, {"zll": ZLL, "other": other}))


def test_pseudo_data_are_made(tmp_path: Path) -> None:
    made = {"settings": ["Top:qq2tq(t:W) = on"], "events": 5, "seed": 1}
    entry = {**ZLL, "metadata": {"process": "data", "kind": "data", "generate": made}}
    (dataset,) = load_manifest(write(tmp_path, {"pseudo": entry})).select(["pseudo"])
    assert dataset.metadata.generate is not None
    assert dataset.metadata.generate.events == 5


def test_a_made_dataset_is_one_file(tmp_path: Path) -> None:
    entry = changed(generate={"settings": ["A = on"], "events": 5, "seed": 1})["zll"]
    entry["files"] = {"zll_*.root": "Events"}
    with pytest.raises(ConfigError, match="exactly one local file"):
        load_manifest(write(tmp_path, {"zll": entry}))


@given(
    st.floats(1e-6, 1e6),
    st.floats(0.1, 5.0),
    st.floats(1e-4, 1.0),
    st.floats(1.0, 300.0),
    st.floats(1.0, 1e8),
)
def test_normalisation_gives_the_expected_yield(
    xsec: float, k: float, efficiency: float, luminosity: float, sumw: float
) -> None:
    metadata = Metadata(
        process="p", kind="signal", xsec_pb=xsec, k_factor=k, filter_efficiency=efficiency, signal={"m": 1.0}
    )
    # all of the sample's weights together are the number of events that the luminosity makes; 1 pb = 1000 fb
    produced = normalisation(metadata, luminosity, sumw) * sumw
    assert produced == pytest.approx(xsec * 1e3 * k * efficiency * luminosity, rel=1e-12)


def test_data_are_not_scaled_and_nothing_is_scaled_to_nothing() -> None:
    assert normalisation(Metadata(process="data", kind="data"), 139.0, 0.0) == 1.0
    for worth in ({"xsec_pb": 1.0}, {"weighted_to": 10.0}):
        metadata = Metadata(process="p", kind="background", **worth)
        for sumw in (0.0, -3.0, float("nan"), float("inf"), float("-inf"), 1e-320):
            with pytest.raises(EventError, match="can't be normalised"):
                normalisation(metadata, 139.0, sumw)


def test_add_writes_what_load_reads(tmp_path: Path) -> None:
    path = tmp_path / "datasets.json"
    add_dataset(path, "zll", ZLL["files"], ZLL["metadata"])
    add_dataset(path, "data", DATA["files"], DATA["metadata"])
    assert json.loads(path.read_text()) == {"zll": ZLL, "data": DATA}
    assert list(load_manifest(path).datasets) == ["zll", "data"]
    assert [item.name for item in tmp_path.iterdir()] == ["datasets.json"]


def test_add_keeps_the_authors_indentation(tmp_path: Path) -> None:
    path = tmp_path / "datasets.json"
    path.write_text(json.dumps({"zll": ZLL}, indent=4))
    add_dataset(path, "data", DATA["files"], DATA["metadata"])
    assert path.read_text() == json.dumps({"zll": ZLL, "data": DATA}, indent=4) + "\n"


def test_add_refuses_and_leaves_the_file_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"zll": ZLL})
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="--replace"):
        add_dataset(path, "zll", ZLL["files"], ZLL["metadata"])
    with pytest.raises(ConfigError, match=r"ww\.metadata\.xsec_pb"):
        add_dataset(path, "ww", ZLL["files"], {"process": "ww", "kind": "background"})
    assert path.read_bytes() == before
    add_dataset(path, "zll", {"new.root": "Events"}, ZLL["metadata"], replace=True)
    assert list(load_manifest(path).datasets["zll"].files) == ["new.root"]


def test_add_into_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(OutputError, match="can't be written"):
        add_dataset(tmp_path / "none/datasets.json", "zll", ZLL["files"], ZLL["metadata"])


def test_paths_are_written_relative_to_the_manifest(tmp_path: Path) -> None:
    inside, outside = str(tmp_path / "data/a.root"), str(tmp_path.parent / "b.root")
    assert relative_files([inside, outside, "https://x/c.root"], tmp_path) == [
        "data/a.root",
        outside,
        "https://x/c.root",
    ]


def test_a_file_that_is_named_again_by_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.root").write_bytes(b"")
    (tmp_path / "b.root").symlink_to("a.root")
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0)
    with pytest.raises(ConfigError, match=r"a\.root twice, also as .*b\.root|b\.root twice, also as .*a\.root"):
        Dataset("zll", {"*.root": "Events"}, metadata, tmp_path).expand()
