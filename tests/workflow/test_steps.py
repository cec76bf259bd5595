"""Steps own what they leave: when one is done again, what a folder says of its files, and that it is never wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from colonnade import versions
from colonnade.errors import ConfigError, OutputError
from colonnade.workflow import steps
from colonnade.workflow.steps import OutputFolder, Step

QUIET = Console(quiet=True)


def writing(name: str, *outputs: str, content: str, after: tuple[Step, ...] = (), **words: Any) -> Step:
    """Return a step that writes its content, and that of the steps before it, into each of its outputs."""

    def run(path: Path) -> None:
        text = content + "".join((path / step.outputs[0]).read_text() for step in after)
        for output in outputs:
            target = path / output
            target.parent.mkdir(exist_ok=True)
            steps.write_json(target, text)

    return Step(name, outputs, run, settings=content, after=[step.key for step in after], **words)


def a_run(histograms: str, model: str | None, plots: str | None) -> list[Step]:
    made: list[Step] = [writing("histograms", "histograms.zip", content=histograms)]
    if model is not None:
        made.append(writing("fit", "fit.json", "workspace.json", content=model, after=tuple(made)))
    if plots is not None:
        made.append(writing("plots", "plots/a.png", "plots/b.png", content=plots, after=tuple(made)))
    return [replace(step, outputs=("plots",)) if step.name == "plots" else step for step in made]


def does(folder: Path, made: list[Step]) -> None:
    with OutputFolder.opened(folder, QUIET) as opened:
        opened.begin({"name": "run"}, made)
        opened.do(*made)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("provenance.json", ".lock")
    }


def records(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "provenance.json").read_text())["steps"]


class Killed(BaseException):
    """Stands for the end of the process."""


settings_of_a_run = st.tuples(
    st.sampled_from("ab"), st.sampled_from(["m", "n", None]), st.sampled_from(["p", "q", None])
)


@given(runs=st.lists(st.tuples(settings_of_a_run, st.integers(0, 30)), min_size=1, max_size=6), last=settings_of_a_run)
def test_after_kills_and_changes_a_folder_is_that_of_a_clean_run(tmp_path_factory, runs, last) -> None:
    folder, clean = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("clean")
    for settings, moment in runs:
        with killed_at(moment):
            does(folder, a_run(*settings))
        assert_true(folder)
    does(folder, a_run(*last))
    does(clean, a_run(*last))
    assert files(folder) == files(clean)
    assert {name: each["key"] for name, each in records(folder).items()} == {
        name: each["key"] for name, each in records(clean).items()
    }


class killed_at:  # noqa: N801 - used as a function
    """End the block at the n-th time that it removes or writes something, before or after it did."""

    def __init__(self, moment: int) -> None:
        self.left, self.patch = moment, pytest.MonkeyPatch()

    def __enter__(self) -> None:
        self.patch.setattr(steps, "write_json", self.dying(steps.write_json))
        self.patch.setattr(steps, "_remove", self.dying(steps._remove))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.patch.undo()
        return kind is Killed

    def dying(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Killed
            result = act(*arguments)
            self.left -= 1
            if self.left == 0:
                raise Killed
            return result

        return wrapped


def assert_true(folder: Path) -> None:
    """Each file is recorded with its hash, or as one that a step had not finished."""
    if not (folder / "provenance.json").exists():
        assert not files(folder)
        return
    known = records(folder)
    finished = {name: digest for each in known.values() for name, digest in (each["files"] or {}).items()}
    unfinished = {name for name, each in known.items() if each["files"] is None}
    owners = {"histograms.zip": "histograms", "fit.json": "fit", "workspace.json": "fit"}
    for name in files(folder):
        if name in finished:
            assert versions.file_digest(folder / name) == finished[name]
        else:
            assert owners.get(name, "plots") in unfinished


def test_a_step_is_done_again_only_when_something_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def does_fit(**changes: Any) -> None:
        step = Step(
            "fit", ("fit.json",), lambda path: (done.append(""), touch(path, name="fit.json")), rooms=("statistics",)
        )
        does(tmp_path, [replace(step, **changes)])

    does_fit()
    does_fit()
    assert len(done) == 1
    does_fit(settings="other")
    assert len(done) == 2
    monkeypatch.setattr(steps, "code_digest", lambda room: f"{room}, edited")
    does_fit(settings="other")
    assert len(done) == 3


@pytest.mark.parametrize("harm", ["edit", "remove", "add"])
def test_outputs_that_are_not_as_they_were_made_are_made_again(tmp_path: Path, harm: str) -> None:
    made = a_run("a", "m", "p")
    does(tmp_path, made)
    good = files(tmp_path)
    picture = tmp_path / "plots" / "a.png"
    if harm == "edit":
        picture.write_text("other")
    elif harm == "remove":
        picture.unlink()
    else:
        (tmp_path / "plots" / "old.png").write_text("old")
    does(tmp_path, made)
    assert files(tmp_path) == good


def test_code_counts_with_all_that_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "colonnade"
    texts = {
        "plotting/a.py": "from colonnade.statistics.model import x",
        "statistics/model.py": "x = 1",
        "other.py": "",
    }
    for name, text in texts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(versions, "__file__", str(package / "versions.py"))
    found = []
    for name, text in [("other.py", "y"), ("plotting/a.py", None), ("statistics/b.py", "x = 2"), ("other.py", "z")]:
        if text is not None:
            (package / name).write_text(text)
        versions.code_digest.cache_clear()
        found.append(versions.code_digest("plotting"))
    versions.code_digest.cache_clear()
    assert found[0] == found[1] != found[2] == found[3]


def test_a_step_beside_others_has_its_own_time(tmp_path: Path) -> None:
    made = [
        Step("ROOT file", ("histograms.root",), touch, beside=True),
        Step("fit", ("fit.json",), lambda path: (time.sleep(3), touch(path, name="fit.json"))),
    ]
    does(tmp_path, made)
    assert records(tmp_path)["ROOT file"]["seconds"] < 2.5 < records(tmp_path)["fit"]["seconds"]


def touch(path: Path, name: str = "histograms.root") -> None:
    (path / name).write_text("there")


def test_a_second_run_into_a_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from rich.console import Console;"
        "from colonnade.workflow.steps import OutputFolder\n"
        "with OutputFolder.opened(Path(sys.argv[1]), Console(quiet=True)):\n"
        "    print('here', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "here\n"
        with pytest.raises(OutputError, match=f"Another run works in .*process {first.pid} on "):
            does(tmp_path, [])
        first.kill()
    does(tmp_path, [])  # the lock ended with its holder
    assert not (tmp_path / ".lock").exists()


def test_what_dead_runs_left_half_written_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".fit.k3j2h1.json", ".histograms.ab12cd.zip", ".provenance.x.json", "notes.txt", ".hidden"):
        (tmp_path / name).write_text("")
    does(tmp_path, [])
    assert {path.name for path in tmp_path.iterdir()} == {"provenance.json", "notes.txt", ".hidden"}


def test_files_that_no_run_made_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    with pytest.raises(ConfigError, match="plots was made by no run"):
        does(tmp_path, [])
    assert (tmp_path / "plots").is_dir()
