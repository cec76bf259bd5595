"""From a local to a global significance: what an excess is worth that was looked for in many places.

The places may be windows of a histogram, masses (both in `scans`) or cuts (the pseudo-experiments). Each scan
gives one local significance a place; the largest is what a search reports, and its distribution without signal
gives the global p-value: from toys (`Calibration`), or extrapolated from the number of upcrossings
(`GrossVitells`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    def to_dict(self) -> dict[str, float]:
        """Plain data for a JSON file."""
        return {"value": self.value, "low": self.low, "high": self.high}


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
    tail = stats.norm.sf(1)
    low = float(stats.beta.ppf(tail, successes, trials - successes + 1)) if successes > 0 else 0.0
    high = float(stats.beta.isf(tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return Interval(successes / trials, low, high)


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

    def z_global(self, z: float) -> float:
        """Global significance of a largest local significance z."""
        return float(stats.norm.isf(self.p_global(z).value))

    def trials_factor(self, z: float) -> Interval:
        """Global over local p-value."""
        local = float(stats.norm.sf(z))
        p = self.p_global(z)
        return Interval(p.value / local, p.low / local, p.high / local)


# --- toys


@dataclass(frozen=True)
class NormalFit:
    """A normal distribution fitted to a sample.

    Attributes
    ----------
    mean, mean_error, width, width_error : float
        Maximum-likelihood values and their errors.
    distance, p : float
        Kolmogorov's and Smirnov's distance to the sample and its p-value, which is too large as the normal
        was fitted (Lilliefors): a small one still refutes it.
    """

    mean: float
    mean_error: float
    width: float
    width_error: float
    distance: float
    p: float


def normal_fit(sample: ArrayLike) -> NormalFit:
    """Fit a normal distribution to the finite entries of a sample.

    Raises
    ------
    FitError
        If fewer than three entries are finite, or all are equal.
    """
    values = np.asarray(sample, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if len(values) < 3 or not np.ptp(values) > 0:
        msg = f"a normal distribution can't be fitted to {len(values)} entries; make more toys."
        raise FitError(msg)
    mean, width = float(values.mean()), float(values.std())
    test = stats.kstest(values, "norm", args=(mean, width))
    root = math.sqrt(len(values))
    return NormalFit(
        mean, width / root, width, width / (math.sqrt(2) * root), float(test.statistic), float(test.pvalue)
    )


class Calibration:
    """Local and global significance of a scan, calibrated with scans of toys without signal.

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

    def p_local(self, z: float, place: int) -> Interval:
        """Fraction of toys with at least z at one place."""
        column = self.z[:, place]
        column = column[np.isfinite(column)]
        return probability(int((column >= z).sum()), len(column))

    def p_global(self, z: float) -> Interval:
        """Fraction of toys with at least z anywhere."""
        return probability(int(len(self.maxima) - np.searchsorted(self.maxima, z, side="left")), len(self.maxima))

    def trials_factor(self, z: float, place: int) -> Interval:
        """Global over local p-value, both from the toys; its interval takes them as independent."""
        over, under = self.p_global(z), self.p_local(z, place)
        if under.value == 0:
            return Interval(math.nan, math.nan, math.inf)
        ratio = over.value / under.value
        up = ratio * math.hypot(_relative(over, up=True), _relative(under, up=False))
        down = ratio * math.hypot(_relative(over, up=False), _relative(under, up=True))
        return Interval(ratio, max(ratio - down, 0.0), ratio + up)

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
        sample = self.maxima
        if place is not None:
            column = self.z[:, place]
            sample = np.sort(column[np.isfinite(column)])
        tail = float(stats.norm.sf(sigma))
        count = len(sample)
        if count * tail < 1:
            msg = (
                f"{count} toys do not reach {sigma:g} standard deviations, which one in {1 / tail:.0f} "
                "exceeds; "
                f"make at least {math.ceil(1 / tail)}."
            )
            raise FitError(msg)
        one = float(stats.norm.sf(1))
        few, many = stats.binom.ppf(one, count, tail), stats.binom.ppf(1 - one, count, tail)
        beyond = count * tail

        def at(number: float) -> float:
            # the value with `number` toys above it
            return float(np.interp(count - 0.5 - number, np.arange(count), sample))

        return Interval(at(beyond), at(float(many)), at(float(few)))

    def summary(self, sigmas: Sequence[float] = (1.0, 2.0, 3.0), labels: Sequence[str] = ()) -> dict[str, Any]:
        """Plain data for a JSON file: normal fits and sizes, local for every place and global."""
        places = self.z.shape[1]
        names = list(labels) or [str(index) for index in range(places)]
        return {
            "toys": len(self.z),
            "lost": self.lost,
            "local": [
                {
                    "place": name,
                    "failed": int((~np.isfinite(self.z[:, index])).sum()),
                    "normal": vars(normal_fit(self.z[:, index])),
                    "size": self._sizes(sigmas, index),
                }
                for index, name in enumerate(names)
            ],
            "global": {"normal": vars(normal_fit(self.maxima)), "size": self._sizes(sigmas, None)},
        }

    def _sizes(self, sigmas: Sequence[float], place: int | None) -> dict[str, dict[str, float] | None]:
        reachable = len(self.z)
        return {
            f"{sigma:g}": self.size(sigma, place).to_dict() if reachable * stats.norm.sf(sigma) >= 2 else None
            for sigma in sigmas
        }


def _relative(interval: Interval, *, up: bool) -> float:
    if interval.value == 0:
        return 0.0
    end = interval.high if up else interval.low
    return abs(end - interval.value) / interval.value
