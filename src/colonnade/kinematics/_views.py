"""Arrays of records as flat columns: whatever awkward layout or NumPy array the caller has, seen without copying.

Physics code passes collections (lists of records, one list an event), records (one an event) and plain NumPy vectors.
Compiled loops want contiguous numbers and offsets. A `View` is the bridge: it finds offsets, an index and the missing
entries of any layout and gathers a column when that column is asked for.
"""

from __future__ import annotations

__all__ = ["Columns", "View", "flat", "joined", "rewrap", "unwrap", "view"]

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, nearest
from colonnade.kinematics import _loops

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """Records, or numbers, in a row.

    Attributes
    ----------
    source
        The high-level array it was made of.
    content
        The layout of the records, or a structured NumPy array.
    offsets
        Shape (n + 1,): where each event's entries start, for a collection; None with one entry an event.
    index
        The places in `content` of the entries in a row; None where they are simply the first ones.
    missing
        Which entries are missing; None if none can be.
    size
        The number of entries.
    """

    source: Any
    content: Any
    offsets: Integers | None
    index: Integers | None
    missing: npt.NDArray[np.bool_] | None
    size: int

    @property
    def fields(self) -> list[str]:
        """The names of the columns; none for plain numbers."""
        if isinstance(self.content, np.ndarray):
            return list(self.content.dtype.names or ())
        return list(self.content.fields)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a stored column, one value an entry, in the type it is stored in.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        if name not in self.fields:
            # asking the array itself lets lazily read events say what the file has
            if not isinstance(self.content, np.ndarray):
                getattr(self.source, name, None)
            msg = f"the objects have no column {name!r}{nearest(name, self.fields)}."
            raise ConfigError(msg)
        if isinstance(self.content, np.ndarray):
            return np.asarray(self.content[name])
        return self._gather(self.content.content(name))

    def numbers(self) -> npt.NDArray[Any]:
        """Return the entries where they are plain numbers."""
        if isinstance(self.content, np.ndarray):
            return self.content
        return self._gather(self.content)

    def coordinate(self, name: str) -> Floats:
        """Return pt, eta, phi or mass, stored or worked out by vector, as 64-bit numbers."""
        if name in self.fields:
            return np.ascontiguousarray(self.column(name), dtype=np.float64)
        if name == "mass" and "m" in self.fields:
            return np.ascontiguousarray(self.column("m"), dtype=np.float64)
        values = getattr(self.source, name)
        return np.ascontiguousarray(view(values).numbers(), dtype=np.float64)

    @property
    def has_mass(self) -> bool:
        """Whether the records are four-momenta."""
        known = {"mass", "m", "M", "tau", "energy", "e", "E", "t"}
        return bool(known.intersection(self.fields))

    def _gather(self, content: Any) -> npt.NDArray[Any]:
        values, extra = _plain(content)
        index = self.index
        if extra is not None:
            index = extra if index is None else extra[np.maximum(index, 0)]
        if index is None:
            return values[: self.size]
        if not len(values):  # only missing entries point here
            return np.zeros(self.size, dtype=values.dtype)
        return values[index if self.missing is None else np.maximum(index, 0)]


class Columns:
    """All objects of all events in a row: each attribute is a flat NumPy array."""

    __slots__ = ("_kept", "_view")

    def __init__(self, seen: View) -> None:
        self._view = seen
        self._kept: dict[str, npt.NDArray[Any]] = {}

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._kept:
            self._kept[name] = self._view.column(name)
        return self._kept[name]


def view(array: Any) -> View:
    """Look at an array of records or numbers, flat or jagged.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray) and array.ndim == 1:
        return View(array, array.view(np.ndarray), None, None, None, len(array))
    try:
        layout = ak.to_layout(array)
    except TypeError as error:
        msg = f"expected an array of vectors or numbers, not a {type(array).__name__}."
        raise ConfigError(msg) from error
    index: Integers | None = None
    missing: npt.NDArray[np.bool_] | None = None
    offsets: Integers | None = None
    size = len(layout)
    while True:
        if layout.is_indexed or layout.is_option:
            layout, index, missing = _through_index(layout, index, missing)
        elif layout.is_list:
            if offsets is not None:
                msg = "expected one list of objects an event, but the lists are nested deeper."
                raise ConfigError(msg)
            offsets, index, size = _through_list(layout, index, missing, size)
            missing, layout = None, layout.content
        elif layout.is_unknown:
            layout = layout.to_NumpyArray(np.float64)
        elif layout.is_numpy and layout.purelist_depth > 1:
            layout = layout.to_RegularArray()
        elif layout.is_record or layout.is_numpy:
            return View(array, layout, offsets, index, missing, size)
        else:
            msg = f"expected an array of vectors or numbers, not of type {ak.Array(layout).type.content}."
            raise ConfigError(msg)


def flat(values: Any) -> npt.NDArray[Any]:
    """Return the numbers of a jagged or flat array in one row."""
    return view(values).numbers()


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
        wanted = ak.index.Index64(index)
        option = like.missing is not None or (offsets is None and bool((index < 0).any()))
        kind = ak.contents.IndexedOptionArray if option else ak.contents.IndexedArray
        content = kind(wanted, content)
    if offsets is not None:
        content = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)
    source = like.source
    if isinstance(source, ak.Array):
        array = ak.Array(content, behavior=source.behavior, attrs=source.attrs)
    else:
        array = ak.Array(content)
    array.__class__ = _stored_first(type(array))
    return array


class _StoredFirst:
    """Mixed into what this room returns: a stored column is the column, read once, without asking vector for it.

    With one object an event it is a NumPy array.
    """

    def _stored(self, name: str) -> Any:
        kept = vars(self).get("_kept")
        layout = self.layout  # type: ignore[attr-defined]  # of ak.Array
        if kept is None or kept[0] is not layout:
            kept = (layout, view(self), {})
            vars(self)["_kept"] = kept
        _, seen, columns = kept
        if name not in columns:
            content = seen.content.content(name)
            if not (content.is_numpy or content.is_indexed) or content.fields:
                columns[name] = self[name]  # type: ignore[index]  # of ak.Array
            else:
                columns[name] = unwrap(seen.column(name), seen.offsets, seen.missing)
        return columns[name]

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


@functools.lru_cache(maxsize=64)
def _stored_first(kind: type) -> type:
    if issubclass(kind, _StoredFirst):
        return kind
    known = {name: _coordinate(name) for name in ("pt", "eta", "phi", "mass") if hasattr(kind, name)}
    return type(kind.__name__, (_StoredFirst, kind), known)


def joined(
    views: Sequence[View],
) -> tuple[Integers | None, npt.NDArray[np.bool_] | None, list[Integers | None]]:
    """Give several views one length: entries that stand once an event repeat for each object of a jagged one.

    Returns
    -------
    tuple
        The common offsets (None if all are flat), which of the joint entries are missing (None if none is), and for
        each view the entries to repeat (None: as they are).

    Raises
    ------
    ConfigError
        If the lengths do not fit.
    """
    jagged = [one for one in views if one.offsets is not None]
    offsets = jagged[0].offsets if jagged else None
    events = views[0].size if offsets is None else len(offsets) - 1
    repeats: list[Integers | None] = []
    owner: Integers | None = None
    missing: npt.NDArray[np.bool_] | None = None
    for one in views:
        repeat: Integers | None = None
        if one.offsets is None:
            if one.size != events:
                msg = f"arrays of {events} and {one.size} events can't be combined."
                raise ConfigError(msg)
            if offsets is not None:
                owner = np.repeat(np.arange(events), np.diff(offsets)) if owner is None else owner
                repeat = owner
        elif one.offsets is not offsets and not np.array_equal(one.offsets, offsets):  # type: ignore[arg-type]  # set
            msg = "collections with different numbers of objects can't be combined object by object."
            raise ConfigError(msg)
        if one.missing is not None:
            lacks = one.missing if repeat is None else one.missing[repeat]
            missing = lacks if missing is None else missing | lacks
        repeats.append(repeat)
    return offsets, missing, repeats


def unwrap(values: npt.NDArray[Any], offsets: Integers | None, missing: npt.NDArray[np.bool_] | None) -> Any:
    """Return results as callers get them: NumPy for one number an event, awkward where jagged or missing."""
    if offsets is None and missing is None:
        return values
    content: Any = ak.contents.NumpyArray(values)
    if missing is not None:
        content = ak.contents.ByteMaskedArray(
            ak.index.Index8(missing.view(np.int8)), content, valid_when=False
        )
    if offsets is not None:
        content = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)
    return ak.Array(content)


def _numpy(buffer: Any) -> npt.NDArray[Any]:
    """Return a buffer as NumPy, reading it if it is virtual."""
    buffer = getattr(buffer, "data", buffer) if not isinstance(buffer, np.ndarray) else buffer
    return np.asarray(buffer.materialize() if hasattr(buffer, "materialize") else buffer)


def _plain(content: Any) -> tuple[npt.NDArray[Any], Integers | None]:
    """Return a column's buffer and, where it is itself indexed, the index."""
    if content.is_numpy:
        return _numpy(content.data), None
    inner = view(ak.Array(content))
    if inner.offsets is not None or inner.missing is not None:
        msg = f"a column of type {content.form.type} is not one number an object."
        raise ConfigError(msg)
    return inner.numbers(), None


def _through_index(
    layout: Any, index: Integers | None, missing: npt.NDArray[np.bool_] | None
) -> tuple[Any, Integers | None, npt.NDArray[np.bool_] | None]:
    """Step through an indexed or option layer."""
    if layout.is_option:
        layout = layout.to_IndexedOptionArray64()
    step = _numpy(layout.index).astype(np.int64, copy=False)
    if index is not None:
        step = step[np.maximum(index, 0)] if len(step) else np.full(len(index), -1)
        if missing is not None:
            step = np.where(missing, -1, step)
    if layout.is_option or missing is not None:
        lacking = step < 0
        missing = lacking if lacking.any() else None
    return layout.content, step, missing


def _through_list(
    layout: Any, index: Integers | None, missing: npt.NDArray[np.bool_] | None, events: int
) -> tuple[Integers, Integers | None, int]:
    """Step through a list layer; return offsets, the index of the entries (None: the first ones), their number."""
    starts = _numpy(layout.starts).astype(np.int64, copy=False)
    stops = _numpy(layout.stops).astype(np.int64, copy=False)
    if index is None and not hasattr(layout, "offsets"):
        index = np.arange(events)
    if index is None:
        whole = _numpy(layout.offsets).astype(np.int64, copy=False)[: events + 1]
        if whole[0] == 0:
            return whole, None, int(whole[-1])
        return whole - whole[0], np.arange(whole[0], whole[-1]), int(whole[-1] - whole[0])
    places = index if missing is None else np.where(missing, -1, index)
    offsets, inner = _loops.gather_lists(starts, stops, places)
    return offsets, inner, len(inner)
