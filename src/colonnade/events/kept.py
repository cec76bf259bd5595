"""What is kept on disk of earlier readings: columns as they are in memory, and where the baskets of files lie.

What takes longest of reading is to unpack the file. A column that was unpacked once is written to a file of its own
for each entry range, and is mapped into memory from there afterwards.

Finding the baskets of an analysis's columns means to read the header of the tree, which for a file of some thousand
branches is the larger part of reading ten of them. What was found once is written as JSON, so that nothing which
another program left there is run.
"""

from __future__ import annotations

import dataclasses
import functools
import mmap
import os
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from colonnade.events.baskets import PlainBranch
from colonnade.events.catalog import Catalog
from colonnade.events.source import Raw, SourceFile
from colonnade.store import Store
from colonnade.versions import code_digest, digest, installed

#: what it is, type of the values, number of offsets (-1: none), number of values; then both, as they are in memory
_HEADER = struct.Struct("<8s8sqq")
_MAGIC = b"column 1"
_KINDS = "biuf"
#: bytes of places on disk, above which the least recently used go
_LIMIT = 2 * 10**9

Read = Callable[[Sequence[str], Collection[str]], Mapping[str, Raw]]


@dataclasses.dataclass
class KeptColumns:
    """Unpacked columns on disk.

    Attributes
    ----------
    folder
        Where.
    limit
        Bytes, above which the least recently used go.
    """

    folder: Path
    limit: int
    store: Store = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.folder, self.limit, ".column")

    def through(self, read: Read, place: str) -> Read:
        """Return a way of reading that takes from here what is here, and keeps what is not.

        Parameters
        ----------
        read
            Reads source columns, the second ones among them without offsets.
        place
            Tells the file's content and the entry range from any other.
        """

        def kept(names: Sequence[str], without_offsets: Collection[str]) -> Mapping[str, Raw]:
            keys = {name: digest(reading_code(), place, name, name not in without_offsets) for name in names}
            found = {name: raw for name, key in keys.items() if (raw := self._get(key)) is not None}
            missing = [name for name in names if name not in found]
            if missing:
                made = read(missing, without_offsets)
                for name, raw in made.items():
                    self._put(keys[name], raw)
                found.update(made)
            return found

        return kept

    def _get(self, key: str) -> Raw | None:
        try:
            handle = os.open(self.store.path(key), os.O_RDONLY)
        except OSError:
            return None
        try:
            # a private copy, though never written to: compiled loops take a read-only array for another type
            raw = _unpacked(mmap.mmap(handle, 0, access=mmap.ACCESS_COPY))
        except (OSError, ValueError, TypeError, struct.error):
            self.store.drop(key)
            return None
        finally:
            os.close(handle)
        self.store.use(key)
        return raw

    def _put(self, key: str, raw: Raw) -> None:
        content = raw.content
        if not isinstance(content, np.ndarray) or content.ndim != 1 or content.dtype.kind not in _KINDS:
            return  # texts and nested lists stay with the file
        offsets = None if raw.offsets is None else np.ascontiguousarray(raw.offsets, dtype=np.int64)
        header = _HEADER.pack(_MAGIC, content.dtype.str.encode(), -1 if offsets is None else len(offsets), len(content))
        parts = [] if offsets is None else [offsets.data]
        self.store.put(key, header, *parts, np.ascontiguousarray(content).data)


@functools.cache
def reading_code() -> str:
    """Return what tells this way of reading from any other: its code, and the libraries beneath it."""
    return digest(code_digest("events"), installed())


def _unpacked(memory: mmap.mmap) -> Raw:
    """Return the arrays that a file holds.

    Raises
    ------
    ValueError
        If it does not hold what it says.
    """
    magic, kind, starts, values = _HEADER.unpack_from(memory)
    dtype = np.dtype(kind.rstrip(b"\0").decode())
    after = _HEADER.size + 8 * max(starts, 0)
    if magic != _MAGIC or dtype.kind not in _KINDS or values < 0 or len(memory) != after + values * dtype.itemsize:
        msg = "not a whole column"
        raise ValueError(msg)
    offsets = None if starts < 0 else np.frombuffer(memory, np.int64, starts, _HEADER.size)
    return Raw(offsets, np.frombuffer(memory, dtype, values, after))


@dataclasses.dataclass(frozen=True)
class Places:
    """What is needed to read some columns of a tree without its header.

    Attributes
    ----------
    catalog
        Those columns and their groups.
    branches
        The branches that they are made of.
    """

    catalog: Catalog
    branches: tuple[PlainBranch, ...]


@functools.cache
def _as_json() -> TypeAdapter[Places]:
    return TypeAdapter(Places)


@dataclasses.dataclass(unsafe_hash=True)
class KnownPlaces:
    """Places of columns, on disk.

    Attributes
    ----------
    folder
        Where.
    """

    folder: Path
    store: Store = dataclasses.field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.store = Store(self.folder, _LIMIT, ".places")

    def get(self, source: SourceFile, columns: Sequence[str]) -> Places | None:
        """Return the places of a file's columns; None where they are not known, or damaged."""
        key = _places_key(source, columns)
        try:
            written, _, text = self.store.path(key).read_text(encoding="utf-8", errors="replace").partition("\n")
        except OSError:
            return None
        if digest(text) != written:
            self.store.drop(key)
            return None
        self.store.use(key)
        places = _as_json().validate_json(text)
        names = source.columns | frozenset(places.catalog.others)
        return dataclasses.replace(places, catalog=dataclasses.replace(places.catalog, more=names))

    def put(self, source: SourceFile, columns: Sequence[str], places: Places) -> None:
        """Keep the places of a file's columns."""
        # the names of all other columns are known of the file
        catalog = dataclasses.replace(places.catalog, more=frozenset())
        text = _as_json().dump_json(dataclasses.replace(places, catalog=catalog)).decode()
        self.store.put(_places_key(source, columns), f"{digest(text)}\n{text}".encode())


def _places_key(source: SourceFile, columns: Sequence[str]) -> str:
    file = (source.identity, source.size, source.tree, source.schema, source.weight)
    return digest(reading_code(), file, columns)
