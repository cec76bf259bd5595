"""What goes with objects: an event's value, the nearest of others, one at an index, random numbers, combinations."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import _loops
from colonnade.kinematics.arrays import Columns, unwrap, wrap
from colonnade.kinematics.views import Jagged, View, flat, jagged, view

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def per_object(event_value: Any, collection: Any) -> ak.Array:
    """Repeat one number an event for each of the event's objects.

    Examples
    --------
    >>> per_object(np.array([1.5, 2.5]), ak.Array([[{"pt": 3.0}, {"pt": 4.0}], []])).tolist()
    [[1.5, 1.5], []]
    """
    offsets = jagged(collection).offsets
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
    seen = jagged(collection)
    numbers = np.ascontiguousarray(seen.numbers() if of is None else of(Columns(seen)), dtype=np.float64)
    return np.asarray(_loops.multiply_lists(seen.offsets, numbers))


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
    seen, other = jagged(one, others), jagged(others)
    return _at(other, nearest_places(seen, other, radius), seen.offsets)


def nearest_places(seen: Jagged, other: Jagged, radius: float) -> Integers:
    """Return for each object the place of the nearest of the event's other ones within a radius, -1 if none is."""
    eta, phi, other_eta, other_phi = (one.coordinate(name) for one in (seen, other) for name in ("eta", "phi"))
    found = _loops.nearest_entries(seen.offsets, eta, phi, other.offsets, other_eta, other_phi, float(radius))
    return np.asarray(found)


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
    places, target = view(index), jagged(collection)
    numbers, starts = places.numbers().astype(np.int64), target.offsets
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
    offsets = jagged(collection).offsets
    absent = [name for name in ("run", "luminosityBlock", "event") if name not in ak.fields(events)]
    if absent:
        msg = f"random numbers are made from each event's identity, but the events have no column {absent[0]!r}."
        raise ConfigError(msg)
    state = np.full(len(offsets) - 1, zlib.crc32(salt.encode()), dtype=np.uint64)
    for name in ("run", "luminosityBlock", "event"):
        state = mixed(state ^ flat(events[name]).astype(np.uint64))
    counts = np.diff(offsets)
    place = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)).astype(np.uint64)
    first = mixed(np.repeat(state, counts) ^ place)
    size, turn = ((mixed(first + np.uint64(step)) >> np.uint64(11)).astype(np.float64) for step in (1, 2))
    numbers = np.sqrt(-2 * np.log((size + 1) * 2.0**-53)) * np.cos(2 * np.pi * turn * 2.0**-53)
    made: ak.Array = unwrap(numbers, offsets, None)
    return made


def combinations(collection: ak.Array, number: int = 2) -> tuple[ak.Array, ...]:
    """Take two or three objects out of each event, in all ways; their order does not count.

    Parameters
    ----------
    collection
        A list of objects for each event.
    number
        2 or 3.

    Returns
    -------
    tuple of ak.Array
        One collection for each of the objects taken, all with one entry a combination: the first pair of an event is
        the first entry of both, and so on. So ``invariant_mass(*combinations(muons))`` is the mass of each pair.

    Raises
    ------
    ConfigError
        If it is no collection, or for another number.

    Examples
    --------
    >>> first, second = combinations(ak.Array([[{"pt": 3.0}, {"pt": 2.0}, {"pt": 1.0}], [{"pt": 9.0}]]))
    >>> first.pt.tolist(), second.pt.tolist()
    ([[3.0, 3.0, 2.0], []], [[2.0, 1.0, 1.0], []])
    """
    seen = jagged(collection)
    if number not in (2, 3):
        msg = f"combinations of {number} objects are not made; of 2 and 3 they are."
        raise ConfigError(msg)
    offsets, *places = _loops.pairs(seen.offsets) if number == 2 else _loops.triplets(seen.offsets)
    return tuple(wrap(seen.part(chosen, offsets)) for chosen in places)


def smallest(key: ak.Array, *collections: ak.Array) -> tuple[ak.Array, ...]:
    """Return each event's entry with the smallest key, of several collections that belong together.

    Parameters
    ----------
    key
        A jagged array of numbers; of equal ones the first counts, and what is not a number does not.
    *collections
        With as many entries in each event.

    Returns
    -------
    tuple of ak.Array
        For each collection one record an event, missing (None) where an event has no entries.

    Raises
    ------
    ConfigError
        If the numbers of entries differ.

    Examples
    --------
    >>> pairs = combinations(ak.Array([[{"pt": 3.0}, {"pt": 2.0}, {"pt": 1.0}], [{"pt": 9.0}]]))
    >>> first, second = smallest(abs(pairs[0].pt + pairs[1].pt - 4.2), *pairs)
    >>> first.pt.tolist(), second.pt.tolist()
    ([3.0, None], [1.0, None])
    """
    keys, views = view(key), [view(collection) for collection in collections]
    if keys.offsets is None or any(
        one.offsets is None or not np.array_equal(one.offsets, keys.offsets) for one in views
    ):
        msg = "the key and the collections must have as many entries as each other in each event."
        raise ConfigError(msg)
    places = _loops.smallest(keys.offsets, np.ascontiguousarray(keys.numbers(), dtype=np.float64))
    return tuple(wrap(one.part(places)) for one in views)


def mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scatter 64-bit numbers over the whole range, one to one (splitmix64's finaliser).

    Parameters
    ----------
    value
        Any shape but a scalar (array arithmetic wraps modulo 2**64, as the algorithm wants).

    Notes
    -----
    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with Stafford's
    Mix13.
    """
    state = value + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _at(target: View, places: Integers, offsets: Integers | None) -> ak.Array:
    """Return entries at places among all of a view's, in other lists; negative places are missing."""
    lacking = places < 0
    part = target.part(np.maximum(places, 0), np.arange(len(places) + 1) if offsets is None else offsets)
    part.offsets = offsets
    if lacking.any():
        part.missing = lacking if part.missing is None else part.missing | lacking
    return wrap(part)
