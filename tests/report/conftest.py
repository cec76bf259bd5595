"""The made run of the plots' tests, with pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import made_run
from helpers.made_run import drawn, reported

from colonnade.plotting import PlotSettings

FEW = PlotSettings(regions=("CR_mm", "SR1_mm"), histograms=("mll",), formats=("png",), resolution=50)


@pytest.fixture(scope="session")
def drawn_run(tmp_path_factory):
    """A blinded run with a few pictures and its report; read only."""
    folder = made_run.make_run(tmp_path_factory.mktemp("made") / "drawn", count=1, plane=False)
    drawn(folder, FEW)
    reported(folder)
    return folder


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory):
    """A run without pictures; read only."""
    return made_run.make_run(tmp_path_factory.mktemp("made") / "plain", count=1, plane=False)


@pytest.fixture
def own_run(plain_run, tmp_path):
    """A copy of it to write into."""
    return Path(shutil.copytree(plain_run, tmp_path / "run"))
