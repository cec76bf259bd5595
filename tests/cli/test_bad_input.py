"""Bad input through the command line: one sentence, a non-zero exit, no traceback, nothing half-written."""

from __future__ import annotations

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.small_project import PROCESSOR, fails, write_project

from colonnade.cli import main


def write_events(path: Path, **columns) -> Path:
    with uproot.recreate(path) as file:
        file["Events"] = columns
    return path


def fails_to_run(capsys, folder: Path, *files: str | Path, tree: str | None = "Events", **metadata) -> str:
    workflow = write_project(folder, {str(file): tree for file in files}, **metadata)
    message = fails(capsys, "run", workflow, "--output", folder / "out")
    assert not list((folder / "out").glob("*.*"))
    return message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text.root", "text.root"),
        ("zero_byte.root", "zero_byte.root"),
        ("uproot-empty.root", "Events"),
        ("PR554_SkipReadOnlyDirectory.root", "holds no tree"),
        ("bad_delphes.root", "bad_delphes.root"),
        ("nano_dy_truncated_200000.root", "nano_dy_truncated_200000.root"),
        ("nano_dy_empty.root", "no event"),
        ("nano_dy_truncated.parquet", "nano_dy_truncated.parquet"),
        ("nano_dy_empty.parquet", "nano_dy_empty.parquet"),
    ],
)
def test_each_bad_file_is_named(capsys, tmp_path, shared_data, name: str, says: str) -> None:
    message = fails_to_run(capsys, tmp_path, shared_data / "bad" / name)
    assert name in message
    assert says in message


def test_a_file_that_fails_only_when_read(capsys, tmp_path, shared_data) -> None:
    """Four trigger branches of this file are damaged; it opens well, and its muons can be read."""
    path = shared_data / "bad" / "nano_dimuon_bitflip_120000_120400.root"
    processor = PROCESSOR.replace("objects.muons.pt", "events.HLT.PFJet40 * 1.0")
    workflow = write_project(tmp_path, {str(path): "Events"}, processor=processor)
    message = fails(capsys, "run", workflow, "--output", tmp_path / "out")
    assert path.name in message
    assert "HLT_PFJet40" in message
    workflow = write_project(tmp_path, {str(path): "Events"})
    with pytest.raises(SystemExit) as caught:
        main(["run", str(workflow), "--output", str(tmp_path / "out")])
    assert caught.value.code == 0


def test_a_wrong_tree_name(capsys, tmp_path, shared_data) -> None:
    message = fails_to_run(capsys, tmp_path, shared_data / "nanoaod" / "nano_dy.root", tree="Evnts")
    assert "'Evnts'" in message or " Evnts" in message
    assert "Events" in message


def test_a_tree_that_is_not_named_among_several(capsys, tmp_path, shared_data) -> None:
    message = fails_to_run(capsys, tmp_path, shared_data / "bad" / "nano_dy_SpecialTree.root", tree="SpecialEvents")
    assert "NotEvents" in message
    assert "Runs" in message


def test_a_file_that_is_not_there(capsys, tmp_path) -> None:
    assert "nowhere.root" in fails_to_run(capsys, tmp_path, tmp_path / "nowhere.root")


def test_a_missing_branch_names_its_neighbours(capsys, tmp_path, shared_data) -> None:
    processor = PROCESSOR.replace("objects.muons.pt", "objects.muons.ptt")
    files = {str(shared_data / "nanoaod" / "cms_dimuon_100k.root"): "Events"}
    workflow = write_project(tmp_path, files, processor=processor)
    message = fails(capsys, "run", workflow, "--output", tmp_path / "out")
    assert "Muon_ptt" in message
    assert "Muon_pt" in message.replace("Muon_ptt", "")


def test_weights_that_are_no_numbers(capsys, tmp_path) -> None:
    weights = np.ones(50)
    weights[31] = np.nan
    path = write_events(
        tmp_path / "nan.root",
        Muon=ak.zip({"pt": ak.Array([[30.0]] * 50), "eta": ak.Array([[0.0]] * 50), "phi": ak.Array([[0.0]] * 50),
                     "mass": ak.Array([[0.1]] * 50)}),
        genWeight=weights,
    )  # fmt: skip
    message = fails_to_run(capsys, tmp_path, path, process="zll", kind="background", xsec_pb=1.0, sumw="events")
    assert "genWeight" in message
    assert "nan.root" in message


def test_a_histogram_that_no_observable_fills(capsys, tmp_path, shared_data) -> None:
    processor = PROCESSOR.replace('{"pt": objects', '{"ptt": objects')
    files = {str(shared_data / "nanoaod" / "cms_dimuon_100k.root"): "Events"}
    workflow = write_project(tmp_path, files, processor=processor)
    message = fails(capsys, "run", workflow, "--output", tmp_path / "out")
    assert "'pt'" in message
    assert "did you mean ptt" in message


def test_an_analysis_with_a_mistake_is_named_by_its_line(capsys, tmp_path, shared_data) -> None:
    processor = PROCESSOR.replace("return {}", "return {}['nothing']")
    files = {str(shared_data / "nanoaod" / "cms_dimuon_100k.root"): "Events"}
    workflow = write_project(tmp_path, files, processor=processor)
    message = fails(capsys, "run", workflow, "--output", tmp_path / "out")
    line = 1 + processor.splitlines().index("        return {}['nothing']")
    assert "x.py" in message
    assert str(line) in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "datasets.json"),
        ('{"d": {"files": {}}}', "d.files"),
        (
            '{"d": {"files": {"a.root": "Events"}, "metadata": {"process": "x", "kind": "dta"}}}',
            "d.metadata.kind",
        ),
        (
            '{"d": {"files": {"a.root": "Events"}, "metadata": {"process": "x", "kind": "data", "lumi": 1}}}',
            "d.metadata.lumi: unknown key",
        ),
    ],
)
def test_a_broken_manifest(capsys, tmp_path, text: str, says: str) -> None:
    workflow = write_project(tmp_path, {"a.root": "Events"})
    (tmp_path / "datasets.json").write_text(text, encoding="utf-8")
    message = fails(capsys, "run", workflow)
    assert says in message
    assert "datasets.json" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "a workflow is a mapping"),
        ("luminosity: 1.0", "processor: this key is required"),
        ("processor: processors/x.py\nluminosity: -1", "luminosity = -1"),
        ("processor: processors/x.py\nluminosity: 1\nunblid: true", "did you mean unblind"),
        ("processor: processors/y.py\nluminosity: 1", "did you mean processors/x.py"),
        ("processor: processors/x.py:Anlysis\nluminosity: 1", "did you mean Analysis"),
        ("processor: processors/x.py\nluminosity: 1\ndatasets: [dd]", "'dd'"),
        ("processor: processors/x.py\nluminosity: 1\nparameters: {cut: 3}", "no parameter 'cut'"),
        ("processor: processors/x.py\nluminosity: 1\ncorrections: {sf: sf.json}", "sf.json"),
        ("processor: processors/x.py\nluminosity: 1\nexecutor: {kind: dsk}", "executor.kind"),
        ("processor: processors/x.py\nluminosity: 1\nmanifest: other.json", "other.json"),
    ],
)
def test_a_broken_workflow(capsys, tmp_path, text: str, says: str) -> None:
    workflow = write_project(tmp_path, {"a.root": "Events"})
    workflow.write_text(text, encoding="utf-8")
    assert says in fails(capsys, "run", workflow)


def test_an_analysis_that_can_not_be_imported(capsys, tmp_path) -> None:
    workflow = write_project(tmp_path, {"a.root": "Events"}, processor="import nothing_of_that_name\n")
    message = fails(capsys, "run", workflow)
    assert "x.py, line 1," in message
    assert "nothing_of_that_name" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder(capsys, tmp_path) -> None:
    workflow = write_project(tmp_path, {"a.root": "Events"})
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "can't be written" in fails(capsys, "run", workflow, "--output", tmp_path / "locked" / "out")


def test_an_output_folder_that_is_a_file(capsys, tmp_path) -> None:
    workflow = write_project(tmp_path, {"a.root": "Events"})
    (tmp_path / "file").touch()
    assert "can't be written" in fails(capsys, "run", workflow, "--output", tmp_path / "file" / "out")


def test_debug_shows_the_traceback(tmp_path) -> None:
    from colonnade.errors import ConfigError

    with pytest.raises(ConfigError):
        main(["--debug", "run", str(tmp_path / "none.yaml")])


def test_usage_errors_are_clicks(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rnu"])
    assert caught.value.code == 2
    assert "No such command" in capsys.readouterr().err


def test_an_analysis_that_can_not_have_its_name(capsys) -> None:
    assert "NAME = 'My-Analysis': use lower-case letters" in fails(capsys, "new", "My-Analysis")
