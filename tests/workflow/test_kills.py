"""Runs of a search that are killed at random moments, with changed settings between them, against clean folders."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from helpers.search import WORKFLOW, make_search

from colonnade.versions import file_digest

# few figures and one thread, so that a run takes a second or two
BASE = WORKFLOW | {"plots": WORKFLOW["plots"] | {"regions": ["CR"]}}
SETTINGS: list[dict[str, Any]] = [
    BASE,
    BASE | {"luminosity": 2.0},
    BASE | {"model": None},
    BASE | {"plots": None},
    BASE | {"unblind": True},
    BASE | {"model": {"channels": {"SR": WORKFLOW["model"]["channels"]["SR"]}}},
]
# these tell when and where a run was
OF_THE_MOMENT = {"provenance.json", "report.html"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    make_search(folder)
    for number, settings in enumerate(SETTINGS):
        (folder / "workflows" / f"{number}.yaml").write_text(json.dumps(settings))
    return folder


@functools.cache
def clean(project: Path, number: int) -> dict[str, str]:
    """Return what a run with some of the settings leaves in a clean folder."""
    assert started(project, number, project / "clean" / str(number)).wait() == 0
    return contents(project / "clean" / str(number))


def started(project: Path, number: int, output: Path) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own; not a fork, which would inherit the locks of this one's threads."""
    words = ["run", str(project / "workflows" / f"{number}.yaml"), "--output", str(output)]
    program = f"from colonnade.cli import main; main({words!r})"
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in OF_THE_MOMENT
    }


def contents(folder: Path) -> dict[str, str]:
    """Return the digests, and of the ROOT file, which holds the time of writing, what is in it."""
    found = digests(folder)
    if "histograms.root" in found:
        with uproot.open(folder / "histograms.root") as file:
            found["histograms.root"] = str(
                {key: file[key].values(flow=True) for key in file.keys(filter_classname="TH1D")}
            )
    return found


def assert_tells_the_truth(folder: Path) -> None:
    """Each file is recorded with its hash, or is one of a step that had not ended."""
    if not (folder / "provenance.json").exists():
        return
    steps = json.loads((folder / "provenance.json").read_text())["steps"]
    recorded = {name: digest for step in steps.values() for name, digest in (step["files"] or {}).items()}
    unfinished = {name for name, step in steps.items() if step["files"] is None}
    for name, digest in digests(folder).items():
        if not name.startswith("."):
            assert recorded.get(name) == digest or (name not in recorded and unfinished), name


def kill_runs(project: Path, kills: int, seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    duration = 6.0
    for kill in range(kills):
        run = started(project, int(rng.integers(len(SETTINGS))), folder)
        time.sleep(rng.uniform(0, duration))
        run.kill()
        run.wait()
        assert_tells_the_truth(folder)
        if kill % 4 == 3:
            number = int(rng.integers(len(SETTINGS)))
            began = time.monotonic()
            assert started(project, number, folder).wait() == 0
            duration = max(duration, time.monotonic() - began)
            assert contents(folder) == clean(project, number)
            assert (folder / "report.html").is_file()


def test_after_a_few_kills_a_folder_is_that_of_a_clean_run(project: Path, tmp_path: Path) -> None:
    kill_runs(project, 4, 1, tmp_path / "out")


@pytest.mark.cluster
def test_after_forty_kills_a_folder_is_that_of_a_clean_run(project: Path, tmp_path: Path) -> None:
    kill_runs(project, 40, 2, tmp_path / "out")
