"""Scans for an excess in many places: windows of a histogram, or masses over a fitted background.

Each gives one local significance a place; what the largest is worth, `look_elsewhere` says.
"""

from __future__ import annotations

__all__ = ["BumpHunt", "bump_hunt", "bump_hunt_toys", "scan_masses"]

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
