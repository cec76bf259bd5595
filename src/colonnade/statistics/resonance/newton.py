"""Newton's method on many small problems at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_TOLERANCE = 1e-9
_STEPS = 100


class Objective(Protocol):
    """A function of (rows, parameters), one independent problem a row."""

    def value(self, parameters: Array, rows: NDArray[np.intp]) -> Array:
        """Values, shape (rows,); infinite where the function is not defined."""

    def derivatives(self, parameters: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        """Gradients (rows, parameters) and Hessians (rows, parameters, parameters)."""


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
