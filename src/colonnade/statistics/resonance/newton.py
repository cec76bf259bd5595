"""Costs of binned spectra, and Newton's method on many of them at once.

A fit minimises one of three costs, which are of the size of a chi-squared:

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
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.counts import deviance
from colonnade.statistics.resonance.backgrounds import Bends

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
CostName = Literal["poisson", "poisson_mc", "chi2"]
_TOLERANCE = 1e-9
_STEPS = 100
# added to the diagonal of a Hessian in units of it, so that none is exactly singular
_RIDGE = 1e-14


class Costs:
    """The cost of many spectra with the same bins.

    Parameters
    ----------
    name
        Which cost.
    counts : array of shape (rows, bins) or (bins,)
        Contents.
    variances : array of the shape of the counts, optional
        Sums of squared weights; needed by `poisson_mc` and `chi2`.
    used : array of shape (bins,), optional
        Which bins count; all where left out.
    """

    def __init__(
        self,
        name: CostName,
        counts: ArrayLike,
        variances: ArrayLike | None = None,
        used: NDArray[np.bool_] | None = None,
    ) -> None:
        costs = get_args(CostName)
        if name not in costs:
            msg = f"there is no cost {name!r}{nearest(name, costs)}; there are {', '.join(costs)}."
            raise ConfigError(msg)
        self.name = name
        self.counts = np.atleast_2d(np.asarray(counts, dtype=np.float64))
        self.used = np.ones(self.counts.shape[1], dtype=np.bool_) if used is None else used
        factor = np.ones(self.counts.shape)
        if name != "poisson":
            if variances is None:
                msg = f"the cost {name} needs the sum of squared weights of each bin."
                raise FitError(msg)
            squares = np.atleast_2d(np.asarray(variances, dtype=np.float64))
            known = (squares > 0) & self.used
            factor = np.where(known, 1.0 if name == "chi2" else np.abs(self.counts), 0.0)
            factor /= np.where(known, squares, 1.0)
            if name == "poisson_mc":
                # as iminuit does: an empty bin is worth as much as the typical one
                typical = [np.median(row[each]) if each.any() else 1.0 for row, each in zip(factor, known, strict=True)]
                factor = np.where(known, factor, np.array(typical)[:, None])
        self.factor = np.where(self.used, factor, 0.0)
        self.bins_used = (self.factor != 0).sum(axis=1) if name == "chi2" else np.full(len(factor), self.used.sum())

    def value(self, content: Array, rows: Rows | slice = slice(None)) -> Array:
        """Cost of each row, shape (rows,); infinite where an expectation is not above 0."""
        counts, factor = self.counts[rows], self.factor[rows]
        if self.name == "chi2":
            return np.asarray((factor * (counts - content) ** 2).sum(axis=1))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            each = deviance(counts, content)
            if (counts < 0).any():
                # the n ln n of a negative sum is left out, which keeps the right gradient
                each = np.where(counts < 0, content - counts - counts * np.log(content), each)
            each = np.where(content > 0, factor * each, np.inf)
            total = 2 * np.where(factor == 0, 0.0, each).sum(axis=1)
        return np.where(np.isfinite(total), total, np.inf)

    def slopes(self, content: Array, rows: Rows | slice = slice(None)) -> tuple[Array, Array]:
        """First and second derivative of each bin's cost by its expectation, both (rows, bins)."""
        counts, factor = self.counts[rows], self.factor[rows]
        if self.name == "chi2":
            return 2 * factor * (content - counts), 2 * factor
        safe = np.where(factor == 0, 1.0, content)
        return 2 * factor * (1 - counts / safe), 2 * factor * counts / safe**2

    def derivatives(self, expected: tuple[Array, Array, Bends], rows: Rows) -> tuple[Array, Array, Array]:
        """Return values, gradients and Hessians of expected contents.

        Parameters
        ----------
        expected
            Contents (rows, bins), their gradients (rows, bins, parameters), and what gives their curvature: it takes a
            slope of shape (rows, bins), and sums it times the second derivatives over the bins: the square block of the
            first parameters of which any derivative is not 0, shape (rows, some, some).
        rows
            Which spectra.

        Returns
        -------
        value, gradient, hessian
            Of shape (rows,), (rows, parameters) and (rows, parameters, parameters).
        """
        content, gradient, bends = expected
        first, second = self.slopes(content, rows)
        hessian = np.matmul(gradient.transpose(0, 2, 1), gradient * second[..., None])
        curvature = bends(first)
        some = curvature.shape[-1]
        hessian[:, :some, :some] += curvature
        return self.value(content, rows), np.matmul(first[:, None, :], gradient)[:, 0], hessian

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
class Minimum:
    """Where each of many functions has its minimum; NaN where it was not found.

    Attributes
    ----------
    parameters : array of shape (rows, parameters)
        Best values.
    value : array of shape (rows,)
        The function there.
    hessian : array of shape (rows, parameters, parameters)
        Second derivatives there.
    converged : array of shape (rows,)
        Whether the Hessian is positive definite and the estimated vertical distance to the minimum, g H^-1 g / 2 over
        the free parameters, is below 1e-9. The function is of the size of a chi-squared, so this puts a parameter
        within 3e-5 of its error.
    at_limit : array of shape (rows, parameters)
        Parameters held at a limit.
    """

    parameters: Array
    value: Array
    hessian: Array
    converged: NDArray[np.bool_]
    at_limit: NDArray[np.bool_]

    @property
    def covariance(self) -> Array:
        """Twice the inverse Hessian, shape (rows, parameters, parameters); parameters at a limit have no error."""
        free = ~self.at_limit[:, :, None] & ~self.at_limit[:, None, :]
        found = self.converged[:, None, None]
        hessian = np.where(free & found, self.hessian, np.eye(free.shape[1]))
        return np.where(found, np.where(free, 2 * np.linalg.inv(hessian), 0.0), np.nan)


def minimise(
    function: Callable[[Array, Rows], tuple[Array, Array, Array]],
    start: Array,
    lower: Array | float = -np.inf,
    upper: Array | float = np.inf,
) -> Minimum:
    """Minimise many functions, one a row, by damped Newton steps with the exact Hessian.

    Levenberg's and Marquardt's damping (D. Marquardt, SIAM J. Appl. Math. 11 (1963) 431): a step that does
    not lower the function is refused and the damping raised; a limit holds a parameter by projection
    (D. Bertsekas, SIAM J. Control Optim. 20 (1982) 221). Finished rows leave the work.

    Parameters
    ----------
    function
        Takes parameters of some rows, shape (rows, parameters), and the rows' numbers, and gives values, gradients and
        Hessians as `Costs.derivatives` does.
    start : array of shape (rows, parameters)
        Where to begin; a row whose function is not finite there does not converge.
    lower, upper : array of shape (parameters,) or (rows, parameters), optional
        Limits of the parameters, infinite where there is none.
    """
    low, high = np.broadcast_to(lower, start.shape), np.broadcast_to(upper, start.shape)
    parameters = np.clip(start, low, high)
    active = np.arange(len(start))
    damping = np.zeros(len(start))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value, gradient, hessian = function(parameters, active)
        for _ in range(_STEPS):
            active = active[np.isfinite(value[active]) & np.isfinite(hessian[active]).all(axis=(1, 2))]
            here, held = parameters[active], _held(parameters[active], gradient[active], low[active], high[active])
            slope = np.where(held, 0.0, gradient[active])
            scaled, unit = _scaled(hessian[active], held)
            raised = scaled + (damping[active][:, None, None] + _RIDGE) * np.eye(start.shape[1])
            step = np.linalg.solve(raised, (slope / unit)[..., None])[..., 0] / unit
            distance = np.abs(0.5 * (slope * step).sum(axis=1))
            going = (distance > _TOLERANCE) | (damping[active] > 0)
            if not going.any():
                break
            active, here, slope, step, distance = (each[going] for each in (active, here, slope, step, distance))
            trial = np.clip(here - step, low[active], high[active])
            found = function(trial, active)
            downhill = (slope * (here - trial)).sum(axis=1) > 0
            # near the minimum the change is below the rounding of the value: judge the step by its size instead
            rounding = np.where(distance < 1e-6, 1e-13 * (1 + np.abs(value[active])) * 64, 0.0)
            better = (found[0] <= value[active] + rounding) & downhill
            accepted, refused = active[better], active[~better]
            for known, new in zip((parameters, value, gradient, hessian), (trial, *found), strict=True):
                known[accepted] = new[better]
            damping[accepted] = np.where(damping[accepted] > 1e-6, damping[accepted] / 10, 0.0)
            damping[refused] = np.maximum(10 * damping[refused], 1e-3)
            active = active[damping[active] < 1e14]
    held = _held(parameters, gradient, low, high)
    finite = np.isfinite(value) & np.isfinite(hessian).all(axis=(1, 2))
    scaled, unit = _scaled(np.where(finite[:, None, None], hessian, 0.0), held)
    curvature, along = np.linalg.eigh(scaled)
    slope = np.where(held | ~finite[:, None], 0.0, gradient / unit)
    # the estimate with the full precision of the Hessian, which may differ in its last digits
    distance = 0.5 * (np.matmul(slope[:, None, :], along)[:, 0] ** 2 / np.maximum(curvature, _RIDGE)).sum(axis=1)
    converged = finite & (curvature[:, 0] > _RIDGE) & (distance < 2 * _TOLERANCE)
    return Minimum(
        np.where(converged[:, None], parameters, np.nan),
        np.where(converged, value, np.nan),
        np.where(converged[:, None, None], hessian, np.nan),
        converged,
        held & converged[:, None],
    )


def _held(parameters: Array, gradient: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """Which parameters are at a limit that the function pushes them against."""
    return np.asarray(((parameters <= low) & (gradient > 0)) | ((parameters >= high) & (gradient < 0)))


def _scaled(hessian: Array, held: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return Hessians in units of their diagonals, and the units; held parameters have the identity's rows and columns.

    The units are of shape (rows, parameters).
    """
    size = np.abs(np.diagonal(hessian, axis1=1, axis2=2))
    unit = np.sqrt(np.maximum(size, 1e-12 * size.max(axis=1, keepdims=True) + 1e-300))
    free = ~held[:, :, None] & ~held[:, None, :]
    return np.where(free, hessian / (unit[:, :, None] * unit[:, None, :]), np.eye(held.shape[1])), unit
