import numpy as np
import pyhf
import pytest

from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.minimise import minimise
from colonnade.statistics.workspace import from_workspace, to_workspace


def both(spec):
    """Our likelihood and pyhf's, with the maps from our order of parameters and data to pyhf's."""
    likelihood = Likelihood(from_workspace(spec))
    workspace = pyhf.Workspace(spec)
    model = workspace.model()
    parameters = [likelihood.labels.index(name) for name in model.config.par_names]
    bins = [np.arange(likelihood.bins)[likelihood.channels[name]] for name in model.config.channels]
    aux, start = {}, likelihood.bins
    for each in likelihood.model.parameters:
        aux[each.name] = np.arange(start, start + len(each.auxdata))
        start += len(each.auxdata)
    data = np.concatenate([*bins, *(aux[name] for name in model.config.auxdata_order)])
    return likelihood, model, workspace, parameters, data


def point(likelihood, rng, spread=1.0):
    normal = rng.normal(0, spread, len(likelihood.inits))
    return np.clip(
        likelihood.inits + np.where(likelihood.inits == 0, normal, 0.1 * normal),
        likelihood.lower + 1e-3,
        likelihood.upper,
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_likelihood_is_pyhfs(random_workspace, seed):
    likelihood, model, workspace, parameters, order = both(random_workspace(seed))
    np.testing.assert_allclose(likelihood.observed[order], workspace.data(model), rtol=1e-12)
    np.testing.assert_allclose(likelihood.inits[parameters], model.config.suggested_init())
    np.testing.assert_allclose(
        np.stack([likelihood.lower, likelihood.upper], axis=1)[parameters], model.config.suggested_bounds()
    )
    assert likelihood.fixed[parameters].tolist() == model.config.suggested_fixed()
    rng = np.random.default_rng(seed)
    for spread in (0.3, 1.0, 2.0):
        theta = point(likelihood, rng, spread)
        expected = model.expected_data(theta[parameters])
        np.testing.assert_allclose(likelihood.expected_data(theta)[order], expected, rtol=1e-10)
        theirs = float(model.logpdf(theta[parameters], workspace.data(model))[0])
        assert likelihood.logpdf(theta, likelihood.observed) == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_the_derivatives_are_those_of_the_value(random_workspace, seed):
    likelihood = Likelihood(from_workspace(random_workspace(seed)))
    rng = np.random.default_rng(seed)
    theta = np.stack([point(likelihood, rng, 0.8), point(likelihood, rng, 1.5)], axis=1)
    data = likelihood.observed[:, None]
    gradient, jacobian = likelihood.gradient(theta, data), likelihood.jacobian(theta)
    for index in range(len(theta)):
        step = 1e-5 * max(0.1, abs(theta[index, 0]))
        high, low = theta.copy(), theta.copy()
        high[index] += step
        low[index] -= step
        slope = (likelihood.nll(high, data) - likelihood.nll(low, data)) / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=1e-5, atol=1e-5)
        slope = (likelihood.expected(high) - likelihood.expected(low)) / (2 * step)
        np.testing.assert_allclose(jacobian[:, :, index].T, slope, rtol=1e-5, atol=1e-4)


def test_at_its_own_expectation_the_curvature_is_exact(random_workspace):
    likelihood = Likelihood(from_workspace(random_workspace(5)))
    theta = point(likelihood, np.random.default_rng(1), 0.5)
    data = likelihood.expected_data(theta)
    found = likelihood.derivatives(theta[:, None], data[:, None])
    np.testing.assert_allclose(found.gradient, 0, atol=1e-9)
    exact = likelihood.hessian(theta, data)
    jacobian = likelihood.jacobian(theta[:, None])[0]
    curvature = (jacobian.T * found.weight[:, 0]) @ jacobian + np.diag(found.diagonal[:, 0])
    np.testing.assert_allclose(curvature, exact, rtol=2e-5, atol=2e-5 * np.abs(exact).max())


def test_the_hessian_is_that_of_the_gradient(random_workspace):
    """In its parts, as a fit uses it: other parameters, the bins' own, and between both."""
    spec = random_workspace(6)
    for channel in spec["channels"]:
        for sample in channel["samples"]:  # factors on single cells beside the bins' own are left out of it
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] not in ("shapefactor", "shapesys")]
    likelihood = Likelihood(from_workspace(spec))
    theta = point(likelihood, np.random.default_rng(2), 0.5)
    known = likelihood.derivatives(theta[:, None], likelihood.observed[:, None])
    exact = likelihood.hessian(theta, likelihood.observed)
    jacobian, columns = known.jacobian[0], likelihood.columns
    among = jacobian.T @ (jacobian * known.weight) + known.second[0] + np.diag(known.diagonal[columns, 0])
    np.testing.assert_allclose(among, exact[np.ix_(columns, columns)], rtol=1e-4, atol=1e-3)
    own = np.flatnonzero(likelihood.local >= 0)
    assert len(own) == likelihood.bins
    between = jacobian[own] * (known.weight[own] * known.local[own]) + known.cross[0][own]
    np.testing.assert_allclose(between.T, exact[np.ix_(columns, likelihood.local[own])], rtol=1e-4, atol=1e-3)
    stiff = known.diagonal[likelihood.local[own], 0] + known.weight[own, 0] * known.local[own, 0] ** 2
    np.testing.assert_allclose(stiff, np.diagonal(exact)[likelihood.local[own]], rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_minimum_is_minuits_or_lower(random_workspace, seed):
    likelihood, model, workspace, parameters, _ = both(random_workspace(seed))
    found = minimise(likelihood, likelihood.observed[:, None])
    assert found.converged.all()
    assert found.retried == 0
    ours = float(model.logpdf(found.values[parameters, 0], workspace.data(model))[0])
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    best, value = pyhf.infer.mle.fit(workspace.data(model), model, return_fitted_val=True)
    assert -2 * ours <= float(value) + 1e-6
    assert -2 * ours == pytest.approx(float(value), abs=1e-3)
    # parameters may be degenerate here, what they predict is not
    theirs = model.expected_data(best, include_auxdata=False)
    np.testing.assert_allclose(model.expected_data(found.values[parameters, 0])[: len(theirs)], theirs, rtol=5e-3)


def test_a_batch_is_the_fits_one_by_one(random_workspace):
    likelihood = Likelihood(from_workspace(random_workspace(2)))
    data = likelihood.sample_data(likelihood.inits, 8, np.random.default_rng(3))
    together = minimise(likelihood, data)
    for index in range(8):
        alone = minimise(likelihood, data[:, index : index + 1])
        assert together.nll[index] == pytest.approx(alone.nll[0], abs=1e-8)
        np.testing.assert_allclose(together.values[:, index], alone.values[:, 0], atol=1e-4)


def test_a_workspace_survives_the_round_trip(random_workspace):
    spec = random_workspace(1)
    again = to_workspace(from_workspace(spec))
    likelihood, model, workspace, parameters, _ = both(again)
    original = pyhf.Workspace(spec)
    theta = point(likelihood, np.random.default_rng(0))[parameters]
    reference = original.model()
    assert reference.config.par_names == model.config.par_names
    value = float(model.logpdf(theta, workspace.data(model))[0])
    assert value == pytest.approx(float(reference.logpdf(theta, original.data(reference))[0]), rel=1e-12)
