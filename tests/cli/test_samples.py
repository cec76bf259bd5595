"""`colonnade samples` from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import uproot

from colonnade.cli import main

pytest.importorskip("pythia8mc", reason="the extra 'samples' is not installed")
pytest.importorskip("fastjet", reason="the extra 'samples' is not installed")

GENERATE: dict[str, Any] = {"settings": ["WeakSingleBoson:ffbar2gmZ = on"], "events": 5000, "seed": 4}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    metadata = {"process": "zll", "kind": "background", "xsec_pb": 1.0, "generate": GENERATE}
    content = {"zll": {"files": {"data/zll.root": "Events"}, "metadata": metadata}}
    (tmp_path / "datasets.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "datasets.json"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def test_makes_what_is_missing_then_leaves_it(
    manifest: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as terminal:
        terminal.setenv("FORCE_COLOR", "1")  # as on a terminal, where the progress is shown
        assert run("samples", "zll", "--events", "30", "--workers", "1") == 0
    captured = capfd.readouterr()
    assert "made" in captured.out
    assert "30" in captured.out
    assert "30 of 30" in captured.err
    assert "PYTHIA" not in captured.out
    assert "FastJet" not in captured.out
    with uproot.open(manifest.parent / "data/zll.root") as file:
        assert file["Events"].num_entries == 30
    assert run("samples", "z*", "--events", "30", "--workers", "1") == 0
    captured = capfd.readouterr()
    assert "up to date" in captured.out
    assert captured.err == ""


def test_an_unknown_name_is_one_sentence(manifest: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("samples", "zlll") == 2
    error = capfd.readouterr().err
    assert "no dataset 'zlll' (did you mean zll?)" in error
    assert error.count("\n") == 1


def test_a_missing_manifest_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("samples") == 2
    assert "datasets.json can't be read" in capfd.readouterr().err


def test_a_missing_extra_gives_the_command(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fastjet", None)
    assert run("samples") == 2
    assert "pip install 'colonnade[samples]'" in capfd.readouterr().err
