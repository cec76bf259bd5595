"""Fits of one spectrum: the signal's shape, the background alone, and both.

Each is the first row of a fit of many (`colonnade.statistics.resonance.batch`), checked and with its errors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.resonance.backgrounds import Background, BackgroundTable
from colonnade.statistics.resonance.batch import BackgroundFits, fit_backgrounds, fit_bumps, fit_signals
from colonnade.statistics.resonance.newton import CostName, Costs, Rows, minimise
from colonnade.statistics.resonance.results import (
    BackgroundFit,
    BumpFit,
    Goodness,
    Parameter,
    SignalShapeFit,
    Significances,
    parameters,
)
from colonnade.statistics.resonance.signals import Signal
from colonnade.statistics.resonance.spectrum import Spectrum

Array = NDArray[np.float64]
# step of numerical derivatives, relative to a parameter (of the mean: to the width)
_STEP = 1e-4


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
    fits = fit_backgrounds(table, spectrum.values, used=used, cost=cost, variances=spectrum.variances)
    return _first(spectrum, cost, table, fits, f"the background {shape.label}")


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
    costs = Costs(cost, spectrum.values, spectrum.variances)
    costs.check_bins(1 + len(signal.names), type(signal).__name__)
    # a signal whose top lies outside would have no part in the range to normalise
    limits = [(0.0, np.inf), (spectrum.low, spectrum.high), *signal.limits()]
    lower, upper = np.array(limits).T
    start = np.array([[float(spectrum.values.sum()), *signal.values]])

    def fractions(values: Array) -> Array:
        # far out in the tails a part may be rounded to nothing, of which the logarithm has no derivative
        return np.maximum(signal.with_values(*values).fractions(spectrum.edges), 1e-150)

    def function(point: Array, rows: Rows) -> tuple[Array, Array, Array]:
        size, values = point[0, 0], point[0, 1:]
        widths = _STEP * np.where(np.arange(len(values)) == 0, values[1], values)
        content, slopes = fractions(values), _slopes(fractions, values, widths)
        second = np.zeros((1 + len(values), 1 + len(values), len(content)))
        second[0, 1:] = second[1:, 0] = slopes
        second[1:, 1:] = size * _slopes(lambda near: _slopes(fractions, near, widths), values, widths)
        gradient = np.concatenate([content[None], size * slopes]).T
        return costs.derivatives((size * content[None], gradient[None], lambda slope: (second @ slope[0])[None]), rows)

    found = minimise(function, start, lower, upper)
    values, spread = found.parameters[0], found.covariance[0]
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
        goodness=Goodness(chi2=float(found.value[0]), ndf=int(costs.bins_used[0]) - len(values)),
        signal=signal.with_values(*values[1:]),
        parameters=parameters(("yield", *signal.names), values, errors),
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
    if frozen is not None:
        if not np.array_equal(frozen.spectrum.edges, spectrum.edges):
            msg = f"{spectrum.name}: the frozen background was fitted on other bins; fit it on the same ones."
            raise FitError(msg)
        fits = fit_signals(spectrum.values, frozen.expected, template, cost=cost, variances=spectrum.variances)
        _check_converged(spectrum, "the signal", converged=bool(fits.converged[0]))
        alone = background = frozen
        # the frozen background's parameters were fitted too, though not to these bins alone
        goodness = Goodness(chi2=float(fits.value[0]), ndf=int(fits.bins[0]) - 1)
    else:
        alone = fit_background(spectrum, shape, cost=cost)
        fits = fit_bumps(alone.table, spectrum.values, template, cost=cost, variances=spectrum.variances)
        background = _first(spectrum, cost, alone.table, fits, f"a signal on {shape.label}")
        goodness = background.goodness
    return BumpFit(
        spectrum=spectrum,
        cost=cost,
        goodness=goodness,
        background_only=alone,
        background=background,
        signal=signal,
        window=window or signal.window(spectrum.low, spectrum.high),
        n_signal_total=Parameter(name="N_s (range)", value=float(fits.signal[0]), error=float(fits.error[0])),
        q=float(fits.q[0]),
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


def _first(
    spectrum: Spectrum, cost: CostName, table: BackgroundTable, fits: BackgroundFits, label: str
) -> BackgroundFit:
    """Return the first row of background fits, which may be with a signal as the last parameter."""
    _check_converged(spectrum, label, converged=bool(fits.converged[0]))
    count = table.parameters
    return BackgroundFit(
        spectrum=spectrum,
        cost=cost,
        goodness=Goodness(chi2=float(fits.value[0]), ndf=int(fits.bins[0]) - fits.parameters.shape[1]),
        shape=table.shape,
        coefficients=fits.parameters[0, :count],
        coefficient_covariance=fits.covariance[0, :count, :count],
    )


def _check_converged(spectrum: Spectrum, label: str, *, converged: bool) -> None:
    if not converged:
        msg = (
            f"{spectrum.name}: the fit of {label} between {spectrum.low:g} and {spectrum.high:g} did not converge "
            "(no minimum with a positive expectation in every bin); try fewer parameters, another range, wider bins "
            "or a shape that can't be negative, such as Bernstein."
        )
        raise FitError(msg)


def _slopes(function: Callable[[Array], Array], values: Array, widths: Array) -> Array:
    """Return derivatives of an array by each value, along a new first axis, by central differences."""
    pairs = zip(np.diag(widths), widths, strict=True)
    return np.array([(function(values + step) - function(values - step)) / (2 * width) for step, width in pairs])
