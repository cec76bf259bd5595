"""A small project of two tables, background and signal, and the command line that works on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from colonnade.cli import main

ROOT = Path(__file__).parents[3]
ENERGIES = ("lep1_pt", "lep2_pt", "fatjet_pt", "Zll_mass", "Zll_pt", "MET", "reco_zv_mass")


def write_table(path, mass, weight, rng):
    """Write a table in MeV, one row an event, its weight the number of events expected."""
    count = len(mass)
    columns = {name: 1000 * rng.uniform(30, 500, count) for name in ENERGIES}
    columns |= {"reco_zv_mass": 1000 * mass, "Zll_mass": 1000 * rng.normal(91, 3, count)}
    columns |= {"fatjet_eta": rng.uniform(-2, 2, count), "fatjet_D2": rng.uniform(0, 4, count)}
    columns |= {"FullEventWeight": np.full(count, weight)}
    np.savetxt(path, np.column_stack(list(columns.values())), delimiter=",", header=",".join(columns), comments="")


def colonnade_does(*words):
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)


def make_project(folder, workflow):
    """Make a project in a folder: 6,000 events of background, 2,000 of a resonance at 1000, and a workflow."""
    rng = np.random.default_rng(1)
    write_table(folder / "zjets.csv", 600 + rng.exponential(250, 6000), 0.5, rng)
    write_table(folder / "higgs.csv", rng.normal(1000, 40, 2000), 0.05, rng)
    for name, kind in (("zjets", "background"), ("higgs", "signal")):
        command = ("datasets", "add", name, folder / f"{name}.csv", "--kind", kind, "--weighted-to", 139)
        assert colonnade_does(*command, "--manifest", folder / "datasets.json") == 0
    for place in ("processors", "models"):
        (folder / place).mkdir()
        shutil.copy(ROOT / place / "heavy_higgs.py", folder / place)
    (folder / "workflows").mkdir()
    (folder / "workflows" / "search.yaml").write_text(workflow, encoding="utf-8")
    return folder
