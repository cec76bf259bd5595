"""Columns that are kept are those of the file, to the last bit, and nothing that is damaged is used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.events import KeptColumns, SourceFile, inspect_file, read_events
from colonnade.events.root import TTreeReader


@pytest.fixture
def kept(tmp_path: Path) -> KeptColumns:
    return KeptColumns(tmp_path / "columns", 10**9)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The branches that are read from a file."""
    names: list[str] = []
    before = TTreeReader.read

    def read(self: TTreeReader, wanted: Any, *others: Any, **more: Any) -> Any:
        names.extend(wanted)
        return before(self, wanted, *others, **more)

    monkeypatch.setattr(TTreeReader, "read", read)
    return names


def both(source: SourceFile, kept: KeptColumns, start: int = 0, stop: int = 700) -> tuple[ak.Array, ak.Array]:
    names = sorted(source.columns)
    return tuple(read_events(source, start, stop, names, {}, kept=where) for where in (None, kept))


def alike(one: ak.Array, other: ak.Array) -> bool:
    return ak.array_equal(one, other, same_content_types=True, dtype_exact=True, check_parameters=True)


def test_kept_events_are_those_of_the_file(made: str, kept: KeptColumns, asked: list[str]) -> None:
    source = inspect_file(made)
    for start, stop in ((0, 700), (350, 2500), (700, 700)):
        plain, first = both(source, kept, start, stop)
        asked.clear()
        again = read_events(source, start, stop, sorted(source.columns), {}, kept=kept)
        assert not asked
        assert alike(plain, first)
        assert alike(plain, again)
        assert alike(plain.Muon.px, again.Muon.px)


def test_only_what_is_not_kept_is_read(made: str, kept: KeptColumns, asked: list[str]) -> None:
    source = inspect_file(made)
    read_events(source, 0, 700, ("Muon_pt", "Muon_eta"), {}, kept=kept)
    asked.clear()
    events = read_events(source, 0, 700, ("Muon_pt", "Muon_eta", "Muon_phi"), {}, kept=kept)
    assert asked == ["Muon_phi"]
    assert ak.all(events.Muon.phi == read_events(source, 0, 700, ("Muon_phi",), {}).Muon.phi)
    asked.clear()
    read_events(source, 0, 800, ("Muon_pt",), {}, kept=kept)
    assert asked == ["Muon_pt"]  # other events


def test_texts_and_nested_lists_stay_with_the_file(tmp_path: Path, kept: KeptColumns, asked: list[str]) -> None:
    path = tmp_path / "texts.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"event": "int64", "word": "string", "triple": "3 * float64"}).extend(
            {"event": np.arange(3), "word": ["a", "", "longer"], "triple": np.arange(9.0).reshape(3, 3)}
        )
    source = inspect_file(str(path))
    plain, first = both(source, kept, 0, 3)
    asked.clear()
    again = both(source, kept, 0, 3)[1]
    assert set(asked[3:]) == {"word", "triple"}  # the first three are of the reading without
    assert alike(plain, first)
    assert alike(plain, again)


def test_a_replaced_file_is_another(made: str, kept: KeptColumns, tmp_path: Path) -> None:
    path = tmp_path / "changing.root"
    for seed in (1, 2):
        with uproot.recreate(path) as file:
            file.mktree("Events", {"event": "int64", "x": "float64"}).extend(
                {"event": np.arange(50), "x": np.random.default_rng(seed).random(50)}
            )
        plain, from_kept = both(inspect_file(str(path)), kept, 0, 50)
        assert alike(plain, from_kept)


def test_what_was_read_in_another_way_is_read_again(
    made: str, kept: KeptColumns, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = inspect_file(made)
    read_events(source, 0, 700, ("Muon_pt",), {}, kept=kept)
    asked.clear()
    monkeypatch.setattr("colonnade.events.kept.reading_code", lambda: "a later version")
    read_events(source, 0, 700, ("Muon_pt",), {}, kept=kept)
    assert asked == ["Muon_pt"]


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "longer", "type"])
def test_a_damaged_column_is_read_again(made: str, kept: KeptColumns, asked: list[str], damage: str) -> None:
    source = inspect_file(made)
    plain, _ = both(source, kept)
    for path in kept.folder.rglob("*.column"):
        blob = path.read_bytes()
        changed = {
            "cut": blob[:-3],
            "empty": b"",
            "other": b"x" * len(blob),
            "longer": blob + b"1234",
            "type": blob[:8] + b"|O\0\0\0\0\0\0" + blob[16:],
        }
        path.write_bytes(changed[damage])
    asked.clear()
    assert alike(plain, read_events(source, 0, 700, sorted(source.columns), {}, kept=kept))
    assert asked
    asked.clear()
    read_events(source, 0, 700, sorted(source.columns), {}, kept=kept)
    assert not asked  # kept anew


def test_the_size_is_bounded_and_the_least_recently_used_goes(made: str, tmp_path: Path) -> None:
    source = inspect_file(made)
    kept = KeptColumns(tmp_path / "columns", 100_000)
    for start in range(0, 2500, 50):
        both(source, kept, start, start + 50)
    assert 50_000 < kept.store.report()[1] < 120_000


def test_a_folder_that_cant_be_written_only_keeps_nothing(made: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    plain, events = both(inspect_file(made), KeptColumns(tmp_path / "file" / "columns", 10**9))
    assert alike(plain, events)


def test_what_is_kept_cannot_be_written_to(made: str, kept: KeptColumns) -> None:
    source = inspect_file(made)
    both(source, kept)
    events = read_events(source, 0, 700, ("genWeight",), {}, kept=kept)
    weights = ak.to_numpy(events.genWeight)
    before = weights.copy()
    with pytest.raises(ValueError, match="read-only"):
        weights *= 0.0
    assert np.array_equal(ak.to_numpy(read_events(source, 0, 700, ("genWeight",), {}, kept=kept).genWeight), before)


def test_two_writers_do_no_harm(made: str, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    source = inspect_file(made)
    kept = [KeptColumns(tmp_path / "columns", 10**9) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: both(source, one), kept))
    assert all(alike(*pair) for pair in found)
    assert not [name for _, _, names in os.walk(tmp_path / "columns") for name in names if name.endswith(".part")]
    shutil.rmtree(tmp_path / "columns")
