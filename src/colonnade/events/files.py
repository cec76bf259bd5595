"""Opening input files, once per process."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import InputError, nearest
from colonnade.events.catalog import Catalog, build_catalog, prefixed
from colonnade.events.kept import KnownPlaces, Places
from colonnade.events.paths import forget_connection, is_remote, local_path
from colonnade.events.root import RootFile, TTreeReader
from colonnade.events.schemas import SCHEMAS, detect_schema, find_schema
from colonnade.events.source import Reader, SourceFile
from colonnade.events.tables import CsvReader, ParquetReader, is_csv
from colonnade.faults import translated
from colonnade.inputs import require_file

#: How many files, and trees of files, a process holds open.
_OPEN_FILES = 16
#: Events that show which columns belong together, where the file does not say it.
_SAMPLE = 1000
_Stamp = tuple[int, ...] | None


@dataclasses.dataclass
class Handle:
    """An open tree with the schema it is read by, and the plans made for it."""

    path: str
    tree: str
    reader: Reader
    catalog: Catalog
    stamp: _Stamp
    #: what a user should know of the file, beside its columns
    notes: tuple[str, ...] = ()
    plans: dict[Any, Any] = dataclasses.field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Tells this content from any other: UUID, size, and of a local file when it was written.

        A file without a UUID, as tables and reproducible ROOT files are, has one made of its place: size and time alone
        are those of other files, too. A file that was damaged and mended keeps its UUID, not its time.
        """
        known = self.reader.identity.partition(":")[0]
        if not known.strip("0-"):
            place = self.path if is_remote(self.path) else os.path.realpath(self.path)
            known = str(uuid.uuid5(uuid.NAMESPACE_URL, place))
        return f"{known}:{self.reader.size}{'' if self.stamp is None else f':{self.stamp[-1]}'}"


def forget_handle(path: str) -> None:
    """Have the next use of a file open it anew, over a new connection; and that of all others."""
    for cached in (_opened, _known, _root_file):
        cached.cache_clear()
    forget_connection(path)


def open_handle(path: str, tree: str | None = None, schema: str | None = None, weight: str | None = None) -> Handle:
    """Open a tree, or return it where this process has it open already.

    Raises
    ------
    InputError
        If the file is missing, unreadable, damaged or has no such tree.
    TransientInputError
        If the file's server does not answer.
    ConfigError
        If there is no such schema.
    """
    return _opened(os.getpid(), path, _stamp(path), tree, schema, weight)


def open_known(source: SourceFile, columns: Sequence[str], known: KnownPlaces) -> Handle:
    """Open a file for some of its columns, without looking at its tree where their places are known.

    Raises
    ------
    InputError, TransientInputError
        As from `open_handle`.
    """
    return _known(os.getpid(), source, _stamp(source.path), tuple(columns), known)


# The files that this process holds open. Of one that was replaced the inode, size or modification time is another.
# Nothing is shared with a forked child, whose descriptors would share their position with the parent's. Files are
# dropped, not closed: another thread may still be reading; the last reference closes them.


@functools.lru_cache(maxsize=_OPEN_FILES)
def _known(process: int, source: SourceFile, stamp: _Stamp, columns: tuple[str, ...], known: KnownPlaces) -> Handle:
    places = known.get(source, columns) if source.tree else None
    if places is not None:
        with translated(f"{source.path} can't be opened as a ROOT file", remote=is_remote(source.path)):
            reader = TTreeReader(_root_file(process, source.path, stamp), source.tree, places.branches)
        return Handle(source.path, source.tree, reader, places.catalog, stamp)
    handle = _opened(process, source.path, stamp, source.tree or None, source.schema, source.weight)
    if isinstance(handle.reader, TTreeReader) and all(name in handle.catalog.columns for name in columns):
        catalog = handle.catalog.part(columns)
        branches = handle.reader.places(catalog.sources)
        if branches:
            known.put(source, columns, Places(catalog, branches))
    return handle


@functools.lru_cache(maxsize=_OPEN_FILES)
def _root_file(process: int, path: str, stamp: _Stamp) -> RootFile:
    del process, stamp  # which tell it from others
    return RootFile(path)


def _stamp(path: str) -> _Stamp:
    """Tell a local file from its replacement, at the price of one system call."""
    if is_remote(path):
        return None
    try:
        status = os.stat(local_path(path))  # noqa: PTH116 - called for each chunk, of a string
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(process: int, path: str, stamp: _Stamp, tree: str | None, schema: str | None, weight: str | None) -> Handle:
    if is_remote(path):
        parquet = path.partition("?")[0].endswith((".parquet", ".parq"))
    else:
        path = local_path(path)
        parquet = _check_local(path).startswith(b"PAR1")
    name: str = ""
    notes: tuple[str, ...] = ()
    reader: Reader
    if is_csv(path):
        with translated(f"{path} can't be opened as a table"):
            reader = CsvReader(path)
    elif parquet:
        with translated(f"{path} can't be opened as a parquet file", remote=is_remote(path)):
            reader = ParquetReader(path)
    else:
        reader, name, notes = _open_root(process, path, stamp, tree, schema)
    rules = find_schema(schema) if schema else detect_schema(reader.names)
    with translated(f"{path} can't be read", remote=is_remote(path)):
        lists = frozenset(_lists(reader)) if rules.grouped else frozenset()
    if weight is not None and weight not in reader.names:
        msg = f"{path} has no column {weight}{nearest(weight, reader.names)}, which is said to be its weight."
        raise InputError(msg)
    return Handle(path, name, reader, build_catalog(rules, reader.names, lists, weight), stamp, notes)


def _lists(reader: Reader) -> Iterator[str]:
    """Give the columns that have one value for each object of the collection that their name begins with.

    That is so if the file says it of them, or if the first events show it.
    """
    names = frozenset(reader.names)
    for prefix, members in prefixed(reader.names).items():
        count = f"n{prefix}" if f"n{prefix}" in names else None
        # without a counter, columns are a collection if all of them are lists of one length
        if count is None and not all(_is_list(reader, member) for member in members):
            continue
        like = count or members[0]
        said = {count, reader.counter(like)} - {None}
        found = {member for member in members if reader.counter(member, count) in said}
        unsure = [member for member in members if member not in found and _is_list(reader, member)]
        if unsure and not (count and _is_list(reader, count)):
            lengths = _lengths(reader, [like, *unsure])
            same = (name for name, length in lengths.items() if np.array_equal(length, lengths.get(like, [])))
            found.update(name for name in same if name in unsure)
        if count is not None or len(found) == len(members):
            yield from (member for member in members if member in found)


def _is_list(reader: Reader, name: str) -> bool:
    """Tell whether a column is a list; one of a type that the library does not know is none."""
    try:
        return reader.form(name)[0]
    # it is missed only if it is asked for, and that will say why
    except Exception:
        return False


def _lengths(reader: Reader, names: Sequence[str]) -> dict[str, Any]:
    """Return how many values the first events have, of the columns that can be read, or the values of a counter."""
    stop = min(reader.entries, _SAMPLE)
    try:
        raws = dict(reader.read(names, 0, stop))
    # one of them can't be read: it is left out
    except Exception:
        raws = {}
        for name in names:
            with contextlib.suppress(Exception):
                raws.update(reader.read([name], 0, stop))
    lengths = {name: raw.content if raw.offsets is None else np.diff(raw.offsets) for name, raw in raws.items()}
    return {name: length for name, values in lengths.items() if (length := np.asarray(values)).dtype.kind in "iu"}


def _check_local(path: str) -> bytes:
    """Say plainly what is wrong with a path before a library does it in its own words; return how the file starts."""
    place = Path(path)
    if place.is_dir():
        msg = f"{path} is a directory, not a file; name its files, for example {path}/*.root."
        raise InputError(msg)
    with contextlib.suppress(ValueError, OSError):
        if not place.exists():
            siblings = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
            msg = f"{path} does not exist{nearest(place.name, siblings)}."
            raise InputError(msg)
    if not require_file(place):
        msg = f"{path} is empty (0 bytes); copy or make it again."
        raise InputError(msg)
    with translated(f"{path} can't be opened"), place.open("rb") as file:
        start = file.read(8)
    if not start.startswith((b"root", b"PAR1")) and not is_csv(path):
        msg = f"{path} is neither a ROOT nor a parquet file, nor is it called .csv: it starts with {start!r}."
        raise InputError(msg)
    return start


def _open_root(
    process: int, path: str, stamp: _Stamp, tree: str | None, schema: str | None
) -> tuple[Reader, str, tuple[str, ...]]:
    with translated(f"{path} can't be opened as a ROOT file", remote=is_remote(path)):
        file = _root_file(process, path, stamp)
        if stamp is not None and stamp[1] < file.size:
            msg = f"{path} is cut short: it has {stamp[1]} of {file.size} bytes; copy or make it again."
            raise InputError(msg)
        name = _choose(path, tree, schema, list(file.kinds))
        several = [key.rpartition(";")[0] for key in file.directory.iterkeys()].count(name) > 1
        notes = (f"{path} holds several trees named {name} (cycles); the newest is read.",) if several else ()
        return file.reader(name), name, notes


def _choose(path: str, tree: str | None, schema: str | None, trees: list[str]) -> str:
    """Choose the tree: the one asked for, else the one a schema expects, else the only one."""
    if not trees:
        msg = f"{path} holds no tree; it can't be read as events."
        raise InputError(msg)
    if tree:
        if tree.partition(";")[0] in trees:
            return tree
        msg = f"{path} has no tree {tree!r}{nearest(tree, trees)}; it has {', '.join(trees[:8])}."
        raise InputError(msg)
    expected = find_schema(schema).trees if schema else [name for s in SCHEMAS.values() for name in s.trees]
    for name in expected:
        if name in trees:
            return name
    if len(trees) == 1:
        return trees[0]
    msg = f"{path} holds several trees ({', '.join(trees[:8])}); say which one to read."
    raise InputError(msg)
