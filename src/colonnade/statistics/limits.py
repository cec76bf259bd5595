"""CLs upper limits with the asymptotic formulas, each found as a root and not read off a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from colonnade.errors import FitError
from colonnade.statistics.fitting import bin_notes, bound_notes, fit_at, free_fit, on_bound, poi_index
from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.minimise import lowest_of, may_have_several
from colonnade.statistics.newton import Minimum, reduced
from colonnade.statistics.results import Note

Floats = NDArray[np.float64]
SIGMAS = (-2, -1, 0, 1, 2)
_LARGEST, _SMALLEST = 1e7, 1e-12
_ROUNDS = 60
# a last step of this relative size, from so small a value, leaves an error of about its square
_STEP, _NEARLY = 2e-3, 0.05
# a fit at one signal strength is better than the best one by this part of it
_BETTER = 1e-7
# so close to a root, relative, a function is on either side of 0
_NEAR = 1e-4
# a bracket of this relative size tells a root, where a function has a step or a corner
_SAME = 1e-7


@dataclass(frozen=True, slots=True)
class HypothesisTest:
    """CLs of one signal strength.

    Attributes
    ----------
    poi : float
        The signal strength tested.
    observed : float or None
        CLs of the data; none where only the expectation was asked for.
    expected : tuple of float
        CLs for data at -2, -1, 0, +1, +2 standard deviations of the background-only hypothesis.
    """

    poi: float
    observed: float | None
    expected: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class UpperLimits:
    """Upper limits on the signal strength.

    Attributes
    ----------
    observed : float or None
        None where only the expectation was asked for.
    expected : tuple of float
        At -2, -1, 0, +1, +2 standard deviations of the background-only hypothesis; infinite where no signal strength
        is excluded, as where an uncertainty can take the signal away.
    level : float
        Confidence level.
    fits : int
        How many fits it took.
    notes : tuple of Note
        What they rest on: bounds, bins that expect nothing, limits without end.
    """

    observed: float | None
    expected: tuple[float, ...]
    level: float
    fits: int
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Roots:
    """Square roots of q-tilde at some signal strengths, and their derivatives by the signal strength."""

    roots: Floats
    slopes: Floats


class _Scan:
    """The statistic q-tilde (Eq. 16 of arXiv:1007.1727) of the data and of the background's Asimov data.

    Many signal strengths are fitted at once. The derivative of q-tilde needs no other fit: at the conditional minimum
    it is twice the likelihood's own derivative by the signal strength.
    """

    def __init__(self, likelihood: Likelihood, data: Floats, *, observed: bool) -> None:
        self.likelihood, self.seen = likelihood, data[:, None]
        self.poi = poi_index(likelihood)
        null = fit_at(likelihood, np.zeros(1), self.seen)
        self.background = null.values[:, 0]
        self.expected = likelihood.expected_data(self.background)[:, None]
        self.fits = 1
        # parameters of the last fits, from which the next go on; whether these begin at several points
        self._last: dict[str, Floats] = {}
        self.several = False
        self.free: Minimum | None = None
        if observed:
            least = max(0.0, likelihood.lower[self.poi])
            self.free = free_fit(likelihood, self.seen, null, max(likelihood.inits[self.poi], 0.0), least)
            self.fits += 1

    @property
    def best(self) -> float:
        """The fitted signal strength, 0 or above."""
        return 0.0 if self.free is None else float(self.free.values[self.poi, 0])

    def asimov(self, poi: Floats) -> _Roots:
        """Evaluate on the Asimov data, which their own parameters describe perfectly: the free fit's value is 0."""
        return self._roots(self.expected, self._fits("asimov", self.expected, poi), 0.0)

    def data(self, poi: Floats) -> _Roots:
        """Evaluate on the data; 0 below the fitted signal strength."""
        found, least = self._fits("data", self.seen, poi), 0.0
        if self.free is not None:
            self._improve(self.free, found)
            least = float(self.free.nll[0])
        result = self._roots(self.seen, found, least)
        below = poi <= self.best
        return _Roots(np.where(below, 0.0, result.roots), np.where(below, 0.0, result.slopes))

    def _improve(self, free: Minimum, found: Minimum) -> None:
        """Take a better free fit, where a fit at some signal strength shows that there is one."""
        place = int(np.argmin(found.nll))
        if found.nll[place] < free.nll[0] - _BETTER * (1 + free.nll[0]):
            here = Minimum(found.values[:, [place]], found.nll[[place]], found.converged[[place]])
            strength, least = float(found.values[self.poi, place]), max(0.0, self.likelihood.lower[self.poi])
            self.free = free_fit(self.likelihood, self.seen, here, strength, least)
            self.fits += 1

    def _fits(self, name: str, data: Floats, poi: Floats) -> Minimum:
        """Fit at signal strengths, from where the last ones ended."""
        start = self._last.get(name)
        if start is None or start.shape[1] != len(poi):
            start = self.background[:, None] if start is None else start[:, :1]
        found = fit_at(self.likelihood, poi, data, start, several=False)
        if self.several:
            found = lowest_of(found, fit_at(self.likelihood, poi, data, self.background[:, None]))
        self._last[name] = found.values
        self.fits += len(poi)
        return found

    def _roots(self, data: Floats, found: Minimum, least: float) -> _Roots:
        slope = self.likelihood.gradient(found.values, np.broadcast_to(data, (len(data), len(found.nll))))[self.poi]
        roots = np.sqrt(np.maximum(0.0, 2 * (found.nll - least)))
        return _Roots(roots, np.divide(slope, roots, out=np.zeros_like(slope), where=roots > 0))


def _observed_cls(root: Floats, root_a: Floats) -> Floats:
    """Return CLs from the roots of q-tilde of data and Asimov data: Eqs. 65, 66 of arXiv:1007.1727."""
    distance = _distance(root, root_a)
    return np.asarray(np.exp(norm.logsf(distance + root_a) - norm.logsf(distance)))


def _distance(root: Floats, root_a: Floats) -> Floats:
    safe = np.where(root_a > 0, root_a, 1.0)
    return np.asarray(np.where(root <= root_a, root - root_a, (root**2 - root_a**2) / (2 * safe)))


def hypothesis_test(
    likelihood: Likelihood, poi: float, data: Floats | None = None, *, observed: bool = True
) -> HypothesisTest:
    """Return CLs, observed and expected, of one signal strength (asymptotic, q-tilde).

    Parameters
    ----------
    likelihood
        The compiled model.
    poi
        Signal strength, above 0.
    data
        Main and auxiliary data; without them the observed ones.
    observed
        Whether the observed CLs is wanted; a blinded analysis says no, and it is not computed.

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    seen = likelihood.observed if data is None else data
    scan = _Scan(likelihood, seen, observed=observed)
    at = np.array([poi])
    root_a = scan.asimov(at).roots[0]
    cls = None if scan.free is None else float(_observed_cls(scan.data(at).roots, np.array([root_a]))[0])
    return HypothesisTest(poi, cls, tuple(float(norm.sf(root_a - sigma) / norm.sf(-sigma)) for sigma in SIGMAS))


def upper_limits(
    likelihood: Likelihood, data: Floats | None = None, *, level: float = 0.95, observed: bool = True
) -> UpperLimits:
    """Return the observed and the five expected CLs upper limits on the signal strength, asymptotically.

    An expected limit is where the root of q-tilde of the background's Asimov data takes a value that is known
    beforehand; the observed one is where CLs of the data is one minus the confidence level. Both are found by
    bracketed root finding, starting from the curvature of the likelihood and above 0.

    Parameters
    ----------
    likelihood
        The compiled model.
    data
        Main and auxiliary data; without them the observed ones.
    level
        Confidence level.
    observed
        Whether the observed limit is wanted; a blinded analysis says no, and it is not computed.

    Raises
    ------
    FitError
        If a fit does not converge, or no finite signal strength is excluded.
    """
    seen = likelihood.observed if data is None else data
    alpha = 1 - level
    scan = _Scan(likelihood, seen, observed=observed)
    sigmas = np.array(SIGMAS, dtype=np.float64)
    # CLs of the median and its fluctuations is alpha where the root of q-tilde is this
    targets = sigmas + norm.isf(alpha * norm.sf(-sigmas))

    def excess(poi: Floats) -> tuple[Floats, Floats]:
        at = scan.asimov(poi)
        return at.roots - targets, at.slopes

    expected = _roots(scan, excess, targets * _scale(likelihood, scan.background, scan.expected[:, 0]))
    if not np.any(np.isfinite(expected)):
        msg = (
            f"No signal strength up to {_LARGEST:.0e} is excluded; the signal is too small beside its background, "
            "or is in no bin of the model."
        )
        raise FitError(msg)
    limit = None
    if observed:

        def beyond(poi: Floats) -> tuple[Floats, Floats]:
            return _observed_excess(scan.asimov(poi), scan.data(poi), alpha)

        first = max(expected[2], scan.best + expected[1])
        guess = np.array([first if np.isfinite(first) else scan.best + 1])
        limit = float(_roots(scan, beyond, guess)[0])
    limits = (*(float(each) for each in expected), *(() if limit is None else (limit,)))
    return UpperLimits(limit, limits[: len(SIGMAS)], level, scan.fits, _notes(scan, limits))


def _notes(scan: _Scan, limits: tuple[float, ...]) -> tuple[Note, ...]:
    likelihood, found = scan.likelihood, scan.background if scan.free is None else scan.free.values[:, 0]
    edge = on_bound(found, likelihood.lower, likelihood.upper) & ~likelihood.fixed
    edge[scan.poi] = False
    notes = [*bound_notes(likelihood, found, edge), *bin_notes(likelihood, found, scan.seen[:, 0])]
    if not all(np.isfinite(limits)):
        text = "A limit is infinite: no signal strength is excluded, as an uncertainty can take the signal away."
        notes.append(Note("infinite", likelihood.model.poi, text))
    return tuple(notes)


def _observed_excess(a: _Roots, d: _Roots, alpha: float) -> tuple[Floats, Floats]:
    """Return the normal quantile of CLs less that of alpha, close to linear in the signal strength, and its slope."""
    safe = np.where(a.roots > 0, a.roots, 1.0)
    inside = d.roots <= a.roots
    distance = _distance(d.roots, a.roots)
    by_d = np.where(inside, 1.0, d.roots / safe)
    by_a = np.where(inside, -1.0, -(d.roots**2 + a.roots**2) / (2 * safe**2))
    slope = by_d * d.slopes + by_a * a.slopes
    log_cls = norm.logsf(distance + a.roots) - norm.logsf(distance)
    # d log sf(x) = -hazard(x) dx
    change = -_hazard(distance + a.roots) * (slope + a.slopes) + _hazard(distance) * slope
    quantile = norm.isf(np.exp(np.minimum(log_cls, -1e-12)))
    return quantile - norm.isf(alpha), -change / _hazard(quantile)


def _hazard(x: Floats) -> Floats:
    return np.asarray(np.exp(norm.logpdf(x) - norm.logsf(x)))


def _scale(likelihood: Likelihood, theta: Floats, asimov: Floats) -> float:
    """Guess the standard deviation of the signal strength from the curvature of the Asimov likelihood."""
    poi = int(np.flatnonzero(likelihood.columns == poi_index(likelihood))[0])
    free = ~likelihood.fixed[:, None]
    free[likelihood.columns[poi]] = True
    known = likelihood.derivatives(theta[:, None], asimov[:, None])
    moving = free[likelihood.columns, 0]
    matrix = reduced(likelihood, known, free, np.zeros(1))[0][0][np.ix_(moving, moving)]
    matrix[np.diag_indices_from(matrix)] *= 1 + 1e-9
    try:
        variance = np.linalg.inv(matrix)[int(moving[:poi].sum()), int(moving[:poi].sum())]
    except np.linalg.LinAlgError:
        variance = np.nan
    return float(np.sqrt(variance)) if np.isfinite(variance) and variance > 0 else 1.0


def _roots(scan: _Scan, function: Callable[[Floats], tuple[Floats, Floats]], guess: Floats) -> Floats:
    """Find where functions of the scan cross 0: along the minima that fits follow, if they do so at the lowest ones.

    `_increasing_roots` describes the rest.
    """
    if not may_have_several(scan.likelihood):
        return _increasing_roots(function, guess)
    try:
        found = _increasing_roots(function, guess)
    except FitError:
        found = None
    scan.several = True
    if found is None or not _crosses(function, found):
        found = _increasing_roots(function, guess)
    scan.several = False
    return found


def _crosses(function: Callable[[Floats], tuple[Floats, Floats]], found: Floats) -> bool:
    """Say whether functions are below 0 before the points found, and above it after them; infinite ones are."""
    known = np.isfinite(found)
    at = np.where(known, found, 1.0)
    before, after = (function(at * (1 + side))[0] for side in (-_NEAR, _NEAR))
    return bool(np.all(~known | ((before <= 0) & (after >= 0))))


def _increasing_roots(function: Callable[[Floats], tuple[Floats, Floats]], guess: Floats) -> Floats:
    """Find where increasing functions of positive numbers cross 0, all at once.

    Newton's steps from the given derivatives, kept inside a bracket that every evaluation tightens; it begins as
    everything above 0, where the functions are negative, so that nothing is evaluated at 0.

    Parameters
    ----------
    function
        Values and derivatives at (n,) arguments, one function each.
    guess
        Where to begin, shape (n,).

    Returns
    -------
    numpy.ndarray
        Shape (n,); infinite where a function stays below 0.

    Raises
    ------
    FitError
        If one is above 0 everywhere, or the search does not end.
    """
    at = np.maximum(guess, 1e-9)
    low, high, before = np.zeros_like(at), np.full_like(at, np.inf), np.full_like(at, np.inf)
    for _ in range(_ROUNDS):
        value, slope = function(at)
        low, high = np.where(value < 0, at, low), np.where(value >= 0, at, high)
        endless = low > _LARGEST
        if np.any(high < _SMALLEST):
            msg = "Every signal strength is excluded, however small; the model can't describe these data."
            raise FitError(msg)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = at - value / slope
        # a step out of the bracket, too far where its other end is unknown, or long after one that did not halve the
        # value, is replaced by a safe one
        fallback = np.where(np.isinf(high), 4 * at, np.where(low > 0, np.sqrt(low * high), high / 8))
        most = np.where(np.isinf(high), 8 * at, high)
        good = np.isfinite(step) & (slope > 0) & (step > low) & (step <= most)
        good &= (np.abs(value) < before / 2) | (np.abs(step - at) < _STEP * at)
        before = np.abs(value)
        following = np.where(endless, at, np.where(good, step, fallback))
        # Newton's error is the square of its step: this one is the last that matters
        close = high - low < _SAME * at
        last = good & (np.abs(following - at) < _STEP * at) & (np.abs(value) < _NEARLY)
        if np.all(endless | close | last):
            return np.where(endless, np.inf, following)
        at = following
    msg = f"The root finding of a limit did not converge in {_ROUNDS} rounds; the likelihood is not smooth there."
    raise FitError(msg)
