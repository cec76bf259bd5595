"""Understanding a fit, against cabinetry doing the same; signal strengths beyond a workspace's bounds."""

import json
import math

import cabinetry
import numpy as np
import pyhf
import pytest

from colonnade.errors import FitError
from colonnade.statistics import Likelihood, discovery, fit, from_workspace
from colonnade.statistics.analysis import analyse, diagnosis, point_model, restricted
from colonnade.statistics.build import Builder
from colonnade.statistics.diagnostics import carried_over, diagnose, goodness_of_fit, predict, prefit, ranking, scan
from colonnade.statistics.fitting import signal_bounds
from colonnade.statistics.step import write_analysis


def sample(name, data, *modifiers):
    return {"name": name, "data": data, "modifiers": list(modifiers)}


def normsys(name, up, down):
    return {"name": name, "type": "normsys", "data": {"hi": up, "lo": down}}


def spec_of_a_search(observed_in_sr=(102.0, 48.0)):
    """A signal region with two bins, and a control region that holds the free normalisation of top."""
    mu, free = ({"name": name, "type": "normfactor", "data": None} for name in ("mu", "norm_top"))
    stat = {"name": "stat_SR", "type": "staterror", "data": [4.0, 3.0]}
    tilt = {"name": "tilt", "type": "histosys", "data": {"hi_data": [64.0, 17.0], "lo_data": [57.0, 22.0]}}
    regions = {
        "SR": [
            sample("signal", [5.0, 20.0], mu),
            sample("top", [60.0, 20.0], free, normsys("scale", 1.1, 0.92), tilt, stat),
            sample("zz", [30.0, 10.0], normsys("xsec_zz", 1.2, 0.85), stat | {"data": [1.0, 1.0]}),
        ],
        "CR": [
            sample("top", [900.0], free, normsys("scale", 1.02, 0.97)),
            sample("zz", [50.0], normsys("xsec_zz", 1.2, 0.85)),
        ],
    }
    observed = {"SR": list(observed_in_sr), "CR": [1030.0]}
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-5.0, 10.0]]}]}
    return {
        "channels": [{"name": name, "samples": samples} for name, samples in regions.items()],
        "observations": [{"name": name, "data": observed[name]} for name in regions],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


def only(spec, name):
    keep = {"channels": [each for each in spec["channels"] if each["name"] == name]}
    keep["observations"] = [each for each in spec["observations"] if each["name"] == name]
    config = {"poi": "", "parameters": []}
    return spec | keep | {"measurements": [{"name": "m", "config": config}]}


@pytest.fixture(scope="module")
def both():
    """The compiled search, and cabinetry's model, data and fit of it."""
    spec = spec_of_a_search()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
    model, data = cabinetry.model_utils.model_and_data(spec)
    yield Likelihood(from_workspace(spec)), model, data, cabinetry.fit.fit(model, data)
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer())


def test_best_fit_and_correlations_are_cabinetrys(both):
    likelihood, _, _, theirs = both
    ours = fit(likelihood)
    order = [ours.labels.index(label) for label in theirs.labels]
    np.testing.assert_allclose(ours.values[order], theirs.bestfit, atol=5e-3)  # where MINUIT stops
    np.testing.assert_allclose(ours.errors[order], theirs.uncertainty, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(ours.correlation[np.ix_(order, order)], theirs.corr_mat, atol=0.02)


def test_ranking_is_cabinetrys(both):
    likelihood, model, data, theirs = both
    found = cabinetry.fit.ranking(model, data, fit_results=theirs)
    ours = {each.name: each for each in ranking(likelihood, fit(likelihood))}
    assert set(ours) == set(found.labels)
    for index, label in enumerate(found.labels):
        mine = ours[label]
        # MINUIT stops some thousandths of the strength's error (0.6) from the minimum
        for value, theirs_ in (
            (mine.prefit_up, found.prefit_up[index]),
            (mine.prefit_down, found.prefit_down[index]),
            (mine.postfit_up, found.postfit_up[index]),
            (mine.postfit_down, found.postfit_down[index]),
        ):
            assert value == pytest.approx(theirs_, rel=0.03, abs=6e-3), label


def test_yields_before_and_after_are_cabinetrys(both):
    likelihood, model, _, theirs = both
    names = ["SR", "CR"]
    for mine, other in (
        (predict(likelihood, prefit(likelihood)), cabinetry.model_utils.prediction(model)),
        (predict(likelihood, fit(likelihood)), cabinetry.model_utils.prediction(model, fit_results=theirs)),
    ):
        for name in names:
            place = model.config.channels.index(name)
            samples = model.config.samples
            for index, each in enumerate(samples):
                if each in mine[name].samples:
                    expected = np.array(other.model_yields[place][index])
                    np.testing.assert_allclose(mine[name].samples[each], expected, rtol=2e-3, atol=1e-3)
            np.testing.assert_allclose(mine[name].errors, other.total_stdev_model_bins[place][-1], rtol=0.02)
            assert mine[name].total_error == pytest.approx(other.total_stdev_model_channels[place][-1], rel=0.02)
            for each, (_, error) in mine[name].sample_totals.items():
                theirs_ = other.total_stdev_model_channels[place][samples.index(each)]
                assert error == pytest.approx(theirs_, rel=0.02, abs=1e-3)


def test_goodness_and_scan_are_cabinetrys(both):
    likelihood, model, data, _ = both
    result = fit(likelihood)
    theirs = cabinetry.fit.fit(model, data, goodness_of_fit=True)
    assert goodness_of_fit(likelihood, result).p_value == pytest.approx(theirs.goodness_of_fit, rel=2e-3)
    values = np.linspace(0.2, 2.0, 5)
    scanned = cabinetry.fit.scan(model, data, "mu", par_range=(0.2, 2.0), n_steps=5)
    np.testing.assert_allclose(scan(likelihood, result, "mu", values=values).delta, scanned.delta_nlls, atol=5e-3)


def test_control_regions_predict_as_cabinetry_says(both):
    """cabinetry's match_fit_results: a fit of the control region, carried over to all regions."""
    whole, model, _, _ = both
    control = only(spec_of_a_search(), "CR")
    part = Likelihood(restricted(whole.model, frozenset({"CR"})))
    ours = predict(whole, carried_over(part, fit(part), whole))
    small, data = cabinetry.model_utils.model_and_data(control)
    matched = cabinetry.model_utils.match_fit_results(model, cabinetry.fit.fit(small, data))
    matched.bestfit[matched.labels.index("mu")] = 0.0  # without signal
    theirs = cabinetry.model_utils.prediction(model, fit_results=matched)
    place = model.config.channels.index("SR")
    np.testing.assert_allclose(ours["SR"].errors, theirs.total_stdev_model_bins[place][-1], rtol=0.02)
    total = np.sum([np.array(each) for each in theirs.model_yields[place]], axis=0)
    np.testing.assert_allclose(np.sum(list(ours["SR"].samples.values()), axis=0), total, rtol=2e-3)
    # the data of the signal region are 102 and 48: nothing of them is in here
    assert ours["SR"].total == pytest.approx(120 * 1.0, rel=0.15)


# ---- beyond a workspace's bounds


def counting(s, n):
    model = pyhf.simplemodels.uncorrelated_background([s], [50.0], [1e-4])
    return Likelihood(from_workspace(dict(pyhf.Workspace.build(model, [n, *model.config.auxdata]))))


def test_a_strength_beyond_its_bounds_is_found():
    """The significance of 64 events over 50 does not depend on how the signal is scaled."""
    expected = math.sqrt(2 * (64 * math.log(64 / 50) - 14))
    for s in (10.0, 0.01):
        found = discovery(counting(s, 64.0))
        assert found.z == pytest.approx(expected, rel=1e-5)
        assert found.mu_hat == pytest.approx(14 / s, rel=1e-4)


def test_a_deficit_is_a_negative_strength_where_the_model_allows_it():
    likelihood = counting(10.0, 40.0)
    lower, upper = signal_bounds(likelihood)
    assert lower[likelihood.poi] == pytest.approx(-0.9 * 50 / 10, rel=1e-3)
    assert np.isinf(upper[likelihood.poi])
    result = fit(likelihood, lower=lower, upper=upper)
    assert result.values[likelihood.poi] == pytest.approx(-1.0, rel=1e-3)
    assert fit(likelihood).values[likelihood.poi] == 0  # the workspace's own bound


def small_search(make_inputs, search_settings, **kwargs):
    channels = {key: each.model_copy(update={"rebin": 6}) for key, each in search_settings.channels.items()}
    settings = search_settings.model_copy(update={"channels": channels})
    return make_inputs(bins=6, **kwargs), settings


def test_pyhf_finds_the_limits_of_a_weak_signal_inside_our_bounds(make_inputs, search_settings, tmp_path):
    """pyhf looks for limits inside the bounds of the strength, which are 0 to 10 unless a workspace says more."""
    inputs, settings = small_search(make_inputs, search_settings, points=(130,))
    for region in range(11):
        inputs.histograms["mt2"]["DH_mZp130"].view(flow=True)["value"][region] *= 0.01
    result = analyse(inputs, settings)
    limit = result.summary.points[0].limit.median
    assert limit > 10
    write_analysis(result, tmp_path)
    workspace = pyhf.Workspace(json.loads((tmp_path / "workspace.json").read_text()))
    model = workspace.model()
    low, high = model.config.suggested_bounds()[model.config.poi_index]
    assert low == 0
    assert result.summary.points[0].limit.expected[4] < high
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer())
    cls = pyhf.infer.hypotest(limit, workspace.data(model), model, return_expected=True)[1]
    assert float(cls) == pytest.approx(0.05, rel=5e-3)
    built = point_model(Builder(inputs, settings), "DH_mZp130")
    assert built.model.parameter("mu").bounds[0] == (low, high)


def test_impacts_are_not_cut_off_by_bounds(make_inputs, search_settings):
    """A weak signal's impacts exceed a bound at 0 by far, and grow with its limit."""
    inputs, settings = small_search(make_inputs, search_settings, points=(130,))
    plain = {each.name: each for each in analyse(inputs, settings).summary.diagnostics.ranking}
    inputs.histograms["mt2"]["DH_mZp130"].view(flow=True)["value"] *= 0.1
    weak = {each.name: each for each in analyse(inputs, settings).summary.diagnostics.ranking}
    first = max(plain, key=lambda name: plain[name].size)
    assert weak[first].postfit_up == pytest.approx(10 * plain[first].postfit_up, rel=0.3)
    assert weak[first].postfit_down == pytest.approx(10 * plain[first].postfit_down, rel=0.3)


# ---- a run's diagnosis


def test_blinded_regions_are_predicted_from_control_regions_alone(make_inputs, search_settings):
    inputs, settings = small_search(make_inputs, search_settings, data=True, points=(130,))
    result = analyse(inputs, settings)
    found = diagnosis(result.reference, result.background_fit)
    assert found.strength == 1.0
    assert {name for name, each in found.yields.items() if each.observed} == {"CR_ee", "CR_em", "CR_mm"}
    # what stands for data in the signal regions teaches the prediction nothing: its statistical errors are the prior's
    likelihood = Likelihood(result.reference.model)
    before = predict(likelihood, prefit(likelihood, poi=0.0))
    hybrid = predict(likelihood, result.background_fit)
    for region in ("SR1_ee", "SR3_mm"):
        after = found.yields[region].postfit
        assert hybrid[region].total_error < after.total_error < before[region].total_error * 1.05
        # and its value is what stands for data
        expected = result.reference.model.observations[region].sum()
        assert after.total == pytest.approx(expected, rel=1e-6)
    assert found.goodness.degrees == 2  # three regions of one bin, one free normalisation
    shown = result.summary.diagnostics.yields["SR1_ee"]
    assert shown.observed is None
    assert "DH_mZp130" not in shown.prefit.samples
    assert shown.signal.name == "DH_mZp130"


def test_scans_that_are_asked_for(make_inputs, search_settings):
    inputs, settings = small_search(make_inputs, search_settings, points=(130, 500))
    result = analyse(inputs, settings, reference="DH_mZp500", scans=("mu_ttbar",))
    curve, other = result.summary.diagnostics.scans
    assert (curve.parameter, other.parameter) == ("mu", "mu_ttbar")
    assert curve.bestfit == pytest.approx(1.0, abs=1e-4)
    # twice the change is 1 about one error away
    assert np.interp(1.0 + curve.error, curve.values, curve.delta) == pytest.approx(1.0, rel=0.3)
    assert result.reference.signal == "DH_mZp500"


def test_unblinded_pulls_and_scans_are_of_the_data(make_inputs, search_settings):
    inputs, settings = small_search(make_inputs, search_settings, data=True, unblind=True, points=(130,))
    result = analyse(inputs, settings)
    found, point = result.summary.diagnostics, result.summary.points[0]
    assert found.strength is None
    assert found.scans[0].bestfit == pytest.approx(point.mu_hat.value, abs=1e-4)
    again = diagnosis(result.reference, result.background_fit)
    assert again.goodness == found.goodness
    likelihood = Likelihood(result.reference.model)
    assert diagnose(likelihood, fit(likelihood)).goodness.degrees == again.goodness.degrees


def test_without_a_signal_strength_there_are_no_bounds_for_it():
    with pytest.raises(FitError, match="names no parameter of interest"):
        signal_bounds(Likelihood(restricted(from_workspace(spec_of_a_search()), frozenset({"CR"}))))
