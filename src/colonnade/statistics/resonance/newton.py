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

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.resonance.backgrounds import Bends

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
CostName = Literal["poisson", "poisson_mc", "chi2"]
_TOLERANCE = 1e-9
_STEPS = 100


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


class Objective(ABC):
    """The cost of expected contents, one spectrum a row; parameters have the shape (rows, parameters)."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs

    @abstractmethod
    def content(self, parameters: Array, rows: Rows) -> Array:
        """Return the expected contents of rows, shape (rows, bins)."""

    @abstractmethod
    def expect(self, parameters: Array, rows: Rows) -> tuple[Array, Array, Bends]:
        """Return contents, their gradient of shape (rows, bins, parameters), and what gives their curvature.

        The latter takes a slope of shape (rows, bins), and sums it times the second derivatives over the bins: the
        square block of the first parameters of which any derivative is not 0, shape (rows, some, some).
        """

    def value(self, parameters: Array, rows: Rows) -> Array:
        """Return the cost of each row, shape (rows,); infinite where it is not defined."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._costs.value(self.content(parameters, rows), rows)

    def derivatives(self, parameters: Array, rows: Rows) -> tuple[Array, Array]:
        """Return gradients (rows, parameters) and Hessians (rows, parameters, parameters)."""
        content, gradient, bends = self.expect(parameters, rows)
        first, second = self._costs.slopes(content, rows)
        hessian = np.matmul(gradient.transpose(0, 2, 1), gradient * second[..., None])
        curvature = bends(first)
        some = curvature.shape[-1]
        hessian[:, :some, :some] += curvature
        return np.matmul(first[:, None, :], gradient)[:, 0], hessian


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where each problem has its minimum.

    Attributes
    ----------
    parameters : array of shape (rows, parameters)
        Best values; meaningless where not converged.
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


def minimise(
    objective: Objective, start: Array, lower: Array | float = -np.inf, upper: Array | float = np.inf
) -> Minimum:
    """Minimise every row, by damped Newton steps with the exact Hessian.

    Levenberg's and Marquardt's damping (D. Marquardt, SIAM J. Appl. Math. 11 (1963) 431): a step that does
    not lower the function is refused and the damping raised; a limit holds a parameter by projection
    (D. Bertsekas, SIAM J. Control Optim. 20 (1982) 221). Finished rows leave the work.

    Parameters
    ----------
    objective
        The function.
    start : array of shape (rows, parameters)
        Where to begin; the function must be finite there.
    lower, upper : array of shape (parameters,) or (rows, parameters), optional
        Limits of the parameters, infinite where there is none.
    """
    rows, count = start.shape
    low, high = np.broadcast_to(lower, start.shape), np.broadcast_to(upper, start.shape)
    parameters = np.clip(start, low, high)
    every = np.arange(rows)
    value = objective.value(parameters, every)
    gradient, hessian = np.zeros((rows, count)), np.zeros((rows, count, count))
    held = np.zeros((rows, count), dtype=np.bool_)
    distance = np.full(rows, np.inf)
    positive = np.zeros(rows, dtype=np.bool_)
    damping = np.zeros(rows)
    active = every[np.isfinite(value)]
    stale = active
    diagonal = np.arange(count)
    for taken in range(_STEPS + 1):
        if stale.size:
            gradient[stale], hessian[stale] = objective.derivatives(parameters[stale], stale)
            held[stale] = (parameters[stale] <= low[stale]) & (gradient[stale] > 0)
            held[stale] |= (parameters[stale] >= high[stale]) & (gradient[stale] < 0)
        bent = _freeze(hessian[active], held[active])
        slope = np.where(held[active], 0.0, gradient[active])
        if stale.size or taken == 0:
            positive[active] = _positive_definite(bent)
        plain = _solve(bent, slope)
        distance[active] = np.where(positive[active], 0.5 * (slope * plain).sum(axis=1), np.inf)
        done = np.abs(distance[active]) < _TOLERANCE
        active, bent, slope, plain = active[~done], bent[~done], slope[~done], plain[~done]
        if not active.size or taken == _STEPS:
            break
        damping[active] = np.where(positive[active], damping[active], np.maximum(damping[active], 1e-2))
        raised = bent.copy()
        size = np.abs(bent[:, diagonal, diagonal])
        size = np.maximum(size, 1e-12 * size.max(axis=1, keepdims=True) + 1e-300)
        raised[:, diagonal, diagonal] += damping[active][:, None] * size
        step = np.where((damping[active] > 0)[:, None], _solve(raised, slope), plain)
        trial = np.clip(parameters[active] - step, low[active], high[active])
        trial_value = objective.value(trial, active)
        downhill = (slope * (parameters[active] - trial)).sum(axis=1) > 0
        # near the minimum the change is below the rounding of the value: judge the step by its size instead
        rounding = 1e-13 * (1 + np.abs(value[active])) * 64
        better = (trial_value <= value[active] + np.where(distance[active] < 1e-6, rounding, 0)) & downhill
        accepted = active[better]
        parameters[accepted] = trial[better]
        value[accepted] = trial_value[better]
        stale = accepted
        damping[accepted] = np.where(damping[accepted] > 1e-6, damping[accepted] / 10, 0.0)
        refused = active[~better]
        damping[refused] = np.maximum(10 * damping[refused], 1e-3)
        active = active[damping[active] < 1e14]
    converged = np.isfinite(value) & positive & (np.abs(distance) < _TOLERANCE)
    return Minimum(parameters, value, hessian, converged, held & converged[:, None])


def _freeze(hessian: Array, held: NDArray[np.bool_]) -> Array:
    """Replace the rows and columns of held parameters by those of the identity."""
    if not held.any():
        return hessian
    free = ~held
    frozen = np.where(free[:, :, None] & free[:, None, :], hessian, 0.0)
    index = np.arange(held.shape[1])
    frozen[:, index, index] = np.where(held, 1.0, frozen[:, index, index])
    return frozen


def _solve(matrices: Array, vectors: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(matrices, vectors[..., None])[..., 0])
    except np.linalg.LinAlgError:
        # one exactly singular matrix refuses the whole batch
        return np.asarray((np.linalg.pinv(matrices) @ vectors[..., None])[..., 0])


def _positive_definite(matrices: Array) -> NDArray[np.bool_]:
    """Whether each matrix is positive definite, by the pivots of its elimination (Sylvester's criterion)."""
    rest = matrices.copy()
    positive = np.ones(len(rest), dtype=np.bool_)
    count = rest.shape[1]
    for index in range(count):
        pivot = rest[:, index, index]
        positive &= pivot > 0
        safe = np.where(pivot > 0, pivot, 1.0)
        rest = rest - rest[:, :, index, None] * rest[:, None, index, :] / safe[:, None, None]
    return positive
