"""Minimising a compiled likelihood: many fits at once, with bounds, from analytic derivatives.

A damped Newton method with the likelihood's own (never indefinite) Hessian converges in a handful of steps
for what HistFactory can express. A fit that does not is given to MINUIT's Migrad, from several starting
points, and if that fails too an error is raised: a failed fit is never a number.
"""

from __future__ import annotations

__all__ = ["Minimum", "minimise"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# the estimated distance to the minimum, in units of the negative log-likelihood, at which a fit is done
TOLERANCE = 1e-10
_STEPS = 100
_STARTS = 4
# floats held at once by the Jacobians of a batch
_BUDGET = 20_000_000


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where fits ended.

    Attributes
    ----------
    values : numpy.ndarray
        Parameters, shape (parameters, batch).
    nll : numpy.ndarray
        The likelihood's `nll` there, shape (batch,).
    converged : numpy.ndarray
        Shape (batch,).
    retried : int
        How many fits needed Migrad.
    """

    values: Floats
    nll: Floats
    converged: Flags
    retried: int = 0


def minimise(
    likelihood: Likelihood,
    data: Floats,
    *,
    start: Floats | None = None,
    fixed: Flags | None = None,
    lower: Floats | None = None,
    upper: Floats | None = None,
    strict: bool = True,
) -> Minimum:
    """Fit a batch of data sets, each from its own starting point.

    Parameters
    ----------
    likelihood
        The compiled model.
    data
        Main and auxiliary data, shape (bins + auxiliary, batch).
    start
        Shape (parameters, batch or 1); fixed parameters keep these values. Without it the model's initial
        values.
    fixed, lower, upper
        Shape (parameters,); without them the model's.
    strict
        Whether a fit that fails raises; otherwise it is marked.

    Raises
    ------
    FitError
        If a fit does not converge from any of its starting points.
    """
    batch = data.shape[1]
    fixed = likelihood.fixed if fixed is None else fixed
    lower = likelihood.lower if lower is None else lower
    upper = likelihood.upper if upper is None else upper
    begin = likelihood.inits[:, None] if start is None else start
    theta = np.array(np.broadcast_to(begin, (len(likelihood.labels), batch)))
    free = ~fixed
    theta[free] = np.clip(theta[free], lower[free, None], upper[free, None])
    chosen = np.flatnonzero(free)
    space = _Space(chosen, lower[chosen, None], upper[chosen, None])
    size = max(1, _BUDGET // (max(1, likelihood.bins) * len(likelihood.labels) * 2))
    parts = [
        _newton(likelihood, data[:, low : low + size], theta[:, low : low + size], space)
        for low in range(0, batch, size)
    ]
    values = np.concatenate([part.values for part in parts], axis=1)
    nll = np.concatenate([part.nll for part in parts])
    converged = np.concatenate([part.converged for part in parts])
    failed = np.flatnonzero(~converged)
    for index in failed:
        found = _migrad(likelihood, data[:, index], (values[:, index], theta[:, index]), space)
        if found is None:
            if strict:
                names = [label for label, open_ in zip(likelihood.labels, free, strict=True) if open_]
                msg = (
                    f"The fit of {len(names)} parameters did not converge from {_STARTS} starting points; "
                    "look for "
                    "bins without background, or parameters that the data don't constrain."
                )
                raise FitError(msg)
            continue
        values[:, index], nll[index], converged[index] = found[0], found[1], True
    return Minimum(values, nll, converged, len(failed))


@dataclass(frozen=True, slots=True)
class _Space:
    """The free parameters and their bounds, shapes (free,) and (free, 1)."""

    chosen: NDArray[np.intp]
    low: Floats
    high: Floats


def _newton(likelihood: Likelihood, data: Floats, start: Floats, space: _Space) -> Minimum:
    theta = start.copy()
    batch = theta.shape[1]
    chosen = space.chosen
    converged = np.zeros(batch, dtype=bool)
    damping = np.zeros(batch)
    active = np.arange(batch)
    value, gradient, hessian = _derivatives(likelihood, theta, data, chosen)
    for _ in range(_STEPS):
        here = theta[chosen[:, None], active]
        step, distance = _step(space, here, gradient[:, active], hessian[active], damping[active])
        done = (distance < TOLERANCE) & (damping[active] < 1e-3)
        trial = theta[:, active]
        trial[chosen] = np.clip(here + step, space.low, space.high)
        new = _derivatives(likelihood, trial, data[:, active], chosen)
        # at the minimum rounding decides the sign of the difference
        better = new[0] <= value[active] + 1e-13 * (1 + np.abs(value[active]))
        good, bad = active[better], active[~better]
        theta[:, good] = trial[:, better]
        value[good], gradient[:, good], hessian[good] = new[0][better], new[1][:, better], new[2][better]
        damping[good] = np.where(damping[good] < 1e-4, 0, damping[good] / 8)
        damping[bad] = np.maximum(damping[bad] * 4, 1e-2)
        converged[active[done]] = True
        active = active[~done & (damping[active] < 1e12)]
        if len(active) == 0:
            break
    return Minimum(theta, value, converged & np.isfinite(value))


def _derivatives(
    likelihood: Likelihood, theta: Floats, data: Floats, chosen: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats]:
    value, gradient, hessian = likelihood.derivatives(theta, data)
    if len(chosen) < len(theta):
        gradient, hessian = gradient[chosen], hessian[:, chosen[:, None], chosen]
    return value, gradient, hessian


def _step(space: _Space, here: Floats, gradient: Floats, hessian: Floats, damping: Floats) -> tuple[Floats, Floats]:
    """Return the damped Newton step inside the bounds, and the expected decrease it promises."""
    low, high = space.low, space.high
    slack = 1e-12 * (1 + np.abs(here))
    held = ((here <= low + slack) & (gradient > 0)) | ((here >= high - slack) & (gradient < 0))
    size = here.shape[0]
    index = np.arange(size)
    diagonal = hessian[:, index, index] * (1 + damping[:, None]) + 1e-12
    hessian = hessian.copy()
    hessian[:, index, index] = diagonal
    moving = (~held).T
    step = np.zeros_like(here)
    # a parameter that a step would carry over its bound is put on it, and the others solve again
    for _ in range(3):
        mask = moving[:, :, None] & moving[:, None, :]
        matrix = np.where(mask, hessian, 0.0)
        matrix[:, index, index] += np.where(moving, 0.0, 1.0)
        pinned = np.where(moving.T, 0.0, step)
        right = -(gradient + np.einsum("bij,jb->ib", hessian, pinned))
        right = np.where(moving.T, right, 0.0).T
        try:
            solved = np.linalg.solve(matrix, right[:, :, None])[:, :, 0].T
        except np.linalg.LinAlgError:
            solved = right.T / np.maximum(diagonal.T, 1e-12)
        proposal = np.where(moving.T, solved, pinned)
        clipped = np.clip(proposal, low - here, high - here)
        over = (clipped != proposal) & moving.T
        step = clipped
        if not over.any():
            break
        moving &= ~over.T
    free_gradient = np.where(held, 0.0, gradient)
    distance = -np.sum(free_gradient * step, axis=0) / 2
    return step, np.abs(distance)


def _migrad(
    likelihood: Likelihood, data: Floats, starts: tuple[Floats, Floats], space: _Space
) -> tuple[Floats, float] | None:
    """Fit one data set with MINUIT, from where the Newton steps ended, the start, and points around it."""
    import iminuit

    chosen, low, high = space.chosen, space.low[:, 0], space.high[:, 0]
    reached, start = starts
    column = data[:, None]

    def expand(values: Floats) -> Floats:
        theta = start.copy()
        theta[chosen] = values
        return theta[:, None]

    def cost(values: Floats) -> float:
        return float(likelihood.nll(expand(values), column)[0])

    def slope(values: Floats) -> Floats:
        return np.asarray(likelihood.gradient(expand(values), column)[chosen, 0])

    rng = np.random.default_rng(0)
    width = np.minimum(high - low, 1.0)
    shaken = [start[chosen] + 0.3 * width * rng.uniform(-1, 1, len(chosen)) for _ in range(_STARTS - 2)]
    for values in (reached[chosen], start[chosen], *shaken):
        if not np.all(np.isfinite(values)):
            continue
        minuit = iminuit.Minuit(cost, np.clip(values, low, high), grad=slope)
        minuit.errordef = iminuit.Minuit.LIKELIHOOD
        minuit.limits = list(zip(low, high, strict=True))
        minuit.tol = 1e-3
        minuit.migrad(ncall=20_000)
        if minuit.valid and minuit.fval is not None:
            return expand(np.asarray(minuit.values))[:, 0], float(minuit.fval)
    return None
