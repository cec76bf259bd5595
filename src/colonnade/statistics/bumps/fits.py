"""Fits of one spectrum: signal alone, background alone, and both, by MIGRAD and HESSE.

Costs are iminuit's own (see `colonnade.statistics.bumps.costs`). For thousands of spectra use
`colonnade.statistics.bumps.batch`, whose minima are the same.
"""

from __future__ import annotations

__all__ = ["BothSignificances", "fit_background", "fit_bump", "fit_signal", "significances"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.bumps.backgrounds import Background
from colonnade.statistics.bumps.batch import fit_backgrounds, fit_bumps
from colonnade.statistics.bumps.costs import CostName, Costs, check_cost
from colonnade.statistics.bumps.results import BackgroundFit, BumpFit, Goodness, Parameter, SignalFit
from colonnade.statistics.bumps.signals import Signal
from colonnade.statistics.bumps.spectrum import Spectrum
from colonnade.statistics.bumps.table import BackgroundTable

Array = NDArray[np.float64]
Limits = Sequence[tuple[float | None, float | None]]
_CALLS = 20_000


@dataclass(frozen=True, eq=False)
class BothSignificances:
    """The two questions that a fit to simulated events can answer, side by side.

    Attributes
    ----------
    mc_statistics : BumpFit
        Weighted chi-squared: how well the simulated events, as many as they are, show the signal (S1). It
        grows with the number of simulated events.
    luminosity : BumpFit
        Poisson likelihood of the expected contents: what as much data as the weights stand for would show.
    """

    mc_statistics: BumpFit
    luminosity: BumpFit

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {"mc_statistics": self.mc_statistics.to_dict(), "luminosity": self.luminosity.to_dict()}


def fit_background(
    spectrum: Spectrum,
    shape: Background,
    *,
    cost: CostName = "poisson",
    blind: tuple[float, float] | None = None,
) -> BackgroundFit:
    """Fit a background shape.

    Parameters
    ----------
    spectrum
        The bins of the fit range (see `Spectrum.between`).
    shape
        The background.
    cost
        `poisson`, `poisson_mc` or `chi2`.
    blind
        A window whose bins are left out: a sideband fit. The shape is normalised on the whole range all the
        same.

    Raises
    ------
    FitError
        If the spectrum can't be fitted, or the fit does not converge.
    """
    spectrum.check_content()
    used = np.ones(len(spectrum.values), dtype=np.bool_) if blind is None else spectrum.outside(blind)
    if not np.any(spectrum.values[used] > 0):
        msg = f"{spectrum.name}: the sidebands hold no event, so they can't fix the background; widen the range."
        raise FitError(msg)
    table = BackgroundTable(shape, spectrum.edges)
    costs = Costs(check_cost(cost), spectrum.values[None], spectrum.variances[None], used)
    _check_bins(spectrum, costs, table.parameters, shape.label)
    start = table.start(np.maximum(spectrum.values[None], 0.0), used)[0]
    limits: Limits = [(0.0, None) if shape.bounded else (None, None)] * table.parameters
    newton = fit_backgrounds(table, spectrum.values, used=used, cost=cost, variances=spectrum.variances)
    label = f"background {shape.label}"
    _check_newton(spectrum, label, bool(newton.converged[0]))
    found = _minimise(
        costs,
        spectrum,
        lambda values: table.content(values[None])[0],
        start,
        limits,
        label=label,
        again=newton.coefficients[0],
    )
    goodness = Goodness(float(found.fval), int(costs.bins_used[0]) - table.parameters)
    return BackgroundFit(spectrum, table, used, np.array(found.values), np.array(found.covariance), goodness, cost)


def fit_signal(spectrum: Spectrum, signal: Signal, *, cost: CostName = "poisson_mc") -> SignalFit:
    """Fit a peak to signal alone.

    Parameters
    ----------
    spectrum
        The bins of the fit range.
    signal
        The form of the peak, with the parameters to start from.
    cost
        `poisson`, `poisson_mc` or `chi2`.

    Raises
    ------
    FitError
        If the spectrum can't be fitted, or the fit does not converge.
    """
    spectrum.check_content()
    costs = Costs(check_cost(cost), spectrum.values[None], spectrum.variances[None])
    count = 1 + len(signal.names)
    _check_bins(spectrum, costs, count, type(signal).__name__)
    width = spectrum.high - spectrum.low
    # a peak whose top lies outside would have no part in the range to normalise
    bounds = signal.limits() | {"mean": (spectrum.low, spectrum.high)}
    limits: Limits = [(0.0, None), *(bounds[name] for name in signal.names)]
    edges = spectrum.edges

    def expected(values: Array) -> Array:
        return np.asarray(values[0] * signal.with_values(*values[1:]).fractions(edges))

    start = np.array([max(float(spectrum.values.sum()), 1e-12), *signal.values])
    found = _minimise(
        costs,
        spectrum,
        expected,
        start,
        limits,
        label=f"signal {type(signal).__name__}",
        names=["yield", *signal.names],
    )
    values, errors = np.array(found.values), np.array(found.errors)
    if not np.all((errors[1:3] > 0) & (errors[1:3] < width)):
        msg = (
            f"{spectrum.name}: the events between {spectrum.low:g} and {spectrum.high:g} do not determine "
            "the "
            f"mean and width of the peak (errors {errors[1]:.3g} and {errors[2]:.3g}); use more events or "
            "narrower bins."
        )
        raise FitError(msg)
    parameters = tuple(
        Parameter(name, float(value), float(error))
        for name, value, error in zip(["yield", *signal.names], values, errors, strict=True)
    )
    goodness = Goodness(float(found.fval), int(costs.bins_used[0]) - count)
    return SignalFit(spectrum, signal.with_values(*values[1:]), parameters, np.array(found.covariance), goodness, cost)


def fit_bump(
    spectrum: Spectrum,
    shape: Background,
    signal: Signal,
    *,
    cost: CostName = "poisson",
    window: tuple[float, float] | None = None,
    frozen: BackgroundFit | None = None,
) -> BumpFit:
    """Fit background alone and background plus a peak of fixed shape and free size.

    Parameters
    ----------
    spectrum
        The bins of the fit range.
    shape
        The background, all of it free unless frozen.
    signal
        The peak; its size may come out negative.
    cost
        `poisson`, `poisson_mc` or `chi2`.
    window
        Where N_s and N_b are counted; two widths about the mean where left out.
    frozen
        A sideband fit on the same bins: the background is held there (S2).

    Raises
    ------
    FitError
        If the spectrum can't be fitted, a fit does not converge, or the frozen background has other bins.
    """
    edges = spectrum.edges
    template = signal.fractions(edges)
    if window is None:
        window = (
            max(signal.mean - 2 * signal.sigma, spectrum.low),
            min(signal.mean + 2 * signal.sigma, spectrum.high),
        )
    alone = frozen or fit_background(spectrum, shape, cost=cost)
    if frozen is not None and not np.array_equal(frozen.spectrum.edges, edges):
        msg = f"{spectrum.name}: the frozen background was fitted on other bins; fit it on the same ones."
        raise FitError(msg)
    spectrum.check_content()
    costs = Costs(check_cost(cost), spectrum.values[None], spectrum.variances[None])
    table = alone.table
    if frozen is not None:
        base = alone.expected
        lowest = None
        if cost != "chi2":
            reach = base[template > 0] / template[template > 0]
            lowest = -float(reach.min()) * (1 - 1e-9)
        found = _minimise(
            costs,
            spectrum,
            lambda values: base + values[0] * template,
            np.zeros(1),
            [(lowest, None)],
            label="signal",
        )
        without = float(costs.value(base[None])[0])
        background = alone
    else:
        count = table.parameters
        _check_bins(spectrum, costs, count + 1, f"{shape.label} and a signal")
        start = np.append(alone.coefficients, 0.0)
        limits: Limits = [*([(0.0, None) if shape.bounded else (None, None)] * count), (None, None)]
        newton = fit_bumps(table, spectrum.values, template, cost=cost, variances=spectrum.variances)
        label = f"signal on {shape.label}"
        _check_newton(spectrum, label, bool(newton.converged[0]))

        def expected(values: Array) -> Array:
            return np.asarray(table.content(values[None, :count])[0] + values[count] * template)

        found = _minimise(
            costs,
            spectrum,
            expected,
            start,
            limits,
            label=label,
            again=np.append(newton.coefficients[0], newton.signal[0]),
        )
        without = alone.goodness.chi2
        background = BackgroundFit(
            spectrum,
            table,
            alone.used,
            np.array(found.values)[:count],
            np.array(found.covariance)[:count, :count],
            Goodness(float(found.fval), int(costs.bins_used[0]) - count - 1),
            cost,
        )
    free = len(found.values)
    size = Parameter("N_s (range)", float(found.values[free - 1]), float(found.errors[free - 1]))
    # the frozen background's parameters were fitted too, though not to these bins alone
    ndf = int(costs.bins_used[0]) - (1 if frozen is not None else free)
    return BumpFit(
        alone, background, signal, window, size, max(without - float(found.fval), 0.0),
        Goodness(float(found.fval), ndf), frozen is not None, cost, np.array(found.covariance),
    )  # fmt: skip


def significances(
    spectrum: Spectrum, shape: Background, signal: Signal, *, window: tuple[float, float] | None = None
) -> BothSignificances:
    """Fit simulated, weighted events twice: by their own statistics, and as data of their luminosity (S1).

    Raises
    ------
    FitError
        As `fit_bump`.
    """
    return BothSignificances(
        fit_bump(spectrum.merged(), shape, signal, cost="chi2", window=window),
        fit_bump(spectrum, shape, signal, cost="poisson", window=window),
    )


def _check_bins(spectrum: Spectrum, costs: Costs, parameters: int, label: str) -> None:
    bins = int(costs.bins_used[0])
    if bins < parameters:
        msg = (
            f"{spectrum.name}: {bins} fitted bins can't determine the {parameters} parameters of {label}; "
            "use narrower bins, a wider range or a simpler shape."
        )
        raise FitError(msg)


def _check_newton(spectrum: Spectrum, label: str, converged: bool) -> None:
    if not converged:
        msg = (
            f"{spectrum.name}: the fit of {label} between {spectrum.low:g} and {spectrum.high:g} did not "
            "converge "
            "(no minimum with a positive expectation in every bin); try fewer parameters, another range, "
            "wider bins "
            "or a shape that can't be negative, such as Bernstein."
        )
        raise FitError(msg)


def _minimise(
    costs: Costs,
    spectrum: Spectrum,
    expected: Callable[[Array], Array],
    start: Array,
    limits: Limits,
    *,
    label: str,
    names: Sequence[str] | None = None,
    again: Array | None = None,
) -> Any:
    """Run MIGRAD and HESSE; once more from elsewhere if they fail.

    Parameters
    ----------
    again
        Where to begin the second time: Newton's minimum. Without it a simplex looks for a place.

    Raises
    ------
    FitError
        If the fit does not converge, naming why and what to try.
    """
    from iminuit import Minuit

    keys = list(names) if names else [f"a{index}" for index in range(len(start))]
    problem = Minuit(costs.minuit(expected, keys, spectrum.edges), *start, name=keys)
    problem.tol = 1e-3
    problem.limits = list(limits)
    with np.errstate(all="ignore"):
        problem.migrad(ncall=_CALLS)
        if not _sound(problem, costs, expected):
            if again is None:
                problem.simplex(ncall=_CALLS)
            else:
                problem.values = again
            problem.migrad(ncall=_CALLS)
        problem.hesse()
        sound = _sound(problem, costs, expected)
    if not sound or problem.covariance is None:
        state = problem.fmin
        reason = (
            "too many calls"
            if state.has_reached_call_limit
            else "its estimated distance to the minimum stays large"
            if state.is_above_max_edm
            else "the curvature is not positive, or an expectation is negative"
        )
        msg = (
            f"{spectrum.name}: the fit of {label} between {spectrum.low:g} and {spectrum.high:g} did not "
            "converge "
            f"({reason}); try fewer parameters, another range or wider bins."
        )
        raise FitError(msg)
    return problem


def _sound(problem: Any, costs: Costs, expected: Callable[[Array], Array]) -> bool:
    """Whether MIGRAD is content and no expectation is negative (iminuit's cost clips those)."""
    value = costs.value(expected(np.array(problem.values))[None])[0]
    return bool(problem.valid and np.isfinite(value))
