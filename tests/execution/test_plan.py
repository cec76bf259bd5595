"""Every file is opened once, and not again while it stays the same."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colonnade.errors import InputError
from colonnade.events import SourceFile
from colonnade.execution import plan as plan_module
from colonnade.execution.plan import make_plan
from colonnade.faults import TransientInputError
from colonnade.manifest import Dataset, Metadata

COLUMNS = frozenset({"Muon_pt", "genWeight"})


class Files:
    """Files that are not real, with a count of how often each is opened."""

    def __init__(self, folder: Path, count: int, entries: int = 250) -> None:
        self.folder, self.opened = folder, dict.fromkeys((f"f{n}.root" for n in range(count)), 0)
        for name in self.opened:
            (folder / name).write_text(name)
        self.entries = entries
        self.problems: dict[str, list[Exception]] = {}

    def dataset(self) -> Dataset:
        metadata = Metadata(process="zll", kind="background", xsec_pb=1.0)
        return Dataset("zll", dict.fromkeys(self.opened, "Events"), metadata, self.folder)

    def inspect(self, path: str, tree: str | None, schema: str | None, weight: str | None) -> SourceFile:
        assert schema is None
        assert weight is None
        name = Path(path).name
        self.opened[name] += 1
        if self.problems.get(name):
            raise self.problems[name].pop()
        return SourceFile(path, tree or "", self.entries, "nanoaod", f"id-{name}", 9, COLUMNS, 3.5, None, ("a note",))

    def plan(self, memory: Path | None = None, chunk_size: int = 100) -> Any:
        return make_plan([self.dataset()], chunk_size, memory=memory, inspect=self.inspect)


def test_files_are_opened_once_and_split(tmp_path: Path) -> None:
    files = Files(tmp_path, 3)
    (dataset,) = files.plan()
    assert set(files.opened.values()) == {1}
    places = [(Path(chunk.source.path).name, chunk.start, chunk.stop) for chunk in dataset.chunks]
    assert places[2:4] == [("f0.root", 166, 250), ("f1.root", 0, 83)]
    assert len(places) == 9
    assert dataset.events == 750


def test_files_that_stay_the_same_are_not_opened_again(tmp_path: Path) -> None:
    files = Files(tmp_path, 5)
    first = files.plan(memory=tmp_path / "memory")
    second = files.plan(memory=tmp_path / "memory")
    assert second == first
    assert set(files.opened.values()) == {1}
    (tmp_path / "f2.root").write_text("something else")
    files.plan(memory=tmp_path / "memory")
    assert files.opened == {"f0.root": 1, "f1.root": 1, "f2.root": 2, "f3.root": 1, "f4.root": 1}


def test_a_file_of_the_same_size_and_time_but_another_one_is_opened_again(tmp_path: Path) -> None:
    files = Files(tmp_path, 1)
    files.plan(memory=tmp_path / "memory")
    status = (tmp_path / "f0.root").stat()
    (tmp_path / "new").write_text("g0.root")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / "f0.root")
    files.plan(memory=tmp_path / "memory")
    assert files.opened["f0.root"] == 2


@pytest.mark.parametrize("damage", ["", "[]", "\n{}", "half"])
def test_a_damaged_memory_is_made_anew(tmp_path: Path, damage: str) -> None:
    files = Files(tmp_path, 2)
    files.plan(memory=tmp_path / "memory")
    (store,) = (tmp_path / "memory" / "files").iterdir()
    store.write_bytes(store.read_bytes()[:-40] if damage == "half" else damage.encode())
    files.plan(memory=tmp_path / "memory")
    assert set(files.opened.values()) == {2}
    files.plan(memory=tmp_path / "memory")
    assert set(files.opened.values()) == {2}


def test_what_may_pass_is_tried_again_and_what_stays_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colonnade.faults.back_off", lambda _: 0.0)
    files = Files(tmp_path, 3)
    files.problems = {
        "f0.root": [TransientInputError("f0.root: no answer.")] * 2,
        "f1.root": [InputError("f1.root is damaged.")] * 9,
        "f2.root": [TransientInputError("f2.root: no answer.")] * 9,
    }
    (dataset,) = files.plan(memory=tmp_path / "memory")
    assert files.opened == {"f0.root": 3, "f1.root": 1, "f2.root": 4}
    assert [file.problem for file in dataset.files] == ["", "f1.root is damaged.", "f2.root: no answer."]
    assert {Path(chunk.source.path).name for chunk in dataset.chunks} == {"f0.root"}
    files.problems = {}
    assert len(files.plan(memory=tmp_path / "memory")[0].chunks) == 9


def test_a_dataset_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Dataset zll has no events"):
        Files(tmp_path, 2, entries=0).plan()


def test_a_file_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    over = Event()
    files = Files(tmp_path, 2)

    def stalls(path: str, tree: str | None, schema: str | None, weight: str | None) -> SourceFile:
        if path.endswith("f1.root"):
            over.wait(30)
        return files.inspect(path, tree, schema, weight)

    (dataset,) = make_plan([files.dataset()], 100, retries=0, patience=0.05, inspect=stalls)
    over.set()
    assert dataset.files[1].problem.endswith("f1.root gave no answer within 0.05 s.")


def test_many_files_are_opened_by_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_events: Callable[..., None]
) -> None:
    write_events(tmp_path / "a.root", 20, seed=1, runs=60.0)
    names = [f"{number}.root" for number in range(6)]
    for name in names:
        (tmp_path / name).hardlink_to(tmp_path / "a.root")
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0)
    dataset = Dataset("zll", dict.fromkeys(names, "Events"), metadata, tmp_path)
    here = make_plan([dataset], 7)
    monkeypatch.setattr(plan_module, "_MANY", 3)
    monkeypatch.setattr(plan_module, "_CORES", 2)
    assert make_plan([dataset], 7) == here
    assert here[0].files[3].source is not None
    assert here[0].files[3].source.sumw == 60.0


def test_an_interruption_does_not_wait_for_a_server_that_stalls(tmp_path: Path) -> None:
    from threading import Event, Timer

    over = Event()
    files = Files(tmp_path, 2)

    def stalls(path: str, tree: str | None, schema: str | None, weight: str | None) -> SourceFile:
        if path.endswith("f1.root"):
            over.wait()
        return files.inspect(path, tree, schema, weight)

    def interrupt(_count: int, _total: int) -> None:
        raise KeyboardInterrupt

    watchdog = Timer(60, over.set)
    watchdog.start()
    with pytest.raises(KeyboardInterrupt):
        make_plan([files.dataset()], 100, patience=1e6, inspect=stalls, advance=interrupt)
    waited = over.is_set()
    watchdog.cancel()
    over.set()
    assert not waited


def test_an_interruption_ends_the_processes_that_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_events: Callable[..., None]
) -> None:
    import multiprocessing

    write_events(tmp_path / "a.root", 20, seed=1)
    names = [f"{number}.root" for number in range(6)]
    for name in names:
        (tmp_path / name).hardlink_to(tmp_path / "a.root")
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0)
    dataset = Dataset("zll", dict.fromkeys(names, "Events"), metadata, tmp_path)
    monkeypatch.setattr(plan_module, "_MANY", 3)
    monkeypatch.setattr(plan_module, "_CORES", 2)

    def interrupt(_count: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_plan([dataset], 7, advance=interrupt)
    for child in multiprocessing.active_children():
        child.join(30)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("steps", [[], [[0, 100], [50, 250]], [[10, 10]], [[-5, 20]], [[0, 251]]])
def test_steps_that_a_file_can_not_have_are_refused(tmp_path: Path, steps: list[list[int]]) -> None:
    files = Files(tmp_path, 1)
    dataset = dataclasses.replace(files.dataset(), prepared={"f0.root": {"steps": steps}})
    with pytest.raises(InputError, match=r"the steps of .*f0\.root overlap, are empty or go beyond its 250 entries"):
        make_plan([dataset], 100, inspect=files.inspect)
