"""Uncertainties of eras against closed forms."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest

from colonnade.errors import ConfigError
from colonnade.statistics import Likelihood
from colonnade.statistics.build import Builder
from colonnade.statistics.diagnostics import predict, prefit
from colonnade.statistics.eras import era_parts, era_variations
from colonnade.statistics.fitting import fit, poi_index
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.templates import Inputs, Process

B = np.array([4e8, 3e8])
S = np.array([1e6, 5e5])
SIZE = np.array([0.004, 0.006])


def filled(**variations):
    made = hist.Hist(
        hist.axis.StrCategory(["SR"], name="region"),
        hist.axis.StrCategory(list(variations), name="variation"),
        hist.axis.Regular(2, 0, 2, name="x", flow=False),
        storage=hist.storage.Weight(),
    )
    for place, values in enumerate(variations.values()):
        made.view()["value"][0, place] = values
    return made


def two_eras(data=None, **systematic):
    """One bin an era, so that the correlation of eras is one of bins."""
    one = {"name": "scale", "type": "histosys", "variation": "scale", "processes": ["b"]} | systematic
    settings = ModelSettings.model_validate_json(
        json.dumps(
            {
                "channels": {"SR": {"histogram": "x"}},
                "systematics": [one],
                "statistical": {"enabled": False},
            }
        )
    )
    parts = {
        era: {
            "x": {
                "b": filled(nominal=B * one, scale_up=B * one * (1 + SIZE), scale_down=B * one * (1 - SIZE)),
                "s": filled(nominal=S * one),
            }
        }
        for era, one in {"2016": np.array([1.0, 0.0]), "2017": np.array([0.0, 1.0])}.items()
    }
    total = {"x": {name: parts["2016"]["x"][name] + parts["2017"]["x"][name] for name in ("b", "s")}}
    processes = {"b": Process("background"), "s": Process("signal")}
    if data is not None:
        total["x"]["data"], processes["data"] = filled(nominal=data), Process("data")
    inputs = Inputs(total, processes, 1.0, frozenset(), True, parts)
    return Builder(inputs, settings).build("s").model


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5, 1.0])
def test_the_correlation_of_eras_is_that_of_two_gaussian_bins(rho):
    """Against generalised least squares with the covariance written down; three parameters of it or one."""
    sigma = B * SIZE
    covariance = np.diag(sigma**2) + rho * np.prod(sigma) * (1 - np.eye(2))
    data = B + S + np.array([8e5, -9e5])
    model = two_eras(data, correlation=rho)
    names = {"scale"} if rho == 1 else {"scale_2016", "scale_2017"} | ({"scale"} if rho else set())
    assert {each.name for each in model.parameters} == names | {"mu"}
    likelihood = Likelihood(model)
    expected = predict(likelihood, prefit(likelihood))
    # yields are interpolated exponentially, so that squares of 0.006 are left
    np.testing.assert_allclose(expected["SR"].errors, sigma, rtol=1e-4)
    assert expected["SR"].total_error == pytest.approx(np.sqrt(covariance.sum()), rel=1e-4)
    found = fit(likelihood)
    inverse = np.linalg.inv(covariance + np.diag(data))
    error = (S @ inverse @ S) ** -0.5
    place = poi_index(likelihood)
    assert found.values[place] == pytest.approx(error**2 * (S @ inverse @ (data - B)), abs=0.05 * error)
    assert found.errors[place] == pytest.approx(error, rel=0.01)


def test_decorrelated_is_a_correlation_of_nothing():
    one, other = two_eras(decorrelate="era"), two_eras(correlation=0.0)
    assert [each.name for each in one.parameters] == [each.name for each in other.parameters]
    values = np.linspace(-1, 1, len(one.parameters))
    np.testing.assert_array_equal(Likelihood(one).expected(values), Likelihood(other).expected(values))


def test_a_stated_factor_moves_its_own_era_alone():
    model = two_eras(type="normsys", variation=None, up=1.2, decorrelate="era")
    likelihood = Likelihood(model)
    values = likelihood.inits.copy()
    values[likelihood.labels.index("scale_2017")] = 1.0
    background = likelihood.expected_samples(values)["SR"]["b"]
    np.testing.assert_allclose(background, B * [1, 1.2], rtol=1e-12)


def test_parts_of_a_factor_are_the_whole_where_eras_move_together():
    """20 % in each era with rho: both at one standard deviation of the era's own parameter, as the formula says."""
    model = two_eras(type="normsys", variation=None, up=1.2, correlation=0.36)
    likelihood = Likelihood(model)
    values = likelihood.inits.copy()
    values[likelihood.labels.index("scale")] = 0.6
    values[likelihood.labels.index("scale_2016")] = 0.8
    background = likelihood.expected_samples(values)["SR"]["b"]
    # theta_2016 = 0.6 * 0.6 + 0.8 * 0.8 = 1, theta_2017 = 0.36; code 4 is no power of 1.2 between the two sides
    np.testing.assert_allclose(background, B * [1.2, 1.2**0.36], rtol=2e-3)


def test_an_uncertainty_that_tells_eras_apart_needs_them():
    inputs = Inputs(
        {"x": {"b": filled(nominal=B), "s": filled(nominal=S)}},
        {"b": Process("background"), "s": Process("signal")},
        1.0,
    )
    one = {"name": "pileup", "type": "normsys", "up": 1.1, "decorrelate": "era"}
    with pytest.raises(ConfigError, match="pileup tells eras apart, but the workflow declares no `eras`"):
        Builder(inputs, ModelSettings.model_validate({"channels": {"SR": {"histogram": "x"}}, "systematics": (one,)}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decorrelate": "era", "correlation": 0.5}, "give one of both"),
        ({"correlation": 1.5}, "less than or equal to 1"),
        ({"type": "shapesys", "variation": None, "size": 0.1, "decorrelate": "era"}, "a parameter for each bin"),
    ],
)
def test_settings_of_eras_that_contradict_each_other(change, words):
    with pytest.raises(ValueError, match=words):
        two_eras(**change)


def test_what_data_make_of_all_eras_need_not_be_the_sum_of_each():
    settings = ModelSettings.model_validate(
        {"channels": {"SR": {"histogram": "x"}}, "luminosity_uncertainties": {"lumi": {"2016": 0.1}}}
    )
    eras = {"2016": {"nominal": np.array([2.0, 3.0])}, "2017": {"nominal": np.array([5.0, 7.0])}}
    nominal = np.array([11.0, 13.0])
    (name, up), (_, down) = era_variations(era_parts(settings, list(eras)), eras, nominal).items()
    assert name.endswith("_up")
    np.testing.assert_allclose(up, [11.2, 13.3], rtol=1e-14)
    np.testing.assert_allclose(down, nominal + eras["2016"]["nominal"] * (1 / 1.1 - 1), rtol=1e-14)
