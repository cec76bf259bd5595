"""Reading a parquet file with pyarrow."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import numpy as np

from colonnade.events.paths import storage_options
from colonnade.events.readers import Raw, to_raw


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
