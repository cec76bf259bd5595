"""Results as callers get them: NumPy for one number an event, awkward for the rest; stored columns come first."""

from __future__ import annotations

__all__ = ["Columns", "records", "rewrap", "unwrap"]

import functools
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.kinematics._views import Integers, Missing, View, view


class Columns:
    """All objects of all events in a row: each attribute is a flat NumPy array."""

    __slots__ = ("_view",)

    def __init__(self, seen: View) -> None:
        self._view = seen

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._view.column(name)


def rewrap(like: View, content: Any, offsets: Integers | None, index: Integers | None) -> ak.Array:
    """Make a collection of entries of another, behaving as it does.

    Parameters
    ----------
    like
        What the entries were taken from.
    content
        The layout of the records.
    offsets
        Where events start; None for one entry an event.
    index
        Places in `content`; negative ones are missing. None for all as they are.
    """
    if index is not None:
        option = like.missing is not None or (offsets is None and bool((index < 0).any()))
        kind = ak.contents.IndexedOptionArray if option else ak.contents.IndexedArray
        content = kind(ak.index.Index64(index), content)
    if offsets is not None:
        content = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)
    return _stored_first(ak.Array(content, behavior=like.behavior, attrs=like.attrs))


def records(
    like: View, name: str, columns: dict[str, npt.NDArray[Any]], offsets: Integers | None, missing: Missing
) -> ak.Array:
    """Make new records, behaving as those of a view do."""
    layouts = [ak.contents.NumpyArray(column) for column in columns.values()]
    content = ak.contents.RecordArray(layouts, list(columns), parameters={"__record__": name})
    array = ak.Array(_nested(content, offsets, missing), behavior=like.behavior, attrs=like.attrs)
    return _stored_first(array)


def unwrap(values: npt.NDArray[Any], offsets: Integers | None, missing: Missing) -> Any:
    """Return numbers: NumPy for one an event, awkward where jagged or missing."""
    if offsets is None and missing is None:
        return values
    return ak.Array(_nested(ak.contents.NumpyArray(values), offsets, missing))


def _nested(content: Any, offsets: Integers | None, missing: Missing) -> Any:
    if missing is not None:
        absent = ak.index.Index8(missing.view(np.int8))
        content = ak.contents.ByteMaskedArray(absent, content, valid_when=False)
    if offsets is not None:
        content = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)
    return content


class _StoredFirst:
    """Mixed into what this room returns: a stored column is the column, read once, without asking vector for it.

    With one object an event it is a NumPy array.
    """

    def _stored(self, name: str) -> Any:
        seen = view(self)
        content = seen.content.content(name)
        while content.is_indexed:
            content = content.content
        if content.is_numpy:
            return unwrap(seen.column(name), seen.offsets, seen.missing)
        # the collections of events: the same one each time, so that its columns are gathered once
        inner = vars(self).setdefault("_inner", {})
        if name not in inner or inner[name][0] is not seen:
            inner[name] = (seen, _stored_first(self[name]))  # type: ignore[index]  # of ak.Array
        return inner[name][1]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.layout.fields:  # type: ignore[attr-defined]
            return self._stored(name)
        return super().__getattr__(name)  # type: ignore[misc]  # ak.Array comes after


def _coordinate(name: str) -> property:
    def get(self: Any) -> Any:
        if name in self.layout.fields:
            return self._stored(name)
        return getattr(super(_StoredFirst, self), name)  # worked out by vector

    return property(get, doc=f"The stored {name}, or the one that vector works out.")


def _stored_first(array: ak.Array) -> ak.Array:
    array.__class__ = _kind(type(array))
    return array


@functools.lru_cache(maxsize=64)
def _kind(kind: type) -> type:
    if issubclass(kind, _StoredFirst):
        return kind
    known = {name: _coordinate(name) for name in ("pt", "eta", "phi", "mass") if hasattr(kind, name)}
    return type(kind.__name__, (_StoredFirst, kind), known)
