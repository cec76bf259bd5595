"""Observables as flat numbers, and compiled loops that find their bins and add weights to them.

Bin numbers are those of boost-histogram, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import boost_histogram as bh
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics.loops import compiled
from colonnade.kinematics.views import view

# places in the array of bin numbers that are no bin
SKIP = -1
NOT_A_NUMBER = -2
#: beyond every axis of whole numbers, which have 32 bits
_LARGEST = 1 << 62
#: from how many variations on it pays to put the events of a bin in a row first, where each has one entry
_MANY = 8


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
    else:
        bins[~np.isfinite(content) & (bins >= 0)] = NOT_A_NUMBER
        _indexed(_indices(rule, axis, content), rule.size, rule.under, rule.over, stride, bins)
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


def _indices(rule: AxisRule, axis: Any, content: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the bins; where it has no rule, ask boost-histogram, which wants the type that the axis has."""
    if rule.kind == "variable":
        content = np.asarray(content, dtype=np.float64)
        index = np.searchsorted(rule.edges, content, side="right") - 1
        # without overflow the last edge belongs to the last bin
        return index if rule.over else index - (content == rule.edges[-1])
    if rule.kind == "integer":
        return _whole(content) - int(rule.low)
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
def _indexed(indices: Any, size: int, under: int, over: int, stride: int, bins: Any) -> None:
    for i in range(len(indices)):
        if bins[i] < 0:
            continue
        index = max(min(indices[i], size), -1)
        if (index < 0 and not under) or (index >= size and not over):
            bins[i] = SKIP
        else:
            bins[i] += (index + under) * stride


@compiled
def accumulate(
    table: Any,
    regions: Any,
    bins: Any,
    offsets: Any,
    members: Any,
    ends: Any,
    weights: Any,
    count: Any,
    first: Any,
    values: Any,
    variances: Any,
    variations: Any,
    events: int,
    block: int,
) -> tuple[int, int]:
    """Add the weights of the events of each region to their bins; each sum takes them in the order of the events.

    Parameters
    ----------
    table
        For each histogram: where its sums, of shape (regions, bins, variations), start among those of all; its number
        of bins; where its regions start and end in `regions`; where its entries start in `bins`; where the offsets of
        its events start in `offsets`, -1 if it has one entry an event.
    regions
        The regions of each histogram, by number.
    bins
        The bin of each entry of all histograms; negative ones are no bin.
    offsets
        Where each event's entries start, counted from the histogram's first.
    members, ends
        The events of each region, rising, and where those of each region end.
    weights
        Shape (events * count,): flat, with unsigned places, as only so several variations are added at a time.
    count
        How many variations have weights.
    first
        Where these start among the variations of the histograms.
    values, variances
        The sums of weights and of their squares of all histograms, changed in place.
    variations
        How many the histograms have.
    events
        How many there are.
    block
        How many events are filled into all histograms before the next.

    Returns
    -------
    tuple of int
        Histogram, and entry of it, if one is met that is not a number; else -1 and -1.
    """
    begins = np.zeros(len(ends), dtype=np.int64)
    begins[1:] = ends[:-1]
    reached = begins.copy()
    for stop in range(block, events + block, block):
        for region in range(len(ends)):
            begins[region] = reached[region]
            reached[region] += np.searchsorted(members[reached[region] : ends[region]], stop)
        for h in range(len(table)):
            place, size, one, last, start, jagged = table[h]
            for r in range(one, last):
                some = members[begins[regions[r]] : reached[regions[r]]]
                at = np.uint64(place) + np.uint64((r - one) * size) * variations + first
                to = offsets[jagged : jagged + events + 1] if jagged >= 0 else offsets[:0]
                if count >= _MANY and jagged < 0 and len(some) >= size:
                    ends_of_bins, rows, bad = _by_bin(some, bins[start:], size, count)
                    _bin_by_bin(ends_of_bins, rows, weights, count, at, values, variances, variations)
                else:
                    bad = _in_turn(some, bins[start:], to, weights, count, at, values, variances, variations)
                if bad >= 0:
                    return h, bad
    return -1, -1


@compiled
def _in_turn(
    some: Any,
    bins: Any,
    offsets: Any,
    weights: Any,
    count: Any,
    at: Any,
    values: Any,
    variances: Any,
    variations: Any,
) -> int:
    flat = len(offsets) == 0
    for event in some:
        row = np.uint64(event) * count
        for entry in range(event if flat else offsets[event], event + 1 if flat else offsets[event + 1]):
            b = bins[entry]
            if b >= 0:
                place = at + np.uint64(b) * variations
                for k in range(count):
                    weight = weights[row + k]
                    values[place + k] += weight
                    variances[place + k] += weight * weight
            elif b == NOT_A_NUMBER:
                return int(entry)
    return -1


@compiled
def _by_bin(some: Any, bins: Any, size: int, count: Any) -> tuple[Any, Any, int]:
    """Return where each bin's entries end, the places of their weights, bin by bin, and an entry that is no number."""
    ends = np.zeros(size + 1, dtype=np.int64)
    bad = -1
    for event in some:
        b = bins[event]
        if b >= 0:
            ends[b + 1] += 1
        elif b == NOT_A_NUMBER and bad < 0:
            bad = event
    for b in range(size):
        ends[b + 1] += ends[b]
    rows = np.empty(ends[size], dtype=np.uint64)
    for event in some:
        b = bins[event]
        if b >= 0:
            rows[ends[b]] = np.uint64(event) * count
            ends[b] += 1
    return ends[:size], rows, bad


@compiled
def _bin_by_bin(
    ends: Any, rows: Any, weights: Any, count: Any, at: Any, values: Any, variances: Any, variations: Any
) -> None:
    """Add many variations: a sum is read and written once for several events."""
    begin = 0
    for b in range(len(ends)):
        place = at + np.uint64(b) * variations
        last = ends[b]
        several = begin + (last - begin) // 4 * 4
        for i in range(begin, several, 4):
            one, two, three, four = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
            for k in range(count):
                u, v, w, x = weights[one + k], weights[two + k], weights[three + k], weights[four + k]
                values[place + k] = (((values[place + k] + u) + v) + w) + x
                variances[place + k] = (((variances[place + k] + u * u) + v * v) + w * w) + x * x
        for i in range(several, last):
            one = rows[i]
            for k in range(count):
                u = weights[one + k]
                values[place + k] += u
                variances[place + k] += u * u
        begin = last
