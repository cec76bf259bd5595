"""Compiled loops over lists of objects, and compiled formulas: flat buffers and offsets in and out.

What the formulas mean, and where they come from, stands with the public functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop over flat buffers when it is first called.

    The machine code is kept beside the source, or in the user's cache where that can't be written;
    ``NUMBA_CACHE_DIR`` puts it elsewhere.

    Divisions by zero give infinities, as in NumPy, and are no errors.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made: Callable[P, R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the installation nor the home is writable: compile in each process
        made = numba.njit(**options)(function)
    return made


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


def nth(offsets: Any, rank: int) -> Any:
    """Place of each event's entry of a rank, -1 where there are fewer."""
    places = (offsets[:-1] if rank >= 0 else offsets[1:]) + rank
    return np.where((offsets[:-1] <= places) & (places < offsets[1:]), places, -1)


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


_TURN = 2.0 * math.pi


def angle(first: Any, second: Any) -> Any:
    """Difference of azimuths in [-pi, pi)."""
    return (first - second + math.pi) % _TURN - math.pi


def distance(eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> Any:
    """Distance in pseudorapidity and azimuth."""
    eta, phi = eta1 - eta2, angle(phi1, phi2)
    return np.sqrt(eta * eta + phi * phi)


@compiled
def mass_of_sum(rows: Any, places: Any) -> Any:
    """Mass of the sum of several momenta: of each the rows px, py, pz, E at some places."""
    out = np.empty(len(places[0]))
    for i in range(len(out)):
        px, py, pz, energy = 0.0, 0.0, 0.0, 0.0
        for one in range(len(rows)):
            momentum = rows[one][places[one][i]]
            px += momentum[0]
            py += momentum[1]
            pz += momentum[2]
            energy += momentum[3]
        square = energy * energy - px * px - py * py - pz * pz
        # rounding can leave a massless sum slightly space-like
        out[i] = 0.0 if square < 0.0 else math.sqrt(square)
    return out


def momentum_of_sum(rows: Any, places: Any) -> Any:
    """Pt, eta, phi, mass of the same sum."""
    px, py, pz, energy = _sum(rows, places)
    square = px * px + py * py
    pt = np.sqrt(square)
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.where(pz == 0.0, 0.0, np.arcsinh(pz / pt))
    return pt, eta, np.arctan2(py, px), np.sqrt(np.maximum(energy * energy - square - pz * pz, 0.0))


@compiled
def _sum(rows: Any, places: Any) -> Any:
    out = np.zeros((4, len(places[0])))
    for i in range(out.shape[1]):
        for one in range(len(rows)):
            momentum = rows[one][places[one][i]]
            for axis in range(4):
                out[axis, i] += momentum[axis]
    return out


def pair_mass(pt1: Any, eta1: Any, phi1: Any, mass1: Any, pt2: Any, eta2: Any, phi2: Any, mass2: Any) -> Any:
    """Mass of two four-momenta.

    m^2 = m1^2 + m2^2 + 2 (E1 E2 - p1 p2), written so that neither fast nor nearly parallel objects lose digits: first
    the longitudinal part E1 E2 - pz1 pz2 as the quotient of its difference of squares, then the azimuth by its half.
    """
    # NumPy computes these several numbers at a time, a compiled loop does not
    pz1, pz2, turn = pt1 * np.sinh(eta1), pt2 * np.sinh(eta2), np.sin(0.5 * (phi1 - phi2))
    return _pair_mass(pt1, pz1, mass1, pt2, pz2, mass2, turn)


@compiled
def _pair_mass(pt1: Any, pz1: Any, mass1: Any, pt2: Any, pz2: Any, mass2: Any, turn: Any) -> Any:
    out = np.empty(len(pt1))
    for i in range(len(pt1)):
        a, b, z1, z2 = pt1[i], pt2[i], pz1[i], pz2[i]
        et1, et2 = a * a + mass1[i] * mass1[i], b * b + mass2[i] * mass2[i]
        e1, e2 = math.sqrt(et1 + z1 * z1), math.sqrt(et2 + z2 * z2)
        if z1 * z2 > 0.0:
            longitudinal = (et1 * et2 + et1 * z2 * z2 + et2 * z1 * z1) / (e1 * e2 + z1 * z2)
        else:
            longitudinal = e1 * e2 - z1 * z2
        bracket = longitudinal - a * b + 2.0 * a * b * turn[i] * turn[i]
        square = mass1[i] * mass1[i] + mass2[i] * mass2[i] + 2.0 * bracket
        out[i] = math.sqrt(square) if square > 0.0 else 0.0
    return out


@compiled
def transverse_mass(pt1: Any, phi1: Any, mass1: Any, pt2: Any, phi2: Any, mass2: Any) -> Any:
    """Transverse mass of two momenta; the difference of products is written so that it does not cancel."""
    out = np.empty(len(pt1))
    for i in range(len(pt1)):
        a, b, m1, m2 = pt1[i], pt2[i], mass1[i], mass2[i]
        product = a * b
        energies = math.sqrt((a * a + m1 * m1) * (b * b + m2 * m2))
        # energies - product, as the quotient of its difference of squares
        rest = m1 * m1 * b * b + m2 * m2 * a * a + m1 * m1 * m2 * m2
        light = rest / (energies + product) if rest > 0.0 else 0.0
        turn = math.sin(0.5 * (phi1[i] - phi2[i]))
        out[i] = math.sqrt(m1 * m1 + m2 * m2 + 2.0 * (light + 2.0 * product * turn * turn))
    return out
