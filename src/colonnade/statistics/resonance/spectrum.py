"""A one-dimensional spectrum to fit: bins with their sum of weights and sum of squared weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.errors import EventError, FitError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Bins of an observable.

    Parameters
    ----------
    edges : array of shape (bins + 1,)
        Bin edges, rising, in the observable's unit.
    values : array of shape (bins,)
        Sum of weights of each bin (the count, for data).
    variances : array of shape (bins,), optional
        Sum of squared weights of each bin; the counts where left out.
    name : str
        What to call the observable in messages.

    Raises
    ------
    FitError
        If the shapes do not match or the edges do not rise.
    EventError
        If a bin holds a value that is not a finite number.
    """

    edges: Array
    values: Array
    variances: Array
    name: str = "mass"

    def __init__(
        self, edges: ArrayLike, values: ArrayLike, variances: ArrayLike | None = None, name: str = "mass"
    ) -> None:
        contents = np.array(values, dtype=np.float64)
        squares = contents if variances is None else variances
        for key, value in (("edges", edges), ("values", contents), ("variances", squares)):
            array = np.array(value, dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        object.__setattr__(self, "name", name)
        if self.edges.shape != (contents.size + 1,) or self.variances.shape != contents.shape or contents.ndim != 1:
            msg = (
                f"{name}: {contents.shape} values and {self.variances.shape} variances do not fit "
                f"{self.edges.shape} bin edges; give one value and variance a bin."
            )
            raise FitError(msg)
        if not np.all(np.diff(self.edges) > 0):
            msg = f"{name}: the bin edges must rise from left to right."
            raise FitError(msg)
        bad = ~(np.isfinite(self.values) & np.isfinite(self.variances) & (self.variances >= 0))
        if bad.any():
            index = int(np.flatnonzero(bad)[0])
            msg = (
                f"{name}: bin {index} ({self.edges[index]:g} to {self.edges[index + 1]:g}) holds "
                f"{self.values[index]} +- sqrt({self.variances[index]}); remove events whose weight is not "
                "a number."
            )
            raise EventError(msg)

    @classmethod
    def from_hist(cls, histogram: Any, name: str | None = None) -> Spectrum:
        """Take a one-dimensional `hist.Hist`, without its flow bins.

        Raises
        ------
        FitError
            If the histogram has more than one axis.
        """
        if histogram.ndim != 1:
            axes = ", ".join(axis.name or "?" for axis in histogram.axes)
            msg = f"a bump fit takes one axis, not {axes}; pick a region and a variation first."
            raise FitError(msg)
        axis = histogram.axes[0]
        return cls(axis.edges, histogram.values(), histogram.variances(), name or axis.name or "mass")

    @classmethod
    def fill(
        cls, sample: ArrayLike, edges: ArrayLike, weights: ArrayLike | None = None, name: str = "mass"
    ) -> Spectrum:
        """Histogram a sample of shape (events,), weighted or not.

        Raises
        ------
        EventError
            If a value or a weight is not a finite number.
        """
        entries = np.asarray(sample, dtype=np.float64)
        weight = np.ones_like(entries) if weights is None else np.asarray(weights, dtype=np.float64)
        bad = ~(np.isfinite(entries) & np.isfinite(weight))
        if bad.any():
            msg = f"{name}: {int(bad.sum())} of {entries.size} entries have a value or weight that is not a number."
            raise EventError(msg)
        values, _ = np.histogram(entries, edges, weights=weight)
        squares, _ = np.histogram(entries, edges, weights=weight**2)
        return cls(edges, values, squares, name)

    @property
    def centers(self) -> Array:
        """Bin centres, shape (bins,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def low(self) -> float:
        """Lower end of the range."""
        return float(self.edges[0])

    @property
    def high(self) -> float:
        """Upper end of the range."""
        return float(self.edges[-1])

    def __add__(self, other: Spectrum) -> Spectrum:
        """Add another spectrum of the same bins."""
        return Spectrum(self.edges, self.values + other.values, self.variances + other.variances, self.name)

    def between(self, low: float, high: float) -> Spectrum:
        """Keep the bins that lie in [low, high].

        Raises
        ------
        FitError
            If the range reaches outside the axis, or holds no whole bin.
        """
        tolerance = 1e-9 * (self.high - self.low)
        if not self.low - tolerance <= low < high <= self.high + tolerance:
            msg = (
                f"{self.name}: the fit range {low:g} to {high:g} reaches outside the axis "
                f"({self.low:g} to {self.high:g}); choose a range inside it."
            )
            raise FitError(msg)
        inside = (self.edges[:-1] >= low - tolerance) & (self.edges[1:] <= high + tolerance)
        if not inside.any():
            msg = f"{self.name}: no whole bin lies between {low:g} and {high:g}; widen the fit range."
            raise FitError(msg)
        first, last = np.flatnonzero(inside)[[0, -1]]
        return Spectrum(
            self.edges[first : last + 2],
            self.values[first : last + 1],
            self.variances[first : last + 1],
            self.name,
        )

    def merged(self) -> Spectrum:
        """Merge each bin without variance into the next one (the last into the one before it).

        A bin with sum w^2 = 0 has no error to weigh a chi-squared with; merged, its emptiness still counts.

        Raises
        ------
        FitError
            If no bin holds an event.
        """
        self.check_content()
        keep = [0]
        squares = 0.0
        for index, variance in enumerate(self.variances):
            squares += variance
            if squares > 0:
                keep.append(index + 1)
                squares = 0.0
        keep[-1] = len(self.values)
        values = np.add.reduceat(self.values, keep[:-1])
        variances = np.add.reduceat(self.variances, keep[:-1])
        return Spectrum(self.edges[keep], values, variances, self.name)

    def outside(self, window: tuple[float, float]) -> NDArray[np.bool_]:
        """Mask, shape (bins,), of the bins that do not overlap a window: the sidebands.

        Raises
        ------
        FitError
            If the window covers the range, or no bin lies on one of its sides.
        """
        low, high = window
        tolerance = 1e-9 * (self.high - self.low)
        if not low < high:
            msg = f"{self.name}: the signal window {low:g} to {high:g} is empty; give its lower edge first."
            raise FitError(msg)
        mask = (self.edges[1:] <= low + tolerance) | (self.edges[:-1] >= high - tolerance)
        if not mask.any():
            msg = (
                f"{self.name}: the signal window {low:g} to {high:g} covers the fit range "
                f"({self.low:g} to {self.high:g}), which leaves no sideband; widen the range."
            )
            raise FitError(msg)
        return np.asarray(mask, dtype=np.bool_)

    def check_content(self) -> None:
        """Refuse a spectrum that can't be fitted.

        Raises
        ------
        FitError
            If it holds no event or its weights sum to nothing positive.
        """
        total = math.fsum(self.values)
        if not total > 0:
            what = f"the weights sum to {total:g}" if self.variances.any() else "no event lies"
            msg = f"{self.name}: {what} between {self.low:g} and {self.high:g}; check the selection and the range."
            raise FitError(msg)

    def to_dict(self) -> Mapping[str, Any]:
        """Plain data for a JSON file."""
        arrays = {key: getattr(self, key).tolist() for key in ("edges", "values", "variances")}
        return {"name": self.name, **arrays}
