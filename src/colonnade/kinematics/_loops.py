"""Compiled loops over lists of objects: flat buffers and offsets in, flat buffers and offsets out."""

from __future__ import annotations

from typing import Any

import numpy as np

from colonnade.kinematics.compiled import compiled


@compiled
def gather_lists(starts: Any, stops: Any, places: Any) -> Any:
    """Offsets and entries of the lists at some places; a negative place is an empty list."""
    offsets = np.empty(len(places) + 1, dtype=np.int64)
    total = 0
    for i in range(len(places)):
        offsets[i] = total
        if places[i] >= 0:
            total += stops[places[i]] - starts[places[i]]
    offsets[len(places)] = total
    index = np.empty(total, dtype=np.int64)
    for i in range(len(places)):
        if places[i] >= 0:
            count = offsets[i]
            for k in range(starts[places[i]], stops[places[i]]):
                index[count] = k
                count += 1
    return offsets, index


@compiled
def select_entries(offsets: Any, keep: Any) -> Any:
    """Offsets and places of the entries that are kept."""
    # first all entries in a row, then all events: lists are short, and a loop in a loop would cost more
    before = np.empty(len(keep) + 1, dtype=np.int64)
    index = np.empty(len(keep), dtype=np.int64)
    count = 0
    for k in range(len(keep)):
        before[k] = count
        index[count] = k
        count += keep[k]
    before[len(keep)] = count
    new = np.empty(len(offsets), dtype=np.int64)
    for i in range(len(offsets)):
        new[i] = before[offsets[i]]
    return new, index[:count].copy()


@compiled
def count_kept(offsets: Any, keep: Any) -> Any:
    """How many entries of each event are kept."""
    before = np.empty(len(keep) + 1, dtype=np.int64)
    count = 0
    for k in range(len(keep)):
        before[k] = count
        count += keep[k]
    before[len(keep)] = count
    counts = np.empty(len(offsets) - 1, dtype=np.int64)
    for i in range(len(counts)):
        counts[i] = before[offsets[i + 1]] - before[offsets[i]]
    return counts


@compiled
def nth(offsets: Any, rank: int) -> Any:
    """Place of each event's entry of a rank, -1 where there are fewer."""
    places = np.empty(len(offsets) - 1, dtype=np.int64)
    for i in range(len(places)):
        place = offsets[i] + rank if rank >= 0 else offsets[i + 1] + rank
        places[i] = place if offsets[i] <= place < offsets[i + 1] else -1
    return places


@compiled
def sort_entries(offsets: Any, key: Any) -> Any:
    """Places of the entries, each event's by falling key; equal ones stay in their order."""
    order = np.arange(offsets[-1])
    for i in range(len(offsets) - 1):
        for k in range(offsets[i] + 1, offsets[i + 1]):  # lists are short: insertion is the fastest
            moved = order[k]
            j = k - 1
            while j >= offsets[i] and key[order[j]] < key[moved]:
                order[j + 1] = order[j]
                j -= 1
            order[j + 1] = moved
    return order


@compiled
def merge_order(first: Any, second: Any) -> Any:
    """Offsets and places of two collections' entries event by event; the second's are stored after the first's."""
    offsets = first + second
    index = np.empty(offsets[-1], dtype=np.int64)
    count = 0
    for i in range(len(offsets) - 1):
        for k in range(first[i], first[i + 1]):
            index[count] = k
            count += 1
        for k in range(second[i], second[i + 1]):
            index[count] = first[-1] + k
            count += 1
    return offsets, index


@compiled
def sum_lists(offsets: Any, values: Any) -> Any:
    """Sum of each event's values, from the first to the last."""
    sums = np.empty(len(offsets) - 1)
    for i in range(len(sums)):
        total = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            total += values[k]
        sums[i] = total
    return sums


@compiled
def subtract_change(offsets: Any, before: Any, after: Any, cosine: Any, sine: Any, px: Any, py: Any) -> None:
    """Subtract from px and py what each event's objects gain in transverse momentum, without turning."""
    for i in range(len(offsets) - 1):
        x, y = 0.0, 0.0
        for k in range(offsets[i], offsets[i + 1]):
            gain = after[k] - before[k]
            x += gain * cosine[k]
            y += gain * sine[k]
        px[i] -= x
        py[i] -= y


@compiled
def pairs(offsets: Any) -> Any:
    """Offsets of each event's pairs of entries, and the places of their first and second."""
    new = np.zeros(len(offsets), dtype=np.int64)
    for i in range(len(offsets) - 1):
        size = offsets[i + 1] - offsets[i]
        new[i + 1] = new[i] + size * (size - 1) // 2
    first = np.empty(new[-1], dtype=np.int64)
    second = np.empty(new[-1], dtype=np.int64)
    count = 0
    for i in range(len(offsets) - 1):
        for a in range(offsets[i], offsets[i + 1]):
            for b in range(a + 1, offsets[i + 1]):
                first[count], second[count] = a, b
                count += 1
    return new, first, second


@compiled
def triplets(offsets: Any) -> Any:
    """Offsets of each event's triplets of entries, and the places of their first, second and third."""
    new = np.zeros(len(offsets), dtype=np.int64)
    for i in range(len(offsets) - 1):
        size = offsets[i + 1] - offsets[i]
        new[i + 1] = new[i] + size * (size - 1) * (size - 2) // 6
    first = np.empty(new[-1], dtype=np.int64)
    second = np.empty(new[-1], dtype=np.int64)
    third = np.empty(new[-1], dtype=np.int64)
    count = 0
    for i in range(len(offsets) - 1):
        for a in range(offsets[i], offsets[i + 1]):
            for b in range(a + 1, offsets[i + 1]):
                for c in range(b + 1, offsets[i + 1]):
                    first[count], second[count], third[count] = a, b, c
                    count += 1
    return new, first, second, third


@compiled
def smallest(offsets: Any, key: Any) -> Any:
    """Place of each event's smallest number, -1 where there is none."""
    places = np.full(len(offsets) - 1, -1, dtype=np.int64)
    for i in range(len(places)):
        for k in range(offsets[i], offsets[i + 1]):
            if key[k] == key[k] and (places[i] < 0 or key[k] < key[places[i]]):
                places[i] = k
    return places


@compiled
def multiply_lists(offsets: Any, values: Any) -> Any:
    """Multiply the entries of each list."""
    products = np.ones(len(offsets) - 1)
    for event in range(len(offsets) - 1):
        for place in range(offsets[event], offsets[event + 1]):
            products[event] *= values[place]
    return products


@compiled
def nearest_entries(
    offsets: Any, eta: Any, phi: Any, others: Any, others_eta: Any, others_phi: Any, radius: float
) -> Any:
    """Return for each entry the place of the nearest other one of its list within a radius, or -1."""
    places = np.full(len(eta), -1)
    for event in range(len(offsets) - 1):
        for place in range(offsets[event], offsets[event + 1]):
            smallest_yet = radius * radius
            for other in range(others[event], others[event + 1]):
                deta = eta[place] - others_eta[other]
                dphi = (phi[place] - others_phi[other] + np.pi) % (2 * np.pi) - np.pi
                distance = deta * deta + dphi * dphi
                if distance < smallest_yet:
                    smallest_yet, places[place] = distance, other
    return places
