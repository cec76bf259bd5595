"""From a local to a global significance: what an excess is worth that was looked for in many places.

The places may be masses, windows of a histogram or cuts. Each scan gives one local significance a place; the largest is
what a search reports, and its distribution without signal gives the global p-value: from toys (`Calibration`), or
extrapolated from the number of upcrossings (`GrossVitells`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from colonnade.errors import FitError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A number with a 68.3 % interval.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float


def probability(successes: int, trials: int) -> Interval:
    """Estimate a probability, with the interval of Clopper and Pearson (Biometrika 26 (1934) 404).

    Raises
    ------
    FitError
        If there is no trial.

    Examples
    --------
    >>> probability(0, 100).value
    0.0
    """
    if trials <= 0:
        msg = "a probability needs at least one trial; make more toys."
        raise FitError(msg)
    interval = stats.binomtest(successes, trials).proportion_ci(1 - 2 * float(stats.norm.sf(1)))
    return Interval(successes / trials, float(interval.low), float(interval.high))


def upcrossings(z: ArrayLike, level: float) -> NDArray[np.int64]:
    """Count how often each scan rises through a level: z of shape (rows, places) to (rows,).

    A scan that starts above the level counts as not having crossed it.
    """
    scans = np.atleast_2d(np.asarray(z, dtype=np.float64))
    above = scans >= level
    return np.asarray((above[:, 1:] & ~above[:, :-1]).sum(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class GrossVitells:
    r"""Global p-value from the mean number of upcrossings of a low level.

    E. Gross and O. Vitells, Eur. Phys. J. C 70 (2010) 525, arXiv:1005.1891:
    :math:`P(\max q > c) \approx P(q > c) + \langle N(c_0)\rangle e^{-(c - c_0)/2}` for one degree of freedom,
    here for an excess: :math:`c = z^2` and :math:`P(q > c)` is the one-sided local p-value.

    Attributes
    ----------
    level : float
        Level in standard deviations, c0 = level^2.
    crossings, error : float
        Mean number of upcrossings a scan, and its statistical error.
    """

    level: float
    crossings: float
    error: float

    @classmethod
    def from_scans(cls, z: ArrayLike, level: float = 0.5) -> GrossVitells:
        """Count upcrossings in scans of toys without signal, shape (rows, places).

        Raises
        ------
        FitError
            If fewer than two scans are complete.
        """
        scans = np.atleast_2d(np.asarray(z, dtype=np.float64))
        counts = upcrossings(scans[np.isfinite(scans).all(axis=1)], level)
        if len(counts) < 2:
            msg = f"{len(counts)} complete scans can't give a mean number of upcrossings; make more toys."
            raise FitError(msg)
        return cls(level, float(counts.mean()), float(counts.std(ddof=1) / math.sqrt(len(counts))))

    def p_global(self, z: float) -> Interval:
        """Global p-value of a largest local significance z, at or above the level."""
        local = float(stats.norm.sf(z))
        decay = math.exp(-0.5 * (z**2 - self.level**2))
        values = [
            local + max(number, 0.0) * decay
            for number in (self.crossings, self.crossings - self.error, self.crossings + self.error)
        ]
        return Interval(*(min(value, 1.0) for value in values))


class Calibration:
    """Global significance of a scan, calibrated with scans of toys without signal.

    Parameters
    ----------
    z : array of shape (toys, places)
        Local significance of each toy at each place; NaN where a fit failed. A toy with no finite place is
        left out and counted; a place that failed can't be the largest.

    Raises
    ------
    FitError
        If no toy is left.
    """

    def __init__(self, z: ArrayLike) -> None:
        scans = np.atleast_2d(np.asarray(z, dtype=np.float64))
        some = np.isfinite(scans).any(axis=1)
        if not some.any():
            msg = "no scan has a converged fit, so nothing can be calibrated; look at the background fits."
            raise FitError(msg)
        self.lost = int((~some).sum())
        self.z = scans[some]
        self.maxima: Array = np.sort(np.nanmax(self.z, axis=1))

    def p_global(self, z: float) -> Interval:
        """Fraction of toys with at least z anywhere."""
        return probability(int((self.maxima >= z).sum()), len(self.maxima))

    def size(self, sigma: float, place: int | None = None) -> Interval:
        """Local significance that toys exceed with the probability of `sigma` standard deviations.

        This is how large a fake signal comes out at that confidence. The interval is that of the order
        statistics: the ranks between which the quantile lies with 68.3 %.

        Parameters
        ----------
        sigma
            One-sided significance.
        place
            One place of the scan (local), or the largest of all (global) where left out.

        Raises
        ------
        FitError
            If fewer than one toy is expected beyond the quantile.
        """
        sample = self.maxima if place is None else np.sort(self.z[np.isfinite(self.z[:, place]), place])
        tail = float(stats.norm.sf(sigma))
        count = len(sample)
        if count * tail < 1:
            msg = (
                f"{count} toys do not reach {sigma:g} standard deviations, which one in {1 / tail:.0f} exceeds; "
                f"make at least {math.ceil(1 / tail)}."
            )
            raise FitError(msg)
        one = float(stats.norm.sf(1))
        few, many = stats.binom.ppf(one, count, tail), stats.binom.ppf(1 - one, count, tail)
        # the values with so many toys above them
        places = count - 0.5 - np.array([count * tail, many, few])
        return Interval(*np.interp(places, np.arange(count), sample).tolist())
