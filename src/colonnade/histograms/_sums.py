"""Compiled loops that add weights to bins: many histograms, regions and variations in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.histograms._kernels import NOT_A_NUMBER
from colonnade.kinematics.compiled import compiled

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: from how many variations on it pays to put the events of a bin in a row first
_MANY = 8
#: how many entries of an event are written without looking how many it has
_WIDE = 8


@dataclass(frozen=True, slots=True)
class Entries:
    """What is filled into one histogram.

    Attributes
    ----------
    place
        Where the histogram's sums, of shape (regions, bins, variations), start among those of all.
    size
        The number of bins.
    regions
        The regions that the histogram has, by number.
    start
        Where its entries start among the bin numbers of all.
    offsets
        Where each event's entries start, counted from there; None if there is one an event.
    """

    place: int
    size: int
    regions: Sequence[int]
    start: int
    offsets: Integers | None


def accumulate(
    entries: Sequence[Entries],
    bins: npt.NDArray[np.int32],
    chosen: Sequence[Integers],
    weights: Floats,
    first: int,
    values: Floats,
    variances: Floats,
    variations: int,
    block: int,
) -> tuple[int, int] | None:
    """Add the weights of the events of each region to their bins; each sum takes them in the order of the events.

    Parameters
    ----------
    entries
        For each histogram, at least one.
    bins
        The bin of each entry of all histograms; negative ones are no bin.
    chosen
        The events of each region, rising.
    weights
        Shape (events, k).
    first
        Where the k variations start among those of the histograms.
    values, variances
        The sums of weights and of their squares of all histograms, changed in place.
    variations
        How many the histograms have.
    block
        How many events are filled into all histograms before the next.

    Returns
    -------
    tuple of int or None
        Histogram, and entry of it, if one is met that is not a number.
    """
    table = np.empty((len(entries), 6), dtype=np.int64)
    regions: list[int] = []
    offsets: list[Integers] = []
    known: dict[int, int] = {}  # most jagged observables share their offsets
    known_size = 0
    for row, entry in zip(table, entries, strict=True):
        jagged = -1
        if entry.offsets is not None:
            if id(entry.offsets) not in known:
                known[id(entry.offsets)] = known_size
                known_size += len(entry.offsets)
                offsets.append(entry.offsets)
            jagged = known[id(entry.offsets)]
        row[:] = entry.place, entry.size, len(regions), len(regions) + len(entry.regions), entry.start, jagged
        regions += entry.regions
    ends = np.cumsum([len(events) for events in chosen])
    histogram, place = _accumulate(
        table,
        np.array(regions, dtype=np.int64),
        bins,
        _joined(offsets),
        _joined(chosen),
        ends,
        # flat, with unsigned places: only so are several variations added at a time
        weights.reshape(-1),
        np.uint64(weights.shape[1]),
        np.uint64(first),
        values,
        variances,
        np.uint64(variations),
        len(weights),
        block,
    )
    return None if histogram < 0 else (histogram, place)


_NONE = np.zeros(0, dtype=np.int64)


def _joined(arrays: Sequence[Integers]) -> Integers:
    """Join arrays, of which there is often one."""
    return arrays[0] if len(arrays) == 1 else np.concatenate([_NONE, *arrays])


@compiled
def _accumulate(
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
                if count >= _MANY and len(some) >= size:
                    ends_of_bins, rows, bad = _by_bin(some, bins[start:], to, size, count)
                    _bin_by_bin(ends_of_bins, rows, weights, count, at, values, variances, variations)
                elif count == 1 and len(to) and 2 * len(some) >= min(stop, events) - (stop - block):
                    begin, end = stop - block, min(stop, events)
                    spread = _spread(some, weights[begin:end], to[begin : end + 1], begin)
                    bad = _entry_by_entry(some, bins[start:], to, begin, spread, at, values, variances, variations)
                else:
                    bad = _in_turn(some, bins[start:], to, weights, count, at, values, variances, variations)
                if bad >= 0:
                    return h, bad
    return -1, -1


@compiled
def _spread(some: Any, weights: Any, offsets: Any, begin: int) -> Any:
    """Return the weight of each entry: that of its event, or 0 where the event is not among those to fill."""
    own = np.zeros(len(weights))
    for event in some:
        own[event - begin] = weights[event - begin]
    first = offsets[0]
    spread = np.empty(offsets[-1] - first + _WIDE)
    for event in range(len(own)):
        weight, at, stop = own[event], offsets[event] - first, offsets[event + 1] - first
        # always so many, whatever belongs to others is written over by them: the processor has no number to guess
        for k in range(_WIDE):
            spread[at + k] = weight
        for k in range(at + _WIDE, stop):
            spread[k] = weight
    return spread


@compiled
def _entry_by_entry(
    some: Any,
    bins: Any,
    offsets: Any,
    begin: int,
    spread: Any,
    at: Any,
    values: Any,
    variances: Any,
    variations: Any,
) -> int:
    """Add the entries of a block of events; those of weight 0 change no sum."""
    first = offsets[begin]
    for k in range(len(spread) - _WIDE):
        b = bins[first + k]
        if b >= 0:
            place = at + np.uint64(b) * variations
            weight = spread[k]
            values[place] += weight
            variances[place] += weight * weight
        elif b == NOT_A_NUMBER:
            event = np.searchsorted(offsets, first + k, side="right") - 1
            found = np.searchsorted(some, event)
            if found < len(some) and some[found] == event:
                return int(first + k)
    return -1


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
def _by_bin(some: Any, bins: Any, offsets: Any, size: int, count: Any) -> tuple[Any, Any, int]:
    """Return where each bin's entries end, the places of their weights, bin by bin, and an entry that is no number."""
    flat = len(offsets) == 0
    ends = np.zeros(size + 1, dtype=np.int64)
    bad = -1
    for event in some:
        for entry in range(event if flat else offsets[event], event + 1 if flat else offsets[event + 1]):
            b = bins[entry]
            if b >= 0:
                ends[b + 1] += 1
            elif b == NOT_A_NUMBER and bad < 0:
                bad = entry
    for b in range(size):
        ends[b + 1] += ends[b]
    rows = np.empty(ends[size], dtype=np.uint64)
    for event in some:
        for entry in range(event if flat else offsets[event], event + 1 if flat else offsets[event + 1]):
            b = bins[entry]
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
