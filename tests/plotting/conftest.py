"""A made run for the tests of plots; the report's tests use it too."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest


def _load():
    name = "colonnade_tests_made_run"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("made_run.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def made_run():
    """The module that makes runs."""
    return _load()


@pytest.fixture(scope="session")
def blinded_run(made_run, tmp_path_factory):
    """A run's folder without plots; read only."""
    return made_run.make_run(tmp_path_factory.mktemp("made") / "blinded")


@pytest.fixture(scope="session")
def open_run(made_run, tmp_path_factory):
    """The same, unblinded; read only."""
    return made_run.make_run(tmp_path_factory.mktemp("made") / "open", unblind=True)


@pytest.fixture
def own_run(blinded_run, tmp_path):
    """A copy to write into."""
    return Path(shutil.copytree(blinded_run, tmp_path / "run"))
