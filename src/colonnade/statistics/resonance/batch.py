"""Fits of many spectra at once, one a row: vectorised Newton steps on the exact binned cost.

The fits of one spectrum in `colonnade.statistics.resonance.fits` are the first row of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import FitError
from colonnade.statistics.resonance.backgrounds import BackgroundTable, no_curvature
from colonnade.statistics.resonance.newton import CostName, Costs, Minimum, Rows, minimise

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BackgroundFits(Minimum):
    """Background-only fits, one a row; NaN where one did not converge.

    Attributes
    ----------
    content : array of shape (rows, bins)
        Expected events of background in every bin, the blinded ones included.
    bins : array of shape (rows,)
        Number of bins that the cost counts.
    """

    content: Array
    bins: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class SignalFits(BackgroundFits):
    """Fits of a signal's size, which is the last of the parameters, one a row; NaN where one did not converge.

    Attributes
    ----------
    value_without : array of shape (rows,)
        Cost at the minimum with no signal.
    """

    value_without: Array

    @property
    def signal(self) -> Array:
        """Number of signal events in the range, shape (rows,)."""
        return self.parameters[:, -1]

    @property
    def error(self) -> Array:
        """Its error from the curvature, shape (rows,); at the limit from that of the signal alone."""
        with np.errstate(divide="ignore"):
            alone = 2 / self.hessian[:, -1, -1]
        return np.sqrt(np.where(self.at_limit[:, -1], alone, self.covariance[:, -1, -1]))

    @property
    def q(self) -> Array:
        """Cost without signal minus cost with it, shape (rows,)."""
        return np.maximum(self.value_without - self.value, 0.0)

    @property
    def z(self) -> Array:
        """Signed square root of q: the significance by Wilks' theorem, negative for a deficit."""
        return np.sign(self.signal) * np.sqrt(self.q)


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
    costs = Costs(cost, counts, variances, used)
    _check_bins(table, costs, table.parameters)
    found = minimise(
        lambda parameters, rows: costs.derivatives(table.expect(parameters), rows),
        table.start(np.maximum(costs.counts, 0.0), costs.used),
        0.0 if table.shape.bounded else -np.inf,
    )
    return BackgroundFits(**vars(found), content=table.content(found.parameters), bins=costs.bins_used)


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
    costs = Costs(cost, counts, variances)
    content, parts = (
        np.broadcast_to(np.asarray(each, dtype=np.float64), costs.counts.shape) for each in (background, template)
    )
    lower: Array | float = -np.inf
    if cost != "chi2":
        # a more negative signal would make some bin's expectation negative
        reach = np.where(parts > 0, content / np.where(parts > 0, parts, 1.0), np.inf)
        lower = -reach.min(axis=1, keepdims=True) * (1 - 1e-12)

    def function(size: Array, rows: Rows) -> tuple[Array, Array, Array]:
        expected = content[rows] + size * parts[rows]
        return costs.derivatives((expected, parts[rows][..., None], no_curvature), rows)

    found = minimise(function, np.zeros((len(parts), 1)), lower)
    return SignalFits(**vars(found), content=content, bins=costs.bins_used, value_without=costs.value(content))


def fit_bumps(
    table: BackgroundTable,
    counts: ArrayLike,
    template: ArrayLike,
    *,
    cost: CostName = "poisson",
    variances: ArrayLike | None = None,
) -> SignalFits:
    """Fit background alone and signal plus background, all of the background free, to each row.

    Parameters
    ----------
    table, counts, cost, variances
        As for `fit_backgrounds`.
    template : array of shape (bins,) or (rows, bins)
        Part of the signal in each bin.

    Returns
    -------
    SignalFits
        A row converges if both of its fits do.

    Raises
    ------
    FitError
        If there are fewer bins than parameters.
    """
    costs = Costs(cost, counts, variances)
    _check_bins(table, costs, table.parameters + 1)
    alone = fit_backgrounds(table, counts, cost=cost, variances=variances)
    parts = np.broadcast_to(np.asarray(template, dtype=np.float64), costs.counts.shape)

    def function(parameters: Array, rows: Rows) -> tuple[Array, Array, Array]:
        content, gradient, bends = table.expect(parameters[:, :-1])
        expected = content + parameters[:, -1:] * parts[rows]
        return costs.derivatives((expected, np.concatenate([gradient, parts[rows][..., None]], axis=2), bends), rows)

    lower = np.full(table.parameters + 1, 0.0 if table.shape.bounded else -np.inf)
    lower[-1] = -np.inf
    found = minimise(function, np.concatenate([alone.parameters, np.zeros((len(parts), 1))], axis=1), lower)
    background = table.content(found.parameters[:, :-1])
    return SignalFits(**vars(found), content=background, bins=costs.bins_used, value_without=alone.value)


def _check_bins(table: BackgroundTable, costs: Costs, parameters: int) -> None:
    if costs.counts.shape[1] != table.bins:
        msg = f"the spectra have {costs.counts.shape[1]} bins and the background shape was tabulated on {table.bins}."
        raise FitError(msg)
    costs.check_bins(parameters, table.shape.label)
