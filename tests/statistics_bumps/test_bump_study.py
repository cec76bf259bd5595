"""The bump fits of a run, on made histograms."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest
from studies.heavy_higgs.sculpting import sculpting

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, FitError
from colonnade.statistics.bumps.settings import BumpSettings
from colonnade.statistics.bumps.spectrum import Spectrum
from colonnade.statistics.bumps.study import study_bumps

KINDS = {"zjets": "background", "top": "background", "H1000": "signal", "data": "data"}
FIT = {
    "region": "cuts",
    "histogram": "mass",
    "range": [600, 1500],
    "rebin": 2,
    "signal": "H1000",
    "background": {"shape": "bernstein", "order": 3},
    "alternatives": [{"shape": "bernstein", "order": 2}, {"shape": "bernstein", "order": 4}, {"shape": "exponential"}],
    "peak": {"mean": 980.0, "sigma": 60.0},
    "toys": 200,
}


def made_histograms(data=0):
    rng = np.random.default_rng(3)
    samples = {
        "zjets": (300 + rng.exponential(300, 60_000), 0.2),
        "top": (300 + rng.exponential(200, 20_000), 0.1),
        "H1000": (rng.normal(1000, 45, 5000), 0.02),
        "data": (300 + rng.exponential(280, data), 1.0),
    }
    result = {}
    for process, (mass, weight) in samples.items():
        axes = (
            hist.axis.StrCategory(["all", "cuts", "shaped"], name="region"),
            hist.axis.StrCategory(["nominal"], name="variation"),
            hist.axis.Regular(90, 300, 2100, name="mass"),
        )
        filled = hist.Hist(*axes, storage=hist.storage.Weight())
        filled.fill("all", "nominal", mass, weight=weight)
        filled.fill("cuts", "nominal", mass[::2], weight=weight)
        near = np.exp(-0.5 * ((mass - 1000) / 100) ** 2) > rng.random(len(mass))
        filled.fill("shaped", "nominal", mass[near], weight=weight)
        result[process] = filled
    return {"mass": result}


def settings(**changes):
    data = {
        "fits": {"cuts": {**FIT, **changes}},
        "sculpting": {
            "histogram": "mass",
            "before": "all",
            "after": ["cuts", "shaped"],
            "range": [600, 1500],
            "window": [900, 1100],
        },
    }
    return parse_settings(BumpSettings, data, "workflow.yaml")


def test_a_run_leaves_its_fits(tmp_path):
    histograms = made_histograms()
    result = study_bumps(histograms, settings(), directory=tmp_path, kinds=KINDS, luminosity=139.0)
    assert json.loads((tmp_path / "bumps.json").read_text()) == json.loads(json.dumps(result))
    fit = result["fits"]["cuts"]
    assert fit["events"]["signal"] == pytest.approx(50, rel=0.01)
    assert fit["events"]["background"] == pytest.approx(7000, rel=0.02)
    mean, width = (fit["signal_only"]["parameters"][index]["value"] for index in (1, 2))
    assert mean == pytest.approx(1000, abs=3)
    assert width == pytest.approx(45, abs=2)
    both = fit["both"]
    assert both["luminosity"]["n_signal_total"]["value"] == pytest.approx(50, abs=30)
    # weights of 0.2 and 0.1: the simulated events know more than the luminosity gives
    assert both["mc_statistics"]["z_wilks"] > 1.5 * both["luminosity"]["z_wilks"]
    shapes = {row["shape"]: row for row in fit["alternatives"]["shapes"]}
    assert list(shapes) == ["Bernstein (3)", "Bernstein (2)", "Bernstein (4)", "exponential"]
    assert [step["shape"] for step in fit["alternatives"]["f_test"]["steps"]] == [
        f"Bernstein ({order})" for order in (2, 3, 4)
    ]
    assert abs(fit["checks"]["closure"]["mean"]) < 0.3
    assert len(fit["checks"]["closure"]["pulls"]) == 200
    assert fit["data"] is None
    kept, shaped = result["sculpting"]
    assert kept["window_ratio"] == pytest.approx(1, abs=4 * kept["window_ratio_error"])
    assert kept["divergence"] < kept["divergence_expected"] + 4 * kept["divergence_error"]
    assert shaped["window_ratio"] > 2
    assert shaped["divergence"] > kept["divergence"] + 50 * kept["divergence_error"]


def test_data_are_blind_until_they_are_not(tmp_path):
    histograms = made_histograms(data=20_000)
    arguments = {"directory": tmp_path, "kinds": KINDS, "luminosity": 139.0}
    blind = study_bumps(histograms, settings(toys=0), **arguments)["fits"]["cuts"]
    assert blind["data"]["fit"] is None
    assert not all(blind["data"]["sidebands"]["used"])
    assert blind["checks"]["closure"] is None
    seen = study_bumps(histograms, settings(toys=0), **arguments, unblind=True)["fits"]["cuts"]
    assert abs(seen["data"]["fit"]["z_signed"]) < 4


def test_mistakes_are_named(tmp_path):
    histograms = made_histograms()
    arguments = {"directory": tmp_path, "kinds": KINDS, "luminosity": 139.0}
    for changes, sentence in (
        ({"histogram": "maas"}, "no background process|no histogram 'maas' \\(did you mean mass"),
        ({"region": "cust"}, "region 'cust' \\(did you mean cuts"),
        ({"signal": "H100"}, "no signal process 'H100' \\(did you mean H1000"),
        ({"backgrounds": ["zjet"]}, "no background process 'zjet' \\(did you mean zjets"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            study_bumps(histograms, settings(**changes), **arguments)
    with pytest.raises(FitError, match=r"The bump fit cuts \(region cuts\): mass: the fit range 0 to 1500"):
        study_bumps(histograms, settings(range=[0, 1500]), **arguments)
    with pytest.raises(FitError, match="90 bins can't be merged by 7"):
        study_bumps(histograms, settings(rebin=7), **arguments)
    with pytest.raises(ConfigError, match="range must be a lower and a higher mass"):
        settings(range=[1500, 600])
    assert not (tmp_path / "bumps.json").exists()


def test_sculpting_of_a_known_change():
    edges = np.linspace(0, 4, 5)
    before = Spectrum(edges, [400, 400, 100, 100])
    after = Spectrum(edges, [100, 100, 100, 100])
    found = sculpting(before, after, (2.0, 4.0), np.random.default_rng(1))
    assert found.window_ratio == pytest.approx(0.5 / 0.2)
    p, q = np.array([0.4, 0.4, 0.1, 0.1]), np.full(4, 0.25)
    m = (p + q) / 2
    assert found.divergence == pytest.approx(0.5 * (p @ np.log2(p / m) + q @ np.log2(q / m)))
    assert found.divergence_expected < 0.02
    with pytest.raises(FitError, match="need the same bins"):
        sculpting(before, Spectrum(edges + 1, [1, 1, 1, 1]), (2.0, 4.0), np.random.default_rng(1))
