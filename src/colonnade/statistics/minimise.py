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
_SIZES, _TINY = (1.0, 0.2, 10.0, 0.05), 1e-6
# so many parameters are in all starting points together, of which there are no fewer and no more than these; the powers
# of ten between which sizes are random
_STARTED, _MORE, _DECADES = 250, (2, 16), (-1.5, 1.3)
# so many parameters are mirrored, or are this many widths off, one at a time
_ALONE, _END = 3, 5.0
# so many widths are parameters off an end of their range
_LEFT = 0.3
# where free factors begin that multiply less than nothing, and widths that measured ones and shapes are off their
# nominal values there
_LARGE, _WIDTHS, _FAR = (10.0, 1000.0, 1e6), 2.0, 3.0
# of a lower minimum: by how much it is lower, relative; and of a falling direction: how far it bends, relative
_LOWER, _BENT = 1e-9, 1e-7
# so many fits of a batch begin at all of several starting points
_PROBED = 32
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
    if several and may_have_several(likelihood):
        others = [np.where(free, start, theta) for start in _other_starts(likelihood, found.values, theta, (low, high))]
        starts = [*((each, free) for each in others), *_led(likelihood, others, theta, free, (low, high))]
        found = lowest_of(found, _best_of(likelihood, data, starts, free, (low, high), found))
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
    starts: list[tuple[Floats, Flags]],
    free: Flags,
    bounds: tuple[Floats, Floats],
    found: Minimum,
) -> Minimum:
    """Fit a batch from several starting points, all at once, and take the lowest minimum of each fit.

    At each starting point stand the parameters that move first. In a large batch the first fits begin at all of them,
    and the others at those from which any of the first ones found a lower minimum.
    """
    parts = []
    for at in (slice(0, _PROBED), slice(_PROBED, None)):
        known = Minimum(found.values[:, at], found.nll[at], found.converged[at])
        if not len(known.nll) or not starts:
            parts.append(known)
            continue
        here = [(start[:, at], moving[:, at]) for start, moving in starts]
        lowest, best = _tried(likelihood, data[:, at], here, free[:, at], bounds, known)
        starts = [starts[index] for index in np.unique(best[_is_lower(lowest, known)])]
        parts.append(lowest)
    return Minimum(
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.nll for part in parts]),
        np.concatenate([part.converged for part in parts]),
    )


def _tried(
    likelihood: Likelihood,
    data: Floats,
    starts: list[tuple[Floats, Flags]],
    free: Flags,
    bounds: tuple[Floats, Floats],
    found: Minimum,
) -> tuple[Minimum, NDArray[np.intp]]:
    """Return the lowest minima from several starting points, and which of these led there; `_best_of` says how.

    One that has not converged goes on where it is lower than what was found before.
    """
    count, batch = len(starts), data.shape[1]
    first, moving = (np.concatenate([each[index] for each in starts], axis=1) for index in (0, 1))
    seen, whole = np.tile(data, count), np.tile(free, count)
    led = np.flatnonzero(np.any(moving != whole, axis=0))
    if len(led):
        reached = newton(likelihood, seen[:, led], first[:, led], moving[:, led], bounds, steps=_TRIED)
        first[:, led] = reached.values
    least = np.tile(found.nll, count)
    tried = newton(likelihood, seen, first, whole, bounds, steps=_TRIED, least=least)
    values = tried.values.reshape(-1, count, batch)
    nll = np.where(np.isfinite(tried.nll), tried.nll, np.inf).reshape(count, batch)
    best, each = np.argmin(nll, axis=0), np.arange(batch)
    lowest = Minimum(values[:, best, each], nll[best, each], tried.converged.reshape(count, batch)[best, each])
    open_ = np.flatnonzero(~lowest.converged & _is_lower(lowest, found))
    if len(open_):
        part = _from(likelihood, data[:, open_], lowest.values[:, open_], free[:, open_], bounds)
        lowest.values[:, open_], lowest.nll[open_], lowest.converged[open_] = part.values, part.nll, part.converged
    return lowest, best


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


def may_have_several(likelihood: Likelihood) -> bool:
    """Say whether a model may have several minima, so that its fits begin at several points."""
    return not likelihood.fixed[likelihood.folded].all() or len(likelihood.turning) > 0


def _other_starts(
    likelihood: Likelihood, reached: Floats, begin: Floats, bounds: tuple[Floats, Floats]
) -> list[Floats]:
    """Return further starting points where a fit may have several minima.

    The first ones mirror what was reached in the parameters along which there may be several: in all of them, and in
    those that are farthest from their nominal values, one at a time. The others have these off their nominal values,
    all to one side and in turn to either side, or all parameters at random, and the free ones at several sizes. The
    fewer parameters there are, the more there are of them.
    """
    folded, loose = likelihood.folded, likelihood.loose & ~likelihood.fixed
    inits, spread = likelihood.inits[:, None], likelihood.spread[:, None]
    mirrored = reached.copy()
    mirrored[folded] = 2 * inits[folded] - reached[folded]
    mirrored[loose] = begin[loose]
    # two factors of one product, both at an end of their range, leave it together or not at all
    slack = 1e-6 * (1 + np.abs(reached))
    at_low, at_high = reached <= bounds[0] + slack, reached >= bounds[1] - slack
    inwards = _LEFT * spread * (at_low.astype(float) - at_high)
    # from next to nothing, as where a factor makes one bin with events negative and another one positive
    little = begin.copy()
    little[loose] = _TINY
    starts = [mirrored, little, reached + inwards, *_mirrored_alone(likelihood, reached)]
    for pair in [pair for pair in likelihood.products if at_low[pair].all(axis=0).any()][:_ALONE]:
        start = reached.copy()
        start[pair] += inwards[pair]
        starts.append(start)
    # many at once: together no farther than a few
    shift = np.zeros_like(inits)
    shift[folded] = min(1.0, 2 / np.sqrt(max(1, len(folded)))) * spread[folded]
    turns = np.where(np.arange(len(inits)) % 2, -1.0, 1.0)[:, None]
    rng = np.random.default_rng(1)
    random = [spread * rng.uniform(-4, 4, inits.shape) for _ in range(_MORE[1])]
    shifts = [shift, -shift, 2.0 * turns * shift, -2.0 * turns * shift, *random]
    sizes = [*_SIZES, *10 ** rng.uniform(*_DECADES, (_MORE[1], int(loose.sum()), 1))]
    # a factor that is measured is at the sizes of the free ones, but not farther off than it may well be
    factors = folded[~likelihood.loose[folded] & (likelihood.inits[folded] != 0)]
    most = (inits + _WIDTHS * spread)[factors]
    count = _many(likelihood)
    for number, (moved, size) in enumerate(zip(shifts[:count], sizes[:count], strict=False)):
        start = np.where(moved == 0, begin, inits + moved)
        start[loose] = size
        if number < len(_SIZES):
            start[factors] = np.minimum(inits[factors] * size, most)
        starts.append(start)
    return [np.clip(start, *bounds) for start in starts]


def _mirrored_alone(likelihood: Likelihood, reached: Floats) -> list[Floats]:
    """Return what was reached with one parameter of measured value 0 mirrored: those that are the farthest off it."""
    shapes = likelihood.folded[~likelihood.loose[likelihood.folded] & (likelihood.inits[likelihood.folded] == 0)]
    order = np.argsort(-np.abs(reached[shapes]) / likelihood.spread[shapes][:, None], axis=0)
    starts = []
    for chosen in shapes[order[:_ALONE]]:
        start = reached.copy()
        each = np.arange(reached.shape[1])
        start[chosen, each] *= -1
        starts.append(start)
    return starts


def _many(likelihood: Likelihood) -> int:
    """Return from how many points a fit begins: the fewer, the more parameters there are."""
    return int(np.clip(_STARTED // len(likelihood.columns), *_MORE))


def _led(
    likelihood: Likelihood, starts: list[Floats], begin: Floats, free: Flags, bounds: tuple[Floats, Floats]
) -> list[tuple[Floats, Flags]]:
    """Return starting points from which some parameters move first, and which these are, shape (parameters, batch).

    Free factors are at several sizes, one of them is 0 or large, or a parameter along which there may be several minima
    is far off, or where it takes a bin away, and all the rest follows; or factors are large, and shapes, which move
    first, have driven what these multiply below 0.
    """
    result = []
    loose = free & likelihood.loose[:, None]
    if loose.any():
        result += [(start, free & ~loose) for start in starts[-_many(likelihood) :][: len(_SIZES)]]
    factors = np.flatnonzero(loose.any(axis=1))
    alone = [(factor, size) for factor in factors[:_ALONE] for size in (0.0, _LARGE[0])]
    folded = likelihood.folded[~likelihood.loose[likelihood.folded]][:_ALONE]
    turning = [pair for _, *found in likelihood.turning for pair in zip(*found, strict=True)]
    widths = [(shape, side * width) for shape, side, width in turning[: 2 * _ALONE]]
    for shape in dict.fromkeys([*folded, *(shape for shape, _, _ in turning[:_ALONE])]):
        widths += [(shape, -_END), (shape, _END)]
    alone += [(shape, likelihood.inits[shape] + width * likelihood.spread[shape]) for shape, width in widths]
    # where the likelihood is even in a parameter, a fit that begins in the middle stays there
    even = np.setdiff1d(likelihood.folded[likelihood.inits[likelihood.folded] == 0], np.flatnonzero(likelihood.loose))
    off = begin.copy()
    off[even] += _LEFT * likelihood.spread[even, None] * (np.abs(begin[even]) < _LEFT)
    for index, value in alone:
        moving, start = free.copy(), off.copy()
        moving[index] = False
        start[index] = value
        result.append((np.where(free, np.clip(start, *bounds), begin), moving))
    for factors, shapes, sides, _ in likelihood.turning[: _many(likelihood)]:
        moving = free & np.isin(np.arange(len(free)), shapes)[:, None]
        far = likelihood.spread[shapes] * min(_FAR, 2 * _FAR / np.sqrt(len(shapes)))
        # what is measured is only large where nothing else can be
        above = 0.0 if likelihood.loose[factors].any() else _WIDTHS
        measured = np.minimum(_LARGE[0], likelihood.inits + above * likelihood.spread)[factors]
        # within their ranges, factors may be at one size only
        sizes = np.unique([np.minimum(large, bounds[1][factors, 0]) for large in _LARGE], axis=0)
        for size in sizes:
            start = off.copy()
            start[factors] = np.where(likelihood.loose[factors], size, measured)[:, None]
            start[shapes] = (likelihood.inits[shapes] + sides * far)[:, None]
            result.append((np.where(free, np.clip(start, *bounds), begin), moving))
    return result


def _is_lower(other: Minimum, found: Minimum) -> Flags:
    return np.asarray(~found.converged | (other.nll < found.nll - _LOWER * (1 + np.abs(found.nll))))


def lowest_of(found: Minimum, other: Minimum) -> Minimum:
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
            found = lowest_of(found, whole)
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
        minuit.migrad(ncall=_CALLS, iterate=1 if number == 0 else 5)
        if number == 0 and minuit.fval is not None and least - _NO_LOWER < minuit.fval:
            return reached, least
        if minuit.valid and minuit.fval is not None:
            return expand(np.asarray(minuit.values))[:, 0], float(minuit.fval)
    return None
