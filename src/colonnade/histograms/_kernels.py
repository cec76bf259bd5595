"""Compiled loops of the filling. Bin numbers are those of boost-histogram, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boost_histogram as bh
import numpy as np
import numpy.typing as npt

from colonnade.histograms.columns import Column
from colonnade.kinematics.compiled import compiled

# places in the array of bin numbers that are no bin
SKIP = -1
NOT_A_NUMBER = -2
#: beyond every axis of whole numbers, which have 32 bits
_LARGEST = 1 << 62


@dataclass(frozen=True, slots=True)
class AxisRule:
    """How an axis numbers its bins, taken from the axis once.

    Attributes
    ----------
    kind
        "regular", "variable", "integer", or "other", for which the axis itself is asked.
    size, under, over
        The number of bins, and whether there are bins below and above them (0 or 1).
    low, width
        The lower limit and the whole width of a regular axis; the first number of an integer one.
    edges
        Those of a variable axis.
    """

    kind: str
    size: int
    under: int
    over: int
    low: float
    width: float
    edges: npt.NDArray[np.float64]

    @classmethod
    def of(cls, axis: Any) -> AxisRule:
        """Read an axis."""
        traits = axis.traits
        edges = np.asarray(axis.edges, dtype=np.float64)
        kind = "other"
        if not traits.circular:
            if isinstance(axis, bh.axis.Regular) and axis.transform is None:
                kind = "regular"
            elif isinstance(axis, bh.axis.Variable):
                kind = "variable"
            elif isinstance(axis, bh.axis.Integer) and not isinstance(axis, bh.axis.Boolean):
                kind = "integer"
        under, over = int(traits.underflow), int(traits.overflow)
        return cls(kind, axis.size, under, over, float(edges[0]), float(edges[-1] - edges[0]), edges)


def add_bins(rule: AxisRule, axis: Any, column: Column, stride: int, bins: npt.NDArray[np.int32]) -> None:
    """Add `stride` times the bin numbers along one axis (counting underflow as 0) to `bins`, in place.

    What is not to be filled becomes -1, what is infinite or not a number -2.
    """
    content = column.content
    if rule.kind == "regular":
        if content.dtype != np.float32:
            content = np.asarray(content, dtype=np.float64)
        _regular(content, rule.low, rule.width, rule.size, rule.under, rule.over, stride, bins)
    elif rule.kind == "variable":
        content = np.asarray(content, dtype=np.float64)
        _variable(content, rule.edges, rule.under, rule.over, stride, bins)
    else:
        places = _whole(content) - int(rule.low) if rule.kind == "integer" else _indices(axis, content)
        _indexed(places, rule.size, rule.under, rule.over, stride, bins)
        if content.dtype.kind == "f":
            bins[~np.isfinite(content) & (bins != SKIP)] = NOT_A_NUMBER
    if column.missing is not None:
        bins[column.missing] = SKIP


def _whole(content: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return whole numbers as signed ones; those that are too large for any axis stay so."""
    if content.dtype.kind == "f":
        content = np.nan_to_num(np.floor(content, dtype=np.float64))
    if content.dtype.itemsize == 8:
        low = 0 if content.dtype.kind == "u" else -_LARGEST
        content = np.clip(content, low, _LARGEST)
    return content.astype(np.int64)


def _indices(axis: Any, content: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Ask boost-histogram, which wants the type that the axis has."""
    if isinstance(axis, bh.axis.Boolean):
        content = content != 0
    elif isinstance(axis, (bh.axis.Integer, bh.axis.IntCategory)):
        whole = _whole(content)
        if isinstance(axis, bh.axis.IntCategory):  # it raises for a number that is not in it, where a fill does not
            categories = np.array(list(axis), dtype=np.int64)
            order = np.argsort(categories)
            place = np.minimum(np.searchsorted(categories[order], whole), len(categories) - 1)
            # a number between two categories is none
            member = (categories[order][place] == whole) & (whole == content)
            return np.where(member, order[place], len(categories))
        content = whole
    if content.dtype.kind == "b" and not isinstance(axis, bh.axis.Boolean):
        content = content.astype(np.int64)
    return np.asarray(axis.index(content), dtype=np.int64)


@compiled
def _regular(content: Any, low: float, width: float, size: int, under: int, over: int, stride: int, bins: Any) -> None:
    # without branches, so that the processor does several at a time and guesses no way
    first, above = np.int32(under * stride), np.int32((size + under) * stride)
    last = np.int32((size - 1 + under) * stride)
    for i in range(len(content)):
        number = bins[i]
        x = np.float64(content[i])
        z = (x - low) / width
        inside = (z >= 0.0) & (z < 1.0)
        within = np.int32(number + np.int32(z * size if inside else 0.0) * np.int32(stride) + first)
        below = number if under else np.int32(SKIP)
        # without overflow the last edge belongs to the last bin
        beyond = np.int32(number + above) if over else (np.int32(number + last) if z == 1.0 else np.int32(SKIP))
        other = (below if z < 0.0 else beyond) if x - x == 0.0 else np.int32(NOT_A_NUMBER)
        bins[i] = number if number < 0 else (within if inside else other)


@compiled
def _variable(content: Any, edges: Any, under: int, over: int, stride: int, bins: Any) -> None:
    size = len(edges) - 1
    for i in range(len(content)):
        if bins[i] < 0:
            continue
        x = content[i]
        if x - x != 0.0:  # infinite, or no number
            bins[i] = NOT_A_NUMBER
            continue
        index = np.searchsorted(edges, x, side="right") - 1
        if index == size and not over and x == edges[size]:
            index = size - 1  # without overflow the last edge belongs to the last bin
        if (index < 0 and not under) or (index >= size and not over):
            bins[i] = SKIP
        else:
            bins[i] += (index + under) * stride


@compiled
def _indexed(indices: Any, size: int, under: int, over: int, stride: int, bins: Any) -> None:
    for i in range(len(indices)):
        if bins[i] < 0:
            continue
        index = max(min(indices[i], size), -1)
        if (index < 0 and not under) or (index >= size and not over):
            bins[i] = SKIP
        else:
            bins[i] += (index + under) * stride
