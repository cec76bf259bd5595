"""The arguments of a formula as rows of numbers of one length."""

from __future__ import annotations

__all__ = ["cartesians", "masses", "momenta", "operands"]

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.kinematics.views import Missing, View, joined, view

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def operands(
    arguments: Sequence[Any], names: Sequence[str], *, numbers: bool = False
) -> tuple[list[list[Floats]], Integers | None, Missing]:
    """Return the named coordinates of each argument, all of one length, with common offsets and missing entries.

    Parameters
    ----------
    arguments
        Arrays of vectors, flat or jagged.
    names
        The coordinates.
    numbers
        Whether an argument may be the numbers themselves.
    """
    views = [view(argument) for argument in arguments]
    offsets, missing, repeats = joined(views)
    rows = [
        [_row(one, name, repeat, numbers=numbers) for name in names] for one, repeat in zip(views, repeats, strict=True)
    ]
    return rows, offsets, missing


def momenta(arguments: Sequence[Any]) -> tuple[list[list[Floats]], Integers | None, Missing]:
    """Return rows pt, eta, phi, mass of each argument; the last is zero for a vector without a mass."""
    views = [view(argument) for argument in arguments]
    offsets, missing, repeats = joined(views)
    rows = []
    for one, repeat in zip(views, repeats, strict=True):
        columns = [_row(one, name, repeat) for name in ("pt", "eta", "phi")]
        columns.append(_row(one, "mass", repeat) if one.has_mass else np.zeros(len(columns[0])))
        rows.append(columns)
    return rows, offsets, missing


def cartesians(
    arguments: Sequence[Any],
) -> tuple[tuple[Floats, ...], tuple[Integers, ...], Integers | None, Missing]:
    """Return px, py, pz, E of each argument's objects, shape (objects, 4), and the entries' places among them."""
    views = [view(argument) for argument in arguments]
    offsets, missing, repeats = joined(views)
    all_rows, all_places = [], []
    for one, repeat in zip(views, repeats, strict=True):
        rows, places = one.cartesian()
        if places is None:
            places = np.arange(one.size) if repeat is None else repeat
        elif repeat is not None:
            places = places[repeat]
        all_rows.append(rows)
        all_places.append(places)
    return tuple(all_rows), tuple(all_places), offsets, missing


def masses(arguments: Sequence[Any], *, massless: bool) -> tuple[list[list[Floats]], Integers | None, Missing]:
    """Return pt, phi, mass of each argument; the mass is zero for a vector without one, or if told so."""
    views = [view(argument) for argument in arguments]
    offsets, missing, repeats = joined(views)
    rows = []
    for one, repeat in zip(views, repeats, strict=True):
        columns = [_row(one, name, repeat) for name in ("pt", "phi")]
        light = massless or not one.has_mass
        columns.append(np.zeros(len(columns[0])) if light else _row(one, "mass", repeat))
        rows.append(columns)
    return rows, offsets, missing


def _row(one: View, name: str, repeat: Integers | None, *, numbers: bool = False) -> Floats:
    if numbers and not one.fields:
        values = np.ascontiguousarray(one.numbers(), dtype=np.float64)
    else:
        values = one.coordinate(name)
    return values if repeat is None else values[repeat]
