"""CLs upper limits with the asymptotic formulas, each found as a root and not read off a grid."""

from __future__ import annotations

__all__ = ["HypothesisTest", "UpperLimits", "hypothesis_test", "upper_limits"]

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from colonnade.errors import FitError
from colonnade.statistics.fitting import fit_at, poi_index
from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.minimise import minimise

Floats = NDArray[np.float64]
SIGMAS = (-2, -1, 0, 1, 2)
# relative precision of a limit
PRECISION = 1e-5
_LARGEST = 1e7


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
        At -2, -1, 0, +1, +2 standard deviations of the background-only hypothesis.
    level : float
        Confidence level.
    fits : int
        How many fits it took.
    """

    observed: float | None
    expected: tuple[float, ...]
    level: float
    fits: int


class _Tests:
    """The statistic q-tilde (Eq. 16 of arXiv:1007.1727) of one data set, remembering where its fits ended."""

    def __init__(self, likelihood: Likelihood, data: Floats, start: Floats | None = None) -> None:
        self.likelihood, self.data = likelihood, data[:, None]
        self.poi = poi_index(likelihood)
        lower, upper = likelihood.lower.copy(), likelihood.upper.copy()
        # the bounds of a workspace's signal strength are a fit's convenience: a limit may lie beyond
        lower[self.poi], upper[self.poi] = max(0.0, lower[self.poi]), np.inf
        begin = likelihood.inits.copy() if start is None else start.copy()
        begin[self.poi] = max(begin[self.poi], 0.0)
        free = minimise(likelihood, self.data, start=begin[:, None], lower=lower, upper=upper)
        self.best, self.nll = free.values[:, 0], float(free.nll[0])
        self.known = {float(self.best[self.poi]): self.best}
        self.fits = 1

    def root_q(self, poi: float) -> float:
        """Return the square root of q-tilde at a signal strength."""
        if poi <= self.best[self.poi]:
            return 0.0
        found = fit_at(self.likelihood, np.array([poi]), self.data, self._start(poi)[:, None])
        self.known[poi] = found.values[:, 0]
        self.fits += 1
        return float(np.sqrt(max(0.0, 2 * (float(found.nll[0]) - self.nll))))

    def _start(self, poi: float) -> Floats:
        """Go on from the two nearest fits, in a straight line where they lie on both sides."""
        below = max((each for each in self.known if each <= poi), default=None)
        above = min((each for each in self.known if each > poi), default=None)
        if above is None or below is None:
            nearest = min(self.known, key=lambda each: abs(each - poi))
            return self.known[nearest]
        share = (poi - below) / (above - below)
        start = (1 - share) * self.known[below] + share * self.known[above]
        return np.asarray(start)


def _background_asimov(likelihood: Likelihood, data: Floats) -> tuple[Floats, Floats]:
    """Return Asimov data without signal, the other parameters fitted to the data, and those parameters."""
    theta = fit_at(likelihood, np.zeros(1), data[:, None]).values[:, 0]
    return likelihood.expected_data(theta), theta


def _expected_cls(root_a: float, sigma: float) -> float:
    """Return CLs of background data that fluctuate by `sigma`, from the root of q-tilde of their Asimov."""
    return float(norm.sf(root_a - sigma) / norm.sf(-sigma))


def _observed_cls(root: float, root_a: float) -> float:
    """Return CLs from the roots of q-tilde of data and Asimov data: Eqs. 65, 66 of arXiv:1007.1727."""
    if root_a == 0:
        return 1.0
    distance = root - root_a if root <= root_a else (root**2 - root_a**2) / (2 * root_a)
    return float(np.exp(norm.logsf(distance + root_a) - norm.logsf(distance)))


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
    asimov, theta = _background_asimov(likelihood, seen)
    root_a = _Tests(likelihood, asimov, theta).root_q(poi)
    expected = tuple(_expected_cls(root_a, sigma) for sigma in SIGMAS)
    if not observed:
        return HypothesisTest(poi, None, expected)
    return HypothesisTest(poi, _observed_cls(_Tests(likelihood, seen, theta).root_q(poi), root_a), expected)


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
    asimov, theta = _background_asimov(likelihood, seen)
    background = _Tests(likelihood, asimov, theta)
    targets = {sigma: sigma + float(norm.isf(alpha * norm.sf(-sigma))) for sigma in SIGMAS}
    guess = _scale(likelihood, theta, asimov)
    expected: dict[int, float] = {}
    for sigma in (0, 1, 2, -1, -2):
        target = targets[sigma]
        expected[sigma] = _root(partial(_above, background, target), target * guess)
        # the root of q-tilde is close to linear in the signal strength: the next guess scales the last answer
        guess = expected[sigma] / target
    limit = None
    fits = background.fits + 1
    if observed:
        tests = _Tests(likelihood, seen, theta)

        def excess(poi: float) -> float:
            cls = _observed_cls(tests.root_q(poi), background.root_q(poi))
            # its logarithm, by the normal quantile, is close to linear too
            return float(norm.isf(max(cls, 1e-300)) - norm.isf(alpha))

        limit = _root(excess, max(expected[0], tests.best[tests.poi] + expected[-1]))
        fits = background.fits + tests.fits + 1
    return UpperLimits(limit, tuple(expected[sigma] for sigma in SIGMAS), level, fits)


def _above(tests: _Tests, target: float, poi: float) -> float:
    return tests.root_q(poi) - target


def _scale(likelihood: Likelihood, theta: Floats, asimov: Floats) -> float:
    """Guess the standard deviation of the signal strength from the curvature of the Asimov likelihood."""
    poi = poi_index(likelihood)
    _, _, hessian = likelihood.derivatives(theta[:, None], asimov[:, None])
    free = ~likelihood.fixed
    free[poi] = True
    matrix = hessian[0][np.ix_(free, free)]
    matrix[np.diag_indices_from(matrix)] *= 1 + 1e-9
    try:
        variance = np.linalg.inv(matrix)[int(free[:poi].sum()), int(free[:poi].sum())]
    except np.linalg.LinAlgError:
        variance = np.nan
    return float(np.sqrt(variance)) if np.isfinite(variance) and variance > 0 else 1.0


def _root(function: Callable[[float], float], guess: float) -> float:
    """Find where an increasing function crosses 0, from a bracket grown around a guess above 0."""
    low = high = max(guess, 1e-9)
    value = function(guess)
    if value < 0:
        factor = 1.1
        while value < 0:
            low, high = high, high * factor
            factor *= 1.5
            value = function(high)
            if high > _LARGEST:
                msg = (
                    f"No signal strength up to {_LARGEST:.0e} is excluded; the signal is too small beside "
                    "its "
                    "background, or is in no bin of the model."
                )
                raise FitError(msg)
    else:
        factor = 1.1
        while value >= 0:
            low, high = low / factor, low
            factor *= 1.5
            value = function(low)
            if low < 1e-12:
                msg = "Every signal strength is excluded, however small; the model can't describe these data."
                raise FitError(msg)
    return float(brentq(function, low, high, rtol=PRECISION, xtol=1e-12))
