"""The tutorial, followed word for word on real collisions, with its numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uproot

import colonnade
from colonnade.cli import main

FILE = "nanoaod/cms_dimuon_100k.root"


def colonnade_does(*words: object) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    assert caught.value.code == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_data) -> Path:
    """The tutorial's folder after its four commands, the Dask executor being the default."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        colonnade_does("new", "dimuon")
        colonnade_does("datasets", "add", "dimuon", shared_data / FILE, "--process", "data", "--kind", "data")
        colonnade_does("datasets", "check")
        colonnade_does("run", "workflows/dimuon.yaml", "--output", "results/dimuon", "--workers", 2)
    return folder


def test_the_numbers_are_those_of_the_published_notebook(folder: Path) -> None:
    """48,976 events with exactly two muons, 37,183 of opposite sign: AGC tools workshop; the Z window is computed."""
    rows = json.loads((folder / "results/dimuon/cutflow.json").read_text())["dimuon"]["Z"]
    assert [(row["cut"], row["raw"]) for row in rows] == [
        ("all events", 100_000),
        ("two muons", 48_976),
        ("opposite charge", 37_183),
        ("81 < m < 101", 6_846),
    ]
    histograms = colonnade.load(folder / "results/dimuon")
    assert histograms["m_mumu"]["data"]["dimuon", "nominal", :].sum(flow=True).value == 37_183
    assert histograms["muon_pt"]["data"]["dimuon", "nominal", :].sum(flow=True).value == 2 * 37_183
    with uproot.open(folder / "results/dimuon/histograms.root") as file:
        assert file["Z/m_mumu/data"].values(flow=True).sum() == 6_846


def test_the_z_peak_is_plotted(folder: Path) -> None:
    for suffix in ("png", "pdf"):
        assert (folder / f"results/dimuon/plots/Z/m_mumu.{suffix}").stat().st_size > 5_000


def test_every_file_of_the_result_is_there(folder: Path) -> None:
    names = {path.name for path in (folder / "results/dimuon").iterdir()}
    assert names == {
        "cutflow.json",
        "histograms.root",
        "histograms.zip",
        "ledger.json",
        "plots",
        "provenance.json",
        "report.html",
    }
    assert zipfile.ZipFile(folder / "results/dimuon/histograms.zip").testzip() is None


def test_the_provenance_tells_how_to_make_it_again(folder: Path) -> None:
    provenance = json.loads((folder / "results/dimuon/provenance.json").read_text())
    assert provenance["config"]["luminosity"] == 1.0
    assert provenance["config"]["executor"] == {**provenance["config"]["executor"], "kind": "dask", "workers": 2}
    assert provenance["unblinded"] is False
    assert provenance["finished"] >= provenance["started"]
    assert re.fullmatch("[0-9a-f]{64}", provenance["histograms_sha256"])
    assert provenance["environment"]["packages"]["coffea"]


def test_every_event_is_in_the_ledger(folder: Path) -> None:
    ledger = json.loads((folder / "results/dimuon/ledger.json").read_text())
    entry = ledger["datasets"]["dimuon"]
    assert (entry["events_expected"], entry["events_processed"], entry["lost"]) == (100_000, 100_000, [])
    assert ledger["lost_fraction"] == 0


def test_a_second_run_redoes_nothing(folder: Path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "results/dimuon/plots").rglob("*.*")}
    colonnade_does("run", folder / "workflows/dimuon.yaml", "--output", folder / "results/dimuon")
    printed = capsys.readouterr().out
    assert re.search(r"histograms +unchanged", printed)
    assert re.search(r"plots +unchanged", printed)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "results/dimuon/plots").rglob("*.*")}


def test_other_executors_give_the_same_bits(folder: Path) -> None:
    digests = set()
    for executor in ("iterative", "futures", "dask"):
        output = folder / "results" / executor
        workflow = folder / "workflows" / f"{executor}.yaml"
        text = (folder / "workflows/dimuon.yaml").read_text()
        # small chunks, so that there is something to merge
        workflow.write_text(f"{text}\nchunk_size: 9000\nplots: {{histograms: [m_mumu], regions: [Z]}}\n")
        colonnade_does("run", workflow, "--output", output, "--executor", executor, "--workers", 2)
        digests.add(json.loads((output / "provenance.json").read_text())["histograms_sha256"])
    assert len(digests) == 1


def test_new_refuses_to_overwrite(folder: Path, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["new", "dimuon", "--directory", str(folder)])
    assert caught.value.code == 2
    assert "exists" in capsys.readouterr().err


def test_the_commands_of_the_text_are_the_commands_here(project: Path) -> None:
    text = (project / "docs/tutorial.md").read_text(encoding="utf-8")
    commands = [line.split()[1:3] for line in re.findall(r"^colonnade .*$", text, re.MULTILINE)]
    assert commands == [
        ["new", "dimuon"],
        ["datasets", "add"],
        ["datasets", "check"],
        ["run", "workflows/dimuon.yaml"],
        ["datasets", "add"],
    ]


def test_the_skeleton_runs_under_plain_coffea(folder: Path, shared_data: Path) -> None:
    """The manifest is a coffea fileset, and the analysis a coffea processor."""
    code = (
        "import json, sys; sys.path.insert(0, '.');"
        "from coffea.processor import IterativeExecutor, Runner;"
        "from coffea.nanoevents import BaseSchema, NanoAODSchema;"
        "NanoAODSchema.error_missing_event_ids = False;"
        "from processors.dimuon import Dimuon;"
        "run = Runner(IterativeExecutor(status=False), schema=NanoAODSchema);"
        "out = run(json.load(open('datasets.json')), Dimuon());"
        "print(out['dimuon']['histograms']['m_mumu']['dimuon', 'nominal', :].sum(flow=True).value)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) == 37_183


def test_resuming_needs_something_to_resume(folder: Path, tmp_path: Path, capsys) -> None:
    workflow = folder / "workflows/dimuon.yaml"
    colonnade_does("run", workflow, "--output", folder / "results/dimuon", "--resume")
    other = folder / "workflows/other.yaml"
    other.write_text(workflow.read_text())
    for path, words in ((other, "holds a run of 'dimuon'"), (workflow, "nothing to resume")):
        if path == workflow:
            (folder / ".colonnade").rename(tmp_path / "cache")
        with pytest.raises(SystemExit) as caught:
            main(["run", str(path), "--output", str(folder / "results/dimuon"), "--resume"])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_a_changed_analysis_is_run_again_and_a_comment_is_not(folder: Path, capsys) -> None:
    analysis = folder / "processors/dimuon.py"
    words = ("run", folder / "workflows/dimuon.yaml", "--output", folder / "results/dimuon", "--executor", "iterative")
    colonnade_does(*words)
    capsys.readouterr()
    text = analysis.read_text()
    analysis.write_text(text.replace('"""Two muons', '"""Pairs, that is two muons') + "\n# a comment\n")
    colonnade_does(*words)
    assert "100,000 kept from earlier" in capsys.readouterr().out
    analysis.write_text(text.replace("mass > 81", "mass > 80"))
    colonnade_does(*words)
    assert "kept from earlier" not in capsys.readouterr().out
    analysis.write_text(text)
