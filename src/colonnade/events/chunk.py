"""The source columns of one entry range, each read at most once, and the canonical columns made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import InputError
from colonnade.events.catalog import Catalog, Column, Group, Objects, make
from colonnade.events.source import Raw
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
