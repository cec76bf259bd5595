"""What is kept under version control: no links, and nothing that is ignored."""

from __future__ import annotations

import subprocess
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
