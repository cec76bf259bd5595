"""`colonnade datasets` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.cli import main
from colonnade.cli.datasets import _files
from colonnade.manifest import load_manifest


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for name, number in (("a", 3), ("b", 4)):
        muons = ak.zip({key: ak.Array([[30.0, 20.0]] * number) for key in ("pt", "eta", "phi", "mass")})
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file["Events"] = {
                "run": np.ones(number, dtype=np.uint32),
                "luminosityBlock": np.ones(number, dtype=np.uint32),
                "event": np.arange(number, dtype=np.uint64),
                "Muon": muons,
            }
    return tmp_path


def write(folder: Path, **entries: dict[str, Any]) -> None:
    (folder / "datasets.json").write_text(json.dumps(entries, indent=2))


def data(*files: str, tree: str = "Events") -> dict[str, Any]:
    return {"files": dict.fromkeys(files, tree), "metadata": {"process": "data", "kind": "data"}}


def test_check_shows_what_every_file_holds(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder, muons=data("*.root"))
    assert run("datasets", "check") == 0
    lines = capfd.readouterr().out.splitlines()
    (first,) = (line for line in lines if "a.root" in line)
    (second,) = (line for line in lines if "b.root" in line)
    assert [word for word in first.replace("│", " ").split() if word][:5] == [
        "muons",
        "a.root",
        "Events",
        "3",
        "nanoaod",
    ]
    assert " 4 " in second
    assert "ok" in first


def test_check_names_each_problem_and_exits_with_2(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "empty.root").touch()
    made = {"settings": ["A = on"], "events": 5, "seed": 1}
    metadata = {"process": "zll", "kind": "background", "xsec_pb": 1.0, "generate": made}
    write(
        folder,
        good=data("a.root"),
        wrong_tree=data("b.root", tree="Evnts"),
        empty=data("empty.root"),
        gone=data("gone.root"),
        none=data("none/*.root"),
        zll={"files": {"zll.root": "Events"}, "metadata": metadata},
    )
    assert run("datasets", "check") == 2
    captured = capfd.readouterr()
    assert "5 of 6 files can't be used" in captured.err
    table = " ".join(captured.out.split())
    for words in ("Evnts", "no such file", "missing; run: colonnade samples zll", "no file matches"):
        assert words in table
    assert "Traceback" not in captured.out + captured.err


def test_check_looks_only_at_the_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder, good=data("a.root"), gone=data("gone.root"))
    assert run("datasets", "check", "go?d") == 0
    assert run("datasets", "check", "bad") == 2
    assert "no dataset 'bad'" in capfd.readouterr().err


def test_add_then_check(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--kind", "signal", "--process", "dm", "--xsec-pb", "0.5", "--k-factor", "1.2"]
    assert run("datasets", "add", "dm_130", "a.root", *words, "--signal", "m_Zprime=130", "--signal", "model=DH") == 0
    assert json.loads((folder / "datasets.json").read_text()) == {
        "dm_130": {
            "files": {"a.root": "Events"},
            "metadata": {
                "process": "dm",
                "kind": "signal",
                "xsec_pb": 0.5,
                "signal": {"m_Zprime": 130.0, "model": "DH"},
                "k_factor": 1.2,
            },
        }
    }
    assert run("datasets", "add", "muons", str(folder / "*.root"), "--kind", "data", "--luminosity", "11.5") == 0
    assert json.loads((folder / "datasets.json").read_text())["muons"]["files"] == {"*.root": "Events"}
    assert run("datasets", "check") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.root", "--kind", "background"], "a background needs its cross-section"),
        (["a.root", "--kind", "data", "--xsec-pb", "3"], "data have no cross-section"),
        (["gone.root", "--kind", "data"], "No file matches gone.root"),
        (["a.root", "--kind", "signal", "--xsec-pb", "3", "--signal", "130"], "write KEY=VALUE"),
    ],
)
def test_add_refuses_what_is_wrong(
    folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run("datasets", "add", "new", *words) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (folder / "datasets.json").exists()


def test_add_overwrites_only_when_asked(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("datasets", "add", "muons", "a.root", "--kind", "data") == 0
    assert run("datasets", "add", "muons", "b.root", "--kind", "data") == 2
    assert "--replace" in capfd.readouterr().err
    assert run("datasets", "add", "muons", "b.root", "--kind", "data", "--replace") == 0
    assert list(json.loads((folder / "datasets.json").read_text())["muons"]["files"]) == ["b.root"]


def test_add_says_what_it_found(tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, file = str(tmp_path / "datasets.json"), str(shared_data / "nanoaod" / "nano_dy.root")
    words = ["datasets", "add", "dy", file, "--kind", "background", "--xsec-pb", "6000", "--manifest", manifest]
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 0
    said = capsys.readouterr().out
    for word in (
        "tree Events",
        "40 events",
        "schema nanoaod",
        "Muon: ",
        "each event: CaloMET_phi",
        "weighted by genWeight",
        "sum of weights",
    ):
        assert word in said
    file = str(shared_data / "nanoaod" / "cms_dimuon_100k.root")
    with pytest.raises(SystemExit):
        main(["datasets", "add", "mu", file, "--kind", "background", "--xsec-pb", "6", "--manifest", manifest])
    assert "missing: the generator weight" in capsys.readouterr().out


@pytest.mark.parametrize("listed", [False, True])
def test_folders_and_lists_are_inputs(tmp_path: Path, shared_data: Path, listed: bool) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.root", "b.root"):
        (folder / name).write_bytes((shared_data / "nanoaod" / "nano_dy.root").read_bytes())
    word = folder
    if listed:
        word = tmp_path / "files.txt"
        word.write_text(f"# made by xrdfs ls -l\n-rw-r--r-- me us 12 2026-01-01 {folder}/a.root\n\nfiles/b.root\n")
    manifest = tmp_path / "datasets.json"
    with pytest.raises(SystemExit) as done:
        main(["datasets", "add", "dy", str(word), "--kind", "data", "--manifest", str(manifest)])
    assert done.value.code == 0
    (dataset,) = load_manifest(manifest).select("dy")
    assert [Path(path).name for path, _ in dataset.expand()] == ["a.root", "b.root"]
    assert {tree for _, tree in dataset.expand()} == {"Events"}


def test_a_list_of_paths_on_a_server(tmp_path: Path) -> None:
    listing = tmp_path / "ls.txt"
    listing.write_text("/store/a.root\n/store/b.root\n")
    assert _files([str(listing)], "root://host.invalid") == [
        "root://host.invalid//store/a.root",
        "root://host.invalid//store/b.root",
    ]


@pytest.mark.parametrize("name", ["nanoaod/nano_dy.root", "nanoaod/nano_dy.parquet", "nanoaod/nano_dy_rntuple.root"])
def test_inspect_shows_columns_of_any_format(shared_data: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    file = str(shared_data / name)
    with pytest.raises(SystemExit) as done:
        main(["inspect", file, "Muon_pt", "genWeight", "--json"])
    assert done.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["entries"] == 40
    columns = {column["column"]: column for column in found["columns"]}
    assert columns["Muon_pt"]["unit"] == "GeV"
    assert "var" in columns["Muon_pt"]["type"]
    assert 0 < columns["Muon_pt"]["minimum"] < columns["Muon_pt"]["maximum"]
    with pytest.raises(SystemExit):
        main(["inspect", file, "Muon_*"])
    assert "Muon_pt" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["inspect", file, "Muon_ptt"])
    assert done.value.code == 2
