"""From a local to a global significance: what an excess is worth that was looked for in many places.

The places may be windows of a histogram (`bump_hunt`), masses (`scan_masses`) or cuts (the
pseudo-experiments). Each scan gives one local significance a place; the largest is what a search reports, and
its distribution without signal gives the global p-value: from toys (`Calibration`), or extrapolated from the
number of upcrossings (`GrossVitells`).
"""

from __future__ import annotations

__all__ = [
    "BumpHunt",
    "Calibration",
    "GrossVitells",
    "Interval",
    "NormalFit",
    "bump_hunt",
    "bump_hunt_toys",
    "normal_fit",
    "probability",
    "scan_masses",
    "upcrossings",
]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import gammainc

from colonnade.errors import ConfigError, FitError
from colonnade.statistics.bumps.batch import fit_backgrounds, fit_bumps
from colonnade.statistics.bumps.signals import Signal
from colonnade.statistics.bumps.table import BackgroundTable

Array = NDArray[np.float64]
_BLOCK = 512


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


# --- windows of a histogram


@dataclass(frozen=True, eq=False)
class BumpHunt:
    """The most unlikely excess among all windows of a histogram.

    Attributes
    ----------
    first, width : int
        First bin and number of bins of the window.
    low, high : float
        Its ends.
    observed, expected : float
        Events in it.
    p_local : float
        Probability that the expectation alone gives as many events or more.
    windows : int
        How many windows were tried.
    """

    first: int
    width: int
    low: float
    high: float
    observed: float
    expected: float
    p_local: float
    windows: int

    @property
    def excess(self) -> float:
        """Observed minus expected events."""
        return self.observed - self.expected

    @property
    def z_local(self) -> float:
        """The p-value in standard deviations, one-sided."""
        return float(stats.norm.isf(self.p_local))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {**vars(self), "excess": self.excess, "z_local": self.z_local}


def bump_hunt(
    observed: ArrayLike, expected: ArrayLike, edges: ArrayLike, *, widths: tuple[int, int] = (2, 6)
) -> BumpHunt:
    r"""Find the most significant excess (BumpHunter: G. Choudalakis, arXiv:1101.0390).

    The p-value of a window with d events where b are expected is :math:`P(n \ge d | b)`, the regularised
    incomplete gamma function :math:`\Gamma(d, b)`; it is 1 where there is no excess.

    Parameters
    ----------
    observed, expected : array of shape (bins,)
        Contents of the bins.
    edges : array of shape (bins + 1,)
        The bins.
    widths
        Smallest and largest number of bins of a window; every position is tried.

    Raises
    ------
    FitError
        If an expectation is negative, or nothing is expected anywhere.
    ConfigError
        If the widths do not fit the histogram.
    """
    counts, means = np.asarray(observed, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    bins = np.asarray(edges, dtype=np.float64)
    _check_windows(means, widths)
    best: tuple[float, int, int] | None = None
    windows = 0
    for width in range(widths[0], widths[1] + 1):
        p = _window_p(counts[None], means, width)[0]
        windows += len(p)
        index = int(np.argmin(p))
        if best is None or p[index] < best[0]:
            best = (float(p[index]), index, width)
    assert best is not None  # noqa: S101 - widths were checked
    p_local, first, width = best
    part = slice(first, first + width)
    return BumpHunt(
        first,
        width,
        float(bins[first]),
        float(bins[first + width]),
        float(counts[part].sum()),
        float(means[part].sum()),
        p_local,
        windows,
    )


def bump_hunt_toys(
    expected: ArrayLike, rng: np.random.Generator, *, toys: int = 10_000, widths: tuple[int, int] = (2, 6)
) -> Array:
    """Smallest window p-value of each of many toys of the expectation, shape (toys,).

    The global p-value of an observed one is the fraction of toys with a smaller or equal one: `probability`.

    Parameters
    ----------
    expected : array of shape (bins,)
        Expected contents.
    rng
        Where the toys come from.
    toys
        How many; memory does not grow with it.
    widths
        As for `bump_hunt`.

    Raises
    ------
    FitError, ConfigError
        As `bump_hunt`.
    """
    means = np.asarray(expected, dtype=np.float64)
    _check_windows(means, widths)
    smallest = np.ones(toys)
    for first in range(0, toys, _BLOCK):
        counts = rng.poisson(means, size=(min(_BLOCK, toys - first), len(means))).astype(np.float64)
        block = smallest[first : first + len(counts)]
        for width in range(widths[0], widths[1] + 1):
            np.minimum(block, _window_p(counts, means, width).min(axis=1), out=block)
    return smallest


def _check_windows(means: Array, widths: tuple[int, int]) -> None:
    low, high = widths
    if not 1 <= low <= high <= len(means):
        msg = f"windows of {low} to {high} bins do not fit a histogram of {len(means)}; choose 1 to {len(means)}."
        raise ConfigError(msg)
    if not (np.all(means >= 0) and means.sum() > 0):
        msg = "a bump hunt needs an expectation of 0 or more in every bin and above 0 in some."
        raise FitError(msg)


def _window_p(counts: Array, means: Array, width: int) -> Array:
    """P-values of all windows of a width: (rows, positions)."""
    d = np.lib.stride_tricks.sliding_window_view(counts, width, axis=1).sum(axis=2)
    b = np.lib.stride_tricks.sliding_window_view(means, width).sum(axis=1)
    excess = (d > b) & (d > 0)
    return np.where(excess, gammainc(np.where(excess, d, 1.0), np.broadcast_to(b, d.shape)), 1.0)


# --- masses


def scan_masses(table: BackgroundTable, counts: ArrayLike, signal: Signal, means: ArrayLike) -> tuple[Array, Array]:
    """Signed local significance of a peak at each of several masses, the background free.

    Parameters
    ----------
    table
        The background shape on the bins.
    counts : array of shape (rows, bins)
        Spectra.
    signal
        The peak, moved to each mass.
    means : array of shape (masses,)
        The masses.

    Returns
    -------
    z, signal : arrays of shape (rows, masses)
        Signed root of q, and the fitted signal events; NaN where a fit did not converge.
    """
    values = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    positions = np.atleast_1d(np.asarray(means, dtype=np.float64))
    z, size = np.empty((2, len(values), len(positions)))
    templates = [signal.at(mean).fractions(table.edges) for mean in positions]
    for first in range(0, len(values), _BLOCK):
        part = slice(first, first + _BLOCK)
        alone = fit_backgrounds(table, values[part])
        for index, template in enumerate(templates):
            fits = fit_bumps(table, values[part], template, background=alone)
            z[part, index], size[part, index] = fits.z, fits.signal
    return z, size


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
