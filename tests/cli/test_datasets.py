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
    words = ["--kind", "signal", "--process", "dm", "--xsec", "0.5", "--k-factor", "1.2"]
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
        (["a.root", "--kind", "data", "--xsec", "3"], "data have no cross-section"),
        (["gone.root", "--kind", "data"], "No file matches gone.root"),
        (["a.root", "--kind", "signal", "--xsec", "3", "--signal", "130"], "write KEY=VALUE"),
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
