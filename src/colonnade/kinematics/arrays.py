"""Results as callers get them: NumPy for one number an event, awkward for the rest; stored columns come first."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import loops
from colonnade.kinematics.layouts import LAYOUT, Integers, Missing, bare, change_class
from colonnade.kinematics.views import EventNumbers, View, of_columns, view


class Columns:
    """All objects of all events in a row: each attribute is a flat NumPy array."""

    __slots__ = ("_view",)

    def __init__(self, seen: View) -> None:
        self._view = seen

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._view.column(name)


def wrap(seen: View) -> ak.Array:
    """Make an array of a view of records; awkward's own layout is only built when something asks for it.

    Building layouts costs more than the loops of this room, and most arrays only pass from one function here to the
    next, which looks at the view.
    """
    if seen.kind is None:
        return stored_first(ak.Array(seen.layout(), behavior=seen.behavior, attrs=seen.attrs), seen)
    return bare(_kind(seen.kind), seen.behavior, seen.attrs, _view=seen, _seen=None)


def records(
    like: View, name: str, columns: dict[str, npt.NDArray[Any]], offsets: Integers | None, missing: Missing
) -> ak.Array:
    """Make new records, behaving as those of a view do."""
    made = of_columns(columns, name, like)
    made.offsets, made.missing = offsets, missing
    return wrap(made)


def unwrap(values: npt.NDArray[Any], offsets: Integers | None, missing: Missing) -> Any:
    """Return numbers: NumPy for one an event, awkward where jagged or missing."""
    if offsets is None and missing is None:
        return values
    numbers = View(values, len(values), offsets, None, missing)
    numbers.kind = ak.Array
    return wrap(numbers)


class _StoredFirst:
    """Mixed into what this room returns: a stored column is the column, read once, without asking vector for it.

    With one object an event it is a NumPy array.
    """

    def _stored(self, name: str) -> Any:
        seen = view(self)
        if seen.holds_numbers(name):
            values = seen.column(name)
            # one number an event: a copy, which may be changed in place and nobody else notices
            single = seen.offsets is None and seen.missing is None
            return values.copy().view(EventNumbers) if single else unwrap(values, seen.offsets, seen.missing)
        # the collections of events: each time an array of its own, of one view, so that columns are gathered once
        inner = vars(self).setdefault("_inner", {})
        if name not in inner or inner[name][0] is not seen:
            inner[name] = (seen, self._member(name, seen))
        return own(inner[name][1])

    def _member(self, name: str, seen: View) -> Any:
        if seen.offsets is None and seen.missing is None:
            try:
                member = seen.member(name)
            except ConfigError:  # texts, deeper lists
                member = None
            if member is not None and member.fields:
                return wrap(member)
        return stored_first(self[name])

    def __getattr__(self, name: str) -> Any:
        if name == LAYOUT:  # not built yet, see `wrap`
            state = vars(self)
            state[LAYOUT] = state["_seen"] = state["_view"].layout()
            return state[LAYOUT]
        if not name.startswith("_") and name in view(self).fields:
            return self._stored(name)
        return super().__getattr__(name)  # type: ignore[misc]  # ak.Array comes after

    def __len__(self) -> int:
        seen = view(self)
        return seen.size if seen.offsets is None else len(seen.offsets) - 1

    def __getitem__(self, where: Any) -> Any:
        if isinstance(where, _StoredFirst):
            kept = self._where(view(where))
        elif isinstance(where, np.ndarray) and where.dtype == np.bool_ and where.shape == (len(self),):
            kept = those(view(self), where)
        else:
            kept = None
        if kept is None:
            return super().__getitem__(where)  # type: ignore[misc]  # ak.Array comes after
        return wrap(kept) if kept.fields else unwrap(kept.numbers(), kept.offsets, kept.missing)

    def __setitem__(self, where: Any, what: Any) -> None:
        super().__setitem__(where, what)  # type: ignore[misc]  # ak.Array comes after
        stored_first(self)  # awkward looks the class of the array up anew

    def _where(self, mask: View) -> View | None:
        """Return the objects for which a jagged mask is true, if it is one of this array."""
        seen = view(self)
        if mask.fields or mask.missing is not None or seen.offsets is None or not same_lists(seen, mask):
            return None
        keep = mask.numbers()
        return objects(seen, keep) if keep.dtype == np.bool_ else None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options and ufunc.nout == 1:
            fast = _elementwise(ufunc, inputs)
            if fast is not NotImplemented:
                return fast
        return super().__array_ufunc__(ufunc, method, *inputs, **options)  # type: ignore[misc]  # ak.Array's

    def __reduce_ex__(self, protocol: Any) -> Any:
        # as the ordinary array it stands for: this class is made at run time
        plain = ak.Array(self.layout, behavior=self.behavior, attrs=self.attrs)
        return plain.__reduce_ex__(protocol)


def objects(seen: View, keep: npt.NDArray[np.bool_]) -> View:
    """Return the entries that a mask keeps, in their lists."""
    offsets, places = loops.select_entries(seen.offsets, keep)
    return seen.part(places, offsets)


def those(seen: View, keep: npt.NDArray[Any]) -> View:
    """Return the events that a mask keeps, or those at some places."""
    return seen.rows(np.flatnonzero(keep) if keep.dtype == np.bool_ else keep)


def _elementwise(ufunc: Any, inputs: tuple[Any, ...]) -> Any:
    """Apply a function to numbers of the same lists, or of one an event, in a row; else say NotImplemented."""
    views = []
    for one in inputs:
        if isinstance(one, bool | int | float | np.generic):
            continue
        plain = isinstance(one, np.ndarray) and one.ndim == 1 and not isinstance(one, np.ma.MaskedArray)
        if not plain and not isinstance(one, _StoredFirst):
            return NotImplemented
        seen = view(one)
        if seen.fields or seen.missing is not None:
            return NotImplemented
        views.append(seen)
    first = views[0]
    if not all(same_lists(first, other) for other in views[1:]):
        return NotImplemented
    values = iter(views)
    rows = [one if isinstance(one, bool | int | float | np.generic) else next(values).numbers() for one in inputs]
    return unwrap(ufunc(*rows), first.offsets, None)


def same_lists(one: View, other: View) -> bool:
    """Tell whether two collections have as many objects in each event; or if they have one an event, as many."""
    if one.offsets is None or other.offsets is None:
        return one.offsets is other.offsets and one.size == other.size
    return one.offsets is other.offsets or np.array_equal(one.offsets, other.offsets)


def _coordinate(name: str) -> property:
    def get(self: Any) -> Any:
        if name in view(self).fields:
            return self._stored(name)
        return getattr(super(_StoredFirst, self), name)  # worked out by vector

    return property(get, doc=f"The stored {name}, or the one that vector works out.")


def stored_first(array: ak.Array, seen: View | None = None) -> ak.Array:
    """Make an array look its columns up before it asks vector."""
    kind: Any = type(array)
    change_class(array, _kind(kind))
    if seen is not None:
        seen.kind = type(array)
        vars(array).update(_view=seen, _seen=array.layout)
    return array


def own(array: Any) -> Any:
    """Return an array of the same entries, whose fields can be assigned without a change of the given one.

    Awkward arrays share their columns, which can't be written to; NumPy arrays are copied, anything else is returned
    as it is.
    """
    if isinstance(array, np.ndarray):
        return array.copy()
    if isinstance(array, _StoredFirst):
        with contextlib.suppress(ConfigError):  # texts, deeper lists
            return wrap(view(array))
    if isinstance(array, ak.Array):
        return ak.Array(array.layout, behavior=array.behavior, attrs=array.attrs)
    return array


@functools.cache
def _kind(kind: Any) -> type[ak.Array]:
    found: type[ak.Array] = kind
    if issubclass(found, _StoredFirst):
        return found
    known = {name: _coordinate(name) for name in ("pt", "eta", "phi", "mass") if hasattr(kind, name)}
    # the module by which other libraries, such as correctionlib, know arrays of awkward; else it would be abc
    module = {"__module__": ak.Array.__module__, "__doc__": kind.__doc__}
    made: type[ak.Array] = type(kind.__name__, (_StoredFirst, kind), known | module)
    return made
