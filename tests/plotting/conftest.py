"""A made run for the tests of plots; the report's tests use it too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import made_run


@pytest.fixture(scope="session")
def blinded_run(tmp_path_factory):
    """A run's folder without plots; read only."""
    return made_run.make_run(tmp_path_factory.mktemp("made") / "blinded")


@pytest.fixture(scope="session")
def open_run(tmp_path_factory):
    """The same, unblinded; read only."""
    return made_run.make_run(tmp_path_factory.mktemp("made") / "open", unblind=True)


@pytest.fixture
def own_run(blinded_run, tmp_path):
    """A copy to write into."""
    return Path(shutil.copytree(blinded_run, tmp_path / "run"))
