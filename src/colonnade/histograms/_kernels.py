"""Observables as flat numbers, and compiled loops that find their bins: those of boost-histogram, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import boost_histogram as bh
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics.compiled import compiled
from colonnade.kinematics.views import view

# places in the array of bin numbers that are no bin
SKIP = -1
NOT_A_NUMBER = -2
#: beyond every axis of whole numbers, which have 32 bits
_LARGEST = 1 << 62


@dataclass(frozen=True)
class Column:
    """One observable of n events.

    Attributes
    ----------
    name
        The observable.
    content
        All values in a row: one an event, or one an object.
    offsets
        Shape (n + 1,): where each event's values start, for a jagged observable; None for a flat one.
    missing
        Which values are missing (None); None if none is.
    """

    name: str
    content: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64] | None = None
    missing: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, values: Any, name: str, events: int) -> Column:
        """Read an array of numbers of one value, or one list of values, for each of `events` events.

        Raises
        ------
        ConfigError
            If the array is not of numbers, is nested deeper, or is of another length.
        """
        if isinstance(values, np.ndarray) and values.ndim == 1 and not isinstance(values, np.ma.MaskedArray):
            column = cls(name, values)
        else:
            try:
                seen = view(values)
                column = cls(name, seen.numbers(), seen.offsets, seen.missing)
            except ConfigError as error:
                msg = f"the observable {name!r} can't be filled: {error}"
                raise ConfigError(msg) from error
        if column.content.dtype.kind not in "biuf":
            msg = f"the observable {name!r} holds {column.content.dtype}, not numbers, so it can't be filled."
            raise ConfigError(msg)
        if column.events != events:
            msg = f"the observable {name!r} has {column.events} entries for {events} events."
            raise ConfigError(msg)
        return column

    @property
    def events(self) -> int:
        """How many events the column has."""
        return len(self.content) if self.offsets is None else len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many values each event of a jagged column has."""
        return np.diff(np.asarray(self.offsets))

    def same(self, other: Column) -> bool:
        """Tell whether two columns are equal to the bit; those with missing values are not compared."""
        if self.missing is not None or other.missing is not None or self.content.dtype != other.content.dtype:
            return False
        one, two = (each.content.view(f"u{each.content.itemsize}") for each in (self, other))
        offsets, others = (np.asarray(each.offsets) for each in (self, other))
        return np.array_equal(one, two) and np.array_equal(offsets, others)

    def entries(self, these: slice) -> Column:
        """Return some of the values, as a flat column."""
        missing = None if self.missing is None else self.missing[these]
        return Column(self.name, self.content[these], None, missing)

    @staticmethod
    def together(columns: list[Column], histogram: str) -> list[Column]:
        """Give the columns of a histogram of several axes one length: a flat one repeats for each object.

        Raises
        ------
        ConfigError
            If two jagged columns have different numbers of objects in an event.
        """
        jagged = [column for column in columns if column.offsets is not None]
        if not jagged or len(columns) == 1:
            return columns
        offsets = np.asarray(jagged[0].offsets)
        for column in jagged[1:]:
            if not np.array_equal(np.asarray(column.offsets), offsets):
                msg = (
                    f"histogram {histogram!r}: {jagged[0].name!r} and {column.name!r} are jagged with different "
                    "numbers of objects, so they can't be filled against each other."
                )
                raise ConfigError(msg)
        counts = np.diff(offsets)
        return [
            column
            if column.offsets is not None
            else replace(
                column,
                content=np.repeat(column.content, counts),
                offsets=offsets,
                missing=None if column.missing is None else np.repeat(column.missing, counts),
            )
            for column in columns
        ]


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
