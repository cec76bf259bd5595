"""Arrays of records as flat columns: whatever awkward layout or NumPy array the caller has, seen without copying.

Physics code passes collections (lists of records, one list an event), records (one an event) and plain NumPy vectors.
Compiled loops want contiguous numbers and offsets. A `View` is the bridge: it finds offsets, an index and the missing
entries of any layout and gathers a column when that column is asked for, once.
"""

from __future__ import annotations

__all__ = ["Missing", "View", "flat", "joined", "view"]

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, nearest
from colonnade.kinematics import _loops

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Missing = npt.NDArray[np.bool_] | None
_MASSIVE = frozenset({"mass", "m", "M", "tau", "energy", "e", "E", "t"})


class View:
    """Records, or numbers, in a row.

    Its columns come from an awkward layout or a NumPy array, from another view of which it has some entries, or from
    another view and some new columns.

    Parameters
    ----------
    content
        The layout of the records, a (structured) NumPy array, or None for a view of another.
    size
        The number of entries.
    offsets
        Shape (n + 1,): where each event's entries start, for a collection; None with one entry an event.
    index
        The places of the entries in `content`, or in the other view; None where they are simply the first ones.
    missing
        Which entries are missing; None if none is.
    like
        What gives behavior, attrs and class of the awkward array: another view or array.
    """

    __slots__ = (
        "_columns",
        "_composed",
        "_content",
        "_contents",
        "_new",
        "_parent",
        "_wide",
        "attrs",
        "behavior",
        "index",
        "kind",
        "missing",
        "offsets",
        "size",
    )

    def __init__(
        self,
        content: Any,
        size: int,
        offsets: Integers | None = None,
        index: Integers | None = None,
        missing: Missing = None,
        like: Any = None,
    ) -> None:
        self.size, self.offsets, self.index, self.missing = size, offsets, index, missing
        self.behavior: Any = getattr(like, "behavior", None)
        self.attrs: Any = getattr(like, "attrs", None)
        self.kind: type | None = like.kind if isinstance(like, View) else None
        self._content = content
        self._parent: View | None = None
        self._new: Mapping[str, npt.NDArray[Any]] = {}
        self._contents: dict[str, Any] | None = None
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._wide: dict[str, Floats] = {}
        self._composed: tuple[Integers, Integers] | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The names of the columns, with what holds them; none for plain numbers."""
        if self._contents is None:
            if self._parent is not None:
                self._contents = {**self._parent.fields, **self._new} if self._new else dict(self._parent.fields)
            elif isinstance(self._content, np.ndarray):
                self._contents = {name: self._content[name] for name in self._content.dtype.names or ()}
            else:
                fields = self._content.fields
                self._contents = dict(zip(fields, self._content.contents, strict=True)) if fields else {}
        return self._contents

    @property
    def has_mass(self) -> bool:
        """Whether the records are four-momenta."""
        return not _MASSIVE.isdisjoint(self.fields)

    def part(self, places: Integers, offsets: Integers | None = None) -> View:
        """Return some of the entries, in another order and other lists; negative places are missing ones."""
        missing: Missing = None
        if offsets is None and len(places) and places.min() < 0:
            missing = places < 0
        if self.missing is not None:
            lacks = self.missing.take(places, mode="clip") if self.size else np.ones(len(places), dtype=bool)
            missing = lacks if missing is None else missing | lacks
            missing = missing if missing.any() else None
        some = View(None, len(places), offsets, places, missing, self)
        some._parent = self
        return some

    def with_columns(self, new: Mapping[str, npt.NDArray[Any]]) -> View:
        """Return the same entries with columns replaced or added; the others are not read or copied."""
        changed = View(None, self.size, self.offsets, None, self.missing, self)
        changed._parent, changed._new = self, new
        return changed

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, one value an entry, in the type it is stored in; or what vector works out of the others.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        if name not in self._columns:
            if not name or name in self.fields:
                values, index = self._stored(name)
                self._columns[name] = self._gather(values, index)
            else:
                self._columns[name] = self._derived(name)
        return self._columns[name]

    def numbers(self) -> npt.NDArray[Any]:
        """Return the entries where they are plain numbers."""
        if self.fields:
            msg = f"expected numbers, not records with the columns {', '.join(self.fields)}."
            raise ConfigError(msg)
        return self.column("")

    def coordinate(self, name: str) -> Floats:
        """Return a column as contiguous 64-bit numbers."""
        if name not in self._wide:
            same = self._parent is not None and self.index is None and name not in self._new
            if same and self._parent is not None:
                self._wide[name] = self._parent.coordinate(name)
            else:
                self._wide[name] = np.ascontiguousarray(self.column(name), dtype=np.float64)
        return self._wide[name]

    def direction(self) -> tuple[Floats, Floats]:
        """Return cosine and sine of phi."""
        if self._parent is not None and self.index is None and "phi" not in self._new:
            return self._parent.direction()
        if "cos(phi)" not in self._wide:
            phi = self.coordinate("phi")
            self._wide["cos(phi)"], self._wide["sin(phi)"] = np.cos(phi), np.sin(phi)
        return self._wide["cos(phi)"], self._wide["sin(phi)"]

    def holds_numbers(self, name: str) -> bool:
        """Tell whether a column is of plain numbers, not itself of lists or records."""
        content = self.fields[name]
        if isinstance(content, np.ndarray):
            return True
        while content.is_indexed and not content.is_option:
            content = content.content
        return bool(content.is_numpy and content.purelist_depth == 1)

    def layout(self) -> Any:
        """Return the awkward layout."""
        entries = self._entries()
        if self.offsets is None:
            return entries
        return ak.contents.ListOffsetArray(ak.index.Index64(self.offsets), entries)

    def _entries(self) -> Any:
        """Return the layout of the entries in a row, without the lists."""
        if self._new and self._parent is not None:
            inner = self._parent._without_missing()
            old = {name: inner[name] for name in inner.fields}
            new = {name: ak.contents.NumpyArray(values) for name, values in self._new.items()}
            names, parameters = list(self.fields), inner.parameters
            content = ak.contents.RecordArray([{**old, **new}[name] for name in names], names, self.size, parameters)
        elif self._parent is not None:
            content = self._parent._entries()
        elif isinstance(self._content, np.ndarray):
            content = ak.to_layout(self._content)
        else:
            content = self._content
        if self.missing is not None:
            index = np.where(self.missing, -1, np.arange(self.size) if self.index is None else self.index)
            return ak.contents.IndexedOptionArray.simplified(ak.index.Index64(index), content)
        if self.index is not None:
            return ak.contents.IndexedArray.simplified(ak.index.Index64(self.index), content)
        return content if content.length == self.size else content[: self.size]

    def _without_missing(self) -> Any:
        """Return the layout of the entries, with anything in place of the missing ones."""
        entries = self._entries()
        while entries.is_option:
            index = ak.index.Index64(np.maximum(to_numpy(entries.to_IndexedOptionArray64().index), 0))
            entries = ak.contents.IndexedArray.simplified(index, entries.to_IndexedOptionArray64().content)
        return entries

    def _stored(self, name: str) -> tuple[npt.NDArray[Any], Integers | None]:
        """Return the buffer a column is in, and the places of the entries there."""
        if name in self._new:
            return self._new[name], None
        if self._parent is None:
            if isinstance(self._content, np.ndarray):
                return (self._content[name] if name else self._content), self.index
            return _buffer(self.fields[name] if name else self._content, self.index)
        kept = self._parent._columns.get(name)
        values, index = self._parent._stored(name) if kept is None else (kept, None)
        if self.index is None:
            return values, index
        return values, self.index if index is None else self._compose(index)

    def _compose(self, index: Integers) -> Integers:
        """Return places among the parent's entries as places in its buffers."""
        if self._composed is None or self._composed[0] is not index:
            places = self.index if self.index is not None else np.arange(self.size)
            self._composed = (index, index.take(places, mode="clip") if len(index) else places)
        return self._composed[1]

    def _gather(self, values: npt.NDArray[Any], index: Integers | None) -> npt.NDArray[Any]:
        if index is None:
            return values if len(values) == self.size else values[: self.size]
        if not len(values):  # only missing entries point here
            return np.zeros(self.size, dtype=values.dtype)
        # missing entries have no place, or one that is not theirs
        return values.take(index) if self.missing is None else values.take(index, mode="clip")

    def _derived(self, name: str) -> npt.NDArray[Any]:
        if isinstance(self._content, np.ndarray):
            array: Any = self._content
        else:
            array = ak.Array(self._without_missing(), behavior=self.behavior, attrs=self.attrs)
        try:
            values = getattr(array, name)
        except AttributeError as error:
            if type(error) is not AttributeError:  # lazily read events know more: that the file has no such column
                raise
            msg = f"the objects have no column {name!r}{nearest(name, self.fields)}."
            raise ConfigError(msg) from error
        return flat(values)


def view(array: Any) -> View:
    """Look at an array of records or numbers, flat or jagged.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if isinstance(array, ak.Array):
        # an array remembers its view, so that columns are gathered once; assigning a field replaces its layout
        state = vars(array)
        seen: View | None = state.get("_view")
        if seen is None or state.get("_layout", state["_seen"]) is not state["_seen"]:
            seen = _look(array.layout, array)
            seen.kind = type(array)
            state.update(_view=seen, _seen=array.layout)
        return seen
    if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray) and array.ndim == 1:
        return View(array, len(array))
    try:
        return _look(ak.to_layout(array), None)
    except TypeError as error:
        msg = f"expected an array of vectors or numbers, not a {type(array).__name__}."
        raise ConfigError(msg) from error


def flat(values: Any) -> npt.NDArray[Any]:
    """Return the numbers of a jagged or flat array in one row."""
    return view(values).numbers()


def joined(views: Sequence[View]) -> tuple[Integers | None, Missing, list[Integers | None]]:
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
    offsets = next((one.offsets for one in views if one.offsets is not None), None)
    events = views[0].size if offsets is None else len(offsets) - 1
    owner = None
    if offsets is not None and any(one.offsets is None for one in views):
        owner = np.repeat(np.arange(events), np.diff(offsets))
    missing: Missing = None
    repeats: list[Integers | None] = []
    for one in views:
        if one.offsets is None and one.size != events:
            msg = f"arrays of {events} and {one.size} events can't be combined."
            raise ConfigError(msg)
        if one.offsets is not None and one.offsets is not offsets and not _same(one.offsets, offsets):
            msg = "collections with different numbers of objects can't be combined object by object."
            raise ConfigError(msg)
        repeat = owner if one.offsets is None else None
        if one.missing is not None:
            lacks = one.missing if repeat is None else one.missing[repeat]
            missing = lacks if missing is None else missing | lacks
        repeats.append(repeat)
    return offsets, missing, repeats


def to_numpy(buffer: Any) -> npt.NDArray[Any]:
    """Return a buffer as NumPy, reading it if it is virtual."""
    if not isinstance(buffer, np.ndarray):
        buffer = getattr(buffer, "data", buffer)
        if hasattr(buffer, "materialize"):
            buffer = buffer.materialize()
    return np.asarray(buffer)


def _same(one: Integers, other: Integers | None) -> bool:
    return other is not None and np.array_equal(one, other)


def _buffer(content: Any, index: Integers | None) -> tuple[npt.NDArray[Any], Integers | None]:
    """Step through the indexed layers of a column to its buffer."""
    while content.is_indexed and not content.is_option:
        step = to_numpy(content.index)
        index = step if index is None else step.take(index, mode="clip")
        content = content.content
    if content.is_unknown:
        return np.zeros(0), index
    if not content.is_numpy or content.purelist_depth > 1:
        msg = f"a column of type {ak.Array(content).type.content} is not one number an object."
        raise ConfigError(msg)
    return to_numpy(content.data), index


def _look(layout: Any, like: Any) -> View:
    index: Integers | None = None
    missing: Missing = None
    offsets: Integers | None = None
    size = layout.length
    while True:
        if layout.is_unknown:
            layout = layout.to_NumpyArray(np.float64)
        if layout.is_indexed or layout.is_option:
            layout, index, missing = _through_index(layout, index, missing)
        elif layout.is_numpy and layout.purelist_depth > 1:
            layout = layout.to_RegularArray()
        elif layout.is_list:
            if offsets is not None:
                msg = "expected one list of objects an event, but the lists are nested deeper."
                raise ConfigError(msg)
            offsets, index = _through_list(layout, index, missing, size)
            size, missing, layout = int(offsets[-1]), None, layout.content
        elif layout.is_record or layout.is_numpy:
            return View(layout, size, offsets, index, missing, like)
        else:
            msg = f"expected an array of vectors or numbers, not of type {ak.Array(layout).type.content}."
            raise ConfigError(msg)


def _through_index(
    layout: Any, index: Integers | None, missing: Missing
) -> tuple[Any, Integers | None, Missing]:
    """Step through an indexed or option layer."""
    option = layout.is_option
    if option:
        layout = layout.to_IndexedOptionArray64()
    step = to_numpy(layout.index).astype(np.int64, copy=False)
    if index is not None:
        step = step.take(index, mode="clip") if len(step) else np.full(len(index), -1)
        if missing is not None:
            step = np.where(missing, -1, step)
    if option or missing is not None:
        lacking = step < 0
        missing = lacking if lacking.any() else None
    return layout.content, step, missing


def _through_list(
    layout: Any, index: Integers | None, missing: Missing, events: int
) -> tuple[Integers, Integers | None]:
    """Step through a list layer; return offsets and the index of the entries (None: the first ones)."""
    if index is None and hasattr(layout, "offsets"):
        whole = to_numpy(layout.offsets).astype(np.int64, copy=False)[: events + 1]
        if whole[0] == 0:
            return whole, None
        return whole - whole[0], np.arange(whole[0], whole[-1])
    starts = to_numpy(layout.starts).astype(np.int64, copy=False)
    stops = to_numpy(layout.stops).astype(np.int64, copy=False)
    places = np.arange(events) if index is None else index
    offsets, inner = _loops.gather_lists(starts, stops, places if missing is None else np.where(missing, -1, places))
    return offsets, inner
