"""Newton's steps of many fits of a compiled likelihood at once, inside bounds, from its analytic Hessian.

It converges in a handful of steps for what HistFactory can express; where its step does not descend, the Hessian's
negative curvatures are taken with the other sign, and damped. Parameters that are one bin's own, such as its
statistical uncertainty, are eliminated from each step exactly, so that its cost is that of the few others. Where
expected events reach 0 in a bin without events the likelihood has a corner, which each step keeps as such.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from colonnade.statistics.counts import CORNER, Derivatives
from colonnade.statistics.likelihood import Likelihood

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# the estimated distance to the minimum, in units of the negative log-likelihood, at which a fit is done
_TOLERANCE = 1e-10
_STEPS = 100
# where parameters without a bound end
_FAR = 1e9
# curvature of the rounded corners
_STIFF = 1 / (2 * CORNER)
# rounding of the pull on a bin that is on its corner
_PULLED = 1e-6
# how often bins are put on their corners or let go in one step
_ROUNDS = 5
# a fit that is this many times the promised decrease above what is known is given up, after so many steps
_HOPE, _TRUSTED, _SAME = 10.0, 3, 1e-7
# a fit is given up, too, that decreases by less than this part in so many steps, as where a template is cut off
_STALLED, _PATIENCE = 1e-7, 10
# of a step, the least part of the promised decrease
_PART = 1e-3
# derivatives whose first axis is that of the batch
_LEADING = ("value", "jacobian", "second", "cross")
# floats held at once by the Jacobians of a batch
_BUDGET = 2_000_000


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


def at_once(likelihood: Likelihood) -> int:
    """Return how many fits of a batch go on together."""
    return max(1, _BUDGET // (max(1, likelihood.bins) * max(1, len(likelihood.columns))))


def newton(
    likelihood: Likelihood,
    data: Floats,
    theta: Floats,
    free: Flags,
    bounds: tuple[Floats, Floats],
    steps: int = _STEPS,
    least: Floats | None = None,
) -> Minimum:
    """Take Newton's steps for a batch, in parts that fit into memory; `minimise` describes the arguments.

    A fit is given up after so many `steps`, or when it does not promise to come below the `least` value known.
    """
    count = at_once(likelihood)
    least = np.full(data.shape[1], np.inf) if least is None else least
    parts = []
    for at in range(0, data.shape[1], count):
        part = slice(at, at + count)
        parts.append(_iterate(likelihood, data[:, part], theta[:, part], free[:, part], bounds, steps, least[part]))
    return Minimum(
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.nll for part in parts]),
        np.concatenate([part.converged for part in parts]),
    )


def _iterate(
    likelihood: Likelihood,
    data: Floats,
    start: Floats,
    free: Flags,
    bounds: tuple[Floats, Floats],
    steps: int,
    least: Floats,
) -> Minimum:
    theta = start.copy()
    batch = theta.shape[1]
    converged = np.zeros(batch, dtype=bool)
    damping = np.zeros(batch)
    active = np.arange(batch)
    known = likelihood.derivatives(theta, data)
    pulls = np.full((likelihood.bins, batch), np.nan)
    before = np.full(batch, np.inf)
    for taken in range(steps):
        here = theta[:, active]
        part = _of(known, active)
        step, distance, pulls = _step(likelihood, here, part, free[:, active], bounds, damping[active])
        done = distance * (1 + 1e3 * damping[active]) < _TOLERANCE
        trial = here + step
        new = likelihood.derivatives(trial, data[:, active], pulls)
        # at the minimum rounding decides the sign of the difference
        enough = known.value[active] * (1 + 1e-13) - _PART * distance + 1e-13
        off = np.flatnonzero((new.value > enough) & np.any(np.abs(new.rate) > CORNER, axis=0, where=~np.isnan(pulls)))
        if len(off):
            trial[:, off] = _onto_corners(
                likelihood, _of(new, off), trial[:, off], free[:, active[off]], bounds, pulls[:, off]
            )
            corrected = likelihood.derivatives(trial[:, off], data[:, active[off]], pulls[:, off])
            _take(new, off, corrected, np.ones(len(off), dtype=bool))
        better = new.value <= enough
        good, bad = active[better], active[~better]
        theta[:, good] = trial[:, better]
        _take(known, good, new, better)
        damping[good] = np.where(damping[good] < 1e-4, 0, damping[good] / 8)
        damping[bad] = np.maximum(damping[bad] * 4, 1e-2)
        converged[active[done]] = True
        most = least[active] - _SAME * (1 + known.value[active])
        below = known.value[active] - _HOPE * distance < most
        hopeless = ~below & (damping[active] == 0) & (taken >= _TRUSTED)
        stalled = np.zeros(len(active), dtype=bool)
        if taken % _PATIENCE == _PATIENCE - 1:
            stalled = before[active] - known.value[active] < _STALLED * (1 + known.value[active])
            before = known.value.copy()
        active = active[~done & ~hopeless & ~stalled & (damping[active] < 1e12)]
        if len(active) == 0:
            break
    return Minimum(theta, known.value, converged & np.isfinite(known.value))


def _of(known: Derivatives, active: NDArray[np.intp]) -> Derivatives:
    if len(active) == len(known.value):
        return known
    return Derivatives(
        *(
            getattr(known, each.name)[active if each.name in _LEADING else (slice(None), active)]
            for each in fields(known)
        )
    )


def _take(known: Derivatives, places: NDArray[np.intp], new: Derivatives, which: Flags) -> None:
    for each in fields(known):
        mine, theirs = getattr(known, each.name), getattr(new, each.name)
        if each.name in _LEADING:
            mine[places] = theirs[which]
        else:
            mine[:, places] = theirs[:, which]


def _step(
    likelihood: Likelihood,
    here: Floats,
    known: Derivatives,
    free: Flags,
    bounds: tuple[Floats, Floats],
    damping: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Return a step inside the bounds, the decrease it promises, and how bins on their corners are pulled on.

    Newton's where nothing was refused before (`damping` is 0), it descends, and it leaves every bound from which the
    gradient points inwards; elsewhere that of the Hessian with its negative curvatures taken as positive, damped.
    """
    low, high = bounds
    slack = 1e-12 * (1 + np.abs(here))
    at_low, at_high = here <= low + slack, here >= high - slack
    held = (at_low & (known.gradient > 0)) | (at_high & (known.gradient < 0))
    moving = free & ~held
    leaving = moving & (at_low | at_high)
    limits = (np.maximum(low, -_FAR) - here, np.minimum(high, _FAR) - here)
    step, promise = np.zeros_like(here), np.zeros(here.shape[1])
    pulls = np.full_like(known.rate, np.nan)
    for bent in (False, True):
        stuck = np.any(leaving & (step == 0), axis=0)
        which = np.flatnonzero(~(promise > 0) | stuck | (damping > 0) if bent else damping == 0)
        if len(which):
            part, some = _of(known, which), (limits[0][:, which], limits[1][:, which])
            step[:, which], pulls[:, which] = _cornered(
                likelihood, part, moving[:, which], some, damping[which], bent=bent
            )
            promise[which] = _promise(part, moving[:, which], step[:, which])
    return step, np.abs(promise), pulls


def _promise(known: Derivatives, moving: Flags, step: Floats) -> Floats:
    return np.asarray(-np.sum(np.where(moving, known.gradient, 0.0) * step, axis=0) / 2)


def _cornered(
    likelihood: Likelihood,
    known: Derivatives,
    moving: Flags,
    limits: tuple[Floats, Floats],
    damping: Floats,
    *,
    bent: bool,
) -> tuple[Floats, Floats]:
    """Solve for a step on the likelihood whose corners, where bins without events reach 0, are kept as corners.

    A bin that would cross 0 is put there; one that is there, and that the others pull on by less than 0 or more than 1,
    is let go to that side: to the other one than where it came from by the next step only.

    Returns
    -------
    step, pulls
        And the pulls on bins that end on their corners, between 0 and 1, not a number for others: (bins, batch).
    """
    resting = known.empty & (np.abs(known.rate) < CORNER)
    slope, which = known.slope.copy(), np.arange(len(known.value))
    above = known.rate > 0
    outside, came_from_above = ~resting, above.copy()
    step, pulls = np.zeros_like(known.gradient), np.full_like(known.rate, np.nan)
    for _ in range(_ROUNDS):
        part = _of(known, which)
        some = (limits[0][:, which], limits[1][:, which])
        rests = resting[:, which]
        step[:, which] = _eliminated(
            likelihood, part, moving[:, which], some, damping[which], (slope[:, which], rests), bent=bent
        )
        rate = part.rate + _change(likelihood, part, step[:, which])
        pull = 0.5 + _STIFF * rate
        pulls[:, which] = np.where(rests, np.clip(pull, 0, 1), np.nan)
        down, up = rests & (pull < -_PULLED), rests & (pull > 1 + _PULLED)
        freed = np.where(outside[:, which], np.where(came_from_above[:, which], up, down), down | up)
        stopped = part.empty & ~rests & np.where(above[:, which], rate < -CORNER, rate > CORNER)
        above[:, which] = np.where(freed, pull > 1, above[:, which])
        resting[:, which] = (rests & ~freed) | stopped
        slope[:, which] = np.where(freed, pull > 1, slope[:, which])
        slope[:, which] = np.where(stopped, 0.5 + _STIFF * part.rate, slope[:, which])
        which = which[np.any(freed | stopped, axis=0)]
        if len(which) == 0:
            break
    return step, pulls


def _onto_corners(
    likelihood: Likelihood, known: Derivatives, trial: Floats, free: Flags, bounds: tuple[Floats, Floats], pulls: Floats
) -> Floats:
    """Bring bins that a step meant to end on their corners there, as near to its end as can be.

    Expected events are products of parameters, and a long step to first order ends beside the corners: without this,
    fits would go along them by small steps only (a second-order correction, Nocedal and Wright, Numerical Optimization,
    section 18.11).
    """
    rows = np.flatnonzero(np.any(~np.isnan(pulls), axis=1))
    meant = ~np.isnan(pulls[rows])
    columns, own = likelihood.columns, likelihood.local[rows]
    squares = np.where(free, likelihood.spread[:, None] ** 2, 0.0)
    jacobian = known.jacobian[:, rows] * meant.T[:, :, None]
    local = np.where(meant & (own >= 0)[:, None], known.local[rows], 0.0)
    wide = squares[columns].T[:, None, :] * jacobian
    matrix = jacobian @ np.swapaxes(wide, 1, 2)
    index = np.arange(len(rows))
    matrix[:, index, index] += (local**2 * squares[own] + ~meant).T
    # bins that nothing moves, or the same parameter all of them, have no solution: the nearest is taken
    inverse = np.linalg.pinv(matrix, rcond=1e-10, hermitian=True)
    pull = (inverse @ np.where(meant, -known.rate[rows], 0.0).T[:, :, None])[:, :, 0]
    result = trial.copy()
    result[columns] += (np.swapaxes(wide, 1, 2) @ pull[:, :, None])[:, :, 0].T
    result[own[own >= 0]] += (squares[own] * local * pull.T)[own >= 0]
    return np.where(free, np.clip(result, *bounds), trial)


def _change(likelihood: Likelihood, known: Derivatives, step: Floats) -> Floats:
    """Return the change of the bins by a step, to first order: (bins, batch)."""
    own = np.where(likelihood.local >= 0, likelihood.local, 0)
    moved = np.where((likelihood.local >= 0)[:, None], step[own], 0.0)
    others = (known.jacobian @ step[likelihood.columns].T[:, :, None])[:, :, 0].T
    return np.asarray(others + known.local * moved)


def _eliminated(
    likelihood: Likelihood,
    known: Derivatives,
    moving: Flags,
    limits: tuple[Floats, Floats],
    damping: Floats,
    corners: tuple[Floats, Flags],
    *,
    bent: bool,
) -> Floats:
    """Solve for a step with the bins' own parameters eliminated; `bent` takes negative curvatures as positive.

    With the Hessian [[A, B], [B^T, D]], D the diagonal block of the bins' own parameters (gradient h), the others' step
    (gradient g) solves (A - B D^-1 B^T) x = -(g - B D^-1 h). `corners` are the slopes of all bins and which of them
    rest on their corners, each (bins, batch). Where the own parameter of a bin that rests would leave its range, it is
    put at the end of it, and the others' step is solved for again.
    """
    own = np.flatnonzero(likelihood.local >= 0)
    mine, columns = likelihood.local[own], likelihood.columns
    ends = (limits[0][mine], limits[1][mine])
    slope, resting = corners
    other = slope - known.slope
    # nor has one that was let go from there any curvature
    cornered = resting | (known.empty & (np.abs(known.rate) < CORNER))
    smooth = replace(known, weight=np.where(cornered, 0.0, known.weight))
    rows = np.flatnonzero(np.any(resting | (other != 0), axis=1))
    on_corners = known.jacobian[:, rows]
    turned = np.swapaxes(on_corners, 1, 2)
    gradient = known.gradient[columns] + (turned @ other[rows].T[:, :, None])[:, :, 0].T
    free, put = moving[mine], np.zeros_like(ends[0])
    step = np.zeros_like(known.gradient)
    for _ in range(2):
        here = moving.copy()
        here[mine] = free
        hard = np.where(resting, _STIFF, 0.0)
        matrix, between, stiff, pull = reduced(likelihood, smooth, here, damping, hard)
        if bent:
            matrix = _convex(matrix, moving[columns].T, damping)
        # a corner is as stiff in any case
        local = np.where(free, known.local[own], 0.0)
        pull = pull + other[own] * local
        hard[own] -= (hard[own] * local) ** 2 / stiff
        matrix = matrix + turned @ (on_corners * hard[rows].T[:, :, None])
        reached = gradient - ((pull / stiff).T[:, None, :] @ between)[:, 0, :].T
        change = _solve(matrix, reached, moving[columns], (limits[0][columns], limits[1][columns]))
        step[columns] = change
        moved = (between @ change.T[:, :, None])[:, :, 0].T
        wanted = np.where(free, -(pull + moved) / stiff, put)
        step[mine] = np.clip(wanted, *ends)
        # a bin that rests must know that its own parameter is at an end of its range
        over = free & resting[own] & (step[mine] != wanted)
        if not over.any():
            break
        put = np.where(over, step[mine], 0.0)
        gradient = gradient + (between.swapaxes(1, 2) @ put.T[:, :, None])[:, :, 0].T
        free = free & ~over
    return step


def reduced(
    likelihood: Likelihood, known: Derivatives, moving: Flags, damping: Floats, hard: Floats | None = None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the Hessian of the columns with the bins' own parameters eliminated, and what the elimination needs.

    `hard` (bins, batch) is a further curvature of bins that rest on their corners. Its part along the bins alone, which
    is as stiff, is left away from the Hessian of the columns.

    Returns
    -------
    matrix, between, stiff, pull
        A - B D^-1 B^T (batch, columns, columns), B (batch, columns, own), the diagonal D and the gradient h of the
        bins' own parameters (own, batch).
    """
    own = np.flatnonzero(likelihood.local >= 0)
    mine, columns = likelihood.local[own], likelihood.columns
    local = np.where(moving[mine], known.local[own], 0.0)
    weight = known.weight
    stiff = (known.diagonal[mine] + weight[own] * local**2) * (1 + damping) + 1e-300
    pull = np.where(moving[mine], known.gradient[mine], 0.0)
    jacobian = known.jacobian
    matrix = np.swapaxes(jacobian, 1, 2) @ (jacobian * weight.T[:, :, None]) + known.second
    between = jacobian[:, own] * (weight[own] * local).T[:, :, None]
    between += known.cross[:, own] * moving[mine].T[:, :, None]
    lever = np.zeros_like(local) if hard is None else hard[own] * local
    stiff = stiff + lever * local
    turned, along = np.swapaxes(between, 1, 2), jacobian[:, own] * lever.T[:, :, None]
    matrix -= turned @ (between / stiff.T[:, :, None])
    if lever.any():
        mixed = turned @ (along / stiff.T[:, :, None])
        matrix -= mixed + np.swapaxes(mixed, 1, 2)
    between = between + along
    index = np.arange(len(columns))
    matrix[:, index, index] += known.diagonal[columns].T + 1e-12
    return matrix, between, stiff, pull


def _convex(matrix: Floats, moving: Flags, damping: Floats) -> Floats:
    """Return the Hessian with curvatures of either sign as positive ones, in units of its diagonal, and damped."""
    index = np.arange(matrix.shape[1])
    size = np.sqrt(np.abs(matrix[:, index, index])) + 1e-6
    scaled = np.where(moving[:, :, None] & moving[:, None, :], matrix / (size[:, :, None] * size[:, None, :]), 0.0)
    values, vectors = np.linalg.eigh(scaled)
    bent = np.maximum(np.abs(values), 1e-6) + damping[:, None]
    return np.asarray((vectors * bent[:, None, :]) @ np.swapaxes(vectors, 1, 2) * size[:, :, None] * size[:, None, :])


def _solve(matrix: Floats, gradient: Floats, moving: Flags, limits: tuple[Floats, Floats]) -> Floats:
    """Solve for the step of parameters that may move; one that would cross its bound is put on it."""
    at_all, moving = moving, moving.T.copy()
    size = gradient.shape[0]
    index = np.arange(size)
    step = np.zeros_like(gradient)
    for _ in range(3):
        mask = moving[:, :, None] & moving[:, None, :]
        system = np.where(mask, matrix, 0.0)
        system[:, index, index] += np.where(moving, 0.0, 1.0)
        pinned = np.where(moving.T, 0.0, step)
        right = -(gradient + (matrix @ pinned.T[:, :, None])[:, :, 0].T)
        right = np.where(moving.T, right, 0.0).T
        try:
            solved = np.linalg.solve(system, right[:, :, None])[:, :, 0].T
        except np.linalg.LinAlgError:
            solved = right.T / np.maximum(system[:, index, index].T, 1e-12)
        proposal = np.where(moving.T, solved, pinned)
        step = np.where(at_all, np.clip(proposal, *limits), 0.0)
        over = (step != proposal) & moving.T
        if not over.any():
            break
        moving &= ~over.T
    return step
