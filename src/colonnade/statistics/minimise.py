"""Minimising a compiled likelihood: many fits at once, with bounds, from analytic derivatives.

Fits go by Newton's steps (`newton`). Where a model may have several minima, fits
begin at several points. A fit that does not converge is given to MINUIT's Migrad, from several starting points, and if
that fails too an error is raised: a failed fit is never a number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.newton import Flags, Floats, Minimum, at_once, newton, reduced

# starting points of Migrad and its calls; what it may find below a value that is as good
_STARTS, _CALLS, _NO_LOWER = 4, 20_000, 1e-4
# at which sizes the free factors of other starting points are
_SIZES = (1.0, 0.2, 10.0, 0.05)
# so many parameters are in all starting points together, of which there are no fewer and no more than these; the powers
# of ten between which sizes are random
_STARTED, _MORE, _DECADES = 250, (2, 16), (-1.5, 1.3)
# where free factors begin that multiply less than nothing, and widths that shapes are off their nominal values there
_LARGE, _FAR = (10.0, 1000.0), 3.0
# of a lower minimum: by how much it is lower, relative; and of a falling direction: how far it bends, relative
_LOWER, _BENT = 1e-9, 1e-7
# steps from each of several starting points; the lowest one goes on
_TRIED = 30
# how often saddle points are left, one direction at a time
_ROUNDS = 5


def minimise(
    likelihood: Likelihood,
    data: Floats,
    *,
    start: Floats | None = None,
    fixed: Flags | None = None,
    lower: Floats | None = None,
    upper: Floats | None = None,
    strict: bool = True,
    several: bool = True,
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
    several
        Whether a fit begins at several points where it may have several minima.

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
    others = _other_starts(likelihood, found.values, theta, (low, high)) if several else []
    if others:
        others = [np.where(free, start, theta) for start in others]
        turned = _turned(likelihood, theta, free, (low, high))
        found = _lower(found, _best_of(likelihood, data, others, turned, free, (low, high), found))
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
    turned: list[Floats],
    free: Flags,
    bounds: tuple[Floats, Floats],
    found: Minimum,
) -> Minimum:
    """Fit a batch from several starting points, all at once, and take the lowest minimum of each fit.

    Of those that are `turned`, the shapes move first. One that has not converged goes on where it is lower than what
    was found before.
    """
    loose = free & likelihood.loose[:, None]
    if loose.any():
        # again from where all the rest has followed the sizes of the free factors
        sized = [*starts[1 : 1 + len(_SIZES)], *turned]
        shapes = [np.isin(np.arange(len(free)), each)[:, None] for _, each, _ in _turning(likelihood) for _ in _LARGE]
        following = [free & ~loose] * len(_SIZES) + [free & each for each in shapes]
        count, held = len(sized), np.concatenate(following, axis=1)
        first = np.concatenate(sized, axis=1)
        led = newton(likelihood, np.tile(data, count), first, held, bounds, steps=_TRIED).values
        starts = [*starts, *np.split(led, count, axis=1)]
    count, batch = len(starts), data.shape[1]
    seen, moving = np.tile(data, count), np.tile(free, count)
    least = np.tile(found.nll, count)
    tried = newton(likelihood, seen, np.concatenate(starts, axis=1), moving, bounds, steps=_TRIED, least=least)
    values = tried.values.reshape(-1, count, batch)
    nll = np.where(np.isfinite(tried.nll), tried.nll, np.inf).reshape(count, batch)
    best, each = np.argmin(nll, axis=0), np.arange(batch)
    lowest = Minimum(values[:, best, each], nll[best, each], tried.converged.reshape(count, batch)[best, each])
    open_ = np.flatnonzero(~lowest.converged & _is_lower(lowest, found))
    if len(open_):
        part = _from(likelihood, data[:, open_], lowest.values[:, open_], free[:, open_], bounds)
        lowest.values[:, open_], lowest.nll[open_], lowest.converged[open_] = part.values, part.nll, part.converged
    return lowest


def _from(likelihood: Likelihood, data: Floats, theta: Floats, free: Flags, bounds: tuple[Floats, Floats]) -> Minimum:
    """Fit a batch from one starting point each; `minimise` describes the arguments."""
    low, high = bounds
    found = newton(likelihood, data, theta, free, bounds)
    failed = np.flatnonzero(~found.converged)
    for index in failed:
        starts = (found.values[:, index], theta[:, index])
        again = _migrad(likelihood, data[:, index], starts, np.flatnonzero(free[:, index]), (low[:, 0], high[:, 0]))
        if again is not None:
            found.values[:, index], found.nll[index], found.converged[index] = again[0], again[1], True
    return replace(found, retried=len(failed))


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
    count = _many(likelihood)
    shifts = [1.0, -1.0, 2.0 * turns, -2.0 * turns, *rng.uniform(-3, 3, (_MORE[1], len(folded), 1))]
    sizes = [*_SIZES, *10 ** rng.uniform(*_DECADES, (_MORE[1], int(loose.sum()), 1))]
    for shift, size in zip(shifts[:count], sizes[:count], strict=False):
        start = begin.copy()
        start[loose] = size
        start[folded] = np.where(loose[folded][:, None], start[folded], middle + shift * width)
        starts.append(start)
    return [np.clip(start, *bounds) for start in starts]


def _many(likelihood: Likelihood) -> int:
    """Return from how many points a fit begins: the fewer, the more parameters there are."""
    return int(np.clip(_STARTED // len(likelihood.columns), *_MORE))


def _turning(likelihood: Likelihood) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp], Floats], ...]:
    return likelihood.turning[: _many(likelihood)]


def _turned(likelihood: Likelihood, begin: Floats, free: Flags, bounds: tuple[Floats, Floats]) -> list[Floats]:
    """Return starting points where a free factor is large, and shapes have driven what it multiplies below 0."""
    starts = []
    for factors, shapes, sides in _turning(likelihood):
        for large in _LARGE:
            start = begin.copy()
            start[factors] = large
            width = likelihood.spread[shapes] * min(_FAR, 2 * _FAR / np.sqrt(len(shapes)))
            start[shapes] = (likelihood.inits[shapes] + sides * width)[:, None]
            starts.append(np.where(free, np.clip(start, *bounds), begin))
    return starts


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
            here = found.values[:, places]
            start = np.where(free[:, places], np.clip(here + side * falling[:, places], *bounds), here)
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
    count = at_once(likelihood)
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


def _migrad(
    likelihood: Likelihood,
    data: Floats,
    starts: tuple[Floats, Floats],
    chosen: NDArray[np.intp],
    bounds: tuple[Floats, Floats],
) -> tuple[Floats, float] | None:
    """Fit one data set with MINUIT, from where the Newton steps ended, the start, and points around it.

    Where Newton's steps can't go on, as where a template is cut off, and MINUIT finds next to nothing below, is the
    minimum.
    """
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

    least = cost(reached[chosen])
    rng = np.random.default_rng(0)
    width = np.minimum(high - low, 1.0)
    shaken = [start[chosen] + 0.3 * width * rng.uniform(-1, 1, len(chosen)) for _ in range(_STARTS - 2)]
    for number, values in enumerate((reached[chosen], start[chosen], *shaken)):
        if not np.all(np.isfinite(values)):
            continue
        minuit = iminuit.Minuit(cost, np.clip(values, low, high), grad=slope)
        minuit.errordef = iminuit.Minuit.LIKELIHOOD
        minuit.limits = list(zip(low, high, strict=True))
        minuit.tol = 1e-3
        minuit.print_level = 0  # which is global, and may have been raised by others
        minuit.migrad(ncall=_CALLS)
        if number == 0 and minuit.fval is not None and least - _NO_LOWER < minuit.fval:
            return reached, least
        if minuit.valid and minuit.fval is not None:
            return expand(np.asarray(minuit.values))[:, 0], float(minuit.fval)
    return None
