"""Ways to take several objects out of each event, and the best of them."""

from __future__ import annotations

__all__ = ["combinations", "smallest"]


import awkward as ak
import numpy as np

from colonnade.errors import ConfigError
from colonnade.kinematics import _loops
from colonnade.kinematics.arrays import wrap
from colonnade.kinematics.views import view


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
    seen = view(collection)
    if seen.offsets is None:
        msg = "expected a collection, a list of objects for each event, but got one entry an event."
        raise ConfigError(msg)
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
