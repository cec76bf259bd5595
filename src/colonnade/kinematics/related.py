"""Values and objects that go with objects: an event's value, the nearest of others, one at an index, random numbers."""

from __future__ import annotations

__all__ = ["follow", "nearest", "normal", "per_object", "product"]

import zlib
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import _loops
from colonnade.kinematics.arrays import Columns, unwrap, wrap
from colonnade.kinematics.views import View, flat, view

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def per_object(event_value: Any, collection: Any) -> ak.Array:
    """Repeat one number an event for each of the event's objects.

    Examples
    --------
    >>> per_object(np.array([1.5, 2.5]), ak.Array([[{"pt": 3.0}, {"pt": 4.0}], []])).tolist()
    [[1.5, 1.5], []]
    """
    offsets = _offsets(view(collection))
    values = flat(event_value)
    if len(values) != len(offsets) - 1:
        msg = f"{len(values)} values can't be repeated for the objects of {len(offsets) - 1} events."
        raise ConfigError(msg)
    repeated: ak.Array = unwrap(np.repeat(values, np.diff(offsets)), offsets, None)
    return repeated


def product(collection: Any, of: Callable[[Any], Any] | None = None) -> Floats:
    """Multiply one number an object, the numbers themselves or a function of the objects; 1 where there are none.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> product(ak.Array([[2.0, 3.0], [], [5.0]])).tolist()
    [6.0, 1.0, 5.0]
    """
    seen = view(collection)
    numbers = np.ascontiguousarray(seen.numbers() if of is None else of(Columns(seen)), dtype=np.float64)
    return np.asarray(_loops.multiply_lists(_offsets(seen), numbers))


def nearest(one: Any, others: Any, radius: float) -> ak.Array:
    """Return for each object the event's nearest other one within a radius, None where there is none.

    The distance is that of `delta_r`; of equally near ones the first counts.

    Examples
    --------
    >>> jets = ak.Array([[{"eta": 0.0, "phi": 0.0}, {"eta": 2.0, "phi": 0.0}]])
    >>> made = ak.Array([[{"eta": 0.1, "phi": 0.1, "pt": 30.0}]])
    >>> nearest(jets, made, 0.2).pt.tolist()
    [[30.0, None]]
    """
    seen, other = view(one), view(others)
    offsets, starts = _offsets(seen), _offsets(other)
    if len(offsets) != len(starts):
        msg = "collections of different numbers of events can't be compared."
        raise ConfigError(msg)
    places = _loops.nearest_entries(
        offsets,
        seen.coordinate("eta"),
        seen.coordinate("phi"),
        starts,
        other.coordinate("eta"),
        other.coordinate("phi"),
        float(radius),
    )
    return _at(other, places, offsets)


def follow(index: Any, collection: Any) -> ak.Array:
    """Return the objects of the same event at given places, None where the place is negative.

    Parameters
    ----------
    index
        Places in the event's list: one an event, or several.
    collection
        A list of objects for each event.

    Raises
    ------
    ConfigError
        If a place is beyond the end of its list.

    Examples
    --------
    >>> made = ak.Array([[{"pt": 30.0}, {"pt": 20.0}], [{"pt": 50.0}]])
    >>> follow(ak.Array([[1, -1], [0]]), made).pt.tolist()
    [[20.0, None], [50.0]]
    """
    places, target = view(index), view(collection)
    numbers, starts = places.numbers().astype(np.int64), _offsets(target)
    rows = np.arange(len(numbers))
    if places.offsets is not None:
        rows = np.repeat(np.arange(len(places.offsets) - 1), np.diff(places.offsets))
    if places.missing is not None:
        numbers = np.where(places.missing, -1, numbers)
    beyond = numbers >= np.diff(starts)[rows]
    if beyond.any():
        msg = f"an index points beyond the end of its event's list for {np.count_nonzero(beyond)} objects."
        raise ConfigError(msg)
    return _at(target, np.where(numbers < 0, -1, starts[rows] + numbers), places.offsets)


def normal(events: Any, collection: Any, salt: str = "") -> ak.Array:
    """Return one number of the standard normal distribution an object, always the same for the same object.

    It is a function of run, luminosity block, event, the object's place in its list, and `salt`; so any chunking,
    executor and order gives the same numbers. Two uniform numbers from the finalizer of splitmix64 (Steele, Lea and
    Flood 2014) give the normal one (Box and Muller 1958).

    Parameters
    ----------
    events
        Records with run, luminosityBlock and event.
    collection
        The objects, in the order of the file: a selection before gives them other places.
    salt
        What the numbers are for: other texts give independent numbers.

    Raises
    ------
    ConfigError
        If the events have no identity.
    """
    offsets = _offsets(view(collection))
    absent = [name for name in ("run", "luminosityBlock", "event") if name not in ak.fields(events)]
    if absent:
        msg = f"random numbers are made from each event's identity, but the events have no column {absent[0]!r}."
        raise ConfigError(msg)
    state = np.full(len(offsets) - 1, zlib.crc32(salt.encode()), dtype=np.uint64)
    for name in ("run", "luminosityBlock", "event"):
        state = _mixed(state ^ flat(events[name]).astype(np.uint64))
    counts = np.diff(offsets)
    place = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)).astype(np.uint64)
    first = _mixed(np.repeat(state, counts) ^ place)
    size, turn = ((_mixed(first + np.uint64(step)) >> np.uint64(11)).astype(np.float64) for step in (1, 2))
    numbers = np.sqrt(-2 * np.log((size + 1) * 2.0**-53)) * np.cos(2 * np.pi * turn * 2.0**-53)
    made: ak.Array = unwrap(numbers, offsets, None)
    return made


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of whole numbers; overflow wraps around."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _offsets(seen: View) -> Integers:
    if seen.offsets is None:
        msg = "expected a collection, a list of objects for each event, but got one entry an event."
        raise ConfigError(msg)
    return seen.offsets


def _at(target: View, places: Integers, offsets: Integers | None) -> ak.Array:
    """Return entries at places among all of a view's, in other lists; negative places are missing."""
    lacking = places < 0
    part = target.part(np.maximum(places, 0), np.arange(len(places) + 1) if offsets is None else offsets)
    part.offsets = offsets
    if lacking.any():
        part.missing = lacking if part.missing is None else part.missing | lacking
    return wrap(part)
