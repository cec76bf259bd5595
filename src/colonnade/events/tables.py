"""Tables with one row per event, parquet or text (CSV), read with pyarrow.

A CSV file is scanned once for its line breaks; entry ranges are then read by parsing their own bytes, so memory does
not grow with the file. Every column holds numbers; a missing cell or one that is no number is named by row and column.
A table without `run`, `luminosityBlock` and `event` gets them: 1, 1 and the row's number from 1, so that folds can tell
events apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import numpy as np
import numpy.typing as npt

from colonnade.errors import EventError, InputError
from colonnade.events.paths import storage_options
from colonnade.events.source import Raw, to_raw


class ParquetReader:
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
        self._starts = np.cumsum([0] + [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
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
        """Tell whether a column with one value per event lacks some."""
        metadata = self._file.metadata
        for number in range(metadata.num_columns):
            if metadata.num_row_groups and metadata.row_group(0).column(number).path_in_schema == name:
                groups = (metadata.row_group(group).column(number) for group in range(metadata.num_row_groups))
                return any(group.statistics is None or group.statistics.null_count for group in groups)
        return False

    def counter(self, name: str, supposed: str | None = None) -> str | None:  # noqa: ARG002
        """Return None: the format says nothing of columns that belong together."""
        return None

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        without_offsets: Collection[str] = (),  # noqa: ARG002 - the offsets come at no extra cost
        executor: Executor | None = None,  # noqa: ARG002
    ) -> Mapping[str, Raw]:
        """Read columns of an entry range in one call."""
        first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
        last = int(np.searchsorted(self._starts, stop, side="left"))
        key = (tuple(names), first, last)
        if self._last[0] != key:
            # one column at a time afterwards, but read and decoded together
            # an error in one of pyarrow's threads may end the process: it reads on this one
            groups = list(range(first, last))
            self._last = key, self._file.read_row_groups(groups, columns=list(names), use_threads=False)
        table, before = self._last[1], int(self._starts[first])
        return {name: _raw(table.column(name), start - before, stop - before) for name in names}

    def total(self, name: str) -> float | None:  # noqa: ARG002 - what every reader offers
        """Return None: a parquet file has no ``Runs`` tree."""
        return None


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


_STEP = 1 << 24
# every so many lines the offset is kept: a range begins at most so many lines early
_STRIDE = 4096
_WHOLE = ("run", "luminosityBlock", "event")


def is_csv(path: str) -> bool:
    """Tell from a path's ending whether it is such a table."""
    return path.partition("?")[0].lower().endswith(".csv")


class CsvReader:
    """A CSV file with a header line.

    Parameters
    ----------
    path
        Local path.

    Raises
    ------
    InputError
        If the header is missing, names a column twice, or the file has quoted cells.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        place = Path(path)
        with place.open("rb") as file:
            header = file.readline()
            sample = file.read(_STRIDE)
        if header.startswith((b"\xff\xfe", b"\xfe\xff")):
            msg = f"{path} is text in UTF-16; write it in UTF-8."
            raise InputError(msg)
        if b"," not in header and header.count(b";") + header.count(b"\t"):
            msg = f"{path} separates its columns by semicolons or tabs; write it with commas."
            raise InputError(msg)
        self._begin = len(header)
        names = [name.strip() for name in header.decode("utf-8-sig", errors="replace").strip().split(",")]
        if '"' in header.decode(errors="replace") or b'"' in sample:
            msg = f"{path} has quoted cells; write its numbers and column names without quotes."
            raise InputError(msg)
        numeric = [name for name in names if _is_number(name)]
        if not header.strip() or numeric:
            msg = f"{path} has no line of column names at its top; add one."
            raise InputError(msg)
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            msg = f"{path} has two columns {twice!r}; rename one."
            raise InputError(msg)
        self._columns = names
        # a nameless column is a table's own row number
        self._added = tuple(name for name in _WHOLE if name not in names)
        self.names: tuple[str, ...] = (*(name for name in names if name), *self._added)
        self.size, self.identity = place.stat().st_size, ""
        self.entries, self._offsets = _lines(place, self._begin)

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a column is jagged (never), and the awkward form of its values."""
        return False, ak.forms.numpyform.from_dtype(_dtype(name))

    def counter(self, name: str, supposed: str | None = None) -> str | None:  # noqa: ARG002
        """Return None: the format says nothing of columns that belong together."""
        return None

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        without_offsets: Collection[str] = (),  # noqa: ARG002 - nothing is jagged
        executor: Executor | None = None,  # noqa: ARG002 - pyarrow has its own threads
    ) -> Mapping[str, Raw]:
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

        first = start // _STRIDE
        last = min(-(-stop // _STRIDE), len(self._offsets) - 1)
        content = self._bytes(int(self._offsets[first]), int(self._offsets[last]))
        if not content or start == stop:
            return {name: Raw(None, np.zeros(0, dtype=_dtype(name))) for name in names}
        try:
            table = csv.read_csv(
                pa.BufferReader(content),
                # an error in one of its threads may end the process: it reads on this one
                read_options=csv.ReadOptions(
                    column_names=[name or "_row" for name in self._columns], use_threads=False
                ),
                convert_options=csv.ConvertOptions(
                    include_columns=list(names), column_types={name: _arrow(name) for name in names}
                ),
            )
        except pa.ArrowInvalid:
            self._blame(content, first * _STRIDE, names)
            raise
        before = start - first * _STRIDE
        part = table.slice(before, stop - start)
        if len(part) != stop - start:
            msg = f"{self.path}, rows {start} to {stop}: {len(part)} rows can be told apart; mend its lines."
            raise InputError(msg)
        found = {}
        for name in names:
            column = part.column(name)
            values = column.to_numpy()
            if column.null_count or not np.isfinite(values).all():
                self._blame(content, first * _STRIDE, names)
            found[name] = Raw(None, np.asarray(values, dtype=_dtype(name)))
        return found

    def total(self, name: str) -> float | None:  # noqa: ARG002 - what every reader offers
        """Return None: a table has no ``Runs`` tree."""
        return None

    def _bytes(self, begin: int, end: int) -> bytes:
        with Path(self.path).open("rb") as file:
            file.seek(begin)
            return file.read(end - begin)

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


def _lines(place: Path, begin: int) -> tuple[int, npt.NDArray[np.int64]]:
    """Count the rows below the header, passing over blank lines.

    Returns also the offset of every so many rows, and of the end.
    """
    offsets, count, line = [begin], 0, begin
    position = begin
    with place.open("rb") as file:
        file.seek(begin)
        while block := file.read(_STEP):
            content = np.frombuffer(block, dtype=np.uint8)
            breaks = np.flatnonzero(content == ord("\n"))
            ends = breaks + position
            starts = np.concatenate([[line], ends[:-1] + 1])[: len(ends)]
            returns = content[np.maximum(breaks - 1, 0)] == ord("\r")
            rows = ends[ends - starts - returns > 0]
            # the end of row n * stride is where the next stretch begins
            wanted = np.arange((count // _STRIDE + 1) * _STRIDE, count + len(rows) + 1, _STRIDE)
            offsets += (rows[wanted - count - 1] + 1).tolist()
            count += len(rows)
            position += len(block)
            line = int(ends[-1]) + 1 if len(ends) else line
    count += position > line
    if offsets[-1] != position:
        offsets.append(position)
    return count, np.asarray(offsets, dtype=np.int64)


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(np.int64 if name in _WHOLE else np.float64)


def _arrow(name: str) -> Any:
    import pyarrow as pa

    return pa.int64() if name in _WHOLE else pa.float64()


def _is_number(text: str, *, whole: bool = False) -> bool:
    try:
        (int if whole else float)(text)
    except ValueError:
        return False
    return True
