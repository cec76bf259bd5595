"""Sums of objects: scalar and vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.kinematics import _formulas, _loops
from colonnade.kinematics.arrays import Columns, records, same_lists
from colonnade.kinematics.views import Missing, View, joined, same_column, view

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def ht(*collections: Any) -> Any:
    r"""Scalar sum of transverse momenta, :math:`H_T = \sum |p_T|`, of all objects of each event, in GeV.

    Parameters
    ----------
    *collections
        Vectors in GeV: collections, of which all objects count, or one an event. A missing one counts as nothing.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> ht(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], []])).tolist()
    [70.0, 0.0]
    """
    views = [view(collection) for collection in collections]
    return sum((_event_sum(one, np.abs(one.coordinate("pt"))) for one in views), start=np.float64(0.0))


def pt_sum(*objects: Any) -> Any:
    r"""Size of the vector sum of transverse momenta, :math:`|\sum \vec p_T|`, of all objects of each event, in GeV.

    Parameters
    ----------
    *objects
        Vectors in GeV: collections, of which all objects count, or one an event. A missing one counts as nothing.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> import vector
    >>> pt_sum(vector.array({"pt": [3.0], "phi": [0.0]}), vector.array({"pt": [4.0], "phi": [np.pi / 2]})).tolist()
    [5.0]
    """
    views = [view(one) for one in objects]
    sums = [[_event_sum(one, component) for component in _plane(one)] for one in views]
    return np.hypot(sum(one[0] for one in sums), sum(one[1] for one in sums))


def vector_sum(*objects: Any) -> ak.Array:
    """Sum of four-momenta, entry by entry, as four-momenta.

    Parameters
    ----------
    *objects
        Four-momenta in GeV with pt, eta, phi, mass, flat or jagged; jagged against flat goes object by object.

    Returns
    -------
    ak.Array
        Records with pt, eta, phi, mass, in vector's Momentum4D.

    Examples
    --------
    >>> import vector
    >>> one, other = (vector.array({"pt": [45.0], "eta": [0.0], "phi": [phi], "mass": [0.0]}) for phi in (0.0, 0.2))
    >>> vector_sum(one, other).pt.round(3).tolist()
    [89.55]
    """
    rows, places, offsets, missing = cartesians(objects)
    columns = dict(zip(("pt", "eta", "phi", "mass"), _formulas.momentum_of_sum(rows, places), strict=True))
    views = [view(one) for one in objects]
    like = next((one for one in views if one.behavior), views[0])
    return records(like, "Momentum4D", columns, offsets, missing)


def event_sum(values: Any, of: Callable[[Any], Any] | None = None) -> Floats:
    """Sum of numbers of each event's objects, from the first to the last; missing ones count as nothing.

    Parameters
    ----------
    values
        A jagged array of numbers; or a collection.
    of
        The number of each object of the collection, see `select`.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> event_sum(ak.Array([[1.0, 2.0], [], [3.0]])).tolist()
    [3.0, 0.0, 3.0]
    >>> event_sum(ak.Array([[{"pt": 3.0}, {"pt": 4.0}], []]), lambda jet: jet.pt**2).tolist()
    [25.0, 0.0]
    """
    seen = view(values)
    numbers = seen.numbers() if of is None else of(Columns(seen))
    return _event_sum(seen, np.ascontiguousarray(numbers, dtype=np.float64))


def propagate(met: Any, before: Any, after: Any) -> ak.Array:
    r"""Correct missing momentum for a new calibration of objects it was made of.

    .. math:: \vec p_T^{miss\prime} = \vec p_T^{miss} - \sum (\vec p_T^{after} - \vec p_T^{before})

    Parameters
    ----------
    met
        Missing momentum with pt and phi, one an event, in GeV.
    before, after
        The same objects, calibrated as for `met` and anew.

    Returns
    -------
    ak.Array
        Records with pt and phi, in vector's Momentum2D.

    Examples
    --------
    >>> import vector
    >>> met = vector.array({"pt": [50.0], "phi": [np.pi]})
    >>> jets = ak.Array([[{"pt": 30.0, "phi": 0.0}]])
    >>> propagate(met, jets, ak.Array([[{"pt": 40.0, "phi": 0.0}]])).to_list()
    [{'pt': 60.0, 'phi': 3.141592653589793}]
    """
    seen = view(met)
    px, py = _plane(seen)
    old, new = view(before), view(after)
    if old.offsets is not None and same_lists(old, new) and same_column(old, new, "phi"):
        cosine, sine = old.direction()
        _loops.subtract_change(old.offsets, old.coordinate("pt"), new.coordinate("pt"), cosine, sine, px, py)
    else:
        for sign, objects in ((1.0, old), (-1.0, new)):
            x, y = (_event_sum(objects, component) for component in _plane(objects))
            px, py = px + sign * x, py + sign * y
    return records(seen, "Momentum2D", {"pt": np.hypot(px, py), "phi": np.arctan2(py, px)}, None, None)


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


def _plane(seen: View) -> tuple[Floats, Floats]:
    """Return px and py of each entry."""
    pt, (cosine, sine) = seen.coordinate("pt"), seen.direction()
    return pt * cosine, pt * sine


def _event_sum(seen: View, values: Floats) -> Floats:
    if seen.missing is not None:
        values = np.where(seen.missing, 0.0, values)
    return values if seen.offsets is None else _loops.sum_lists(seen.offsets, values)
