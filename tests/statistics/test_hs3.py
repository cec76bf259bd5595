"""HS3, written and read back; what ROOT and pyhs3 make of it, and ROOT's own files."""

import importlib.util
import json
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from helpers.closure import (
    close_program,
    random_points,
    smallest,
    spec_of_one_bin,
    translated,
)
from helpers.programs import python_with
from helpers.pyhs3_check import pyhs3_log_likelihoods, root_log_likelihoods

from colonnade.errors import ConfigError, InputError
from colonnade.statistics import Likelihood, from_workspace
from colonnade.statistics.formats import export_model, read_model
from colonnade.statistics.formats.hs3 import to_hs3
from colonnade.statistics.formats.hs3_reading import from_hs3
from colonnade.statistics.model import Channel, Modifier, Sample, make_model


def numbers(*values):
    return np.array(values, dtype=float)


def test_every_kind_of_modifier_survives_hs3(random_workspace):
    model = from_workspace(random_workspace(2))
    again = from_hs3(json.loads(json.dumps(to_hs3(model))))
    a, b = Likelihood(model), Likelihood(again)
    assert a.labels == b.labels
    np.testing.assert_array_equal(a.fixed, b.fixed)
    rng = np.random.default_rng(0)
    for _ in range(20):
        theta = np.clip(a.inits + 0.3 * rng.normal(size=len(a.inits)), a.lower + 0.01, a.upper)
        theta[a.fixed] = a.inits[a.fixed]
        assert a.logpdf(theta, a.observed) == pytest.approx(b.logpdf(theta, b.observed), rel=1e-12)


@pytest.fixture(scope="session")
def pyhs3_python():
    """A Python that has pyhs3, which can't be installed beside the rest: see docs/statistics.md."""
    return python_with("pyhs3", ".venv-hs3")


def test_pyhs3_says_the_same(random_workspace, pyhs3_python):
    """The file as pyhs3 validates and understands it: its own expressions of every term."""
    model = from_workspace(random_workspace(3))
    ours = Likelihood(model)
    points = np.array([theta for _, theta in random_points(ours, 6, seed=0)])
    version, theirs = pyhs3_log_likelihoods(pyhs3_python, model, points)
    assert version.startswith("0.")
    here = np.array([ours.logpdf(theta, ours.observed) for theta in points])
    # constant parameters have a term here, which is constant, and none there
    np.testing.assert_allclose(theirs - theirs[0], here - here[0], rtol=1e-9)


def test_pyhs3_finds_the_same_significance(pyhs3_python):
    _, closure = close_program(pyhs3_log_likelihoods, from_workspace(spec_of_one_bin()), pyhs3_python, points=10)
    assert max(closure.within, closure.beyond, closure.z, closure.mu_hat) < 1e-6


@pytest.fixture(scope="session")
def root_python():
    """A Python that has ROOT, which is of an environment of its own."""
    return python_with("ROOT", ".venv-root")


def physical(likelihood, points, seed):
    """Random points at which no sample has a bin below zero, where programs differ."""
    found = [theta for _, theta in random_points(likelihood, points, seed, spread=1.0)]
    return np.array([theta for theta in found if smallest(likelihood, theta) >= 0])


def test_root_says_the_same(random_workspace, root_python):
    model = from_workspace(random_workspace(3))
    ours = Likelihood(model)
    points = physical(ours, 240, seed=5)
    assert len(points) >= 200
    version, theirs = root_log_likelihoods(root_python, model, points)
    assert version.startswith("6.")
    here = np.array([ours.logpdf(theta, ours.observed) for theta in points])
    # constant terms are ROOT's own
    np.testing.assert_allclose(theirs - theirs[0], here - here[0], rtol=1e-8, atol=1e-8)


def test_what_root_writes_is_read_as_root_means_it(random_workspace, root_python, tmp_path):
    spec = random_workspace(6)
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            # ROOT 6.40 can't write these again
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] not in ("shapesys", "shapefactor")]
    model = from_workspace(spec)
    ours = Likelihood(model)
    points = physical(ours, 20, seed=5)
    _, theirs = root_log_likelihoods(root_python, model, points, tmp_path / "root.json")
    written = json.loads((tmp_path / "root.json").read_text())
    assert written["metadata"]["packages"][0]["name"] == "ROOT"
    again = Likelihood(read_model(tmp_path / "root.json"))
    moved = np.array([translated(ours, again, theta, lambda label, value: (label, value)) for theta in points])
    here = np.array([again.logpdf(theta, again.observed) for theta in moved])
    # ROOT rounds the errors of simulation that it writes
    np.testing.assert_allclose(theirs - theirs[0], here - here[0], rtol=1e-5, atol=1e-5)


def as_root_writes():
    """Two analyses of one channel in ROOT's words: of Asimov data, and of data, with errors relative to the yields."""
    axes = [{"name": "obs_x_SR", "min": 0.0, "max": 2.0, "nbins": 2}]
    gammas = [f"gamma_stat_SR_bin_{index}" for index in range(2)]
    errors = [f"gamma_unc_bin_{index}" for index in range(2)]
    background = [
        {"name": "Lumi", "parameter": "Lumi", "type": "normfactor", "constraint_name": "lumiConstraint"},
        {
            "name": "bn",
            "parameter": "alpha_bn",
            "type": "normsys",
            "constraint_name": "alpha_bnConstraint",
            "data": {"hi": 1.3, "lo": 0.8},
            "interpolation": 5,
        },
        {"name": "staterror", "type": "staterror", "constraint_type": "Poisson", "parameters": gammas},
        {
            "name": "unc",
            "type": "shapesys",
            "constraint_type": "Poisson",
            "parameters": errors,
            "data": {"vals": [0.1, 0.2]},
        },
    ]
    samples = [
        {"name": "bkg", "data": {"contents": [10.0, 25.0], "errors": [1.0, 2.0]}, "modifiers": background},
        {
            "name": "sig",
            "data": {"contents": [3.0, 5.0]},
            "modifiers": [{"name": "mu", "parameter": "mu", "type": "normfactor"}],
        },
    ]
    gaussians = [
        {"name": "alpha_bnConstraint", "type": "gaussian_dist", "mean": "nom_alpha_bn", "sigma": 1.0, "x": "alpha_bn"},
        {"name": "lumiConstraint", "type": "gaussian_dist", "mean": "nominalLumi", "sigma": 0.02, "x": "Lumi"},
    ]
    sets = {"asimovData": [13.0, 30.0], "obsData": [12.0, 31.0]}
    likelihoods = [{"name": f"simPdf_{each}", "data": [f"{each}_SR"], "distributions": ["model_SR"]} for each in sets]
    points = [{"name": name, "value": 1.0} for name in ("Lumi", "mu", *gammas, *errors)]
    points += [{"name": "alpha_bn", "value": 0.0}, {"name": "nom_alpha_bn", "value": 0.0, "const": True}]
    points += [{"name": "nominalLumi", "value": 1.0, "const": True}]
    return {
        "metadata": {"hs3_version": "0.2", "packages": [{"name": "ROOT", "version": "6.40.00"}]},
        "distributions": [
            {"name": "model_SR", "type": "histfactory_dist", "axes": axes, "samples": samples},
            *gaussians,
        ],
        "data": [
            {"name": f"{each}_SR", "type": "binned", "axes": axes, "contents": seen} for each, seen in sets.items()
        ],
        "domains": [{"name": "default_domain", "type": "product_domain", "axes": [{"name": "mu", "min": 0, "max": 7}]}],
        "parameter_points": [{"name": "default_values", "parameters": points}],
        "likelihoods": likelihoods,
        "analyses": [
            {"name": each["name"], "likelihood": each["name"], "parameters_of_interest": ["mu"], "domains": []}
            for each in likelihoods
        ],
    }


def test_of_several_analyses_the_data_are_read_and_not_asimov(tmp_path):
    path = tmp_path / "root.json"
    path.write_text(json.dumps(as_root_writes()))
    model = read_model(path)
    assert model.observations["model_SR"].tolist() == [12.0, 31.0]
    assert any("simPdf_obsData" in note for note in model.notes)
    asked = read_model(path, measurement="simPdf_asimovData")
    assert asked.observations["model_SR"].tolist() == [13.0, 30.0]
    with pytest.raises(ConfigError, match=r"no simPdf_obs among its analyses \(did you mean simPdf_obsData"):
        read_model(path, measurement="simPdf_obs")
    spec = as_root_writes()
    spec["data"][0]["name"] = "otherData_SR"
    spec["likelihoods"][0]["data"] = ["otherData_SR"]
    path.write_text(json.dumps(spec))
    with pytest.raises(ConfigError, match=r"several analyses \(simPdf_asimovData, simPdf_obsData\).*--measurement"):
        read_model(path)
    assert model.parameter("mu").bounds == ((0.0, 7.0),)


def test_constraints_in_roots_words():
    """Values by hand: a Poisson statistical uncertainty stands for (yield over error) squared events."""
    model = from_hs3(as_root_writes())
    stat, unc = model.parameter("gamma_stat_SR"), model.parameter("gamma_unc")
    assert (stat.constraint, unc.constraint) == ("poisson", "poisson")
    assert stat.auxdata == stat.widths == pytest.approx((100.0, 156.25))
    assert unc.widths == pytest.approx((100.0, 25.0))
    lumi = model.parameter("Lumi")
    assert (lumi.constraint, lumi.auxdata, lumi.widths) == ("normal", (1.0,), (0.02,))
    likelihood = Likelihood(model)
    theta = likelihood.inits.copy()
    theta[likelihood.labels.index("gamma_stat_SR[1]")] = 1.1
    change = likelihood.logpdf(theta, likelihood.observed) - likelihood.logpdf(likelihood.inits, likelihood.observed)
    counts = (156.25 * np.log(1.1) - 15.625) + (31 * np.log(32.5 / 30.0) - 2.5)
    assert change == pytest.approx(counts)


def test_names_that_root_can_not_have_are_told(tmp_path):
    yields = numbers(20, 30)
    signal = Sample("sig-1", numbers(2, 3), (Modifier("normfactor", "mu"),))
    background = Sample("bkg", yields, (Modifier("normsys", "jes-1", numbers(1.1), numbers(0.9)),))
    model = make_model([Channel("4l", (signal, background))], {"4l": yields}, "mu")
    export = export_model(model, tmp_path, "x", "hs3")
    assert set(chain(*export.differences.values())) == {"sig-1", "jes-1", "4l"}
    again = read_model(export.path)
    assert [channel.name for channel in again.channels] == ["_4l"]
    assert {each.name for each in again.parameters} == {"mu", "jes_1"}


def test_a_python_without_pyhs3_is_said():
    model = from_workspace(spec_of_one_bin())
    points = Likelihood(model).inits[None, :]
    with pytest.raises(InputError, match="can't be started"):
        pyhs3_log_likelihoods(Path("nowhere") / "python", model, points)
    if importlib.util.find_spec("pyhs3") is None:
        with pytest.raises(InputError, match="has no pyhs3; make an environment"):
            pyhs3_log_likelihoods(Path(sys.executable), model, points)
