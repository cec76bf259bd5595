"""From the source columns of an entry range to events."""

from __future__ import annotations

__all__ = ["Plan", "build_plan", "eager_events", "virtual_events"]

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import InputError, MissingColumnError, nearest
from colonnade.events.behaviors import BEHAVIOR
from colonnade.events.catalog import Catalog, Column, Group
from colonnade.events.files import Handle
from colonnade.events.readers import Raw


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to read and how to put it together; the same for every chunk of every file of one structure.

    Attributes
    ----------
    sources
        The source columns to read, together.
    scalars
        Columns at the level of the event.
    groups
        The records with their columns that are read, and their columns that are left to be read on touch.
    """

    sources: tuple[str, ...]
    scalars: tuple[Column, ...]
    groups: tuple[tuple[Group, tuple[Column, ...], tuple[Column, ...]], ...]


def build_plan(handle: Handle, columns: Sequence[str]) -> Plan:
    """Work out how the asked columns are read.

    Raises
    ------
    MissingColumnError
        If the file does not have one of them.
    """
    catalog = handle.catalog
    chosen = [find_column(handle, name) for name in dict.fromkeys(columns)]
    grouped: dict[str, list[Column]] = {}
    scalars = []
    for column in chosen:
        if column.group is None:
            scalars.append(column)
            counted = column.name[1:]
            if column.name.startswith("n") and counted in catalog.groups:
                grouped.setdefault(counted, [])
        else:
            grouped.setdefault(column.group, []).append(column)
    groups = []
    for name, held in grouped.items():
        group = catalog.groups[name]
        names = {column.name for column in held}
        left = tuple(catalog.columns[c] for c in group.coordinates if c not in names)
        groups.append((group, tuple(held), left))
    sources = _sources(scalars, groups)
    return Plan(sources, tuple(scalars), tuple(groups))


def _sources(
    scalars: Sequence[Column], groups: Sequence[tuple[Group, tuple[Column, ...], tuple[Column, ...]]]
) -> tuple[str, ...]:
    sources = [column.source for column in scalars]
    for group, held, _ in groups:
        if group.jagged and group.count:
            sources.append(group.count)
        elif group.jagged and not any(column.source for column in held):
            sources.append(group.like)
        if group.select:
            sources.append(group.select[0])
        sources.extend(column.source for column in held)
    return tuple(dict.fromkeys(source for source in sources if source))


def find_column(handle: Handle, name: str, dataset: str = "") -> Column:
    """Return a column of the catalog.

    Raises
    ------
    MissingColumnError
        If there is none of this name; near matches are named.
    """
    column = handle.catalog.columns.get(name)
    if column is None:
        known = handle.catalog.names | handle.catalog.fields
        where = f"dataset {dataset}, " if dataset else ""
        msg = (
            f"{where}{handle.path}, tree {handle.tree}: there is no column {name}{nearest(name, known)}; "
            "correct the analysis, or leave this file out."
        )
        raise MissingColumnError(msg)
    return column


class Chunk:
    """The source columns of one entry range, each read at most once."""

    def __init__(
        self, handle: Handle, start: int, stop: int, read: Callable[[Sequence[str]], Mapping[str, Raw]]
    ):
        self.handle = handle
        self.length = stop - start
        self._read = read
        self._raw: dict[str, Raw] = {}
        self._offsets: dict[str, npt.NDArray[np.int64]] = {}

    def prefetch(self, names: Sequence[str]) -> None:
        self._raw.update(self._read(names))

    def raw(self, name: str) -> Raw:
        if name not in self._raw:
            self.prefetch([name])
        return self._raw[name]

    def offsets(self, group: Group) -> npt.NDArray[np.int64]:
        """Return where each event's objects start and stop."""
        if group.name not in self._offsets:
            self._offsets[group.name] = self._find_offsets(group)
        return self._offsets[group.name]

    def _find_offsets(self, group: Group) -> npt.NDArray[np.int64]:
        for name, raw in self._raw.items():
            if raw.offsets is not None and self._belongs(name, group):
                return raw.offsets
        if group.count:
            counts = self.raw(group.count).content
            offsets = np.zeros(self.length + 1, np.int64)
            np.cumsum(counts, out=offsets[1:])
            return offsets
        offsets_like = self.raw(str(group.like)).offsets
        if offsets_like is None:
            msg = f"{self.handle.path}: {group.like} does not have one value per object of {group.name}."
            raise InputError(msg)
        return offsets_like

    def _belongs(self, name: str, group: Group) -> bool:
        return any(
            column.source == name and column.group == group.name
            for column in self.handle.catalog.columns.values()
        )

    def values(self, column: Column) -> Any:
        """Return a column's values, in GeV, as an awkward layout or NumPy array."""
        group = self.handle.catalog.groups[column.group] if column.group else None
        if column.source is None:
            if group is None:  # a counter
                counted = self.handle.catalog.groups[column.name[1:]]
                return np.diff(self.offsets(counted))
            length = self.offsets(group)[-1] if group.jagged else self.length
            return np.full(length, column.constant, np.float32)
        raw = self.raw(column.source)
        content = raw.content
        if column.divisor != 1.0:
            content = np.divide(content, content.dtype.type(column.divisor))
        if group is not None and group.jagged:
            return content
        if raw.offsets is not None:
            return ak.contents.ListOffsetArray(ak.index.Index64(raw.offsets), _layout(content))
        return content


def _layout(content: Any) -> Any:
    return ak.contents.NumpyArray(content) if isinstance(content, np.ndarray) else content


def eager_events(chunk: Chunk, plan: Plan, attrs: dict[str, Any]) -> ak.Array:
    """Read a plan's columns together and put the events together."""
    chunk.prefetch(plan.sources)
    contents: list[Any] = []
    fields: list[str] = []
    for column in plan.scalars:
        contents.append(_layout(chunk.values(column)))
        fields.append(column.field)
    for group, held, left in plan.groups:
        records = [_layout(chunk.values(column)) for column in held]
        records += [_virtual(chunk, group, column) for column in left]
        contents.append(_record(chunk, group, [c.field for c in (*held, *left)], records))
        fields.append(group.name)
    layout = ak.contents.RecordArray(
        contents, fields, chunk.length, parameters={"__record__": "Events", "group": ""}
    )
    return ak.Array(layout, behavior=BEHAVIOR, attrs=attrs)


def _record(chunk: Chunk, group: Group, fields: list[str], contents: list[Any]) -> Any:
    parameters = {"__record__": group.vector or "Group", "group": group.name}
    if not group.jagged:
        return ak.contents.RecordArray(contents, fields, chunk.length, parameters=parameters)
    offsets = chunk.offsets(group)
    record = ak.contents.RecordArray(contents, fields, int(offsets[-1]), parameters=parameters)
    return ak.contents.ListOffsetArray(ak.index.Index64(offsets), record)


def _virtual(chunk: Chunk, group: Group, column: Column) -> Any:
    """Return a leaf that is read when it is touched."""
    _, form = (
        chunk.handle.reader.form(column.source) if column.source else (True, ak.forms.NumpyForm("float32"))
    )
    length = int(chunk.offsets(group)[-1]) if group.jagged else chunk.length
    return ak.from_buffers(
        form.copy(form_key="leaf"),
        length,
        {"leaf-data": functools.partial(chunk.values, column)},
        highlevel=False,
    )


def virtual_events(
    chunk: Chunk, catalog: Catalog, attrs: dict[str, Any], touched: Callable[[str], None] | None = None
) -> ak.Array:
    """Put events together whose every column is read when it is touched."""
    note = touched or (lambda _: None)
    buffers: dict[str, Callable[[], Any]] = {}
    forms: dict[str, Any] = {}
    members: dict[str, dict[str, Any]] = {name: {} for name in catalog.groups}
    for column in catalog.columns.values():
        form = _leaf_form(chunk, column)
        if form is None:
            continue
        if column.group is None:
            forms[column.field] = form
        else:
            members[column.group][column.field] = form
        _add_buffers(buffers, chunk, column, note)
    for name, group in catalog.groups.items():
        parameters = {"__record__": group.vector or "Group", "group": name}
        record = ak.forms.RecordForm(
            list(members[name].values()), list(members[name]), parameters=parameters, form_key=f"{name}."
        )
        if group.jagged:
            buffers[f"{name}.list-offsets"] = functools.partial(_noted_offsets, chunk, group, note)
            record = ak.forms.ListOffsetForm("i64", record, form_key=f"{name}.list")
        forms[name] = record
    form = ak.forms.RecordForm(
        list(forms.values()),
        list(forms),
        parameters={"__record__": "Events", "group": ""},
        form_key="events.",
    )
    return ak.from_buffers(
        form, chunk.length, buffers, buffer_key="{form_key}-{attribute}", behavior=BEHAVIOR, attrs=attrs
    )


def _leaf_form(chunk: Chunk, column: Column) -> Any:
    """Return a column's form; None where it does not fit the group it is named for."""
    group = chunk.handle.catalog.groups.get(column.group) if column.group else None
    if column.source is None:
        return ak.forms.NumpyForm("int64" if group is None else "float32", form_key=column.name)
    jagged, form = chunk.handle.reader.form(column.source)
    if not isinstance(form, ak.forms.NumpyForm):
        return None
    form = form.copy(form_key=column.name)
    if group is not None and group.jagged:
        return form if jagged else None
    return ak.forms.ListOffsetForm("i64", form, form_key=f"{column.name}.list") if jagged else form


def _add_buffers(buffers: dict[str, Any], chunk: Chunk, column: Column, note: Callable[[str], None]) -> None:
    group = chunk.handle.catalog.groups.get(column.group) if column.group else None
    if column.source and (group is None or not group.jagged) and chunk.handle.reader.form(column.source)[0]:
        buffers[f"{column.name}.list-offsets"] = functools.partial(_noted_raw, chunk, column, note, "offsets")
        buffers[f"{column.name}-data"] = functools.partial(_noted_raw, chunk, column, note, "content")
    else:
        buffers[f"{column.name}-data"] = functools.partial(_noted_values, chunk, column, note)


def _noted_raw(chunk: Chunk, column: Column, note: Callable[[str], None], part: str) -> Any:
    note(column.name)
    return getattr(chunk.raw(str(column.source)), part)


def _noted_values(chunk: Chunk, column: Column, note: Callable[[str], None]) -> Any:
    note(column.name)
    return chunk.values(column)


def _noted_offsets(chunk: Chunk, group: Group, note: Callable[[str], None]) -> Any:
    note(f"n{group.name}")
    return chunk.offsets(group)
