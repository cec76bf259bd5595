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

    Attributes
    ----------
    content
        The layout of the records, or a (structured) NumPy array.
    offsets
        Shape (n + 1,): where each event's entries start, for a collection; None with one entry an event.
    index
        The places in `content` of the entries in a row; None where they are simply the first ones.
    missing
        Which entries are missing; None if none is.
    size
        The number of entries.
    fields
        The names of the columns; none for plain numbers.
    behavior, attrs
        Those of the awkward array.
    """

    __slots__ = (
        "_columns",
        "_wide",
        "attrs",
        "behavior",
        "content",
        "fields",
        "index",
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
        behavior: Mapping[Any, Any] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        self.content, self.size, self.offsets = content, size, offsets
        self.index, self.missing, self.behavior, self.attrs = index, missing, behavior, attrs
        names = content.dtype.names or () if isinstance(content, np.ndarray) else content.fields
        self.fields: tuple[str, ...] = tuple(names)
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._wide: dict[str, Floats] = {}

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, one value an entry, in the type it is stored in; or what vector works out of the others.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        if name not in self._columns:
            self._columns[name] = self._find(name)
        return self._columns[name]

    def numbers(self) -> npt.NDArray[Any]:
        """Return the entries where they are plain numbers."""
        return self.content if isinstance(self.content, np.ndarray) else self._gather(self.content)

    def coordinate(self, name: str) -> Floats:
        """Return a column as contiguous 64-bit numbers."""
        if name not in self._wide:
            self._wide[name] = np.ascontiguousarray(self.column(name), dtype=np.float64)
        return self._wide[name]

    def kept(self, name: str) -> npt.NDArray[Any] | None:
        """Return a column if it was asked for before."""
        return self._columns.get(name)

    @property
    def has_mass(self) -> bool:
        """Whether the records are four-momenta."""
        return not _MASSIVE.isdisjoint(self.fields)

    def entries(self) -> Any:
        """Return the layout of the entries in a row, without the lists."""
        if self.index is None:
            return self.content if len(self.content) == self.size else self.content[: self.size]
        if self.missing is None:
            return ak.contents.IndexedArray.simplified(ak.index.Index64(self.index), self.content)
        index = np.where(self.missing, -1, self.index)
        return ak.contents.IndexedOptionArray.simplified(ak.index.Index64(index), self.content)

    def _find(self, name: str) -> npt.NDArray[Any]:
        if name in self.fields:
            if isinstance(self.content, np.ndarray):
                return np.asarray(self.content[name])
            return self._gather(self.content.content(name))
        if isinstance(self.content, np.ndarray):
            array: Any = self.content
        else:
            layout = self.entries()
            array = ak.Array(layout, behavior=self.behavior, attrs=self.attrs)
        try:
            values = getattr(array, name)
        except AttributeError as error:
            if type(error) is not AttributeError:  # lazily read events know more: that the file has no such column
                raise
            msg = f"the objects have no column {name!r}{nearest(name, self.fields)}."
            raise ConfigError(msg) from error
        return flat(values)

    def _gather(self, content: Any) -> npt.NDArray[Any]:
        index = self.index
        while content.is_indexed and not content.is_option:
            step = to_numpy(content.index)
            index = step if index is None else step.take(index, mode="clip")
            content = content.content
        if not content.is_numpy or content.purelist_depth > 1:
            msg = f"a column of type {ak.Array(content).type.content} is not one number an object."
            raise ConfigError(msg)
        values = to_numpy(content.data)
        if index is None:
            return values if len(values) == self.size else values[: self.size]
        if self.missing is None:
            return values.take(index)
        # missing entries have no place, or one that is not theirs
        return values.take(index, mode="clip") if len(values) else np.zeros(self.size, dtype=values.dtype)


def view(array: Any) -> View:
    """Look at an array of records or numbers, flat or jagged.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if isinstance(array, ak.Array):
        # an array remembers its view, so that columns are gathered once; assigning a field replaces the layout
        kept = vars(array).get("_kinematics")
        if kept is None or kept[0] is not array.layout:
            kept = (array.layout, _look(array.layout, array.behavior, array.attrs))
            vars(array)["_kinematics"] = kept
        seen: View = kept[1]
        return seen
    if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray) and array.ndim == 1:
        return View(array, len(array))
    try:
        return _look(ak.to_layout(array), None, None)
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


def _look(layout: Any, behavior: Any, attrs: Any) -> View:
    index: Integers | None = None
    missing: Missing = None
    offsets: Integers | None = None
    size = len(layout)
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
            return View(layout, size, offsets, index, missing, behavior, attrs)
        else:
            msg = f"expected an array of vectors or numbers, not of type {ak.Array(layout).type.content}."
            raise ConfigError(msg)


def _through_index(layout: Any, index: Integers | None, missing: Missing) -> tuple[Any, Integers | None, Missing]:
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
