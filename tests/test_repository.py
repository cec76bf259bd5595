"""What is kept under version control: no links, nothing ignored, rooms that are described, sentences that are whole."""

from __future__ import annotations

import itertools
import re
import subprocess
import tomllib
from pathlib import Path

import pytest


def _git(project: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this is no clone: {done.stderr.strip()}")
    return done.stdout.splitlines()


def test_no_link_is_kept(project: Path) -> None:
    assert [line for line in _git(project, "ls-files", "--stage") if line.startswith("120000")] == []


def test_nothing_is_kept_that_is_ignored(project: Path) -> None:
    assert _git(project, "ls-files", "--cached", "--ignored", "--exclude-standard") == []


def test_every_workflow_has_its_analysis(project: Path) -> None:
    names = [Path(line).stem for line in _git(project, "ls-files", "workflows")]
    assert names
    assert [name for name in names if not (project / "processors" / f"{name}.py").is_file()] == []


def test_the_table_of_rooms_has_all_of_them_in_the_order_of_their_imports(project: Path) -> None:
    contracts = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    rows = re.findall(r"^\| `(\w+)` \|", (project / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == layers[::-1]


def test_no_sentence_goes_on_with_one_word_in_a_line_of_its_own(project: Path) -> None:
    found = []
    for name in _git(project, "ls-files", "src", "studies", "processors", "models"):
        lines = (project / name).read_text(encoding="utf-8").splitlines() if name.endswith(".py") else []
        for number, (before, line) in enumerate(itertools.pairwise(lines), 2):
            if re.search(r'"$', before) and re.fullmatch(r'\s*f?"[^" ]{1,20} ?"[),]*', line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []
