"""Putting events together: from a chunk's columns to an array of records."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np

from colonnade.errors import InputError
from colonnade.events.behaviors import behavior
from colonnade.events.catalog import Catalog, Column, Group, Objects, is_nested
from colonnade.events.chunk import EntryRange, as_layout
from colonnade.events.source import Reader
from colonnade.kinematics.layouts import read_only

_EVENTS = {"__record__": "Events", "group": ""}


@dataclasses.dataclass(frozen=True)
class Member:
    """A record of the events with its columns."""

    group: Group
    #: what is read at once
    columns: tuple[Column, ...]
    #: coordinates that the record needs to be the vector it is; read if they are touched after all
    later: tuple[tuple[Column, Any], ...]
    fields: tuple[str, ...]
    parameters: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to read and how to put it together: the same for every chunk of a file.

    Attributes
    ----------
    sources
        The source columns to read, together.
    without_offsets
        Those among them whose offsets are known from another one.
    scalars
        Columns at the level of the event.
    members
        Records in the event.
    offset_sources
        For each collection, the column whose offsets hold for all of it.
    """

    sources: tuple[str, ...]
    without_offsets: frozenset[str]
    offset_sources: dict[Objects, str]
    scalars: tuple[Column, ...]
    members: tuple[Member, ...]


def build_plan(catalog: Catalog, reader: Reader, columns: Sequence[Column]) -> Plan:
    """Work out how columns are read."""
    scalars: list[Column] = []
    grouped: dict[str, list[Column]] = {}
    for column in columns:
        if column.group is not None:
            grouped.setdefault(column.group, []).append(column)
            continue
        scalars.append(column)
        if column.name.startswith("n") and column.name[1:] in catalog.groups:
            grouped.setdefault(column.name[1:], [])
    members = tuple(_member(catalog, reader, catalog.groups[name], held) for name, held in grouped.items())
    sources, without_offsets, offset_sources = _sources(reader, scalars, members)
    return Plan(sources, without_offsets, offset_sources, tuple(scalars), members)


def _member(catalog: Catalog, reader: Reader, group: Group, columns: list[Column]) -> Member:
    names = {column.name for column in columns}
    later = []
    if columns:
        for name in group.coordinates:
            if name not in names:
                column = catalog.columns[name]
                later.append((column, _leaf_form(reader, catalog, column)))
    vector = group.vector if columns else None
    return Member(
        group,
        tuple(columns),
        tuple(later),
        tuple(column.field for column in (*columns, *(column for column, _ in later))),
        {"__record__": vector or "Group", "group": group.name},
    )


def _sources(
    reader: Reader, scalars: Sequence[Column], members: Sequence[Member]
) -> tuple[tuple[str, ...], frozenset[str], dict[Objects, str]]:
    """Return the source columns, those that need not say where events start, and those that do for others."""
    sources = dict.fromkeys(column.source for column in scalars if column.source)
    needed: set[str | None] = set(sources)
    # groups that are selections of the same objects share their offsets
    by_objects: dict[Objects, list[Member]] = {}
    for member in members:
        if member.group.jagged:
            by_objects.setdefault(member.group.objects, []).append(member)
        else:
            sources.update(dict.fromkeys(column.source for column in member.columns if column.source))
            needed.update(column.source for column in member.columns)
    without_offsets: set[str] = set()
    offset_sources: dict[Objects, str] = {}
    for objects, alike in by_objects.items():
        own = dict.fromkeys(m.group.select[0] for m in alike if m.group.select)
        own.update(dict.fromkeys(c.source for m in alike for c in m.columns if c.source))
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


def eager_events(chunk: EntryRange, plan: Plan, attrs: dict[str, Any]) -> ak.Array:
    """Read a plan's columns together and put the events together."""
    chunk.prefetch(plan.sources, plan.without_offsets, plan.offset_sources)
    contents = [as_layout(chunk.values(column)) for column in plan.scalars]
    fields = [column.field for column in plan.scalars]
    for member in plan.members:
        contents.append(_record(chunk, member))
        fields.append(member.group.name)
    layout = ak.contents.RecordArray(contents, fields, chunk.length, parameters=_EVENTS)
    # coffea's cross references go to all events, whatever was selected
    return ak.Array(layout, behavior=behavior(), attrs={**attrs, "@layout": layout})


def _record(chunk: EntryRange, member: Member) -> Any:
    group = member.group
    length = chunk.count(group)
    contents = [as_layout(chunk.values(column)) for column in member.columns]
    contents += [
        ak.from_buffers(form, length, _leaf_buffers(chunk, column, form), highlevel=False)
        for column, form in member.later
    ]
    record = ak.contents.RecordArray(contents, list(member.fields), length, parameters=member.parameters)
    if not group.jagged:
        return record
    return ak.contents.ListOffsetArray(ak.index.Index64(chunk.offsets(group)), record)


@dataclasses.dataclass(frozen=True)
class LazyPlan:
    """The form of events whose columns are read when they are touched; the same for every chunk."""

    form: Any
    leaves: tuple[tuple[Column, Any], ...]


def build_lazy_plan(catalog: Catalog, reader: Reader) -> LazyPlan:
    """Find the form of all columns of a file."""
    leaves = []
    fields: dict[str, Any] = {}
    members: dict[str, dict[str, Any]] = {name: {} for name in catalog.groups}
    for column in catalog.columns.values():
        try:
            form = _leaf_form(reader, catalog, column)
        # a column of a type that the library does not know: it is missed only if it is asked for
        except Exception:  # noqa: S112
            continue
        leaves.append((column, form))
        if column.group is None:
            fields[column.field] = form
        else:
            members[column.group][column.field] = form
    for name, group in catalog.groups.items():
        parameters = {"__record__": group.vector or "Group", "group": name}
        form = ak.forms.RecordForm(
            list(members[name].values()), list(members[name]), parameters=parameters, form_key=f"{name}:"
        )
        if group.jagged:
            form = ak.forms.ListOffsetForm("i64", form, form_key=f"{name}:list")
        fields[name] = form
    events = ak.forms.RecordForm(list(fields.values()), list(fields), parameters=_EVENTS, form_key=":")
    return LazyPlan(events, tuple(leaves))


def virtual_events(
    chunk: EntryRange, plan: LazyPlan, attrs: dict[str, Any], touched: Callable[[str], None] | None = None
) -> ak.Array:
    """Put events together whose every column is read when it is touched.

    Parameters
    ----------
    chunk
        The entry range.
    plan
        The form of the events.
    attrs
        Rides on the events.
    touched
        Called with the name of each column that is read; and, with a colon after it, with the name of each
        group whose offsets are.
    """
    note = touched or _ignore
    buffers: dict[str, Callable[[], Any]] = {}
    for column, form in plan.leaves:
        buffers.update(_leaf_buffers(chunk, column, form, note))
    for name, group in chunk.catalog.groups.items():
        if group.jagged:
            buffers[f"{name}:list-offsets"] = functools.partial(_offsets, chunk, group, note)
    layout = ak.from_buffers(plan.form, chunk.length, buffers, highlevel=False)
    return ak.Array(layout, behavior=behavior(), attrs={**attrs, "@layout": layout})


def _ignore(_: str) -> None:
    """Take note of nothing."""


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
        return _keyed(ak.forms.ListOffsetForm("i64", numbers) if is_nested(column.made) else numbers, column.name)
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
    return _keyed(form, column.name)


def _keyed(form: Any, name: str) -> Any:
    """Give each node of a form a key."""
    numbers = iter(range(1_000_000))

    def key(node: Any) -> Any:
        if isinstance(node, dict):
            keyed = {k: key(v) for k, v in node.items() if k != "form_key"}
            if "class" in keyed:
                keyed["form_key"] = f"{name}#{next(numbers)}"
            return keyed
        if isinstance(node, list):
            return [key(item) for item in node]
        return node

    if form.is_numpy:
        return form.copy(form_key=f"{name}#0")
    return ak.forms.from_dict(key(form.to_dict()))


def _leaf_buffers(
    chunk: EntryRange, column: Column, form: Any, note: Callable[[str], None] = _ignore
) -> dict[str, Callable[[], Any]]:
    """Return what makes the buffers of a column when they are touched."""
    if form.is_numpy:
        return {f"{form.form_key}-data": functools.partial(_values, chunk, column, note)}
    keys = form.expected_from_buffers()
    return {key: functools.partial(_nested, chunk, column, form, note, key) for key in keys}


def _values(chunk: EntryRange, column: Column, note: Callable[[str], None]) -> Any:
    note(column.name)
    return read_only(np.asarray(chunk.values(column)))


def _nested(chunk: EntryRange, column: Column, form: Any, note: Callable[[str], None], key: str) -> Any:
    note(column.name)
    layout = ak.to_packed(as_layout(chunk.values(column)), highlevel=False)
    if layout.form.type != form.type:
        try:
            layout = ak.to_packed(ak.enforce_type(layout, form.type, highlevel=False), highlevel=False)
        except ValueError as error:
            msg = f"{column.source} has missing values (null) within its lists; fill or drop them in the file."
            raise InputError(msg) from error
    theirs, _, buffers = ak.to_buffers(layout)
    name, _, attribute = key.rpartition("-")
    names = dict(zip(_keys(form.to_dict()), _keys(theirs.to_dict()), strict=True))
    return buffers[f"{names[name]}-{attribute}"]


def _keys(node: Any) -> list[str]:
    """Return the keys of a form's nodes, in the order of its walk."""
    if isinstance(node, list):
        return [key for item in node for key in _keys(item)]
    if not isinstance(node, dict) or "class" not in node:
        return []
    return [node["form_key"], *(key for item in node.values() for key in _keys(item))]


def _offsets(chunk: EntryRange, group: Group, note: Callable[[str], None]) -> Any:
    note(f"{group.name}:")
    return chunk.offsets(group)
