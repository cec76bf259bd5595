"""Fits of many spectra at once, one a row: vectorised Newton steps on the exact binned cost.

The fits of one spectrum in `colonnade.statistics.resonance.fits` are the first row of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import FitError
from colonnade.statistics.resonance.backgrounds import BackgroundTable, Bends
from colonnade.statistics.resonance.newton import CostName, Costs, Minimum, Objective, Rows, minimise

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
    both : BackgroundFits
        The fits with signal, whose size is the last parameter; `content` is the background alone.
    """

    background: BackgroundFits
    both: BackgroundFits


class _Background(Objective):
    """A background shape and, where there is a template (rows, bins), a signal of free size as the last parameter."""

    def __init__(self, costs: Costs, table: BackgroundTable, template: Array | None = None) -> None:
        super().__init__(costs)
        self._table, self._template = table, template

    def content(self, parameters: Array, rows: Rows) -> Array:
        count = self._table.parameters
        content = self._table.content(parameters[:, :count])
        return content if self._template is None else content + parameters[:, count:] * self._template[rows]

    def expect(self, parameters: Array, rows: Rows) -> tuple[Array, Array, Bends]:
        count = self._table.parameters
        content, gradient, bends = self._table.expect(parameters[:, :count])
        if self._template is not None:
            template = self._template[rows]
            content = content + parameters[:, count:] * template
            gradient = np.concatenate([gradient, template[..., None]], axis=2)
        return content, gradient, bends


class _Signal(Objective):
    """A signal of free size on a background that is known: contents and templates of shape (rows, bins)."""

    def __init__(self, costs: Costs, background: Array, template: Array) -> None:
        super().__init__(costs)
        self._background, self._template = background, template

    def content(self, parameters: Array, rows: Rows) -> Array:
        return self._background[rows] + parameters * self._template[rows]

    def expect(self, parameters: Array, rows: Rows) -> tuple[Array, Array, Bends]:
        gradient = self._template[rows][..., None]
        return self.content(parameters, rows), gradient, lambda slope: np.zeros((len(slope), 0, 0))


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
        See `colonnade.statistics.resonance.newton`.

    Raises
    ------
    FitError
        If there are fewer fitted bins than parameters.
    """
    costs = _costs(counts, cost, variances, used)
    _check_bins(table, costs, table.parameters)
    start = table.start(np.maximum(costs.counts, 0.0), costs.used)
    found = minimise(_Background(costs, table), start, _limits(table, signal=False))
    return _background(table, costs, found, found.converged)


def fit_signals(
    counts: ArrayLike,
    background: ArrayLike,
    template: ArrayLike,
    *,
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
    cost, variances
        As for `fit_backgrounds`.
    """
    costs = _costs(counts, cost, variances)
    content = np.broadcast_to(np.asarray(background, dtype=np.float64), costs.counts.shape)
    parts = np.broadcast_to(np.asarray(template, dtype=np.float64), costs.counts.shape)
    good = np.asarray(np.isfinite(content).all(axis=1), dtype=np.bool_)
    content = np.where(good[:, None], content, 1.0)
    if cost == "chi2":
        lower: Array | float = -np.inf
    else:
        # a more negative signal would make some bin's expectation negative
        with np.errstate(divide="ignore"):
            reach = np.where(parts > 0, content / np.where(parts > 0, parts, 1.0), np.inf)
        lower = -reach.min(axis=1, keepdims=True) * (1 - 1e-12)
    found = minimise(_Signal(costs, content, parts), np.zeros((len(parts), 1)), lower)
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
    costs = _costs(counts, cost, variances)
    _check_bins(table, costs, table.parameters + 1)
    alone = background or fit_backgrounds(table, counts, cost=cost, variances=variances)
    parts = np.broadcast_to(np.asarray(template, dtype=np.float64), costs.counts.shape)
    guess = table.start(np.maximum(costs.counts, 0.0), costs.used)
    begin = np.where(alone.converged[:, None], alone.coefficients, guess)
    start = np.concatenate([begin, np.zeros((len(parts), 1))], axis=1)
    found = minimise(_Background(costs, table, parts), start, _limits(table, signal=True))
    # the comparison needs both
    converged = found.converged & alone.converged
    both = _background(table, costs, found, converged)
    return BumpFits(
        both.coefficients[:, -1],
        np.sqrt(both.covariance[:, -1, -1]),
        both.value,
        _known(alone.value, converged),
        both.bins,
        converged,
        np.zeros(len(parts), dtype=np.bool_),
        alone,
        both,
    )


def _costs(
    counts: ArrayLike, cost: CostName, variances: ArrayLike | None, used: NDArray[np.bool_] | None = None
) -> Costs:
    values = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    square = None if variances is None else np.atleast_2d(np.asarray(variances, dtype=np.float64))
    return Costs(cost, values, square, used)


def _check_bins(table: BackgroundTable, costs: Costs, parameters: int) -> None:
    if costs.counts.shape[1] != table.bins:
        msg = f"the spectra have {costs.counts.shape[1]} bins and the background shape was tabulated on {table.bins}."
        raise FitError(msg)
    costs.check_bins(parameters, table.shape.label)


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
