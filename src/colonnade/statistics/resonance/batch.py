"""Fits of many spectra at once, one a row: vectorised Newton steps on the exact binned cost.

The fits of one spectrum in `colonnade.statistics.resonance.fits` are the first row of these. Each minimises one of
three costs, which are of the size of a chi-squared:

============ ========================================== =======================================
name         cost of a bin (content n, sum w^2 v)       use it for
============ ========================================== =======================================
poisson      2 [mu - n + n ln(n / mu)]                  data, toys, expectation at a luminosity
poisson_mc   n / v times the same                       weighted events, as many as simulated
chi2         (n - mu)^2 / v                             weighted events
============ ========================================== =======================================

The first is Baker's and Cousins' likelihood ratio (NIM 221 (1984) 437), the second Bohm's and Zech's scaled
Poisson (NIM A 748 (2014) 1), both as iminuit has them; the third is Cowan's (note "Error analysis with
weighted events"). A bin with v = 0 has no weight in `chi2`: drop it here, or merge it first
(`Spectrum.merged`). In `poisson_mc` it takes the median scale of the others; in `poisson` an empty bin counts
as what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.resonance.backgrounds import BackgroundTable
from colonnade.statistics.resonance.newton import Minimum, minimise

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Bends = Callable[[Array], Array]
CostName = Literal["poisson", "poisson_mc", "chi2"]


class Costs:
    """The cost of many spectra with the same bins.

    Parameters
    ----------
    name
        Which cost.
    counts : array of shape (rows, bins)
        Contents.
    variances : array of shape (rows, bins), optional
        Sums of squared weights; needed by `poisson_mc` and `chi2`.
    used : array of shape (bins,), optional
        Which bins count; all where left out.
    """

    def __init__(
        self,
        name: CostName,
        counts: Array,
        variances: Array | None = None,
        used: NDArray[np.bool_] | None = None,
    ) -> None:
        costs = get_args(CostName)
        if name not in costs:
            msg = f"there is no cost {name!r}{nearest(name, costs)}; there are {', '.join(costs)}."
            raise ConfigError(msg)
        self.name = name
        self.counts = counts
        self.used = np.ones(counts.shape[1], dtype=np.bool_) if used is None else used
        factor = np.broadcast_to(self.used.astype(np.float64), counts.shape)
        if name != "poisson":
            if variances is None:
                msg = f"the cost {name} needs the sum of squared weights of each bin."
                raise FitError(msg)
            known = (variances > 0) & self.used
            safe = np.where(known, variances, 1.0)
            if name == "chi2":
                factor = np.where(known, 1.0 / safe, 0.0)
            else:
                scale: Array = np.where(known, np.abs(counts) / safe, np.nan)
                # as iminuit does: an empty bin is worth as much as the typical one
                filled = known.any(axis=1)
                typical = np.ones(len(counts))
                typical[filled] = np.nanmedian(scale[filled], axis=1)
                scale = np.where(np.isnan(scale), typical[:, None], scale)
                factor = np.asarray(scale * self.used, dtype=np.float64)
        self.factor = factor
        self.bins_used = (factor != 0).sum(axis=1) if name == "chi2" else np.full(len(counts), self.used.sum())

    def value(self, content: Array, rows: NDArray[np.intp] | slice = slice(None)) -> Array:
        """Cost of each row, shape (rows,); infinite where an expectation is below 0."""
        counts, factor = self.counts[rows], self.factor[rows]
        if self.name == "chi2":
            return np.asarray((factor * (counts - content) ** 2).sum(axis=1))
        filled = counts > 0
        safe = np.where(filled, counts, 1.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = content / safe - 1
            likelihood = safe * (ratio - np.log1p(ratio))
            rest = content - counts
            if (counts < 0).any():
                # the n ln n of a negative sum is left out, which keeps the right gradient
                rest = np.where(counts < 0, rest - counts * np.log(content), rest)
            each = np.where(filled, likelihood, rest)
            inside = (content > 0) | ((content == 0) & (counts == 0)) | (factor == 0)
            total = 2 * np.where(factor == 0, 0.0, factor * each).sum(axis=1)
        return np.where(inside.all(axis=1) & np.isfinite(total), total, np.inf)

    def slopes(self, content: Array, rows: NDArray[np.intp] | slice = slice(None)) -> tuple[Array, Array]:
        """First and second derivative of each bin's cost by its expectation, both (rows, bins)."""
        counts, factor = self.counts[rows], self.factor[rows]
        if self.name == "chi2":
            return 2 * factor * (content - counts), 2 * np.broadcast_to(factor, content.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(factor == 0, 0.0, counts / content)
            first = 2 * factor * (1 - ratio)
            second = 2 * factor * np.where(factor == 0, 0.0, ratio / content)
        return first, second

    def check_bins(self, parameters: int, label: str) -> None:
        """Refuse bins that are too few for any row.

        Raises
        ------
        FitError
            If there are more parameters than bins.
        """
        bins = int(self.bins_used.max(initial=0))
        if bins < parameters:
            msg = (
                f"{bins} fitted bins can't determine the {parameters} parameters of {label}; use narrower bins, a "
                "wider range or a simpler shape."
            )
            raise FitError(msg)


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


class Model(Protocol):
    """Expected contents of the bins of many fits; parameters have the shape (rows, parameters)."""

    def content(self, parameters: Array, rows: Rows) -> Array:
        """Return the contents of rows, shape (rows, bins)."""

    def expect(self, parameters: Array, rows: Rows) -> tuple[Array, Array, Bends]:
        """Return contents, their gradient of shape (rows, bins, parameters), and what gives their curvature.

        The latter takes a slope of shape (rows, bins), and sums it times the second derivatives over the bins: the
        square block of the first parameters of which any derivative is not 0, shape (rows, some, some).
        """


class Objective:
    """The cost of a model, with the exact derivatives that Newton's method needs."""

    def __init__(self, model: Model, costs: Costs) -> None:
        self._model, self._costs = model, costs

    def value(self, parameters: Array, rows: Rows) -> Array:
        """Return the cost of each row, shape (rows,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._costs.value(self._model.content(parameters, rows), rows)

    def derivatives(self, parameters: Array, rows: Rows) -> tuple[Array, Array]:
        """Return gradients (rows, parameters) and Hessians (rows, parameters, parameters)."""
        content, gradient, bends = self._model.expect(parameters, rows)
        first, second = self._costs.slopes(content, rows)
        hessian = np.matmul(gradient.transpose(0, 2, 1), gradient * second[..., None])
        curvature = bends(first)
        some = curvature.shape[-1]
        hessian[:, :some, :some] += curvature
        return np.matmul(first[:, None, :], gradient)[:, 0], hessian


class _Background:
    """A background shape and, where there is a template (rows, bins), a signal of free size as the last parameter."""

    def __init__(self, table: BackgroundTable, template: Array | None = None) -> None:
        self._table, self._template = table, template

    def content(self, parameters: Array, rows: Rows) -> Array:
        count = self._table.parameters
        content = self._table.content(parameters[:, :count])
        return content if self._template is None else content + parameters[:, count:] * self._template[rows]

    def expect(self, parameters: Array, rows: Rows) -> tuple[Array, Array, Bends]:
        count = self._table.parameters
        expected = self._table.expect(parameters[:, :count])
        content, gradient = expected.content, expected.gradient
        if self._template is not None:
            template = self._template[rows]
            content = content + parameters[:, count:] * template
            gradient = np.concatenate([gradient, template[..., None]], axis=2)
        return content, gradient, lambda slope: self._table.curvature(expected, slope)


class _Signal:
    """A signal of free size on a background that is known: contents and templates of shape (rows, bins)."""

    def __init__(self, background: Array, template: Array) -> None:
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
        See the head of this module.

    Raises
    ------
    FitError
        If there are fewer fitted bins than parameters.
    """
    costs = _costs(counts, cost, variances, used)
    _check_bins(table, costs, table.parameters)
    start = table.start(np.maximum(costs.counts, 0.0), costs.used)
    found = minimise(Objective(_Background(table), costs), start, _limits(table, signal=False))
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
    found = minimise(Objective(_Signal(content, parts), costs), np.zeros((len(parts), 1)), lower)
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
    found = minimise(Objective(_Background(table, parts), costs), start, _limits(table, signal=True))
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
