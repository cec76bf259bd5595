"""Compiled loops that add weights to bins: many histograms, regions and variations in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from colonnade.histograms._kernels import NOT_A_NUMBER
from colonnade.kinematics.compiled import compiled

#: from how many variations on it pays to put the events of a bin in a row first, where each has one entry
_MANY = 8


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
