"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# a shared machine may be slow for a moment; that is no failure
settings.register_profile("colonnade", deadline=None)
settings.load_profile("colonnade")

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
