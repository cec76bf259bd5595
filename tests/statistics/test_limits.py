import math

import numpy as np
import pyhf
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from colonnade.errors import FitError
from colonnade.statistics import (
    Likelihood,
    discovery,
    expected_discovery,
    fit,
    from_workspace,
    hypothesis_test,
    upper_limits,
)

# pyhf's README and tests: s = [12, 11], b = [50, 52], sigma_b = [3, 7], n = [51, 48]
CLS = (0.05251497, (0.00260626, 0.01382005, 0.06445321, 0.23525644, 0.57303621))
LIMITS = (1.01156939, (0.55988001, 0.75702336, 1.06234693, 1.50116923, 2.05078596))


def compiled(model, observed):
    spec = pyhf.Workspace.build(model, [*observed, *model.config.auxdata])
    return Likelihood(from_workspace(dict(spec)))


def counting(s=10.0, b=50.0, sigma=7.0, n=55.0):
    return compiled(pyhf.simplemodels.uncorrelated_background([s], [b], [sigma]), [n])


@pytest.fixture(scope="module")
def two_bins():
    model = pyhf.simplemodels.uncorrelated_background([12.0, 11.0], [50.0, 52.0], [3.0, 7.0])
    return compiled(model, [51.0, 48.0])


def test_published_cls(two_bins):
    test = hypothesis_test(two_bins, 1.0)
    assert test.observed == pytest.approx(CLS[0], rel=3e-5)
    assert test.expected == pytest.approx(CLS[1], rel=1e-4)


def test_published_limits(two_bins):
    limits = upper_limits(two_bins)
    # the published ones carry the tolerance of their minimiser, a few parts in a million
    assert limits.observed == pytest.approx(LIMITS[0], rel=1e-5)
    assert limits.expected == pytest.approx(LIMITS[1], rel=1.5e-5)


def test_a_limit_is_where_cls_is_what_was_asked_for(two_bins):
    for level in (0.9, 0.95):
        limits = upper_limits(two_bins, level=level)
        assert hypothesis_test(two_bins, limits.observed).observed == pytest.approx(1 - level, rel=1e-4)
        for index, limit in enumerate(limits.expected):
            assert hypothesis_test(two_bins, limit).expected[index] == pytest.approx(1 - level, rel=1e-4)


def test_blinded_limits_hold_nothing_observed(two_bins):
    limits = upper_limits(two_bins, observed=False)
    assert limits.observed is None
    assert limits.expected == upper_limits(two_bins).expected
    assert hypothesis_test(two_bins, 1.0, observed=False).observed is None


def test_counting_limits_are_those_of_the_closed_form():
    """One bin and a background known exactly: q-tilde is explicit, so its root needs no fit."""
    likelihood = counting(s=10, b=50, sigma=1e-4, n=50)

    def root_q(mu):
        return math.sqrt(2 * (10 * mu - 50 * math.log1p(10 * mu / 50)))

    target = norm.isf(0.05 * 0.5)
    exact = brentq(lambda mu: root_q(mu) - target, 0.1, 10)
    assert upper_limits(likelihood).expected[2] == pytest.approx(exact, rel=1e-4)


def test_limits_far_from_one_are_found():
    """The signal may be scaled by anything: limits scale with it, beyond the bounds of the workspace too."""
    reference = upper_limits(counting(s=10))
    for factor in (1e-3, 1e3):
        scaled = upper_limits(counting(s=10 * factor))
        assert scaled.observed * factor == pytest.approx(reference.observed, rel=1e-4)
        np.testing.assert_allclose(np.array(scaled.expected) * factor, reference.expected, rtol=1e-4)


def test_no_signal_has_no_limit(two_bins):
    with pytest.raises(FitError, match="No signal strength"):
        upper_limits(counting(s=1e-12))


def test_discovery_is_the_closed_form():
    known = counting(s=10, b=50, sigma=1e-4, n=64)
    result = discovery(known)
    assert result.mu_hat == pytest.approx(1.4, rel=1e-5)
    assert result.z == pytest.approx(math.sqrt(2 * (64 * math.log(64 / 50) - 14)), rel=1e-5)
    deficit = discovery(counting(n=40))
    assert deficit.z == 0
    assert deficit.mu_hat == 0


def test_expected_discovery_is_the_asimov_formula():
    """Poisson background measurement: the note's formula is exact, with its Asimov taken without a pull."""
    from colonnade.statistics import asimov_significance

    expected = expected_discovery(counting(s=20, b=50, sigma=7, n=50))
    assert expected.z == pytest.approx(float(asimov_significance(20, 50, 7)), rel=1e-6)


def strengthen(sample, factor):
    sample["data"] = [factor * value for value in sample["data"]]
    for modifier in sample["modifiers"]:
        if modifier["type"] == "histosys":
            modifier["data"] = {key: [factor * v for v in side] for key, side in modifier["data"].items()}


def test_errors_are_those_of_minuit(random_workspace):
    spec = random_workspace(3)
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] != "shapefactor"]
            if sample["name"] == "signal":  # strong enough to stay away from its bounds, which MINUIT feels
                strengthen(sample, 10)
    likelihood = Likelihood(from_workspace(spec))
    asimov = likelihood.expected_data(likelihood.inits)
    ours = fit(likelihood, asimov)
    model = pyhf.Workspace(spec).model()
    data = model.expected_data(model.config.suggested_init())
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    result, correlation = pyhf.infer.mle.fit(data, model, return_uncertainties=True, return_correlations=True)
    order = [likelihood.labels.index(name) for name in model.config.par_names]
    free = ~likelihood.fixed[order]
    np.testing.assert_allclose(ours.values[order], result[:, 0], atol=5e-3)
    np.testing.assert_allclose(ours.errors[order][free], result[free, 1], rtol=0.03)
    theirs = np.asarray(correlation)[np.ix_(free, free)]
    np.testing.assert_allclose(ours.correlation[np.ix_(order, order)][np.ix_(free, free)], theirs, atol=0.03)


def test_a_free_direction_is_named():
    spec = dict(
        pyhf.Workspace.build(pyhf.simplemodels.uncorrelated_background([1.0], [50.0], [7.0]), [50.0, 50.0**2 / 7**2])
    )
    spec["channels"][0]["samples"][0]["modifiers"].append({"name": "free", "type": "normfactor", "data": None})
    with pytest.raises(FitError, match=r"don't constrain (mu|free)"):
        fit(Likelihood(from_workspace(spec)))


def test_a_large_workspace():
    """As published ones are: more than 40 channels, more than 200 parameters; limits are where CLs says."""
    rng = np.random.default_rng(1)
    channels, observations = [], []
    for number in range(42):
        samples = []
        for name, size in (("signal", 5.0), ("top", 60.0), ("diboson", 25.0)):
            yields = size * rng.uniform(0.5, 1.5, 2)
            norms = {"shared": 1.05, f"{name}_all": 1.1, f"{name}_{number}": 1.08}
            modifiers = [
                {"name": key, "type": "normsys", "data": {"hi": up, "lo": 1.01 - (up - 1)}} for key, up in norms.items()
            ]
            if name == "signal":
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            else:
                modifiers.append({"name": f"stat_{number}", "type": "staterror", "data": (0.05 * yields).tolist()})
            samples.append({"name": name, "data": yields.tolist(), "modifiers": modifiers})
        seen = rng.poisson(np.sum([each["data"] for each in samples[1:]], axis=0)).astype(float)
        channels.append({"name": f"channel{number}", "samples": samples})
        observations.append({"name": f"channel{number}", "data": seen.tolist()})
    measurements = [{"name": "m", "config": {"poi": "mu", "parameters": []}}]
    spec = {"channels": channels, "observations": observations, "measurements": measurements, "version": "1.0.0"}
    likelihood = Likelihood(from_workspace(spec))
    assert len(likelihood.labels) > 200
    limits = upper_limits(likelihood)
    assert hypothesis_test(likelihood, limits.observed).observed == pytest.approx(0.05, rel=1e-3)
    assert hypothesis_test(likelihood, limits.expected[2]).expected[2] == pytest.approx(0.05, rel=1e-3)
