"""Jagged collections: selecting, ordering, counting, merging, combining objects; what goes with each of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import loops
from colonnade.kinematics.arrays import Columns, objects, stored_first, those, unwrap, wrap
from colonnade.kinematics.layouts import Integers
from colonnade.kinematics.views import Floats, Jagged, View, flat, jagged, of_columns, view


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
    return np.asarray(loops.multiply_lists(seen.offsets, numbers))


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
    found = loops.nearest_entries(seen.offsets, eta, phi, other.offsets, other_eta, other_phi, float(radius))
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
    offsets, *places = loops.pairs(seen.offsets) if number == 2 else loops.triplets(seen.offsets)
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
    places = loops.smallest(keys.offsets, np.ascontiguousarray(keys.numbers(), dtype=np.float64))
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


def accelerate(array: ak.Array) -> ak.Array:
    """Return the same array, where reading stored columns, masks, and arithmetic skip awkward's general machinery.

    All arrays that this room returns are so, and what is taken out of them. Results are the same, but one number an
    event is a NumPy array.

    Examples
    --------
    >>> jets = accelerate(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], [{"pt": 40.0}]]))
    >>> jets[jets.pt > 30].pt.tolist()
    [[50.0], [40.0]]
    """
    return stored_first(ak.Array(array.layout, behavior=array.behavior, attrs=array.attrs))


def select(collection: ak.Array, keep: Callable[[Any], Any] | Any) -> ak.Array:
    """Keep the objects that pass a cut; no column is copied until it is used.

    Parameters
    ----------
    collection
        A list of objects for each event.
    keep
        The cut: a function of the objects that returns one truth value an object, or a jagged array of them. The
        function sees the objects of all events in a row, each attribute a flat NumPy array, which is what makes it
        fast; it should not look at neighbours.

    Returns
    -------
    ak.Array
        As many events, fewer objects.

    Examples
    --------
    >>> muons = ak.Array([[{"pt": 30.0, "eta": 0.5}, {"pt": 5.0, "eta": 0.1}], [{"pt": 40.0, "eta": -3.0}]])
    >>> select(muons, lambda muon: (muon.pt > 20) & (abs(muon.eta) < 2.5)).pt.tolist()
    [[30.0], []]
    """
    seen = jagged(collection)
    return wrap(objects(seen, _passing(seen, keep)))


def take(array: Any, events: npt.NDArray[Any]) -> Any:
    """Keep some events of collections, records, numbers or a NumPy array.

    Parameters
    ----------
    array
        One entry an event.
    events
        One truth value an event, or the places of the events to keep.

    Examples
    --------
    >>> take(ak.Array([[1.0, 2.0], [], [3.0]]), np.array([True, True, False])).tolist()
    [[1.0, 2.0], []]
    >>> take(np.array([1.0, 2.0, 3.0]), np.array([2, 0])).tolist()
    [3.0, 1.0]
    """
    if isinstance(array, np.ndarray):
        return array[events]
    try:
        seen = view(array)
    except ConfigError:  # deeper lists, unions
        return array[events]
    taken = those(seen, events)
    return wrap(taken) if seen.fields else unwrap(taken.numbers(), taken.offsets, taken.missing)


def assign(collection: Any, **columns: Callable[[Any], Any] | Any) -> ak.Array:
    """Replace or add columns; the others are not copied.

    Parameters
    ----------
    collection
        Objects, jagged or one an event.
    **columns
        Name to values: a function of the objects that returns one value an object (see `select`), or an array of
        them, flat or jagged.

    Examples
    --------
    >>> jets = ak.Array([[{"pt": 50.0}, {"pt": 40.0}], [{"pt": 30.0}]])
    >>> assign(jets, pt=lambda jet: jet.pt * 1.1, tagged=[[True, False], [True]]).tagged.tolist()
    [[True, False], [True]]
    """
    seen = view(collection)
    objects = Columns(seen)
    new = {}
    for name, given in columns.items():
        values = np.asarray(given(objects) if callable(given) else flat(given))
        if values.shape != (seen.size,):
            msg = f"the new column {name!r} must have {seen.size} values, one an object, but has shape {values.shape}."
            raise ConfigError(msg)
        new[name] = values
    return wrap(seen.with_columns(new))


def count(collection: ak.Array, keep: Callable[[Any], Any] | None = None) -> npt.NDArray[np.int64]:
    """Count the objects of each event, all or those that pass a cut (see `select`).

    Examples
    --------
    >>> count(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], []]), lambda jet: jet.pt > 30).tolist()
    [1, 0]
    """
    seen = jagged(collection)
    return np.diff(seen.offsets) if keep is None else loops.count_kept(seen.offsets, _passing(seen, keep))


def leading(collection: ak.Array, rank: int = 0) -> ak.Array:
    """Return one object an event: the first, the second (rank 1), ... the last (rank -1).

    Returns
    -------
    ak.Array
        One record an event, missing (None) where an event has fewer objects.

    Examples
    --------
    >>> leading(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], []])).pt.tolist()
    [50.0, None]
    """
    seen = jagged(collection)
    return wrap(seen.part(loops.nth(seen.offsets, rank)))


def sort_by_pt(collection: ak.Array) -> ak.Array:
    """Order each event's objects by falling transverse momentum; equal ones stay in their order.

    Examples
    --------
    >>> sort_by_pt(ak.Array([[{"pt": 20.0}, {"pt": 50.0}]])).pt.tolist()
    [[50.0, 20.0]]
    """
    seen = jagged(collection)
    order = loops.sort_entries(seen.offsets, seen.coordinate("pt"))
    return wrap(seen.part(order, seen.offsets))


def merge(
    *collections: ak.Array,
    fields: tuple[str, ...] = ("pt", "eta", "phi", "mass", "charge"),
    tag: str = "kind",
) -> ak.Array:
    """Put the objects of several collections into one, ordered by falling transverse momentum.

    Parameters
    ----------
    *collections
        Of as many events each.
    fields
        The columns to take over, which all must have.
    tag
        The name of a further column: 0 for objects of the first collection, 1 for the second, ...

    Examples
    --------
    >>> electrons, muons = ak.Array([[{"pt": 30.0}], []]), ak.Array([[{"pt": 50.0}], [{"pt": 20.0}]])
    >>> merge(electrons, muons, fields=("pt",)).to_list()
    [[{'pt': 50.0, 'kind': 1}, {'pt': 30.0, 'kind': 0}], [{'pt': 20.0, 'kind': 1}]]
    """
    jagged(*collections)
    views = [jagged(collection) for collection in collections]
    columns = {name: np.concatenate([seen.column(name) for seen in views]) for name in fields}
    kinds = np.repeat(np.arange(len(views), dtype=np.int8), [seen.size for seen in views])
    # all of an event in a row, those of the first collection first
    offsets, index = views[0].offsets, np.arange(views[0].size)
    for seen in views[1:]:
        stored = np.concatenate([index, len(index) + np.arange(seen.size)])
        offsets, order = loops.merge_order(offsets, seen.offsets)
        index = stored[order]
    pt = np.ascontiguousarray(columns["pt"][index], dtype=np.float64)
    index = index[loops.sort_entries(offsets, pt)]
    columns[tag] = kinds
    return wrap(of_columns(columns, _record_name([*columns]), views[0]).part(index, offsets))


def near(collection: ak.Array, others: ak.Array, radius: float) -> ak.Array:
    """Tell for each object whether one of the event's others is within a radius: the input of overlap removal.

    The distance is that of `delta_r`.

    Returns
    -------
    ak.Array
        Jagged truth values, for instance for ``select(jets, ~near(jets, leptons, 0.4))``.

    Examples
    --------
    >>> jets = ak.Array([[{"eta": 0.0, "phi": 0.0}, {"eta": 2.0, "phi": 0.0}]])
    >>> near(jets, ak.Array([[{"eta": 0.1, "phi": 0.1}]]), 0.4).tolist()
    [[True, False]]
    """
    places = nearest_places(jagged(collection, others), jagged(others), radius)
    near_one: ak.Array = unwrap(places >= 0, jagged(collection).offsets, None)
    return near_one


def _passing(seen: View, keep: Callable[[Any], Any] | Any) -> npt.NDArray[np.bool_]:
    """Return which of the objects, all events in a row, pass a cut."""
    mask = np.asarray(keep(Columns(seen)) if callable(keep) else flat(keep))
    if mask.dtype != np.bool_ or mask.shape != (seen.size,):
        msg = (
            f"a cut on objects must give one truth value for each of {seen.size} objects, "
            f"but has shape {mask.shape} and type {mask.dtype}."
        )
        raise ConfigError(msg)
    return mask


def _record_name(names: list[str]) -> str:
    return "Momentum4D" if {"pt", "eta", "phi", "mass"} <= set(names) else "Momentum"
