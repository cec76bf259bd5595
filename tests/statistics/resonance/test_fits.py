"""Newton's minima against iminuit's, parameters against truth, and what a fit reports."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.migrad import migrad, minuit_cost
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL
from scipy.stats import norm

from colonnade.errors import ConfigError, FitError
from colonnade.statistics import signed_significance, significance
from colonnade.statistics.resonance import (
    Background,
    BackgroundTable,
    Bernstein,
    BumpFit,
    CrystalBall,
    Exponential,
    Gaussian,
    PolyLogExponential,
    Polynomial,
    QuadraticExponential,
    Spectrum,
    fit_background,
    fit_backgrounds,
    fit_bump,
    fit_bumps,
    fit_signal_shape,
    fit_signals,
    significances,
)
from colonnade.statistics.resonance.newton import Costs, minimise

EDGES = np.linspace(132.0, 168.0, 37)
WINDOW = (144.0, 156.0)
PEAK = Gaussian(150.0, 2.4)
SIDES = (EDGES[1:] <= 144) | (EDGES[:-1] >= 156)
SHAPES = [Exponential(), QuadraticExponential(), PolyLogExponential(), Polynomial(2), Bernstein(3)]


def expected_background(total):
    shape = np.exp(-np.linspace(132.5, 167.5, 36) / 40)
    return total * shape / shape.sum()


def toys(total, rows, seed=3, signal=0.0):
    rng = np.random.default_rng(seed)
    return rng.poisson(expected_background(total) + signal * PEAK.fractions(EDGES), size=(rows, 36)).astype(float)


@pytest.mark.parametrize("cost", ["poisson", "poisson_mc", "chi2"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
def test_newton_finds_minuits_minimum(shape, cost):
    counts = toys(2000, 3)
    variances = 1.7 * counts
    counts[1, 4] = variances[1, 4] = 0.0
    template = PEAK.fractions(EDGES)
    table = BackgroundTable(shape, EDGES)
    sides = fit_backgrounds(table, counts, used=SIDES, cost=cost, variances=variances)
    sizes = fit_signals(counts, sides.content, template, cost=cost, variances=variances)
    both = fit_bumps(table, counts, template, cost=cost, variances=variances)
    assert sides.converged.all()
    assert sizes.converged.all()
    assert both.converged.all()
    limits = [(0.0, None) if shape.bounded else (None, None)] * table.parameters
    start = table.start(counts, np.ones(36, dtype=bool))
    for row in range(3):
        blinded = Costs(cost, counts[row : row + 1], variances[row : row + 1], SIDES)
        costs = Costs(cost, counts[row : row + 1], variances[row : row + 1])
        alone = migrad(blinded, lambda a: table.content(a[None])[0], start[row], limits, EDGES)
        base = table.content(np.array(alone.values)[None])[0]
        held = migrad(costs, lambda a, base=base: base + a[0] * template, [0.0], [(None, None)], EDGES)
        free = migrad(
            costs, lambda a: table.content(a[None, :-1])[0] + a[-1] * template, [*start[row], 0.0],
            [*limits, (None, None)], EDGES,
        )  # fmt: skip
        none = migrad(costs, lambda a: table.content(a[None])[0], start[row], limits, EDGES)
        # MIGRAD stops within an estimated 2e-6 of the minimum, so Newton's is never above it
        assert -1e-8 < alone.fval - sides.value[row] < 1e-4
        assert -1e-8 < free.fval - both.value[row] < 1e-4
        assert base == pytest.approx(sides.content[row], rel=2e-3)
        without = costs.value(base[None])[0]
        for problem, found, zero in ((held, sizes, without), (free, both, none.fval)):
            error = found.error[row]
            assert abs(problem.values[-1] - found.signal[row]) < 5e-3 * error
            assert problem.errors[-1] == pytest.approx(error, rel=2e-3)
            assert zero - problem.fval == pytest.approx(found.q[row], abs=5e-3)
        # the fit of one spectrum is the first row of a batch
        spectrum = Spectrum(EDGES, counts[row], variances[row])
        one = fit_bump(spectrum, shape, PEAK, cost=cost)
        assert one.n_signal_total.value == pytest.approx(both.signal[row], abs=1e-6 * both.error[row])
        assert one.n_signal_total.error == pytest.approx(both.error[row], rel=1e-6)
        assert one.z_signed == pytest.approx(both.z[row], abs=1e-6)
        frozen = fit_bump(spectrum, shape, PEAK, cost=cost, frozen=fit_background(
            spectrum, shape, cost=cost, blind=WINDOW))  # fmt: skip
        assert frozen.n_signal_total.value == pytest.approx(sizes.signal[row], abs=1e-5 * sizes.error[row])
        assert frozen.q == pytest.approx(sizes.q[row], abs=1e-5)


@pytest.mark.parametrize("cost", ["poisson", "poisson_mc", "chi2"])
@pytest.mark.parametrize(
    ("true", "start"),
    [
        (Gaussian(1003.0, 38.0), Gaussian(980.0, 60.0)),
        (CrystalBall(1000.0, 40.0, 1.2, 3.0, 1.8, 6.0), CrystalBall(990.0, 50.0)),
    ],
    ids=["Gaussian", "Crystal Ball"],
)
def test_signal_shape_is_minuits(true, start, cost):
    edges = np.linspace(700, 1300, 61)
    counts = np.random.default_rng(2).poisson(2e4 * true.fractions(edges)).astype(float)
    spectrum = Spectrum(edges, counts, 0.4 * counts).merged()
    fit = fit_signal_shape(spectrum, start, cost=cost)
    costs = Costs(cost, spectrum.values[None], spectrum.variances[None])
    problem = migrad(
        costs, lambda a: a[0] * start.with_values(*a[1:]).fractions(spectrum.edges),
        [parameter.value for parameter in fit.parameters],
        [(0, None), (700, 1300), *start.limits()], spectrum.edges,
    )  # fmt: skip
    assert -1e-8 < problem.fval - fit.goodness.chi2 < 1e-4
    for value, error, mine in zip(problem.values, problem.errors, fit.parameters, strict=True):
        assert abs(value - mine.value) < 2e-2 * error
        assert mine.error == pytest.approx(error, rel=2e-2)


def test_agrees_with_a_fit_written_with_iminuit_alone():
    """Nothing of the room's own but the counts: scipy's normal and an exponential's closed integral."""
    counts = toys(3000, 1, signal=120)[0]

    def cumulative(x, b, c, s):
        grown = (np.exp(-c * 132) - np.exp(-c * x)) / (np.exp(-c * 132) - np.exp(-c * 168))
        peak = (norm.cdf(x, 150, 2.4) - norm.cdf(132, 150, 2.4)) / (norm.cdf(168, 150, 2.4) - norm.cdf(132, 150, 2.4))
        return b * grown + s * peak

    problem = Minuit(ExtendedBinnedNLL(counts, EDGES, cumulative), b=3000, c=0.02, s=0)
    problem.tol = 1e-4
    problem.migrad()
    problem.hesse()
    with_signal, bes = problem.fval, problem.errors.to_dict()
    fit = fit_bump(Spectrum(EDGES, counts), Exponential(), PEAK)
    total, slope = fit.background.parameters
    assert fit.n_signal_total.value == pytest.approx(problem.values["s"], abs=2e-3 * bes["s"])
    assert fit.n_signal_total.error == pytest.approx(bes["s"], rel=1e-3)
    assert total.value == pytest.approx(problem.values["b"], abs=2e-3 * bes["b"])
    assert total.error == pytest.approx(bes["b"], rel=1e-3)
    assert slope.value == pytest.approx(problem.values["c"], abs=2e-3 * bes["c"])
    assert slope.error == pytest.approx(bes["c"], rel=1e-3)
    problem.values["s"] = 0
    problem.fixed["s"] = True
    problem.migrad()
    assert fit.q == pytest.approx(problem.fval - with_signal, abs=1e-4)
    assert fit.z_wilks == pytest.approx(np.sqrt(problem.fval - with_signal), abs=1e-4)


@pytest.mark.parametrize("cost", ["poisson", "poisson_mc", "chi2"])
def test_cost_and_its_slopes(cost):
    counts = toys(500, 1)
    counts[0, 3] = 0.0
    variances = 2.0 * counts
    costs = Costs(cost, counts, variances, SIDES)
    content = expected_background(480)[None]
    first, second = costs.slopes(content)
    for index in (0, 3, 7, 20):
        step = np.zeros_like(content)
        step[0, index] = 1e-4
        up, middle, down = (costs.value(content + sign * step)[0] for sign in (1, 0, -1))
        assert first[0, index] == pytest.approx((up - down) / 2e-4, rel=1e-5, abs=1e-6)
        assert second[0, index] == pytest.approx((up - 2 * middle + down) / 1e-8, rel=1e-2, abs=2e-3)
    # iminuit's cost of the same content
    iminuit = minuit_cost(costs, lambda values: content[0] * values[0], ["a"], EDGES)
    assert iminuit(1.0) == pytest.approx(costs.value(content)[0], rel=1e-10)
    assert iminuit(1.1) == pytest.approx(costs.value(1.1 * content)[0], rel=1e-10)


def test_negative_sums_of_weights_are_fitted_with_the_right_gradient():
    counts = expected_background(300)[None] * 1.0
    counts[0, 5] = -2.0
    costs = Costs("poisson_mc", counts, np.full((1, 36), 4.0))
    content = expected_background(310)[None]
    first, _ = costs.slopes(content)
    step = np.zeros_like(content)
    step[0, 5] = 1e-5
    difference = (costs.value(content + step) - costs.value(content - step)) / 2e-5
    assert first[0, 5] == pytest.approx(difference[0], rel=1e-6)


def test_sideband_fit_normalises_on_the_whole_range():
    fit = fit_background(Spectrum(EDGES, expected_background(5000)), Exponential(), blind=WINDOW)
    total, slope = fit.parameters
    assert total.value == pytest.approx(5000, rel=2e-3)
    assert slope.value == pytest.approx(1 / 40, rel=5e-3)
    inside = (EDGES[:-1] >= 144) & (EDGES[1:] <= 156)
    assert fit.events(WINDOW).value == pytest.approx(expected_background(5000)[inside].sum(), rel=2e-3)
    assert fit.events(None).value == pytest.approx(total.value, rel=1e-9)
    assert fit.events(None).error == pytest.approx(total.error, rel=1e-6)
    assert fit.goodness.ndf == 24 - 2
    assert np.trapezoid(fit.density(np.linspace(132, 168, 2001)), np.linspace(132, 168, 2001)) == pytest.approx(
        total.value, rel=1e-6
    )


def test_error_of_the_background_in_a_window_is_the_spread_of_toys():
    table = BackgroundTable(Polynomial(2), EDGES)
    fits = fit_backgrounds(table, toys(4000, 400, seed=8), used=SIDES)
    inside = (EDGES[:-1] >= 144) & (EDGES[1:] <= 156)
    spread = fits.content[:, inside].sum(axis=1).std()
    one = fit_background(Spectrum(EDGES, expected_background(4000)), Polynomial(2), blind=WINDOW)
    # 400 toys measure a width to 3.5 %; three of these
    assert one.events(WINDOW).error == pytest.approx(spread, rel=0.11)


def test_signal_alone_gives_back_a_weighted_peak():
    rng = np.random.default_rng(5)
    sample = rng.normal(1000.0, 45.0, 4000)
    weights = rng.uniform(0.1, 0.3, 4000)
    spectrum = Spectrum.fill(sample, np.linspace(800, 1200, 41), weights)
    for cost in ("poisson_mc", "chi2"):
        fit = fit_signal_shape(spectrum.merged() if cost == "chi2" else spectrum, Gaussian(980.0, 60.0), cost=cost)
        size, mean, width = fit.parameters
        assert abs(size.value - weights.sum()) < 4 * size.error
        assert abs(mean.value - 1000) < 4 * mean.error
        assert abs(width.value - 45) < 4 * width.error
        # errors of a weighted sample: sigma / sqrt(effective entries)
        effective = weights.sum() ** 2 / (weights**2).sum()
        assert mean.error == pytest.approx(45 / np.sqrt(effective), rel=0.1)
        assert fit.goodness.p > 1e-3
        json.dumps(fit.to_json(), allow_nan=False)


def test_crystal_ball_alone_finds_its_tail():
    true = CrystalBall(1000.0, 40.0, 1.2, 3.0, 1.8, 6.0)
    edges = np.linspace(700, 1300, 61)
    fit = fit_signal_shape(Spectrum(edges, 1e5 * true.fractions(edges)), CrystalBall(990.0, 50.0), cost="poisson")
    assert fit.signal.mean == pytest.approx(1000, abs=0.1)
    assert fit.signal.sigma == pytest.approx(40, rel=1e-2)
    assert fit.signal.alpha_low == pytest.approx(1.2, rel=2e-2)


def test_two_kinds_of_z():
    """Twice the simulated events of half the weight: the Z of MC statistics grows by sqrt 2."""
    base = expected_background(2000) + 150 * PEAK.fractions(EDGES)
    few = significances(Spectrum(EDGES, base, base * 0.5), Exponential(), PEAK)
    many = significances(Spectrum(EDGES, base, base * 0.25), Exponential(), PEAK)
    ratio = many.mc_statistics.z_wilks / few.mc_statistics.z_wilks
    assert ratio == pytest.approx(np.sqrt(2), rel=1e-3)
    assert many.luminosity.z_wilks == pytest.approx(few.luminosity.z_wilks, rel=1e-9)
    assert few.luminosity.n_signal_total.value == pytest.approx(150, abs=1)
    size = few.luminosity.n_signal_total
    assert few.luminosity.z_wilks == pytest.approx(size.value / size.error, rel=0.1)


def test_result_goes_to_json_and_comes_back():
    counts = toys(1500, 1, signal=80)[0]
    fit = fit_bump(Spectrum(EDGES, counts), QuadraticExponential(), PEAK, window=WINDOW)
    plain = json.loads(json.dumps(fit.to_json(), allow_nan=False))
    assert plain["z_wilks"] == pytest.approx(np.sqrt(plain["q0"]))
    total = fit.background.events(None).value + fit.n_signal_total.value
    assert total == pytest.approx(counts.sum(), rel=1e-4)  # the property of a Poisson fit with a free yield
    assert plain["n_signal"]["value"] == pytest.approx(fit.n_signal_total.value * 0.98758, rel=1e-3)
    assert len(plain["pulls"]) == 36
    again = BumpFit.from_json(plain, "made")
    assert again.to_json() == plain
    assert again.background.shape == fit.background.shape
    assert again.background.density(150.0) == pytest.approx(fit.background.density(150.0), rel=1e-12)


class _Dijet(Background):
    """x^-c1, as an analysis may have it."""

    kind, names, label = "log", ("c1",), "power"

    def functions(self, x, low, high):
        return np.stack([np.ones_like(x), -np.log(x)], axis=-1)


def test_a_shape_of_an_analysis_is_fitted():
    power = Spectrum(EDGES, 1e7 * (EDGES[:-1] ** -2.0 - EDGES[1:] ** -2.0))
    fit = fit_bump(power, _Dijet(), PEAK)
    assert fit.background.parameters[1].value == pytest.approx(3.0, rel=1e-6)
    assert fit.n_signal_total.value == pytest.approx(0.0, abs=1e-3)


def test_deficit_has_no_discovery_significance_but_a_sign():
    counts = expected_background(3000) - 100 * PEAK.fractions(EDGES)
    fit = fit_bump(Spectrum(EDGES, counts), Exponential(), PEAK)
    assert fit.n_signal_total.value == pytest.approx(-100, rel=1e-2)
    assert fit.q0 == 0
    assert fit.z_wilks == 0
    assert fit.z_signed < -2
    assert fit.z_counting < 0
    assert fit.p_value > 0.97


def test_most_negative_signal_keeps_expectations_positive():
    counts = np.zeros((1, 36))
    counts[0, [0, 10, 25, 35]] = 2.0
    background = np.full(36, 0.3)
    found = fit_signals(counts, background, PEAK.fractions(EDGES))
    assert found.converged[0]
    assert found.at_limit[0].all()
    # the curvature of the signal's size there, by hand
    content = background + found.signal[0] * PEAK.fractions(EDGES)
    curvature = (counts[0] * (PEAK.fractions(EDGES) / content) ** 2).sum()
    assert found.error[0] == pytest.approx(1 / np.sqrt(curvature), rel=1e-6)
    assert (background + found.signal[0] * PEAK.fractions(EDGES)).min() >= 0
    assert found.signal[0] < 0


def test_unconverged_rows_give_no_number():
    def cliff(parameters, rows):
        """No minimum: falls forever."""
        return -parameters[:, 0], -np.ones((len(rows), 1)), np.zeros((len(rows), 1, 1))

    found = minimise(cliff, np.zeros((2, 1)))
    assert not found.converged.any()
    assert np.isnan(found.parameters).all()
    assert np.isnan(found.covariance).all()
    nothing = np.full((1, 36), np.nan)
    fits = fit_signals(toys(500, 1), nothing, PEAK.fractions(EDGES))
    assert not fits.converged[0]
    assert np.isnan([fits.signal[0], fits.error[0], fits.z[0]]).all()


@pytest.mark.parametrize("cost", ["poisson", "poisson_mc", "chi2"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
def test_rows_that_can_not_be_fitted_leave_the_others_alone(shape, cost):
    """No event, events in one bin only, and so few that there may be no minimum, beside a good spectrum."""
    counts = np.zeros((4, 36))
    counts[1, 0] = 50.0
    counts[2, [3, 20]] = 1.0
    counts[3] = expected_background(4000).round()
    table = BackgroundTable(shape, EDGES)
    options = {"cost": cost, "variances": 1.7 * counts}
    alone = fit_backgrounds(table, counts[3], cost=cost, variances=1.7 * counts[3])
    sides = fit_backgrounds(table, counts, **options)
    assert sides.converged[3]
    assert sides.content[3] == pytest.approx(alone.content[0], rel=1e-6)
    sizes = fit_signals(counts, sides.content, PEAK.fractions(EDGES), **options)
    assert not sizes.converged[~sides.converged].any()
    bumps = fit_bumps(table, counts, PEAK.fractions(EDGES), **options)
    assert bumps.converged[3]
    for found in (sides, sizes, bumps):
        assert np.isnan(found.parameters[~found.converged]).all()
        assert np.isfinite(found.covariance[found.converged]).all()


def test_limit_holds_a_parameter():
    def bowl(parameters, rows):
        """(x + 1)^2 + (x + y - 3)^2: with x at 0, y is 3."""
        x, y = parameters.T
        both = 2 * (x + y - 3)
        gradient = np.stack([2 * (x + 1) + both, both], axis=1)
        return (x + 1) ** 2 + (x + y - 3) ** 2, gradient, np.tile([[4.0, 2.0], [2.0, 2.0]], (len(rows), 1, 1))

    found = minimise(bowl, np.array([[5.0, 5.0]]), np.array([0.0, -np.inf]))
    assert found.converged[0]
    assert found.parameters[0] == pytest.approx([0.0, 3.0], abs=1e-5)
    assert found.at_limit[0].tolist() == [True, False]
    # from above: with y at most 1, the best x is 1/2
    found = minimise(bowl, np.array([[5.0, 0.0]]), upper=np.array([np.inf, 1.0]))
    assert found.converged[0]
    assert found.parameters[0] == pytest.approx([0.5, 1.0], abs=1e-5)
    assert found.at_limit[0].tolist() == [False, True]


def test_failed_fit_says_what_to_try():
    spike = np.zeros(36)
    spike[0] = 50.0
    for shape in (Exponential(), PolyLogExponential(), Polynomial(3)):
        # steeper is always better, or the polynomial turns negative: there is no minimum
        with pytest.raises(FitError, match=r"did not converge \(.*\); try fewer parameters"):
            fit_background(Spectrum(EDGES, spike), shape)
    # a peak of any small width fits one filled bin
    with pytest.raises(FitError, match="do not determine the mean and width"):
        fit_signal_shape(Spectrum(EDGES, np.roll(spike, 17)), Gaussian(149.5, 2.4), cost="poisson")
    with pytest.raises(ConfigError, match="did you mean poisson"):
        fit_background(Spectrum(EDGES, np.ones(36)), Exponential(), cost="poison")
    with pytest.raises(FitError, match="tabulated on 36"):
        fit_backgrounds(BackgroundTable(Exponential(), EDGES), np.ones((2, 35)))
    with pytest.raises(FitError, match="needs the sum of squared weights"):
        fit_backgrounds(BackgroundTable(Exponential(), EDGES), np.ones((2, 36)), cost="chi2")


def test_signed_significance():
    s, b = np.array([6.0, 0.5, 1e-4, 40.0]), np.array([117.0, 3.0, 1000.0, 2.0])
    assert signed_significance(s, b) == pytest.approx(significance(s, b), rel=1e-9)
    # a deficit: the likelihood ratio of a count s + b, by hand
    n, mean = 80.0, 100.0
    assert signed_significance(-20.0, 100.0) == pytest.approx(-np.sqrt(2 * (mean - n + n * np.log(n / mean))))
    assert signed_significance(-150.0, 100.0) == pytest.approx(-np.sqrt(200))
    assert np.isnan(signed_significance(1.0, 0.0))


def test_a_signal_stays_in_the_range_while_it_is_fitted():
    """A falling spectrum has no peak: the fit says so or ends in the range, whatever steps are tried."""
    edges = np.linspace(600, 1500, 37)
    values = 50 * np.exp(-(edges[:-1] - 600) / 60)
    try:
        fit = fit_signal_shape(Spectrum(edges, values, values * 0.1), Gaussian(1000.0, 50.0))
    except FitError:
        return
    assert 600 <= fit.signal.mean <= 1500
