"""Minimising a compiled likelihood: many fits at once, with bounds, from analytic derivatives.

Newton's method with the likelihood's own Hessian converges in a handful of steps for what HistFactory can express;
where its step does not descend, the Hessian's negative curvatures are taken with the other sign, and damped. Where
expected events reach 0 in a bin without events the likelihood has a corner; a fit that gets stuck there is led to it
along smoother likelihoods. Parameters that are one bin's own, such as its statistical uncertainty, are eliminated from
each step exactly, so that its cost is that of the few others. A fit that does not converge is given to MINUIT's
Migrad, from several starting points, and if that fails too an error is raised: a failed fit is never a number.
"""

from __future__ import annotations

__all__ = ["Minimum", "minimise", "reduced"]

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.likelihood import CORNER, Derivatives, Likelihood

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# the estimated distance to the minimum, in units of the negative log-likelihood, at which a fit is done
TOLERANCE = 1e-10
_STEPS = 100
_STARTS = 4
# at which sizes the free factors of other starting points are
_SIZES = (1.0, 0.2, 10.0, 0.05)
# so many parameters are in all starting points together, of which there are no fewer and no more than these; the powers
# of ten between which sizes are random
_STARTED, _MORE, _DECADES = 250, (2, 16), (-1.5, 1.3)
# where parameters without a bound end
_FAR = 1e9
# of a lower minimum: by how much it is lower, relative; and of a falling direction: how far it bends, relative
_LOWER, _BENT = 1e-9, 1e-7
# widths in events of the corners along which a fit that is stuck is led
_CORNERS = tuple(CORNER * 10.0**power for power in range(8, -1, -1))
# how often saddle points are left, one direction at a time
_ROUNDS = 5
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
        Shape (parameters, batch or 1); fixed parameters keep these values. Without it the model's initial values.
    fixed
        Shape (parameters, batch or 1) or (parameters,); without it the model's.
    lower, upper
        Shape (parameters,); without them the model's.
    strict
        Whether a fit that fails raises; otherwise it is marked.

    Raises
    ------
    FitError
        If a fit does not converge from any of its starting points.
    """
    batch = data.shape[1]
    size = len(likelihood.labels)
    flags = likelihood.fixed if fixed is None else fixed
    free = np.broadcast_to(~(flags[:, None] if flags.ndim == 1 else flags), (size, batch))
    low = (likelihood.lower if lower is None else lower)[:, None]
    high = (likelihood.upper if upper is None else upper)[:, None]
    begin = likelihood.inits[:, None] if start is None else start
    theta = np.array(np.broadcast_to(begin, (size, batch)))
    theta = np.where(free, np.clip(theta, low, high), theta)
    if batch == 0 or not free.any():
        return Minimum(theta, likelihood.nll(theta, data) if batch else np.zeros(0), np.ones(batch, dtype=bool))
    found = _from(likelihood, data, theta, free, (low, high))
    others = _other_starts(likelihood, found.values, theta, (low, high))
    if others:
        others = [np.where(free, start, theta) for start in others]
        found = _lower(found, _best_of(likelihood, data, others, free, (low, high), found))
    if strict and not found.converged.all():
        index = int(np.argmin(found.converged))
        msg = (
            f"The fit of {int(free[:, index].sum())} parameters did not converge from {_STARTS} starting "
            "points; look for bins without background, or parameters that the data don't constrain."
        )
        raise FitError(msg)
    return _off_saddles(likelihood, data, found, free, (low, high))


def _best_of(
    likelihood: Likelihood,
    data: Floats,
    starts: list[Floats],
    free: Flags,
    bounds: tuple[Floats, Floats],
    found: Minimum,
) -> Minimum:
    """Fit a batch from several starting points, all at once, and take the lowest minimum of each fit.

    One that has not converged goes on where it is lower than what was found before.
    """
    loose = free & likelihood.loose[:, None]
    if loose.any():
        # again from where all the rest has followed the sizes of the free factors
        sized = starts[1 : 1 + len(_SIZES)]
        count = len(sized)
        held = np.tile(free & ~loose, count)
        led = _steps(likelihood, np.tile(data, count), np.concatenate(sized, axis=1), held, bounds).values
        starts = [*starts, *np.split(led, count, axis=1)]
    count, batch = len(starts), data.shape[1]
    seen, moving = np.tile(data, count), np.tile(free, count)
    tried = _steps(likelihood, seen, np.concatenate(starts, axis=1), moving, bounds)
    values = tried.values.reshape(-1, count, batch)
    nll = np.where(np.isfinite(tried.nll), tried.nll, np.inf).reshape(count, batch)
    best, each = np.argmin(nll, axis=0), np.arange(batch)
    lowest = Minimum(values[:, best, each], nll[best, each], tried.converged.reshape(count, batch)[best, each])
    open_ = np.flatnonzero(~lowest.converged & _is_lower(lowest, found))
    if len(open_):
        part = _from(likelihood, data[:, open_], lowest.values[:, open_], free[:, open_], bounds)
        lowest.values[:, open_], lowest.nll[open_], lowest.converged[open_] = part.values, part.nll, part.converged
    return lowest


def _steps(likelihood: Likelihood, data: Floats, theta: Floats, free: Flags, bounds: tuple[Floats, Floats]) -> Minimum:
    """Take Newton's steps for a batch, in parts that fit into memory."""
    count = max(1, _BUDGET // (max(1, likelihood.bins) * max(1, len(likelihood.columns))))
    parts = [
        _newton(likelihood, data[:, at : at + count], theta[:, at : at + count], free[:, at : at + count], bounds)
        for at in range(0, data.shape[1], count)
    ]
    return Minimum(
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.nll for part in parts]),
        np.concatenate([part.converged for part in parts]),
    )


def _from(likelihood: Likelihood, data: Floats, theta: Floats, free: Flags, bounds: tuple[Floats, Floats]) -> Minimum:
    """Fit a batch from one starting point each; `minimise` describes the arguments."""
    low, high = bounds
    first = _steps(likelihood, data, theta, free, bounds)
    values, nll, converged = first.values, first.nll, first.converged
    stuck = np.flatnonzero(~converged)
    if len(stuck):
        led = _around_corners(likelihood, data[:, stuck], theta[:, stuck], free[:, stuck], bounds)
        values[:, stuck], nll[stuck], converged[stuck] = led.values, led.nll, led.converged
    failed = np.flatnonzero(~converged)
    for index in failed:
        starts = (values[:, index], theta[:, index])
        found = _migrad(likelihood, data[:, index], starts, np.flatnonzero(free[:, index]), (low[:, 0], high[:, 0]))
        if found is not None:
            values[:, index], nll[index], converged[index] = found[0], found[1], True
    return Minimum(values, nll, converged, len(failed))


def _around_corners(
    likelihood: Likelihood, data: Floats, theta: Floats, free: Flags, bounds: tuple[Floats, Floats]
) -> Minimum:
    """Fit along likelihoods whose corners, where bins without events reach 0, are round, each sharper than before."""
    for corner in _CORNERS:
        found = _newton(likelihood, data, theta, free, bounds, corner)
        theta = found.values
    return found


def _other_starts(
    likelihood: Likelihood, reached: Floats, begin: Floats, bounds: tuple[Floats, Floats]
) -> list[Floats]:
    """Return further starting points where a fit may have several minima.

    The first one mirrors what was reached in the parameters along which there may be several. The others have these
    off their nominal values, all to one side, in turn to either side and at random, and the free ones at several
    sizes. The fewer parameters there are, the more there are of them.
    """
    folded, loose = likelihood.folded, likelihood.loose & ~likelihood.fixed
    if likelihood.fixed[folded].all():
        return []
    middle, width = likelihood.inits[folded][:, None], likelihood.spread[folded][:, None]
    mirrored = reached.copy()
    mirrored[folded] = 2 * middle - reached[folded]
    mirrored[loose] = begin[loose]
    starts = [mirrored]
    # many at once: together no farther than a few
    width = width * min(1.0, 2 / np.sqrt(len(folded)))
    turns = np.where(np.arange(len(folded)) % 2, -1.0, 1.0)[:, None]
    rng = np.random.default_rng(1)
    count = int(np.clip(_STARTED // len(likelihood.columns), *_MORE))
    shifts = [1.0, -1.0, 2.0 * turns, -2.0 * turns, *rng.uniform(-3, 3, (_MORE[1], len(folded), 1))]
    sizes = [*_SIZES, *10 ** rng.uniform(*_DECADES, (_MORE[1], int(loose.sum()), 1))]
    for shift, size in zip(shifts[:count], sizes[:count], strict=False):
        start = begin.copy()
        start[loose] = size
        start[folded] = np.where(loose[folded][:, None], start[folded], middle + shift * width)
        starts.append(start)
    return [np.clip(start, *bounds) for start in starts]


def _is_lower(other: Minimum, found: Minimum) -> Flags:
    return np.asarray(~found.converged | (other.nll < found.nll - _LOWER * (1 + np.abs(found.nll))))


def _lower(found: Minimum, other: Minimum) -> Minimum:
    """Take the lower one of two minima, fit by fit."""
    better = other.converged & _is_lower(other, found)
    if not better.any():
        return found
    return Minimum(
        np.where(better, other.values, found.values),
        np.where(better, other.nll, found.nll),
        found.converged | better,
        found.retried + other.retried,
    )


def _off_saddles(
    likelihood: Likelihood, data: Floats, found: Minimum, free: Flags, bounds: tuple[Floats, Floats]
) -> Minimum:
    """Leave the points that are stationary, but no minimum: along the direction in which the likelihood bends down."""
    for _ in range(_ROUNDS):
        falling = _falling(likelihood, data, found.values, free, bounds)
        places = np.flatnonzero(np.any(falling != 0, axis=0) & found.converged)
        if len(places) == 0:
            return found
        before = found
        for side in (1.0, -1.0):
            start = np.clip(found.values[:, places] + side * falling[:, places], *bounds)
            part = _from(likelihood, data[:, places], start, free[:, places], bounds)
            whole = Minimum(found.values.copy(), found.nll.copy(), np.zeros_like(found.converged), part.retried)
            whole.values[:, places], whole.nll[places], whole.converged[places] = part.values, part.nll, part.converged
            found = _lower(found, whole)
        if found is before:
            return found
    return found


def _falling(likelihood: Likelihood, data: Floats, here: Floats, free: Flags, bounds: tuple[Floats, Floats]) -> Floats:
    """Return the direction of negative curvature of each fit, 0 where there is none: (parameters, batch)."""
    low, high = bounds
    result = np.zeros_like(here)
    count = max(1, _BUDGET // (max(1, likelihood.bins) * max(1, len(likelihood.columns))))
    for at in range(0, here.shape[1], count):
        part = slice(at, at + count)
        known = likelihood.derivatives(here[:, part], data[:, part])
        slack = 1e-9 * (1 + np.abs(here[:, part]))
        moving = free[:, part] & (here[:, part] > low + slack) & (here[:, part] < high - slack)
        matrix, _, _, _ = reduced(likelihood, known, moving, np.zeros(known.value.shape))
        inside = moving[likelihood.columns].T
        size = np.sqrt(np.abs(np.einsum("bii->bi", matrix))) + 1e-12
        scaled = np.where(inside[:, :, None] & inside[:, None, :], matrix / (size[:, :, None] * size[:, None, :]), 0.0)
        scaled[:, np.arange(size.shape[1]), np.arange(size.shape[1])] += np.where(inside, _BENT, 1.0)
        try:
            np.linalg.cholesky(scaled)
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(scaled)
            direction = vectors[:, :, 0] / size
            direction /= np.abs(direction).max(axis=1, keepdims=True) + 1e-300
            result[likelihood.columns, part] = np.where(values[:, :1] < 0, direction, 0.0).T
    return result


def _newton(
    likelihood: Likelihood,
    data: Floats,
    start: Floats,
    free: Flags,
    bounds: tuple[Floats, Floats],
    corner: float = CORNER,
) -> Minimum:
    theta = start.copy()
    batch = theta.shape[1]
    converged = np.zeros(batch, dtype=bool)
    damping = np.zeros(batch)
    active = np.arange(batch)
    known = likelihood.derivatives(theta, data, corner)
    for _ in range(_STEPS):
        here = theta[:, active]
        part = _of(known, active)
        step, distance = _step(likelihood, here, part, free[:, active], bounds, damping[active])
        done = (distance < TOLERANCE) & (damping[active] < 1e-3)
        trial = here + step
        new = likelihood.derivatives(trial, data[:, active], corner)
        # at the minimum rounding decides the sign of the difference
        old = known.value[active]
        better = new.value <= old + 1e-13 * (1 + np.abs(old))
        good, bad = active[better], active[~better]
        theta[:, good] = trial[:, better]
        _take(known, good, new, better)
        damping[good] = np.where(damping[good] < 1e-4, 0, damping[good] / 8)
        damping[bad] = np.maximum(damping[bad] * 4, 1e-2)
        converged[active[done]] = True
        active = active[~done & (damping[active] < 1e12)]
        if len(active) == 0:
            break
    return Minimum(theta, known.value, converged & np.isfinite(known.value))


def _of(known: Derivatives, active: NDArray[np.intp]) -> Derivatives:
    if len(active) == len(known.value):
        return known
    return Derivatives(
        known.value[active],
        known.gradient[:, active],
        known.diagonal[:, active],
        known.jacobian[active],
        known.local[:, active],
        known.weight[:, active],
        known.second[active],
        known.cross[active],
    )


def _take(known: Derivatives, places: NDArray[np.intp], new: Derivatives, which: Flags) -> None:
    for field in fields(known):
        mine, theirs = getattr(known, field.name), getattr(new, field.name)
        if field.name in ("value", "jacobian", "second", "cross"):
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
) -> tuple[Floats, Floats]:
    """Return a step inside the bounds, and the decrease it promises.

    Newton's where nothing was refused before (`damping` is 0) and it descends; elsewhere that of the Hessian with its
    negative curvatures taken as positive, damped.
    """
    low, high = bounds
    slack = 1e-12 * (1 + np.abs(here))
    held = ((here <= low + slack) & (known.gradient > 0)) | ((here >= high - slack) & (known.gradient < 0))
    moving = free & ~held
    limits = (np.maximum(low, -_FAR) - here, np.minimum(high, _FAR) - here)
    step, promise = np.zeros_like(here), np.zeros(here.shape[1])
    for bent in (False, True):
        which = np.flatnonzero(~(promise > 0) | (damping > 0) if bent else damping == 0)
        if len(which):
            part, some = _of(known, which), (limits[0][:, which], limits[1][:, which])
            step[:, which] = _eliminated(likelihood, part, moving[:, which], some, damping[which], bent=bent)
            promise[which] = _promise(part, moving[:, which], step[:, which])
    return step, np.abs(promise)


def _promise(known: Derivatives, moving: Flags, step: Floats) -> Floats:
    return np.asarray(-np.sum(np.where(moving, known.gradient, 0.0) * step, axis=0) / 2)


def _eliminated(
    likelihood: Likelihood,
    known: Derivatives,
    moving: Flags,
    limits: tuple[Floats, Floats],
    damping: Floats,
    *,
    bent: bool,
) -> Floats:
    """Solve for a step with the bins' own parameters eliminated; `bent` takes negative curvatures as positive.

    With the Hessian [[A, B], [B^T, D]], D the diagonal block of the bins' own parameters (gradient h), the others' step
    (gradient g) solves (A - B D^-1 B^T) x = -(g - B D^-1 h).
    """
    own = np.flatnonzero(likelihood.local >= 0)
    mine, columns = likelihood.local[own], likelihood.columns
    matrix, between, stiff, pull = reduced(likelihood, known, moving, damping)
    if bent:
        matrix = _convex(matrix, moving[columns].T, damping)
    gradient = known.gradient[columns] - ((pull / stiff).T[:, None, :] @ between)[:, 0, :].T
    change = _solve(matrix, gradient, moving[columns], (limits[0][columns], limits[1][columns]))
    step = np.zeros_like(known.gradient)
    step[columns] = change
    moved = (between @ change.T[:, :, None])[:, :, 0].T
    step[mine] = np.where(moving[mine], np.clip(-(pull + moved) / stiff, limits[0][mine], limits[1][mine]), 0.0)
    return step


def reduced(
    likelihood: Likelihood, known: Derivatives, moving: Flags, damping: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the Hessian of the columns with the bins' own parameters eliminated, and what the elimination needs.

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
    matrix -= np.swapaxes(between, 1, 2) @ (between / stiff.T[:, :, None])
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


def _migrad(
    likelihood: Likelihood,
    data: Floats,
    starts: tuple[Floats, Floats],
    chosen: NDArray[np.intp],
    bounds: tuple[Floats, Floats],
) -> tuple[Floats, float] | None:
    """Fit one data set with MINUIT, from where the Newton steps ended, the start, and points around it."""
    import iminuit

    reached, start = starts
    low, high = bounds[0][chosen], bounds[1][chosen]
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
        minuit.print_level = 0  # which is global, and may have been raised by others
        minuit.migrad(ncall=20_000)
        if minuit.valid and minuit.fval is not None:
            return expand(np.asarray(minuit.values))[:, 0], float(minuit.fval)
    return None
