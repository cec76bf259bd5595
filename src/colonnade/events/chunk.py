"""The columns of one entry range: each source column read at most once, and the events that are made of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import InputError
from colonnade.events.behaviors import behavior
from colonnade.events.catalog import Catalog, Column, Group, Objects, is_nested, make
from colonnade.events.source import Raw, Reader
from colonnade.kinematics.layouts import read_only

Offsets = npt.NDArray[np.int64]
Read = Callable[[Sequence[str], Collection[str]], Mapping[str, Raw]]


class EntryRange:
    """One entry range of a file.

    Parameters
    ----------
    catalog
        The file's columns.
    length
        The number of events.
    read
        Reads source columns, the second ones among them without offsets.
    where
        What to call the entry range in messages.
    """

    def __init__(self, catalog: Catalog, length: int, read: Read, where: str) -> None:
        self.catalog = catalog
        self.length = length
        self._read = read
        self._where = where
        self._raws: dict[str, Raw] = {}
        self._offset_sources: dict[Objects, str] = {}
        self._offsets: dict[Objects, Offsets] = {}
        self._members: dict[str, tuple[npt.NDArray[np.bool_], Offsets]] = {}

    def prefetch(
        self,
        names: Sequence[str],
        without_offsets: Collection[str] = (),
        offset_sources: Mapping[Objects, str] | None = None,
    ) -> None:
        """Read source columns together.

        Parameters
        ----------
        names
            The source columns.
        without_offsets
            Those whose offsets are not needed.
        offset_sources
            Those whose offsets hold for a whole collection.
        """
        self._raws.update(self._read(names, without_offsets))
        self._offset_sources.update(offset_sources or {})

    def raw(self, name: str) -> Raw:
        """Return a source column."""
        if name not in self._raws:
            self.prefetch([name])
        return self._raws[name]

    def offsets(self, group: Group) -> Offsets:
        """Return where each event's objects of a group start and stop."""
        return self._selected(group)[1] if group.select else self._all(group)

    def count(self, group: Group) -> int:
        """Return the number of records of a group."""
        return int(self.offsets(group)[-1]) if group.jagged else self.length

    def values(self, column: Column) -> Any:
        """Return a column's values in GeV: one per event, or one per object of a jagged group.

        Raises
        ------
        InputError
            If the file has not one value per object of the group.
        """
        group = self.catalog.groups.get(column.group) if column.group else None
        if column.made:
            return self._made(column.made)
        if column.source is None:
            return self._constant(column, group)
        raw = self.raw(column.source)
        if group is not None and group.jagged:
            content, offsets = raw.content, self._all(group)
            agree = raw.offsets is offsets or raw.offsets is None or np.array_equal(raw.offsets, offsets)
            if not agree or len(content) != offsets[-1]:
                self._disagree(column, group)
            if group.select:
                content = content[self._selected(group)[0]]
        elif column.first:
            content = self._first(column, raw)
        elif raw.offsets is not None:
            content = ak.contents.ListOffsetArray(ak.index.Index64(raw.offsets), as_layout(raw.content))
        else:
            content = raw.content
        if column.divisor != 1.0:
            return divide(content, column.divisor)
        return content

    def _made(self, made: tuple[str, ...]) -> Any:
        columns, groups = self.catalog.columns, self.catalog.groups
        return make(made, lambda name: self.values(columns[name]), lambda name: self.offsets(groups[name]))

    def _constant(self, column: Column, group: Group | None) -> npt.NDArray[Any]:
        if group is None:
            return np.diff(self.offsets(self.catalog.groups[column.name[1:]]))
        return np.full(self.count(group), column.constant, np.float32)

    def _first(self, column: Column, raw: Raw) -> Any:
        """Return each event's first value."""
        if raw.offsets is None:
            return raw.content
        starts, stops = raw.offsets[:-1], raw.offsets[1:]
        if np.any(starts == stops):
            msg = f"{self._where}: {column.source} is empty in some event; it must hold at least one value."
            raise InputError(msg)
        return raw.content[starts]

    def _all(self, group: Group) -> Offsets:
        """Return where each event's objects start and stop, before any selection."""
        offsets = self._offsets.get(group.objects)
        if offsets is None:
            offsets = self._offsets[group.objects] = self._find_offsets(group)
        return offsets

    def _find_offsets(self, group: Group) -> Offsets:
        told = self._raws.get(self._offset_sources.get(group.objects, str(group.like)))
        if told is not None and told.offsets is not None:
            return told.offsets
        if group.count:
            counts = self.raw(group.count).content
            offsets = np.zeros(self.length + 1, np.int64)
            np.cumsum(counts, out=offsets[1:])
            return offsets
        found = self.raw(str(group.like)).offsets
        if found is None:
            msg = f"{self._where}: {group.like} has not one value per object; {group.name} can't be read."
            raise InputError(msg)
        return found

    def _selected(self, group: Group) -> tuple[npt.NDArray[np.bool_], Offsets]:
        """Return which objects belong to the group, and the offsets of those."""
        if group.name not in self._members:
            source, value = group.select or ("", 0)
            member = np.asarray(self.raw(source).content) == value
            before = np.concatenate([[0], np.cumsum(member)])
            self._members[group.name] = member, before[self._all(group)]
        return self._members[group.name]

    def _disagree(self, column: Column, group: Group) -> None:
        msg = (
            f"{self._where}: {column.source} has not one value per object of {group.name} "
            f"({len(self.raw(str(column.source)).content)} for {self._all(group)[-1]} objects); "
            "the file is damaged, or its columns are no collection: read it with the schema flat."
        )
        raise InputError(msg)


def as_layout(content: Any) -> Any:
    """Return values as an awkward layout, whose memory can't be written to: it may be kept for other chunks."""
    return ak.contents.NumpyArray(read_only(content)) if isinstance(content, np.ndarray) else content


def divide(content: Any, divisor: float) -> Any:
    """Divide numbers, however nested, keeping their type (integers become float64)."""
    if isinstance(content, np.ndarray):
        return np.divide(content, content.dtype.type(divisor) if content.dtype.kind == "f" else divisor)

    def scale(node: Any, **_: Any) -> Any:
        return ak.contents.NumpyArray(divide(node.data, divisor)) if node.is_numpy else None

    return ak.transform(scale, content, highlevel=False)


_EVENTS = {"__record__": "Events", "group": ""}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to read and how to put it together: the same for every chunk of a file.

    Attributes
    ----------
    leaves
        The columns in the events, each with the form of its values.
    groups
        The records in the events.
    asked
        The names of the columns that are read before anything is touched; others are read when they are touched.
    sources
        The source columns to read, together.
    without_offsets
        Those among them whose offsets are known from another one.
    offset_sources
        For each collection, the column whose offsets hold for all of it.
    """

    leaves: Sequence[tuple[Column, Any]]
    groups: Sequence[str]
    asked: frozenset[str] = frozenset()
    sources: tuple[str, ...] = ()
    without_offsets: frozenset[str] = frozenset()
    offset_sources: Mapping[Objects, str] = dataclasses.field(default_factory=dict)


def build_plan(catalog: Catalog, reader: Reader, names: Sequence[str] | None) -> Plan:
    """Work out how columns are read, together, with the coordinates that make vectors of their groups.

    Parameters
    ----------
    catalog, reader
        The file.
    names
        The columns; None for all that the file has, each of which is read when it is touched.
    """
    leaves = []
    if names is None:
        for column in catalog.columns.values():
            # a column of a type that the library does not know: it is missed only if it is asked for
            with contextlib.suppress(Exception):
                leaves.append((column, _leaf_form(reader, catalog, column)))
        return Plan(leaves, tuple(catalog.groups))
    scalars: list[Column] = []
    members: dict[str, list[Column]] = {}
    for column in (catalog.columns[name] for name in dict.fromkeys(names)):
        if column.group is not None:
            members.setdefault(column.group, []).append(column)
            continue
        scalars.append(column)
        if column.name.startswith("n") and column.name[1:] in catalog.groups:
            members.setdefault(column.name[1:], [])
    sources = _sources(reader, catalog, scalars, members)
    for name, held in members.items():
        held += [catalog.columns[other] for other in catalog.groups[name].coordinates if held and other not in names]
    leaves = [(column, _leaf_form(reader, catalog, column)) for held in (scalars, *members.values()) for column in held]
    return Plan(leaves, tuple(members), frozenset(names), *sources)


def _put_together(
    catalog: Catalog, leaves: Sequence[tuple[Column, Any]], groups: Sequence[str], chunk: EntryRange | None = None
) -> Any:
    """Return the form of events of the forms of their columns, or their layout of those of the columns of a chunk."""
    members: dict[str, dict[str, Any]] = {name: {} for name in groups}
    fields: dict[str, Any] = {}
    for column, content in leaves:
        (fields if column.group is None else members[column.group])[column.field] = content
    for name, held in members.items():
        group = catalog.groups[name]
        parts = list(held.values()), list(held)
        parameters = {"__record__": (group.vector if held else None) or "Group", "group": name}
        if chunk is None:
            made = ak.forms.RecordForm(*parts, parameters=parameters, form_key=f"{name}:")
            fields[name] = ak.forms.ListOffsetForm("i64", made, form_key=f"{name}:list") if group.jagged else made
        else:
            made = ak.contents.RecordArray(*parts, chunk.count(group), parameters=parameters)
            offsets = ak.index.Index64(chunk.offsets(group)) if group.jagged else None
            fields[name] = made if offsets is None else ak.contents.ListOffsetArray(offsets, made)
    whole = list(fields.values()), list(fields)
    if chunk is None:
        return ak.forms.RecordForm(*whole, parameters=_EVENTS, form_key=":")
    return ak.contents.RecordArray(*whole, chunk.length, parameters=_EVENTS)


def _sources(
    reader: Reader, catalog: Catalog, scalars: Sequence[Column], members: Mapping[str, Sequence[Column]]
) -> tuple[tuple[str, ...], frozenset[str], dict[Objects, str]]:
    """Return the source columns, those that need not say where events start, and those that do for others."""
    sources = dict.fromkeys(column.source for column in scalars if column.source)
    needed: set[str | None] = set(sources)
    # groups that are selections of the same objects share their offsets
    by_objects: dict[Objects, list[str]] = {}
    for name, columns in members.items():
        if catalog.groups[name].jagged:
            by_objects.setdefault(catalog.groups[name].objects, []).append(name)
        else:
            sources.update(dict.fromkeys(column.source for column in columns if column.source))
            needed.update(column.source for column in columns)
    without_offsets: set[str] = set()
    offset_sources: dict[Objects, str] = {}
    for objects, alike in by_objects.items():
        own = dict.fromkeys(select[0] for name in alike if (select := catalog.groups[name].select))
        own.update(dict.fromkeys(column.source for name in alike for column in members[name] if column.source))
        count, like = objects
        # a column of the objects tells where each event's start, at no cost
        offset_source = like if like in own or (count is None and not own) else next(iter(own), None)
        if offset_source is not None:
            offset_sources[objects] = offset_source
            needed.add(offset_source)
            sources[offset_source] = None
        elif count is not None:
            sources[count] = None
        sources.update(own)
        # of the others, each event's number of values is compared
        without_offsets.update(name for name in own if _same(reader, name, offset_source, count))
    return tuple(sources), frozenset(without_offsets - needed), offset_sources


def _same(reader: Reader, name: str, offset_source: str | None, count: str | None) -> bool:
    """Tell whether the file says that a column has as many values in each event as another one."""
    counter = reader.counter(name, count)
    if counter is None:
        return False
    return counter in {count, *(reader.counter(other, count) for other in (offset_source, count) if other)}


def make_events(
    chunk: EntryRange, plan: Plan, attrs: dict[str, Any], note: Callable[[str], None] | None = None
) -> ak.Array:
    """Put events together; what was asked for is read now, every other column when it is touched.

    Parameters
    ----------
    chunk
        The entry range.
    plan
        What to read.
    attrs
        Rides on the events.
    note
        Called with the name of each column that is read; and, with a colon after it, with the name of each
        group whose offsets are.
    """
    catalog = chunk.catalog
    if plan.asked:
        chunk.prefetch(plan.sources, plan.without_offsets, plan.offset_sources)
        contents = [
            (column, as_layout(chunk.values(column)) if column.name in plan.asked else _virtual(chunk, column, form))
            for column, form in plan.leaves
        ]
        layout = _put_together(catalog, contents, plan.groups, chunk)
    else:
        buffers: dict[str, Callable[[], Any]] = {}
        for column, form in plan.leaves:
            buffers.update(_leaf_buffers(chunk, column, form, note))
        for name, group in catalog.groups.items():
            if group.jagged:
                buffers[f"{name}:list-offsets"] = functools.partial(_offsets, chunk, group, note)
        form = _put_together(catalog, plan.leaves, plan.groups)
        layout = ak.from_buffers(form, chunk.length, buffers, highlevel=False)
    # coffea's cross references go to all events, whatever was selected
    return ak.Array(layout, behavior=behavior(), attrs={**attrs, "@layout": layout})


def _virtual(chunk: EntryRange, column: Column, form: Any) -> Any:
    """Return a coordinate that makes a record the vector it is, read if it is touched."""
    group = chunk.catalog.groups[str(column.group)]
    return ak.from_buffers(form, chunk.count(group), _leaf_buffers(chunk, column, form), highlevel=False)


def _leaf_form(reader: Reader, catalog: Catalog, column: Column) -> Any:
    """Return the form of a column's values, keyed by its name.

    Raises
    ------
    InputError
        If the file has not one value per object of the column's group.
    """
    group = catalog.groups.get(column.group) if column.group else None
    if column.made:
        numbers = ak.forms.NumpyForm("int64")
        form = ak.forms.ListOffsetForm("i64", numbers) if is_nested(column.made) else numbers
        return _keyed(form.length_zero_array(), column.name)[0]
    if column.source is None:
        return ak.forms.NumpyForm("float32" if group else "int64", form_key=f"{column.name}#0")
    jagged, form = reader.form(column.source)
    if form.is_unknown:
        msg = f"{column.source} holds no values."
        raise InputError(msg)
    if group is not None and group.jagged:
        if not jagged:
            msg = f"{column.source} has not one value per object of {group.name}."
            raise InputError(msg)
    elif jagged and not column.first:
        form = ak.forms.ListOffsetForm("i64", form)
    if column.divisor != 1.0 and form.is_numpy and np.dtype(form.primitive).kind != "f":
        form = ak.forms.NumpyForm("float64")
    return _keyed(form.length_zero_array(), column.name)[0]


def _keyed(values: Any, name: str) -> tuple[Any, dict[str, Any]]:
    """Return the form of a column's values, whose keys begin with its name, and their buffers."""
    pattern = name.replace("{", "{{").replace("}", "}}")
    form, _, buffers = ak.to_buffers(values, form_key=f"{pattern}#{{id}}")
    return form, buffers


def _leaf_buffers(
    chunk: EntryRange, column: Column, form: Any, note: Callable[[str], None] | None = None
) -> dict[str, Callable[[], Any]]:
    """Return what makes the buffers of a column when they are touched."""

    def values() -> Any:
        if note is not None:
            note(column.name)
        return chunk.values(column)

    if form.is_numpy:
        dtype = np.dtype(form.primitive)
        return {f"{form.form_key}-data": lambda: read_only(np.asarray(values(), dtype=dtype))}
    nested = functools.cache(lambda: _nested(values(), column, form))
    return {key: functools.partial(lambda key: nested()[key], key) for key in form.expected_from_buffers()}


def _nested(values: Any, column: Column, form: Any) -> dict[str, Any]:
    """Return the buffers of values that are no plain numbers."""
    layout = ak.to_packed(as_layout(values), highlevel=False)
    if layout.form.type != form.type:
        try:
            layout = ak.to_packed(ak.enforce_type(layout, form.type, highlevel=False), highlevel=False)
        except ValueError as error:
            msg = f"{column.source} has missing values (null) within its lists; fill or drop them in the file."
            raise InputError(msg) from error
    return _keyed(layout, column.name)[1]


def _offsets(chunk: EntryRange, group: Group, note: Callable[[str], None] | None) -> Any:
    if note is not None:
        note(f"{group.name}:")
    return chunk.offsets(group)
