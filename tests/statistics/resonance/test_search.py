"""The bump fits of a run, on made histograms."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, FitError
from colonnade.statistics.resonance import Bernstein
from colonnade.statistics.resonance.search import Bumps, BumpSettings, search_bumps

KINDS = {"zjets": "background", "top": "background", "H1000": "signal", "data": "data"}
FIT = {
    "region": "cuts",
    "histogram": "mass",
    "range": [600, 1500],
    "signal": "H1000",
    "background": {"shape": "bernstein", "order": 3},
    "alternatives": [{"shape": "bernstein", "order": 2}, {"shape": "bernstein", "order": 4}, {"shape": "exponential"}],
    "signal_shape": {"mean": 980.0, "sigma": 60.0},
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
            hist.axis.StrCategory(["all", "cuts"], name="region"),
            hist.axis.StrCategory(["nominal"], name="variation"),
            hist.axis.Regular(45, 300, 2100, name="mass"),
        )
        filled = hist.Hist(*axes, storage=hist.storage.Weight())
        filled.fill("all", "nominal", mass, weight=weight)
        filled.fill("cuts", "nominal", mass[::2], weight=weight)
        result[process] = filled
    return {"mass": result}


def settings(**changes):
    data = {"fits": {"cuts": {**FIT, **changes}}}
    return parse_settings(BumpSettings, data, "workflow.yaml")


def test_bumps_of_a_run():
    result = search_bumps(made_histograms(), settings(), kinds=KINDS, luminosity=139.0)
    fit = result.fits["cuts"]
    assert fit.signal_events == pytest.approx(50, rel=0.01)
    assert fit.background_events == pytest.approx(7000, rel=0.02)
    _, mean, width = fit.signal_only.parameters
    assert mean.value == pytest.approx(1000, abs=3)
    assert width.value == pytest.approx(45, abs=2)
    assert fit.both.luminosity.n_signal_total.value == pytest.approx(50, abs=30)
    # weights of 0.2 and 0.1: the simulated events know more than the luminosity gives
    assert fit.both.mc_statistics.z_wilks > 1.5 * fit.both.luminosity.z_wilks
    assert list(fit.alternatives) == ["Bernstein (3)", "Bernstein (2)", "Bernstein (4)", "exponential"]
    assert fit.alternatives["Bernstein (3)"] == fit.background_only.goodness
    assert fit.wilks.wilks_p > 1e-3
    assert fit.closure.wilks_p is None
    assert [step.shape for step in fit.f_test.steps] == [Bernstein(order) for order in (2, 3, 4)]
    assert abs(fit.closure.mean) < 0.3
    assert len(fit.closure.pulls) == 200
    assert fit.data is None


def test_the_result_comes_back_from_json():
    result = search_bumps(made_histograms(data=20_000), settings(toys=20), kinds=KINDS, luminosity=139.0)
    text = json.dumps(result.to_json(), allow_nan=False)
    again = Bumps.from_json(json.loads(text), "bumps.json")
    assert json.dumps(again.to_json()) == text
    with pytest.raises(ConfigError, match="blinded: this key is required"):
        Bumps.from_json({"luminosity": 1.0}, "bumps.json")
    assert again.fits["cuts"].both.luminosity.z_wilks == result.fits["cuts"].both.luminosity.z_wilks
    assert again.fits["cuts"].closure.width == pytest.approx(result.fits["cuts"].closure.width, rel=1e-12)


def test_data_are_blind_until_they_are_not():
    histograms = made_histograms(data=20_000)
    arguments = {"kinds": KINDS, "luminosity": 139.0}
    blind = search_bumps(histograms, settings(toys=0), **arguments).fits["cuts"]
    assert blind.data is None
    assert blind.sidebands.goodness.ndf < len(blind.sidebands.spectrum.values) - 4
    assert blind.closure is None
    seen = search_bumps(histograms, settings(toys=0), **arguments, unblind=True).fits["cuts"]
    assert abs(seen.data.z_signed) < 4


def test_mistakes_are_named():
    histograms = made_histograms()
    arguments = {"kinds": KINDS, "luminosity": 139.0}
    for changes, sentence in (
        ({"histogram": "maas"}, "no histogram 'maas' \\(did you mean mass"),
        ({"region": "cust"}, "no region of mass 'cust' \\(did you mean cuts"),
        ({"signal": "H100"}, "signal processes: 'H100' is unknown \\(did you mean H1000"),
        ({"backgrounds": ["zjet"]}, "background processes: 'zjet' is unknown \\(did you mean zjets"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            search_bumps(histograms, settings(**changes), **arguments)
    with pytest.raises(FitError, match=r"The bump fit cuts \(region cuts\): mass: the fit range 0 to 1500"):
        search_bumps(histograms, settings(range=[0, 1500]), **arguments)
    with pytest.raises(ConfigError, match=r"fits.cuts.range = \[1500, 600\]: it must be a lower and a higher mass"):
        settings(range=[1500, 600])
