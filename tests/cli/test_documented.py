"""Every command that the README and the pages show has the options that they show; those of the first hour are run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import pytest

from colonnade.cli import _program, main

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def _shown(page: Path) -> list[str]:
    blocks = re.findall(
        r"^```(?:sh|bash|console)?\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if re.match(r"\s*(?:\.venv/bin/)?colonnade ", line)]


COMMANDS = [(page.name, command) for page in PAGES for command in _shown(page)]


def test_commands_are_found() -> None:
    assert {"README.md", "tutorial.md", "files.md"} <= {page for page, _ in COMMANDS}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_documented_command(page: str, command: str) -> None:
    words = [word for word in shlex.split(command)[1:] if not word.startswith("[")]
    found: click.Command = _program
    context = click.Context(found)
    while isinstance(found, click.Group) and words:
        name = words.pop(0)
        inner = found.get_command(context, name)
        assert inner is not None, f"{page}: there is no command {name}"
        found, context = inner, click.Context(inner, parent=context)
    options, _, _ = found.make_parser(context).parse_args(args=words)
    assert isinstance(options, dict)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> Path:
    """Make an empty folder that has the files which the pages speak of, and go there."""
    (tmp_path / "data").mkdir()
    shutil.copy(shared_data / "nanoaod" / "cms_dimuon_100k.root", tmp_path)
    for place in (tmp_path / "ttbar_1.root", tmp_path / "data" / "zz_1.root"):
        shutil.copy(shared_data / "nanoaod" / "nano_dy.root", place)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", ["README.md", "tutorial.md", "files.md"])
def test_the_first_hour_goes_as_written(page: str) -> None:
    for command in (command for name, command in COMMANDS if name == page):
        replaced = command.replace("PATH/TO/", "").replace("FILES...", "cms_dimuon_100k.root")
        words = shlex.split(replaced)[1:]
        # as a shell does
        words = [
            path
            for word in words
            for path in (sorted(map(str, Path().glob(word))) if word == "ttbar_*.root" else [word])
        ]
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0, command
    if page == "tutorial.md":
        text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
        (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "colonnade.load" in block)
        found: dict[str, Any] = {}
        exec(code, found)  # noqa: S102 - what the page shows
        # the page's pairs of opposite charge are those of this selection
        mass = found["histograms"]["m_mumu"]["data"]
        assert found["mass"].sum().value > 0
        assert "37,183 events" in text
        assert max(mass[region, "nominal", :].sum(flow=True).value for region in mass.axes[0]) == 37_183
