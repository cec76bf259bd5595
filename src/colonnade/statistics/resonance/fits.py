"""Fits of one spectrum: the signal's shape, the background alone, and both.

Each is the first row of a fit of many (`colonnade.statistics.resonance.batch`), checked and with its errors.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.resonance.backgrounds import Background
from colonnade.statistics.resonance.batch import SignalFits, covariance, fit_backgrounds, fit_bumps, fit_signals
from colonnade.statistics.resonance.costs import CostName, Costs, check_cost
from colonnade.statistics.resonance.newton import minimise
from colonnade.statistics.resonance.results import (
    BackgroundFit,
    BumpFit,
    Goodness,
    Parameter,
    SignalShapeFit,
    Significances,
)
from colonnade.statistics.resonance.signals import Signal
from colonnade.statistics.resonance.spectrum import Spectrum
from colonnade.statistics.resonance.table import BackgroundTable

Array = NDArray[np.float64]
# step of numerical derivatives, relative to a parameter (of the mean: to the width)
_STEP = 1e-3


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
    _check_bins(spectrum, _costs(spectrum, cost, used), table.parameters, shape.label)
    fits = fit_backgrounds(table, spectrum.values, used=used, cost=cost, variances=spectrum.variances)
    _check_converged(spectrum, f"the background {shape.label}", converged=bool(fits.converged[0]))
    return BackgroundFit(
        spectrum=spectrum,
        cost=cost,
        goodness=_goodness(fits.value[0], fits.bins[0], table.parameters),
        shape=shape,
        used=used,
        coefficients=fits.coefficients[0],
        coefficient_covariance=fits.covariance[0],
    )


def fit_signal_shape(spectrum: Spectrum, signal: Signal, *, cost: CostName = "poisson_mc") -> SignalShapeFit:
    """Fit the shape of a signal to signal alone.

    Parameters
    ----------
    spectrum
        The bins of the fit range.
    signal
        The form, with the parameters to start from.
    cost
        `poisson`, `poisson_mc` or `chi2`.

    Raises
    ------
    FitError
        If the spectrum can't be fitted, or the fit does not converge.
    """
    spectrum.check_content()
    costs = _costs(spectrum, cost)
    _check_bins(spectrum, costs, 1 + len(signal.names), type(signal).__name__)
    # a signal whose top lies outside would have no part in the range to normalise
    limits = [(0.0, np.inf), (spectrum.low, spectrum.high), *signal.limits()]
    lower, upper = np.array(limits).T
    start = np.array([[float(spectrum.values.sum()), *signal.values]])
    found = minimise(_ShapeObjective(signal, spectrum.edges, costs), start, lower, upper)
    values, spread = found.parameters[0], covariance(found, found.converged)[0]
    errors = np.sqrt(np.diag(spread))
    if not (found.converged[0] and np.all((errors[1:3] > 0) & (errors[1:3] < spectrum.high - spectrum.low))):
        msg = (
            f"{spectrum.name}: the events between {spectrum.low:g} and {spectrum.high:g} do not determine the mean "
            "and width of the signal; use more events or narrower bins, or start from other values."
        )
        raise FitError(msg)
    return SignalShapeFit(
        spectrum=spectrum,
        cost=cost,
        goodness=_goodness(found.value[0], costs.bins_used[0], len(values)),
        signal=signal.with_values(*values[1:]),
        parameters=tuple(
            Parameter(name=name, value=float(value), error=float(error))
            for name, value, error in zip(("yield", *signal.names), values, errors, strict=True)
        ),
        covariance=spread,
    )


def fit_bump(
    spectrum: Spectrum,
    shape: Background,
    signal: Signal,
    *,
    cost: CostName = "poisson",
    window: tuple[float, float] | None = None,
    frozen: BackgroundFit | None = None,
) -> BumpFit:
    """Fit background alone and background plus a signal of fixed shape and free size.

    Parameters
    ----------
    spectrum
        The bins of the fit range.
    shape
        The background, all of it free unless frozen.
    signal
        The signal's shape; its size may come out negative.
    cost
        `poisson`, `poisson_mc` or `chi2`.
    window
        Where N_s and N_b are counted; two widths about the mean where left out.
    frozen
        A sideband fit on the same bins: the background is held there.

    Raises
    ------
    FitError
        If the spectrum can't be fitted, a fit does not converge, or the frozen background has other bins.
    """
    spectrum.check_content()
    template = signal.fractions(spectrum.edges)
    check_cost(cost)
    if frozen is not None:
        if not np.array_equal(frozen.spectrum.edges, spectrum.edges):
            msg = f"{spectrum.name}: the frozen background was fitted on other bins; fit it on the same ones."
            raise FitError(msg)
        fits: SignalFits = fit_signals(
            spectrum.values, frozen.expected, template, cost=cost, variances=spectrum.variances
        )
        _check_converged(spectrum, "the signal", converged=bool(fits.converged[0]))
        alone = background = frozen
        free = 1  # the frozen background's parameters were fitted too, though not to these bins alone
    else:
        alone = fit_background(spectrum, shape, cost=cost)
        free = alone.table.parameters + 1
        _check_bins(spectrum, _costs(spectrum, cost), free, f"{shape.label} and a signal")
        both = fits = fit_bumps(alone.table, spectrum.values, template, cost=cost, variances=spectrum.variances)
        _check_converged(spectrum, f"a signal on {shape.label}", converged=bool(both.converged[0]))
        background = BackgroundFit(
            spectrum=spectrum, cost=cost, goodness=_goodness(both.value[0], both.bins[0], free), shape=shape,
            used=alone.used, coefficients=both.coefficients[0],
            coefficient_covariance=both.covariance[0, : free - 1, : free - 1],
        )  # fmt: skip
    return BumpFit(
        spectrum=spectrum,
        cost=cost,
        goodness=_goodness(fits.value[0], fits.bins[0], free),
        background_only=alone,
        background=background,
        signal=signal,
        window=window or signal.window(spectrum.low, spectrum.high),
        n_signal_total=Parameter(name="N_s (range)", value=float(fits.signal[0]), error=float(fits.error[0])),
        q=float(fits.q[0]),
        frozen=frozen is not None,
    )


def significances(
    spectrum: Spectrum, shape: Background, signal: Signal, *, window: tuple[float, float] | None = None
) -> Significances:
    """Fit simulated, weighted events twice: by their own statistics, and as data of their luminosity.

    Raises
    ------
    FitError
        As `fit_bump`.
    """
    return Significances(
        mc_statistics=fit_bump(spectrum.merged(), shape, signal, cost="chi2", window=window),
        luminosity=fit_bump(spectrum, shape, signal, cost="poisson", window=window),
    )


class _ShapeObjective:
    """Cost of a signal's yield and shape; derivatives of the bins by central differences of fourth order."""

    def __init__(self, signal: Signal, edges: Array, costs: Costs) -> None:
        self._signal, self._edges, self._costs = signal, edges, costs

    def _fractions(self, values: Array) -> Array:
        # far out in the tails a part may be rounded to nothing, of which the logarithm has no derivative
        return np.maximum(self._signal.with_values(*values).fractions(self._edges), 1e-150)

    def value(self, parameters: Array, rows: NDArray[np.intp]) -> Array:
        # a step from derivatives that are no numbers, where bins expect nothing, is refused
        known = np.isfinite(parameters).all(axis=1)
        content = [each[0] * self._fractions(each[1:]) for each in parameters[known]]
        value = np.full(len(rows), np.inf)
        if content:
            value[known] = self._costs.value(np.array(content), rows[known])
        return value

    def derivatives(self, parameters: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        found = [self._one(each, row) for each, row in zip(parameters, rows, strict=True)]
        gradients, hessians = zip(*found, strict=True)
        return np.array(gradients), np.array(hessians)

    def _one(self, parameters: Array, row: np.intp) -> tuple[Array, Array]:
        size, values = parameters[0], parameters[1:]
        middle = self._fractions(values)
        slopes, bends = self._differences(values, middle)
        first, second = self._costs.slopes(size * middle[None], np.array([row]))
        gradient = np.concatenate([middle[None], size * slopes])
        hessian = (gradient * second) @ gradient.T
        hessian[0, 1:] += slopes @ first[0]
        hessian[1:, 0] += slopes @ first[0]
        hessian[1:, 1:] += size * bends @ first[0]
        return gradient @ first[0], hessian

    def _differences(self, values: Array, middle: Array) -> tuple[Array, Array]:
        """First and second derivatives of the bins' fractions: (shape, bins) and (shape, shape, bins)."""
        count = len(values)
        steps = np.diag(_STEP * np.where(np.arange(count) == 0, values[1], values))
        width = np.diag(steps)[:, None]
        one, two, minus_one, minus_two = (
            np.array([self._fractions(values + times * step) for step in steps]) for times in (1, 2, -1, -2)
        )
        slopes = (8 * (one - minus_one) - (two - minus_two)) / (12 * width)
        bends = np.empty((count, count, len(middle)))
        bends[np.arange(count), np.arange(count)] = (16 * (one + minus_one) - (two + minus_two) - 30 * middle) / (
            12 * width**2
        )
        for i, j in combinations(range(count), 2):
            corners = [a * b * self._fractions(values + a * steps[i] + b * steps[j]) for a in (1, -1) for b in (1, -1)]
            bends[i, j] = bends[j, i] = np.sum(corners, axis=0) / (4 * width[i] * width[j])
        return slopes, bends


def _costs(spectrum: Spectrum, cost: CostName, used: NDArray[np.bool_] | None = None) -> Costs:
    return Costs(check_cost(cost), spectrum.values[None], spectrum.variances[None], used)


def _goodness(value: float, bins: int, parameters: int) -> Goodness:
    return Goodness(chi2=float(value), ndf=int(bins) - parameters)


def _check_bins(spectrum: Spectrum, costs: Costs, parameters: int, label: str) -> None:
    bins = int(costs.bins_used[0])
    if bins < parameters:
        msg = (
            f"{spectrum.name}: {bins} fitted bins can't determine the {parameters} parameters of {label}; "
            "use narrower bins, a wider range or a simpler shape."
        )
        raise FitError(msg)


def _check_converged(spectrum: Spectrum, label: str, *, converged: bool) -> None:
    if not converged:
        msg = (
            f"{spectrum.name}: the fit of {label} between {spectrum.low:g} and {spectrum.high:g} did not converge "
            "(no minimum with a positive expectation in every bin); try fewer parameters, another range, wider bins "
            "or a shape that can't be negative, such as Bernstein."
        )
        raise FitError(msg)
