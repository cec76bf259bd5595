"""Fits of many spectra at once, one a row: vectorised Newton steps on the exact binned cost.

The fits of one spectrum in `colonnade.statistics.resonance.fits` are the first row of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import FitError
from colonnade.statistics.resonance.costs import CostName, Costs
from colonnade.statistics.resonance.newton import Minimum, minimise
from colonnade.statistics.resonance.table import BackgroundTable

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BackgroundFits:
    """Background-only fits, one a row.

    Attributes
    ----------
    coefficients : array of shape (rows, parameters)
        Internal coefficients, NaN where not converged.
    covariance : array of shape (rows, parameters, parameters)
        Their covariance.
    content : array of shape (rows, bins)
        Expected events in every bin, the blinded ones included.
    value : array of shape (rows,)
        Cost at the minimum.
    bins : array of shape (rows,)
        Number of bins that the cost counts.
    converged : array of shape (rows,)
        Which fits converged.
    """

    coefficients: Array
    covariance: Array
    content: Array
    value: Array
    bins: NDArray[np.intp]
    converged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SignalFits:
    """Fits of the signal's size on a background that is known, one a row.

    Attributes
    ----------
    signal, error : array of shape (rows,)
        Number of signal events in the range, and its error from the curvature; NaN where not converged.
    value, value_without : array of shape (rows,)
        Cost at the minimum, and with no signal.
    bins : array of shape (rows,)
        Number of bins that the cost counts.
    converged, at_limit : array of shape (rows,)
        Which fits converged, and which of these at the most negative signal that leaves every bin's
        expectation 0 or more.
    """

    signal: Array
    error: Array
    value: Array
    value_without: Array
    bins: NDArray[np.intp]
    converged: NDArray[np.bool_]
    at_limit: NDArray[np.bool_]

    @property
    def q(self) -> Array:
        """Cost without signal minus cost with it, shape (rows,)."""
        return np.maximum(self.value_without - self.value, 0.0)

    @property
    def z(self) -> Array:
        """Signed square root of q: the significance by Wilks' theorem, negative for a deficit."""
        return np.sign(self.signal) * np.sqrt(self.q)


@dataclass(frozen=True, eq=False)
class BumpFits(SignalFits):
    """Signal-plus-background fits with the background free, and background-only fits to compare with.

    Attributes
    ----------
    background : BackgroundFits
        Background-only fits.
    coefficients : array of shape (rows, parameters)
        The background's coefficients in the fit with signal.
    covariance : array of shape (rows, parameters + 1, parameters + 1)
        Covariance of these and the signal (last).
    content : array of shape (rows, bins)
        Expected background in the fit with signal.
    """

    background: BackgroundFits
    coefficients: Array
    covariance: Array
    content: Array


class _BackgroundObjective:
    """Cost of a background shape, with or without a signal template."""

    def __init__(self, table: BackgroundTable, costs: Costs, template: Array | None = None) -> None:
        self._table, self._costs, self._template = table, costs, template

    def _signal(self, parameters: Array, rows: NDArray[np.intp]) -> tuple[Array, Array | None]:
        count = self._table.parameters
        if self._template is None:
            return parameters, None
        template = self._template if self._template.ndim == 1 else self._template[rows]
        return parameters[:, :count], parameters[:, count:] * template

    def value(self, parameters: Array, rows: NDArray[np.intp]) -> Array:
        coefficients, signal = self._signal(parameters, rows)
        with np.errstate(over="ignore", invalid="ignore"):
            content = self._table.content(coefficients)
            return self._costs.value(content if signal is None else content + signal, rows)

    def derivatives(self, parameters: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        coefficients, signal = self._signal(parameters, rows)
        expected = self._table.expect(coefficients)
        content = expected.content if signal is None else expected.content + signal
        first, second = self._costs.slopes(content, rows)
        gradient = expected.gradient
        if self._template is not None:
            template = self._template if self._template.ndim == 1 else self._template[rows]
            extra = np.broadcast_to(template, content.shape)[..., None]
            gradient = np.concatenate([gradient, extra], axis=2)
        weighted = gradient * second[..., None]
        hessian = np.matmul(gradient.transpose(0, 2, 1), weighted)
        count = self._table.parameters
        hessian[:, :count, :count] += self._table.curvature(expected, first)
        return np.matmul(first[:, None, :], gradient)[:, 0], hessian


class _SignalObjective:
    """Cost of a signal template on a fixed background."""

    def __init__(self, costs: Costs, content: Array, template: Array) -> None:
        self._costs, self._content, self._template = costs, content, template

    def value(self, parameters: Array, rows: NDArray[np.intp]) -> Array:
        return self._costs.value(self._content[rows] + parameters * self._template[rows], rows)

    def derivatives(self, parameters: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        template = self._template[rows]
        first, second = self._costs.slopes(self._content[rows] + parameters * template, rows)
        gradient = (first * template).sum(axis=1)
        hessian = (second * template**2).sum(axis=1)
        return gradient[:, None], hessian[:, None, None]


def fit_backgrounds(
    table: BackgroundTable,
    counts: ArrayLike,
    *,
    used: NDArray[np.bool_] | None = None,
    cost: CostName = "poisson",
    variances: ArrayLike | None = None,
) -> BackgroundFits:
    """Fit a background shape to each row.

    Parameters
    ----------
    table
        The shape on the bins.
    counts : array of shape (rows, bins)
        Contents.
    used : array of shape (bins,), optional
        Which bins are fitted: the sidebands, say. The shape is normalised on all bins.
    cost, variances
        See `colonnade.statistics.resonance.costs`.

    Raises
    ------
    FitError
        If there are fewer fitted bins than parameters.
    """
    values, costs = _prepare(table, counts, cost, variances, parameters=table.parameters, used=used)
    start = table.start(np.maximum(values, 0.0), costs.used)
    found = minimise(_BackgroundObjective(table, costs), start, _limits(table, signal=False))
    return _background(table, costs, found, found.converged)


def fit_signals(
    counts: ArrayLike,
    background: ArrayLike,
    template: ArrayLike,
    *,
    used: NDArray[np.bool_] | None = None,
    cost: CostName = "poisson",
    variances: ArrayLike | None = None,
) -> SignalFits:
    """Fit the size of a signal in each row, the background being held where it is.

    Parameters
    ----------
    counts : array of shape (rows, bins)
        Contents.
    background : array of shape (rows, bins) or (bins,)
        Expected background; a row of NaN gives a fit that is not converged.
    template : array of shape (bins,) or (rows, bins)
        Part of the signal in each bin.
    used, cost, variances
        As for `fit_backgrounds`.
    """
    values = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    square = None if variances is None else np.atleast_2d(np.asarray(variances, dtype=np.float64))
    costs = Costs(cost, values, square, used)
    content = np.broadcast_to(np.asarray(background, dtype=np.float64), values.shape)
    parts = np.broadcast_to(np.asarray(template, dtype=np.float64), values.shape)
    good = np.asarray(np.isfinite(content).all(axis=1), dtype=np.bool_)
    content = np.where(good[:, None], content, 1.0)
    objective = _SignalObjective(costs, content, parts)
    if cost == "chi2":
        lower: Array | float = -np.inf
    else:
        # a more negative signal would make some bin's expectation negative
        with np.errstate(divide="ignore"):
            reach = np.where((parts > 0) & costs.used, content / np.where(parts > 0, parts, 1.0), np.inf)
        lower = -reach.min(axis=1, keepdims=True) * (1 - 1e-12)
    found = minimise(objective, np.zeros((len(values), 1)), lower)
    converged = found.converged & good
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(2.0 / found.hessian[:, 0, 0])
    return SignalFits(
        _known(found.parameters[:, 0], converged),
        _known(error, converged),
        _known(found.value, converged),
        _known(costs.value(content), good),
        costs.bins_used,
        converged,
        found.at_limit[:, 0] & good,
    )


def fit_bumps(
    table: BackgroundTable,
    counts: ArrayLike,
    template: ArrayLike,
    *,
    cost: CostName = "poisson",
    variances: ArrayLike | None = None,
    background: BackgroundFits | None = None,
) -> BumpFits:
    """Fit background alone and signal plus background, all of the background free, to each row.

    Parameters
    ----------
    table, counts, cost, variances
        As for `fit_backgrounds`.
    template : array of shape (bins,) or (rows, bins)
        Part of the signal in each bin.
    background
        Background-only fits of the same rows, where they are known already.

    Raises
    ------
    FitError
        If there are fewer bins than parameters.
    """
    values, costs = _prepare(table, counts, cost, variances, parameters=table.parameters + 1)
    alone = background or fit_backgrounds(table, values, cost=cost, variances=variances)
    parts = np.asarray(template, dtype=np.float64)
    begin = np.where(alone.converged[:, None], alone.coefficients, table.start(np.maximum(values, 0.0), costs.used))
    start = np.concatenate([begin, np.zeros((len(values), 1))], axis=1)
    found = minimise(_BackgroundObjective(table, costs, parts), start, _limits(table, signal=True))
    # the comparison needs both
    converged = found.converged & alone.converged
    fits = _background(table, costs, found, converged)
    count = table.parameters
    return BumpFits(
        _known(found.parameters[:, count], converged),
        np.sqrt(fits.covariance[:, count, count]),
        fits.value,
        _known(alone.value, converged),
        costs.bins_used,
        converged,
        np.zeros(len(values), dtype=np.bool_),
        alone,
        fits.coefficients[:, :count],
        fits.covariance,
        fits.content,
    )


def _prepare(
    table: BackgroundTable,
    counts: ArrayLike,
    cost: CostName,
    variances: ArrayLike | None,
    *,
    parameters: int,
    used: NDArray[np.bool_] | None = None,
) -> tuple[Array, Costs]:
    values = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    square = None if variances is None else np.atleast_2d(np.asarray(variances, dtype=np.float64))
    if values.shape[1] != table.bins:
        msg = f"the spectra have {values.shape[1]} bins and the background shape was tabulated on {table.bins}."
        raise FitError(msg)
    costs = Costs(cost, values, square, used)
    if int(costs.used.sum()) < parameters:
        msg = (
            f"{int(costs.used.sum())} fitted bins can't determine {parameters} parameters "
            f"({table.shape.label}); use narrower bins, a wider range or a simpler shape."
        )
        raise FitError(msg)
    return values, costs


def _limits(table: BackgroundTable, *, signal: bool) -> Array | float:
    return np.array([0.0] * table.parameters + [-np.inf] * signal) if table.shape.bounded else -np.inf


def _background(table: BackgroundTable, costs: Costs, found: Minimum, good: NDArray[np.bool_]) -> BackgroundFits:
    safe = np.where(good[:, None], found.parameters, 0.0)
    content = table.content(safe[:, : table.parameters])
    return BackgroundFits(
        _known(found.parameters, good),
        covariance(found, good),
        _known(content, good),
        _known(found.value, good),
        costs.bins_used,
        good,
    )


def covariance(found: Minimum, good: NDArray[np.bool_]) -> Array:
    """Twice the inverse Hessian of each row's cost; parameters at a limit have no error, rows not good are NaN.

    Returns
    -------
    array of shape (rows, parameters, parameters)
    """
    free = ~found.at_limit
    pairs = free[:, :, None] & free[:, None, :]
    hessian = np.where(pairs & good[:, None, None], found.hessian, np.eye(free.shape[1]))
    return np.where(good[:, None, None], np.where(pairs, 2 * np.linalg.inv(hessian), 0.0), np.nan)


def _known(values: Array, good: NDArray[np.bool_]) -> Array:
    """Blank what did not converge: no fit gives a number that it does not stand for."""
    return np.where(good.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)
