"""Tables with one row per event, parquet or text (CSV), read with pyarrow.

A CSV file is scanned once for its line breaks; entry ranges are then read by parsing their own bytes, so a row of the
file takes eight bytes of memory. Every column holds numbers; a missing cell or one that is no number is named by row
and column. A table without `run`, `luminosityBlock` and `event` gets them: 1, 1 and the row's number from 1, so that
folds can tell events apart.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import numpy as np

from colonnade.errors import EventError, InputError
from colonnade.events.paths import is_remote, storage_options
from colonnade.events.source import Raw, Reader, overlapping, to_raw


class ParquetReader(Reader):
    """A parquet file with one row per event.

    Parameters
    ----------
    path
        Local path or URL.
    """

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(_source(path), page_checksum_verification=True)
        metadata = self._file.metadata
        self.entries = int(metadata.num_rows)
        self._schema = self._file.schema_arrow
        self.names: tuple[str, ...] = tuple(self._schema.names)
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = list(itertools.accumulate(rows, initial=0))
        self.size, self.identity = _identity(path, metadata)
        # a row group is decoded as a whole: keep the last ones for the next entry range in them
        self._last: tuple[Any, Any] = (None, None)

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a column is jagged, and the awkward form of its values."""
        import pyarrow as pa

        empty = pa.chunked_array([], self._schema.field(name).type)
        if self._has_nulls(name):
            return False, ak.to_packed(ak.from_arrow(empty), highlevel=False).form
        raw = _raw(empty, 0, 0)
        content = raw.content
        form = ak.forms.numpyform.from_dtype(content.dtype) if isinstance(content, np.ndarray) else content.form
        return raw.offsets is not None, form

    def _has_nulls(self, name: str) -> bool:
        """Tell whether a column with one value per event lacks some.

        Raises
        ------
        ValueError
            If the parts of the column are not of its type, where pyarrow would end the process at its statistics.
        """
        metadata = self._file.metadata
        for number in range(metadata.num_columns):
            if metadata.num_row_groups and metadata.row_group(0).column(number).path_in_schema == name:
                groups = [metadata.row_group(group).column(number) for group in range(metadata.num_row_groups)]
                if any(group.physical_type != metadata.schema.column(number).physical_type for group in groups):
                    msg = f"the column {name} is of another type than the file says"
                    raise ValueError(msg)
                return any(group.statistics is None or group.statistics.null_count for group in groups)
        return False

    def read(self, names: Sequence[str], start: int, stop: int, **_: Any) -> Mapping[str, Raw]:
        """Read columns of an entry range in one call."""
        first, last = overlapping(self._starts, start, stop)
        key = (tuple(names), first, last)
        last_read = self._last  # which another thread may replace
        if last_read[0] != key:
            # one column at a time afterwards, but read and decoded together
            # an error in one of pyarrow's threads may end the process: it reads on this one
            groups = list(range(first, last))
            last_read = self._last = key, self._file.read_row_groups(groups, columns=list(names), use_threads=False)
        table, before = last_read[1], self._starts[first]
        return {name: _raw(table.column(name), start - before, stop - before) for name in names}


def _raw(column: Any, start: int, stop: int) -> Raw:
    layout = ak.from_arrow(column.slice(start, stop - start), highlevel=False)
    return to_raw(ak.to_packed(_without_options(layout), highlevel=False))


def _without_options(layout: Any) -> Any:
    """Drop the option types of nullable columns that have no nulls."""

    def drop(node: Any, **_: Any) -> Any:
        if node.is_option and not np.any(node.mask_as_bool(valid_when=False)):
            return ak.transform(drop, node.to_IndexedOptionArray64().project(), highlevel=False)
        return None

    return ak.transform(drop, layout, highlevel=False)


def _source(path: str) -> Any:
    """Return what pyarrow opens: a path, or an open remote file."""
    if "://" not in path:
        return path
    return fsspec.open(path, "rb", **storage_options(path)).open()


def _identity(path: str, metadata: Any) -> tuple[int, str]:
    """Return a file's size, and of one on a server what tells it from a replacement; there is no UUID."""
    if "://" not in path:
        return Path(path).stat().st_size, ""
    footer = f"{path}{metadata.to_dict()}"
    return metadata.serialized_size, hashlib.blake2b(footer.encode(), digest_size=16).hexdigest()


#: Bytes at the beginning in which quoted cells are looked for.
_SAMPLE = 4096
_WHOLE = ("run", "luminosityBlock", "event")


def is_csv(path: str) -> bool:
    """Tell from a path's ending whether it is such a table."""
    return path.partition("?")[0].lower().endswith(".csv")


class CsvReader(Reader):
    """A CSV file with a header line.

    Parameters
    ----------
    path
        Local path.

    Raises
    ------
    InputError
        If the file is on a server, the header is missing, names a column twice, or the file has quoted cells.
    """

    def __init__(self, path: str) -> None:
        if is_remote(path):
            msg = f"{path} is a table of text on a server, which can't be read in parts; copy it or write parquet."
            raise InputError(msg)
        self.path = path
        place = Path(path)
        with place.open("rb") as file:
            header = file.readline()
            sample = file.read(_SAMPLE)
        text = header.decode("utf-8-sig", errors="replace")
        names = [name.strip() for name in text.strip().split(",")]
        twice = next((name for name in names if name and names.count(name) > 1), None)
        faults = {
            "is text in UTF-16; write it in UTF-8": header.startswith((b"\xff\xfe", b"\xfe\xff")),
            "separates its columns by semicolons or tabs; write it with commas": "," not in text
            and not {";", "\t"}.isdisjoint(text),
            "has quoted cells; write its numbers and column names without quotes": b'"' in header + sample,
            "has no line of column names at its top; add one": not text.strip() or any(map(_is_number, names)),
            f"has two columns {twice!r}; rename one": twice is not None,
        }
        for what in (what for what, found in faults.items() if found):
            msg = f"{path} {what}."
            raise InputError(msg)
        self._columns = names
        # a nameless column is a table's own row number
        self._added = tuple(name for name in _WHOLE if name not in names)
        self.names: tuple[str, ...] = (*(name for name in names if name), *self._added)
        self.size, self.identity = place.stat().st_size, ""
        self._offsets = _rows(place, len(header))
        self.entries = len(self._offsets) - 1

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a column is jagged (never), and the awkward form of its values."""
        return False, ak.forms.numpyform.from_dtype(_dtype(name))

    def read(self, names: Sequence[str], start: int, stop: int, **_: Any) -> Mapping[str, Raw]:
        """Read columns of an entry range in one call.

        Raises
        ------
        EventError
            If a cell is missing or is not a number.
        """
        own = [name for name in names if name not in self._added]
        rows = np.arange(start + 1, stop + 1)
        found = {name: Raw(None, rows if name == "event" else np.ones_like(rows)) for name in names if name not in own}
        return found | (self._parse(own, start, stop) if own else {})

    def _parse(self, names: Sequence[str], start: int, stop: int) -> dict[str, Raw]:
        import pyarrow as pa
        from pyarrow import csv

        if start == stop:
            return {name: Raw(None, np.zeros(0, dtype=_dtype(name))) for name in names}
        with Path(self.path).open("rb") as file:
            file.seek(self._offsets[start])
            content = file.read(self._offsets[stop] - self._offsets[start])
        types = {name: pa.from_numpy_dtype(_dtype(name)) for name in names}
        # an error in one of pyarrow's threads may end the process: it reads on this one
        how = csv.ReadOptions(column_names=[name or "_row" for name in self._columns], use_threads=False)
        try:
            table = csv.read_csv(
                pa.BufferReader(content),
                read_options=how,
                convert_options=csv.ConvertOptions(include_columns=names, column_types=types),
            )
        except pa.ArrowInvalid:
            self._blame(content, start, names)
            raise
        if len(table) != stop - start:
            msg = f"{self.path}, rows {start} to {stop}: {len(table)} rows can be told apart; mend its lines."
            raise InputError(msg)
        found = {}
        for name in names:
            column = table.column(name)
            values = column.to_numpy()
            if column.null_count or not np.isfinite(values).all():
                self._blame(content, start, names)
            found[name] = Raw(None, np.asarray(values, dtype=_dtype(name)))
        return found

    def _blame(self, content: bytes, first: int, names: Sequence[str]) -> None:
        """Name the first cell that is missing or no number.

        Raises
        ------
        EventError
            Always, unless all is well.
        """
        places = {name: self._columns.index(name) for name in names}
        lines = [line for line in content.decode(errors="replace").splitlines() if line]
        for row, line in enumerate(lines, start=first + 1):
            cells = line.split(",")
            if len(cells) != len(self._columns):
                msg = (
                    f"{self.path}, row {row}: {len(cells)} cells where the header names {len(self._columns)} columns; "
                    "correct the row."
                )
                raise EventError(msg)
            for name, place in places.items():
                cell = cells[place].strip()
                if not cell:
                    msg = f"{self.path}, row {row}, column {name}: the cell is missing; fill it or drop the row."
                    raise EventError(msg)
                if not _is_number(cell, whole=name in _WHOLE) or not np.isfinite(float(cell)):
                    msg = f"{self.path}, row {row}, column {name}: {cell!r} is not a number; correct it."
                    raise EventError(msg)


def _rows(place: Path, position: int) -> Sequence[int]:
    """Return where each row below the header starts, passing over blank lines, and where the last one ends."""
    offsets = array("q")
    with place.open("rb") as file:
        file.seek(position)
        for line in file:
            if line.strip(b"\r\n"):
                offsets.append(position)
            position += len(line)
    offsets.append(position)
    return offsets


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(np.int64 if name in _WHOLE else np.float64)


def _is_number(text: str, *, whole: bool = False) -> bool:
    try:
        (int if whole else float)(text)
    except ValueError:
        return False
    return True
