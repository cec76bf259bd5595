"""The study's command: from the folder of a run to numbers, pictures and page."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest
from studies.heavy_higgs.__main__ import AFTER, BEFORE, HISTOGRAM, command

from colonnade.cli import entry
from colonnade.config import parse_settings
from colonnade.histograms import write_zip
from colonnade.output import write_json
from colonnade.statistics.resonance import search_bumps
from colonnade.statistics.resonance.search import BumpSettings

SETTINGS = {
    "fits": {
        "cuts": {
            "region": "cuts", "histogram": HISTOGRAM, "range": [700, 1500], "signal": "heavy_higgs", "toys": 20,
            "background": {"shape": "exponential"}, "signal_shape": {"mean": 980.0, "sigma": 60.0},
        }
    }
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A run whose selections keep every second event, but for the one that prefers masses near the signal's."""
    rng = np.random.default_rng(3)
    samples = {
        "zjets": (300 + rng.exponential(300, 60_000), 0.2),
        "top": (300 + rng.exponential(200, 20_000), 0.1),
        "heavy_higgs": (rng.normal(1000, 45, 5000), 0.05),
    }
    found = {}
    for process, (mass, weight) in samples.items():
        found[process] = hist.Hist(
            hist.axis.StrCategory([BEFORE, *AFTER], name="region"),
            hist.axis.StrCategory(["nominal"], name="variation"),
            hist.axis.Regular(48, 300, 1500, name="mass"), storage=hist.storage.Weight(),
        )  # fmt: skip
        near = np.exp(-0.5 * ((mass - 1000) / 100) ** 2) > rng.random(len(mass))
        for region in (BEFORE, *AFTER):
            kept = mass if region == BEFORE else mass[near] if region == "network_mass" else mass[::2]
            found[process].fill(region, "nominal", kept, weight=weight)
    kinds = {"zjets": "background", "top": "background", "heavy_higgs": "signal"}
    settings = parse_settings(BumpSettings, SETTINGS, "made")
    place = tmp_path / "run"
    place.mkdir()
    bumps = search_bumps({HISTOGRAM: found}, settings, kinds=kinds, luminosity=139.0)
    write_json(place / "bumps.json", bumps.to_json())
    write_zip({HISTOGRAM: found}, place / "histograms.zip")
    return place


def test_a_run_becomes_a_page(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        entry(command, [str(folder)], "python -m studies.heavy_higgs")
    assert not caught.value.code
    output = folder.with_name("run_study")
    found = json.loads((output / "sculpting.json").read_text())
    assert set(found) == set(AFTER)
    assert found["cuts"]["window_ratio"] == pytest.approx(1, abs=4 * found["cuts"]["window_ratio_error"])
    assert found["network_mass"]["window_ratio"] > 2
    page = (output / "page.html").read_text(encoding="utf-8")
    assert page.count("<table>") == 3
    assert "mass after network_mass: window fraction" in page
    assert "| cuts |" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        entry(command, [str(tmp_path)], "python -m studies.heavy_higgs")
    assert caught.value.code
    assert "bumps.json" in capsys.readouterr().err
