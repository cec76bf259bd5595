"""Significance of a binned score, with its error and with that of a comparison of two scores of the same events."""

from __future__ import annotations

__all__ = ["BinnedSignificance", "binned_significance", "mean_significance"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.binning import Sample, right_to_left

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BinnedSignificance:
    r"""The significance :math:`Z = \sqrt{\sum_i s_i^2 / b_i}` of adaptive bins.

    Attributes
    ----------
    value, error
        Z, and its error from the statistics of the simulation in the bins,
        :math:`\sigma_Z^2 = \frac{1}{4 Z^2} \sum_i [(2 s_i / b_i)^2 \sigma_{s_i}^2 + (s_i / b_i)^4 \sigma_{b_i}^2]`.
    bins
        How many; 0 where not even all events together satisfy the bound on errors, and Z is that of all events.
    replicas
        Z of the same bins with events that count 0, 1, 2, ... times (Poisson of mean 1), one for each draw.
    """

    value: float
    error: float
    bins: int
    replicas: Floats


def binned_significance(
    scores: Floats,
    weights: Floats,
    is_signal: NDArray[np.bool_],
    *,
    error: float = 0.15,
    rest: Literal["joined", "apart"] = "apart",
    draws: NDArray[np.uint8] | None = None,
) -> BinnedSignificance:
    """Bin a score from right to left (`binning.right_to_left`) and add up the bins' significance.

    Parameters
    ----------
    scores, weights
        [N], larger scores for signal; expected events.
    is_signal
        [N].
    error
        Largest relative statistical error of a bin's signal and background.
    rest
        What becomes of the low end, see `binning.right_to_left`. Apart, it counts only if its background's error is
        below the bound: few events of background would else pass for few expected.
    draws
        [R, N], how often each event counts in each replica. The same draws for two scores make their replicas
        comparable.
    """
    draws = np.zeros((0, len(scores)), dtype=np.uint8) if draws is None else draws
    signal, background = (Sample.of(scores[chosen], weights[chosen]) for chosen in (is_signal, ~is_signal))
    if not len(signal.scores) or not len(background.scores):
        return BinnedSignificance(0.0, 0.0, 0, np.zeros(len(draws)))
    try:
        edges = np.asarray(right_to_left(signal, background, error=error, rest=rest))
        bins = len(edges) + 1
    except FitError:
        edges, bins = np.zeros(0), 0
    size = len(edges) + 1
    place = np.searchsorted(edges, scores, side="right") + size * ~is_signal
    s, b, s2, b2 = (
        np.bincount(place, each, minlength=2 * size).astype(np.float64)[half]
        for each in (weights, weights**2)
        for half in (slice(size), slice(size, None))
    )
    # the bins that count: all but a low end whose background is not known
    counts = np.ones(size)
    if bins and b2[0] >= (error * b[0]) ** 2:
        counts[0] = 0.0
    s, s2 = s * counts, s2 * counts
    value = _total(s, b)
    ratio = np.divide(s, b, out=np.zeros(size), where=b > 0)
    spread = float(np.sqrt(np.sum(4 * ratio**2 * s2 + ratio**4 * b2)))
    replicas = np.zeros(len(draws))
    for number, draw in enumerate(draws):
        sums = np.bincount(place, weights * draw, minlength=2 * size).astype(np.float64)
        replicas[number] = _total(sums[:size] * counts, sums[size:])
    return BinnedSignificance(value, spread / (2 * value) if value > 0 else 0.0, bins, replicas)


def _total(s: Floats, b: Floats) -> float:
    return float(np.sqrt(np.sum(np.divide(s**2, b, out=np.zeros(len(s)), where=b > 0))))


def mean_significance(channels: Sequence[BinnedSignificance]) -> BinnedSignificance:
    """Average over channels; `bins` are added up."""
    count = len(channels)
    return BinnedSignificance(
        value=float(np.mean([channel.value for channel in channels])),
        error=float(np.sqrt(np.sum([channel.error**2 for channel in channels]))) / count,
        bins=sum(channel.bins for channel in channels),
        replicas=np.mean([channel.replicas for channel in channels], axis=0),
    )
