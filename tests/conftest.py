"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data(project: Path) -> Path:
    """The folder of real files, which is no part of the project."""
    folder = project.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real files are not here: ../shared/data is missing")
    return folder
