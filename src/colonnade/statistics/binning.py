"""Bins chosen by the statistical error of the simulation in them.

From the highest score down, each bin is as narrow as the errors allow and with more signal than the one above it; from
raw scores or from the contents of fine bins.

What is returned are the inner edges, increasing; n edges make n + 1 bins, of which the outermost are open, so that no
event is ever outside. A score on an edge belongs above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import FitError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Scores and weights, or the content of fine bins.

    Attributes
    ----------
    scores : float array, shape (entries,)
        Scores of events, or lower edges of fine bins (-inf for the underflow).
    weights : float array, shape (entries,)
        Weights of the events, or contents of the bins.
    variances : float array, shape (entries,)
        Squared weights, or variances of the bins.
    """

    scores: Floats
    weights: Floats
    variances: Floats

    @classmethod
    def of(cls, scores: ArrayLike, weights: ArrayLike | None = None) -> Sample:
        """Take raw scores, of weight 1 unless weights are given.

        Raises
        ------
        FitError
            If the shapes differ, or a score or weight is not a number.
        """
        x = np.asarray(scores, dtype=np.float64)
        w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
        if x.ndim != 1 or x.shape != w.shape:
            msg = f"scores and weights must be lists of equal length, but have shapes {x.shape} and {w.shape}."
            raise FitError(msg)
        if np.isnan(x).any() or not np.isfinite(w).all():
            msg = "bins can't be chosen: a score or weight is not a number."
            raise FitError(msg)
        return cls(x, w, w**2)


def right_to_left(
    signal: Sample, background: Sample, *, error: float = 0.15, rest: Literal["joined", "apart"] = "joined"
) -> list[float]:
    """Choose bins from the highest score down.

    Each bin is widened to lower scores until signal and background have a relative error below the bound,
    background is positive, and there is more signal than in the bin above. What is left at the low end joins the
    lowest bin.

    Parameters
    ----------
    signal, background
        What is expected.
    error
        Largest relative statistical error of a bin's signal and of its background.
    rest
        What becomes of the low end: `joined` to the lowest bin, or `apart`, a bin of its own that need not satisfy
        the bound. Where the highest bin holds most of a well separated signal, no other can hold more; joined, it would
        be diluted by all background.

    Raises
    ------
    FitError
        If not even a single bin satisfies the bound.
    """
    cells = _cells(signal, background, error)
    cuts = _scan(cells.sums, error)
    if rest == "apart":
        if not len(cuts):
            raise FitError(cells.impossible())
        return cells.edges(cuts[cuts > 0])
    # the lowest bin reaches down to whatever is left
    cuts = cuts[1:]
    # what is left at the low end may be negative in sum and spoil the bin it joins, which then joins the next
    while not cells.satisfied(cuts):
        if not len(cuts):
            raise FitError(cells.impossible())
        cuts = cuts[1:]
    return cells.edges(cuts)


@dataclass(frozen=True)
class _Cells:
    """Signal and background by distinct score, as running sums, so that a bin is a difference of two rows.

    ``sums[i]`` holds s, b, and their variances of all cells below the i-th.
    """

    scores: Floats
    sums: Floats
    error: float

    def satisfied(self, cuts: NDArray[np.int64]) -> bool:
        rows = self.sums[np.concatenate([[0], cuts, [len(self.scores)]])]
        return bool(_good(np.diff(rows, axis=0), self.error).all())

    def edges(self, cuts: NDArray[np.int64]) -> list[float]:
        edges: list[float] = self.scores[cuts].tolist()
        return edges

    def impossible(self) -> str:
        s, b, s2, b2 = self.sums[-1]
        return (
            f"no bin has relative statistical errors below {self.error:g}: all events together hold signal "
            f"{s:.4g} +- {np.sqrt(s2):.2g} and background {b:.4g} +- {np.sqrt(b2):.2g}; simulate more events or "
            "allow a larger error."
        )


def _cells(signal: Sample, background: Sample, error: float) -> _Cells:
    if not error > 0:
        msg = f"the relative error of a bin must be allowed to be above 0, but error = {error:g}."
        raise FitError(msg)
    if not len(signal.scores) or not len(background.scores):
        msg = "bins can't be chosen without signal and background events."
        raise FitError(msg)
    scores, index = np.unique(np.concatenate([signal.scores, background.scores]), return_inverse=True)
    of_signal, of_background = index[: len(signal.scores)], index[len(signal.scores) :]
    sums = np.zeros((len(scores) + 1, 4))
    columns = (of_signal, of_background) * 2
    values = (signal.weights, background.weights, signal.variances, background.variances)
    for column, (where, each) in enumerate(zip(columns, values, strict=True)):
        sums[1:, column] = np.cumsum(np.bincount(where, each, minlength=len(scores)))
    return _Cells(scores, sums, error)


def _good(content: Floats, error: float) -> NDArray[np.bool_]:
    """Which bins satisfy the bound: of shape (bins,), content of shape (bins, 4) as in `_Cells.sums`."""
    signal, background, *variances = content.T
    s_error, b_error = np.sqrt(np.maximum(variances, 0.0))
    good = (signal > 0) & (background > 0) & (s_error < error * signal) & (b_error < error * background)
    return np.asarray(good, dtype=np.bool_)


def _scan(sums: Floats, error: float) -> NDArray[np.int64]:
    """Return where bins begin, from the left; what is left lies below the first."""
    cuts: list[int] = []
    end, before = len(sums) - 1, 0.0
    while True:
        content = sums[end] - sums[:end]
        begins = np.flatnonzero(_good(content, error) & (content[:, 0] > before))
        if not len(begins):
            return np.array(cuts[::-1], dtype=np.int64)
        end = int(begins[-1])
        before = content[end, 0]
        cuts.append(end)
