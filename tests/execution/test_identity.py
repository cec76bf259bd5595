"""What a kept result depends on, beyond the text of the analysis: each change makes the chunks run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colonnade.errors import EventError
from colonnade.execution import ExecutorSettings, ResultCache, run_datasets
from colonnade.manifest import Dataset


class Notes:
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def begin(self, what: str, total: int) -> None: ...

    def advance(self, count: int, lost: int = 0) -> None: ...

    def end(self) -> None: ...


@pytest.fixture
def runs(pairs: Any, tmp_path: Path, simulated: Callable[..., Dataset]) -> Callable[..., tuple[bool, float, str]]:
    """Run the analysis with a threshold given by some code; return whether it was kept, its sum, and what was said."""
    datasets = [simulated()]

    def run(head: str | None = None, threshold: str | None = None, **words: Any) -> tuple[bool, float, str]:
        if threshold is not None:
            pairs.neighbour.write_text(f"{head or ''}\n\n\ndef threshold(lowest):\n    return {threshold}\n")
        notes = Notes()
        result = run_datasets(
            pairs.load()(**words),
            datasets,
            luminosity=1.0,
            executor=ExecutorSettings(kind="iterative"),
            chunk_size=100,
            cache=ResultCache(tmp_path / "cache"),
            progress=notes,
        )
        total = next(iter(result.histograms["pt"].values())).sum(flow=True).value
        return result.timing.processed == 0, float(total), "\n".join(notes.lines)

    return run


def test_a_table_that_is_loaded_at_import_counts(runs: Any, tmp_path: Path) -> None:
    table = tmp_path / "cuts.txt"
    table.write_text("6.0")
    head = f"import numpy as np\nCUTS = np.loadtxt({'/'.join((str(tmp_path), 'cuts'))!r} + '.txt')"
    _, first, note = runs(head, "float(CUTS)")
    assert "kept" not in note
    assert runs()[0]
    table.write_text("40.0")
    kept, second, _ = runs()
    assert not kept
    assert second < first


def test_a_dict_of_paths_counts_by_the_content_of_the_files(runs: Any, tmp_path: Path) -> None:
    table = tmp_path / "cuts.txt"
    table.write_text("6.0")
    head = f"from pathlib import Path\nPATHS = {{'cuts': Path({str(tmp_path)!r}) / ('cuts' + '.txt')}}"
    _, first, note = runs(head, "float(PATHS['cuts'].read_text())")
    assert "kept" not in note
    assert runs()[0]
    table.write_text("40.0")
    kept, second, _ = runs()
    assert not kept
    assert second < first


@pytest.mark.parametrize("place", ["absolute", "beside the module"])
def test_a_file_that_a_function_reads_by_name_counts(runs: Any, pairs: Any, tmp_path: Path, place: str) -> None:
    table = pairs.neighbour.parent / "cuts.txt"
    table.write_text("6.0")
    where = repr(str(table)) if place == "absolute" else "Path(__file__).parent / 'cuts.txt'"
    _, _, note = runs("from pathlib import Path", f"float(Path({where}).read_text())")
    assert "kept" not in note
    assert runs()[0]
    table.write_text("40.0")
    assert not runs()[0]


@pytest.mark.parametrize(
    "read", ["os.environ['CUT_OF_A_TEST']", "os.environ.get('CUT_OF_A_TEST')", "os.getenv('CUT_OF_A_TEST', '3')"]
)
def test_an_environment_variable_counts(runs: Any, monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    monkeypatch.setenv("CUT_OF_A_TEST", "6")
    runs("import os", f"float({read})")
    assert runs()[0]
    monkeypatch.setenv("CUT_OF_A_TEST", "40")
    assert not runs()[0]


@pytest.mark.parametrize(
    ("head", "threshold", "words"),
    [
        ("import os\nNAME = 'CUT'", "float(os.environ.get(NAME + '_', 6))", "environment variables"),
        ("import importlib", "importlib.import_module('ma' + 'th').sqrt(36)", "imports a module"),
        ("import threading\nLOCK = threading.Lock()", "6.0", "variable LOCK"),
    ],
)
def test_what_cant_be_known_is_not_kept_and_named(runs: Any, head: str, threshold: str, words: str) -> None:
    assert words in runs(head, threshold)[2]
    kept, _, note = runs()
    assert not kept
    assert words in note


def test_a_module_that_is_imported_by_a_literal_name_counts(runs: Any, pairs: Any) -> None:
    other = pairs.neighbour.parent / "other.py"
    other.write_text("CUT = 6.0\n")
    _, first, _ = runs("import importlib", f"importlib.import_module('{pairs.package}.other').CUT")
    assert runs()[0]
    other.write_text("CUT = 40.0\n")
    kept, second, _ = runs()
    assert not kept
    assert second < first


def test_a_package_around_an_imported_module_counts(runs: Any, pairs: Any) -> None:
    text = "from . import other\ndef cut():\n    return {}\nother.cut = cut\n"
    inner = pairs.neighbour.parent / "inner"
    inner.mkdir()
    (inner / "other.py").write_text("def cut():\n    return 0.0\n")
    (inner / "__init__.py").write_text(text.format(6.0))
    _, first, _ = runs(f"import {pairs.package}.inner.other as inner_other", "inner_other.cut()")
    assert runs()[0]
    (inner / "__init__.py").write_text(text.format(40.0))
    kept, second, _ = runs()
    assert not kept
    assert second < first


def test_an_undeclared_file_is_named_and_nothing_is_kept(runs: Any, tmp_path: Path) -> None:
    table = tmp_path / "cuts.txt"
    table.write_text("6.0")
    read = f"float(Path({str(tmp_path)!r} + '/cuts' + '.txt').read_text())"
    for _ in range(2):
        kept, _, note = runs("from pathlib import Path", read)
        assert not kept
        assert str(table) in note
        assert "`files`" in note


def test_a_declared_file_counts(runs: Any, pairs: Any, tmp_path: Path) -> None:
    table = tmp_path / "cuts.txt"
    table.write_text("6.0")
    pairs.analysis.write_text(
        pairs.analysis.read_text().replace("threshold(self.lowest)", "float(self.files['cuts'].read_text())")
    )
    _, first, note = runs(files={"cuts": table})
    assert "kept" not in note
    assert runs(files={"cuts": table})[0]
    table.write_text("40.0")
    kept, second, _ = runs(files={"cuts": table})
    assert not kept
    assert second < first


def test_a_file_that_only_later_events_need_stops_the_run(
    runs: Any, pairs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "cuts.txt"
    table.write_text("6.0")
    read = f"float(Path({str(tmp_path)!r} + '/cuts' + '.txt').read_text()) if len(CALLS) > 1 else 6.0"
    head = "from pathlib import Path\nCALLS = ()\n\n\ndef noted():\n    global CALLS\n    CALLS += (1,)\n    return 1"
    with pytest.raises(EventError, match=r"cuts\.txt.*`files`"):
        runs(head, f"({read}) if noted() else 0.0")
