"""Arrays of records as flat columns: whatever awkward layout or NumPy array the caller has, seen without copying.

Physics code passes collections (lists of records, one list an event), records (one an event) and plain NumPy vectors.
Compiled loops want contiguous numbers and offsets. A `View` is the bridge: it finds offsets, an index and the missing
entries of any layout and gathers a column when that column is asked for, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, nearest
from colonnade.kinematics import loops
from colonnade.kinematics.layouts import LAYOUT, Integers, Missing, buffer, look, read_only, to_numpy

Floats = npt.NDArray[np.float64]
_MASSIVE = frozenset({"mass", "m", "M", "tau", "energy", "e", "E", "t"})


class EventNumbers(np.ndarray):
    """One number an event: a NumPy array with the two methods that analyses know of awkward's."""

    def to_numpy(self) -> npt.NDArray[Any]:
        """Return the numbers as a plain NumPy array."""
        return np.asarray(self)

    def to_list(self) -> list[Any]:
        """Return the numbers as Python's."""
        return list(self.tolist())


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

    Attributes
    ----------
    behavior, attrs, kind
        Those of the awkward array; the class may be None, where only awkward knows it.
    kept
        The columns that were gathered so far.
    """

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
        self.kept: dict[str, npt.NDArray[Any]] = {}
        self._wide: dict[str, Floats] = {}
        self._composed: tuple[Integers, Integers] | None = None
        self._members: dict[str, View] = {}
        self._cartesian: Floats | None = None

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
        if name not in self.kept:
            if not name or name in self.fields:
                values, index = self.stored(name)
                self.kept[name] = self._gather(values, index)
            else:
                self.kept[name] = self._derived(name)
        return self.kept[name]

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
        """Return cosine and sine of phi, in the precision that phi is stored in."""
        if self._parent is not None and self.index is None and "phi" not in self._new:
            return self._parent.direction()
        if "cos(phi)" not in self._wide:
            phi = self.column("phi")  # in 32 bits, as files have it, this is many times faster
            self._wide["cos(phi)"], self._wide["sin(phi)"] = (
                function(phi).astype(np.float64, copy=False) for function in (np.cos, np.sin)
            )
        return self._wide["cos(phi)"], self._wide["sin(phi)"]

    def cartesian(self) -> tuple[Floats, Integers | None]:
        """Return px, py, pz, E, shape (objects, 4), and where the entries are there (None: in their order).

        They are worked out once an object, not once a combination of objects.
        """
        known, above = self.known_cartesian(), self._parent
        drawn = self.index is not None and self.missing is None
        if known is None and drawn and above is not None and above.size < self.size:
            above.cartesian()
            known = self.known_cartesian()
        if known is None:
            pt, eta, phi = (self.coordinate(name) for name in ("pt", "eta", "phi"))
            mass = self.coordinate("mass") if self.has_mass else 0.0
            # NumPy computes these several numbers at a time, a compiled loop does not
            pz = pt * np.sinh(eta)
            energy = np.sqrt(pt * pt + pz * pz + mass * mass)
            self._cartesian = np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, energy], axis=1)
            known = self._cartesian, None
        return known

    def known_cartesian(self) -> tuple[Floats, Integers | None] | None:
        """Return the same if it is known already, here or for what these entries were taken from."""
        if self._cartesian is not None:
            return self._cartesian, None
        if self._parent is None or self.index is None or self.missing is not None:
            return None
        known = self._parent.known_cartesian()
        if known is None:
            return None
        rows, places = known
        return rows, self.index if places is None else places.take(self.index)

    def member(self, name: str) -> View:
        """Look at a column that itself holds records, or lists of them: for these entries, which must not be missing.

        Raises
        ------
        ConfigError
            If it holds something else.
        """
        if name not in self._members:
            origin, places = self.origin(name)
            inner = self._look_inside(name) if origin is self else origin.member(name)
            self._members[name] = inner if places is None else inner.rows(places)
        return self._members[name]

    def origin(self, name: str) -> tuple[View, Integers | None]:
        """Return the nearest view that looked inside a column, or the first; and where these entries are there."""
        if self._parent is None or name in self._members:
            return self, None
        above, places = self._parent.origin(name)
        if self.index is None:
            return above, places
        return above, self.index if places is None else places.take(self.index)

    def _look_inside(self, name: str) -> View:
        content = self.fields[name]
        content = content if self.index is not None else content[: self.size]
        array = ak.Array(content, behavior=self.behavior, attrs=self.attrs)
        inner = _see(content, array)
        inner.kind = type(array)
        return inner if self.index is None else inner.rows(self.index)

    def rows(self, places: Integers) -> View:
        """Return what stands at some places: entries, or whole lists of them."""
        if self.offsets is None:
            return self.part(places)
        offsets, inner = loops.gather_lists(self.offsets[:-1], self.offsets[1:], places)
        return self.part(inner, offsets)

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
        entries = self.entries()
        if self.offsets is None:
            return entries
        return ak.contents.ListOffsetArray(ak.index.Index64(self.offsets), entries)

    def entries(self) -> Any:
        """Return the layout of the entries in a row, without the lists."""
        if self._new and self._parent is not None:
            inner = self._parent.whole_entries()
            old = {name: inner[name] for name in inner.fields}
            new = {name: ak.contents.NumpyArray(read_only(values)) for name, values in self._new.items()}
            names, record = list(self.fields), inner
            while record.is_indexed:
                record = record.content
            columns = [new.get(name, old.get(name)) for name in names]
            content = ak.contents.RecordArray(columns, names, length=self.size, parameters=record.parameters)
        elif self._parent is not None:
            content = self._parent.entries()
        elif isinstance(self._content, np.ndarray):
            content = ak.to_layout(read_only(self._content))
        else:
            content = self._content
        if self.missing is not None:
            index = np.where(self.missing, -1, np.arange(self.size) if self.index is None else self.index)
            return ak.contents.IndexedOptionArray.simplified(ak.index.Index64(index), content)
        if self.index is not None:
            return ak.contents.IndexedArray.simplified(ak.index.Index64(self.index), content)
        return content if content.length == self.size else content[: self.size]

    def whole_entries(self) -> Any:
        """Return the layout of the entries, with anything in place of the missing ones."""
        entries = self.entries()
        while entries.is_option:
            index = ak.index.Index64(np.maximum(to_numpy(entries.to_IndexedOptionArray64().index), 0))
            entries = ak.contents.IndexedArray.simplified(index, entries.to_IndexedOptionArray64().content)
        return entries

    def stored(self, name: str) -> tuple[npt.NDArray[Any], Integers | None]:
        """Return the buffer a column is in, and the places of the entries there."""
        if name in self._new:
            return self._new[name], None
        if self._parent is None:
            if isinstance(self._content, np.ndarray):
                return (self._content[name] if name else self._content), self.index
            return buffer(self.fields[name] if name else self._content, self.index)
        kept = self._parent.kept.get(name)
        values, index = self._parent.stored(name) if kept is None else (kept, None)
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
        if not self.size and not self.fields:  # no entries, so nothing said what they are
            return np.zeros(0)
        if isinstance(self._content, np.ndarray):
            array: Any = self._content
        else:
            array = ak.Array(self.whole_entries(), behavior=self.behavior, attrs=self.attrs)
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
        if seen is None or state.get(LAYOUT, state["_seen"]) is not state["_seen"]:
            seen = _see(array.layout, array)
            seen.kind = type(array)
            state.update(_view=seen, _seen=array.layout)
        return seen
    if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray) and array.ndim == 1:
        plain = np.asarray(array) if isinstance(array, EventNumbers) else array
        return View(plain if plain.flags.writeable else to_numpy(plain), len(plain))
    try:
        return _see(ak.to_layout(array), None)
    except TypeError as error:
        msg = f"expected an array of vectors or numbers, not a {type(array).__name__}."
        raise ConfigError(msg) from error


class Jagged(View):
    """A view of a collection, for the type checker: it has offsets."""

    offsets: Integers


def jagged(collection: Any, *others: Any) -> Jagged:
    """Look at a collection, a list of objects for each event.

    Raises
    ------
    ConfigError
        If it is none, or another one is of a different number of events.
    """
    seen = view(collection)
    if seen.offsets is None:
        msg = "expected a collection, a list of objects for each event, but got one entry an event."
        raise ConfigError(msg)
    for other in others:
        if len(jagged(other).offsets) != len(seen.offsets):
            msg = "collections of different numbers of events can't be merged or compared."
            raise ConfigError(msg)
    return cast("Jagged", seen)


def of_columns(columns: Mapping[str, npt.NDArray[Any]], name: str, like: View) -> View:
    """Return records of columns of one length, which go by a name and behave as those of another view do."""
    contents = [ak.contents.NumpyArray(read_only(values)) for values in columns.values()]
    record = ak.contents.RecordArray(contents, list(columns), parameters={"__record__": name})
    made = View(record, record.length, like=like)
    made.kind = None
    return made


def flat(values: Any) -> npt.NDArray[Any]:
    """Return the numbers of a jagged or flat array in one row."""
    return view(values).numbers()


def same_column(one: View, other: View, name: str) -> bool:
    """Tell whether two views hold the very same numbers in a column, as after a change of other columns."""
    return one.missing is None and other.missing is None and one.coordinate(name) is other.coordinate(name)


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


def _see(layout: Any, like: Any) -> View:
    content, size, offsets, index, missing = look(layout)
    return View(content, size, offsets, index, missing, like)


def _same(one: Integers, other: Integers | None) -> bool:
    return other is not None and np.array_equal(one, other)
