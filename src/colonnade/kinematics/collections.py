"""Jagged collections: selecting objects and events, ordering, counting, taking the leading one, merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import _loops
from colonnade.kinematics.arrays import Columns, objects, stored_first, those, unwrap, wrap
from colonnade.kinematics.related import nearest_places
from colonnade.kinematics.views import View, flat, jagged, view


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
    return np.diff(seen.offsets) if keep is None else _loops.count_kept(seen.offsets, _passing(seen, keep))


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
    return wrap(seen.part(_loops.nth(seen.offsets, rank)))


def sort_by_pt(collection: ak.Array) -> ak.Array:
    """Order each event's objects by falling transverse momentum; equal ones stay in their order.

    Examples
    --------
    >>> sort_by_pt(ak.Array([[{"pt": 20.0}, {"pt": 50.0}]])).pt.tolist()
    [[50.0, 20.0]]
    """
    seen = jagged(collection)
    order = _loops.sort_entries(seen.offsets, seen.coordinate("pt"))
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
    offsets, index = views[0].offsets, np.arange(views[0].size)
    stored = views[0].size
    for seen in views[1:]:
        offsets, order = _loops.merge_order(offsets, seen.offsets)
        index = np.concatenate([index, stored + np.arange(seen.size)])[order]
        stored += seen.size
    pt = np.ascontiguousarray(columns["pt"][index], dtype=np.float64)
    index = index[_loops.sort_entries(offsets, pt)]
    columns[tag] = kinds
    return wrap(View.of_columns(columns, _record_name([*columns]), views[0]).part(index, offsets))


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
