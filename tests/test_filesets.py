"""Filesets as coffea's users write them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from colonnade.errors import ConfigError
from colonnade.manifest import load_manifest
from colonnade.manifest.filesets import as_datasets, load_fileset

PREPARED = {"object_path": "Events", "steps": [[0, 5], [5, 9]], "num_entries": 9, "uuid": "u"}


@pytest.mark.parametrize(
    ("entry", "files"),
    [
        (["a.root", "b.root"], {"a.root": None, "b.root": None}),
        ("a.root", {"a.root": None}),
        ({"files": ["a.root"], "treename": "tree"}, {"a.root": "tree"}),
        ({"files": {"a.root": "Events"}}, {"a.root": "Events"}),
        ({"files": {"a.root": PREPARED, "b.root": {"object_path": None}}}, {"a.root": "Events", "b.root": None}),
    ],
)
def test_files(entry: Any, files: dict[str, str | None], tmp_path: Path) -> None:
    (dataset,) = as_datasets({"d": entry}, tmp_path)
    assert dataset.files == files
    assert [path for path, _ in dataset.expand()] == [str(tmp_path / name) for name in files]
    if "treename" not in entry and isinstance(entry, dict) and entry["files"]["a.root"] is PREPARED:
        about = {key: value for key, value in PREPARED.items() if key != "object_path"}
        assert dataset.prepared_files[str(tmp_path / "a.root")] == about


def test_metadata_are_handed_on_as_they_are() -> None:
    given = {"xsec": 3, "is_mc": True, "nested": {"a": [1]}, "kind": "unknown", "process": "tt__nominal"}
    (dataset,) = as_datasets({"/TT/Run3": {"files": ["a.root"], "metadata": given}})
    assert dataset.given == given
    assert (dataset.metadata.process, dataset.metadata.kind) == ("tt_nominal", "background")
    (dataset,) = as_datasets({"/TT/Run3": ["a.root"]})
    assert (dataset.metadata.process, dataset.given) == ("TT_Run3", {})
    (dataset,) = as_datasets({"s": {"files": ["a.root"], "metadata": {"kind": "signal", "signal": {"m": 5.0}}}})
    assert dataset.metadata.signal == {"m": 5.0}


def test_compressed_by_gzip(tmp_path: Path) -> None:
    fileset = {"d": {"files": {"a.root": PREPARED}, "metadata": None, "form": "x", "did": "y"}}
    (tmp_path / "fileset.json.gz").write_bytes(gzip.compress(json.dumps(fileset).encode()))
    (dataset,) = load_fileset(tmp_path / "fileset.json.gz")
    assert dataset.files == {"a.root": "Events"}
    assert dataset.folder == tmp_path


def test_prepared_by_coffea() -> None:
    from coffea.dataset_tools import filespec

    made = filespec.DatasetSpec(files={"a.root": PREPARED}, metadata={"x": 1}, format="root")
    (dataset,) = as_datasets({"d": made})
    assert dataset.files == {"a.root": "Events"}
    assert dataset.prepared["a.root"]["steps"] == [[0, 5], [5, 9]]
    assert dataset.given == {"x": 1}


def test_a_manifest_takes_such_files_too(tmp_path: Path) -> None:
    entry = {"files": {"a.root": PREPARED}, "metadata": {"process": "d", "kind": "data"}, "form": None}
    (tmp_path / "datasets.json").write_text(json.dumps({"d": entry}))
    dataset = load_manifest(tmp_path / "datasets.json").datasets["d"]
    assert dataset.files == {"a.root": "Events"}
    assert dataset.prepared["a.root"]["num_entries"] == 9


@pytest.mark.parametrize(
    ("fileset", "words"),
    [
        ({}, "at least one dataset"),
        ([], "at least one dataset"),
        ({"d": {"files": []}}, "at least one"),
        ({"d": {"files": 3}}, "list of paths"),
        ({"d": ["a.root", "a.root"]}, "twice"),
        ({"d": {"files": ["a.root"], "metadata": [1]}}, "metadata is not an object"),
        ({"d": {"files": ["a.root"], "metadata": {"entrystart": 1}}}, "rename the key"),
    ],
)
def test_what_is_no_fileset(fileset: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        as_datasets(fileset)


@pytest.mark.parametrize("strange", [1, None, {}])
def test_what_is_no_path_is_named(strange: object) -> None:
    with pytest.raises(ConfigError, match="which is no path of a file"):
        as_datasets({"a": ["a.root", strange]})
