"""Reading a ROOT file: plain branches of a TTree from their baskets, all other branches and RNTuples by uproot."""

from __future__ import annotations

import collections
import os
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar, cast

import awkward as ak
import numpy as np
import uproot

from colonnade.errors import InputError
from colonnade.events.baskets import Fetch, Kept, PlainBranch, keep_freed_memory, read_branches
from colonnade.events.header import TreeHeader, UnknownLayoutError, unpack_key
from colonnade.events.paths import fetch_remote, is_remote, local_path, storage_options
from colonnade.events.source import Raw, Reader, overlapping, split_form, to_raw
from colonnade.events.uproot_inside import check_pages, tell_childless

_TREES = ("TTree", "TNtuple", "ROOT::RNTuple")
#: One request gets the file's header and, nearly always, the record of its outermost directory behind it.
_FIRST = 2048
#: Where the first object of any ROOT file is.
_BEGIN = 100
#: How the key of a form ends whose values are the lengths of lists.
_COUNTS = "-cardinality"
T = TypeVar("T")


def kept(compute: Callable[[Any], T]) -> T:
    """Make a method a property that is computed when it is first asked for, and kept by its object.

    While `functools.cached_property` of Python 3.11 computes, it locks the property of all objects: one server that
    stalls would hold up the files of all others.
    """
    return cast("T", _Kept(compute))


class _Kept:
    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        # found there from now on, before this descriptor is
        found = owner.__dict__[self._compute.__name__] = self._compute(owner)
        return found


class _Ranges(threading.local):
    """What uproot asks of a file-like object, by requests of ranges; each thread has a position of its own."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._position = 0

    def seek(self, position: int) -> None:
        """Go to where the next bytes are read."""
        self._position = position

    def read(self, size: int) -> bytes:
        """Return some bytes."""
        return bytes(self._fetch([(self._position, self._position + size)])[0])


class RootFile:
    """A ROOT file: its bytes, its list of objects, and the same file as uproot opens it, once that is needed.

    Parameters
    ----------
    path
        Local path or URL.
    """

    def __init__(self, path: str) -> None:
        self.path = path = local_path(path)
        self._records: dict[str, Any] = {}
        self._readers: dict[str, Reader] = {}
        self._descriptor: int | None = None
        if not is_remote(path):
            # read at positions, so that neither threads nor forked children share one
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)

    def fetch(self, ranges: list[tuple[int, int]]) -> list[Any]:
        """Get the bytes of several ranges: a system call each here, in one request from a server."""
        if self._descriptor is not None:
            return [os.pread(self._descriptor, end - begin, begin) for begin, end in ranges]
        return fetch_remote(self.path, ranges)

    @kept
    def _header(self) -> Any:
        """Give the file's header as uproot reads it, in one request with the record of its outermost directory."""
        return uproot.ReadOnlyFile(_Ranges(self.fetch), array_cache=None, use_threads=False, begin_chunk_size=_FIRST)

    @kept
    def directory(self) -> Any:
        """Give the file's list of objects, as uproot reads it."""
        return self._header.root_directory

    @kept
    def uproot(self) -> Any:
        """Give the file, as uproot opens it."""
        return uproot.open(self.path, array_cache=None, **storage_options(self.path))

    @kept
    def kinds(self) -> dict[str, str]:
        """Give the class of each tree, by its name (``folder/name`` in a folder)."""
        return {name: kind for name, kind in self.directory.iterclassnames(cycle=False) if kind.startswith(_TREES)}

    @property
    def identity(self) -> str:
        """Tells this content from any other: the file's UUID and size."""
        return f"{self._header.uuid}:{self.size}"

    @property
    def size(self) -> int:
        """In bytes, as the file's header says it.

        Raises
        ------
        InputError
            If that is not the header of a ROOT file, whose first object is at a fixed place.
        """
        if self._header.fBEGIN != _BEGIN:
            msg = f"{self.path} is no ROOT file, though it starts with 'root'."
            raise InputError(msg)
        return int(self._header.fEND)

    def header(self, name: str) -> TreeHeader | None:
        """Read the header of a tree; None if that is left to uproot."""
        key = self.directory.key(name)
        if not key.fClassName.startswith("TTree"):
            return None
        record = self._records.pop(name, None)
        if record is None:
            # the Runs tree comes with the first one, so that it costs a server no request of its own
            keys = {name: key} | ({"Runs": self.directory.key("Runs")} if "Runs" in self.kinds else {})
            places = [(one.fSeekKey, one.fSeekKey + one.fNbytes) for one in keys.values()]
            if any(not 0 < begin < end <= self.size for begin, end in places):
                return None
            found = dict(zip(keys, self.fetch(places), strict=True))
            record = found.pop(name)
            self._records.update(found)
        try:
            return TreeHeader(unpack_key(key, record), key.fKeylen)
        except UnknownLayoutError:
            return None

    def reader(self, name: str) -> Reader:
        """Open a tree, or an RNTuple, or return it where it is open already."""
        if name not in self._readers:
            rntuple = self.kinds[name.partition(";")[0]].startswith("ROOT::RNTuple")
            self._readers[name] = RNTupleReader(self, name) if rntuple else TTreeReader(self, name)
        return self._readers[name]

    @kept
    def runs(self) -> Reader | None:
        """Give the ``Runs`` tree, if there is one."""
        return self.reader("Runs") if "Runs" in self.kinds else None

    def total(self, name: str) -> float | None:
        """Sum a branch of the ``Runs`` tree; None where there is none."""
        if self.runs is None or name not in self.runs.names:
            return None
        raw = self.runs.read([name], 0, self.runs.entries)[name]
        return float(np.sum(np.asarray(raw.content), dtype=np.float64))


class TTreeReader(Reader):
    """A TTree of a ROOT file.

    Parameters
    ----------
    file
        The file.
    name
        The tree's name in it.
    known
        The branches that are wanted, where they are known already: then the tree is not looked at.
    """

    def __init__(self, file: RootFile, name: str, known: Sequence[PlainBranch] = ()) -> None:
        keep_freed_memory()
        self.file = file
        self._name = name
        self._plain: dict[str, PlainBranch | None] = {branch.name: branch for branch in known}
        self._kept: Kept = {}
        self._header = None if known else file.header(name)
        if known:
            self.entries = known[0].starts[-1]
            self.names: tuple[str, ...] = tuple(self._plain)
        elif self._header is None:
            self.entries = int(self._tree.num_entries)
            self.names = tuple(self._branches)
        else:
            self.entries = self._header.entries
            self.names = self._header.names
        self._present = frozenset(self.names)
        self.size, self.identity = file.size, file.identity

    @kept
    def _tree(self) -> Any:
        return self.file.uproot[self._name]

    @kept
    def _branches(self) -> dict[str, Any]:
        """Give the branches that hold data; those of one name by their paths.

        A branch inside another (of a split object) goes by its own name; the outer one holds no data.
        """
        inner = [
            (path, branch)
            for path, branch in self._tree.iteritems(recursive=True, full_paths=True)
            if not branch.branches
        ]
        count = collections.Counter(branch.name for _, branch in inner)
        found: dict[str, Any] = {}
        for path, branch in inner:
            name, number = branch.name if count[branch.name] == 1 else path, 1
            while name in found:
                number += 1
                name = f"{path};{number}"
            found[name] = branch
        return found

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a branch is jagged, and the awkward form of its values."""
        plain = self._find(name)
        if plain is not None:
            return plain.jagged, ak.forms.numpyform.from_dtype(plain.native)
        branch = self._branches[name]
        return split_form(branch.interpretation.awkward_form(branch.file))

    def counter(self, name: str, supposed: str | None = None) -> str | None:
        """Return the branch that counts another one's values, if the tree's header names one."""
        if self._header is not None and supposed and self._header.mentions(name, supposed):
            return supposed
        plain = self._find(name)
        return None if plain is None else plain.counter

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        without_offsets: Collection[str] = (),
        executor: Executor | None = None,
    ) -> Mapping[str, Raw]:
        """Read branches of an entry range in one call; `without_offsets` ones without offsets."""
        raws: dict[str, Raw] = {}
        found = {name: branch for name in names if (branch := self._find(name)) is not None}
        for name, branch in found.items():
            self._require(name, branch.starts[-1])
        plain = [(branch, name not in without_offsets) for name, branch in found.items()]
        results = read_branches(plain, start, stop, self.file.fetch, self._kept, executor, self._present)
        for name, result in zip(found, results, strict=True):
            if result is not None:
                raws[name] = Raw(*result)
        others = [name for name in names if name not in raws]
        if others:
            raws.update(self._read_others(others, start, stop, executor))
        return raws

    def places(self, names: Collection[str]) -> tuple[PlainBranch, ...]:
        """Return where the baskets of branches are; of none if some of them are left to uproot."""
        found = tuple(branch for name in names if (branch := self._find(name)) is not None)
        whole = len(found) == len(names) and all(branch.starts[-1] == self.entries for branch in found)
        return found if whole else ()

    def _find(self, name: str) -> PlainBranch | None:
        if name not in self._plain:
            self._plain[name] = None if self._header is None else self._header.branch(name)
        return self._plain[name]

    def _require(self, name: str, entries: int) -> None:
        if entries != self.entries:
            msg = (
                f"{self.file.path}, tree {self._name}: branch {name} has {entries} entries where the tree has "
                f"{self.entries}; it can't be read beside the others."
            )
            raise InputError(msg)

    def _read_others(self, names: Sequence[str], start: int, stop: int, executor: Executor | None) -> dict[str, Raw]:
        raws = {}
        for name in names:
            branch = self._branches[name]
            self._require(name, int(branch.num_entries))
            values = branch.array(
                entry_start=start, entry_stop=stop, decompression_executor=executor, library="ak", array_cache=None
            )
            raws[name] = to_raw(values.layout)
        return raws


class RNTupleReader(Reader):
    """An RNTuple of an open ROOT file.

    Parameters
    ----------
    file
        The file.
    name
        The RNTuple's name in it.

    Notes
    -----
    Clusters are unpacked as a whole: what was read of the last ones is kept for the next entry range in them.
    """

    def __init__(self, file: RootFile, name: str) -> None:
        ntuple = file.uproot[name]
        tell_childless(ntuple)
        check_pages(ntuple)
        self.file = file
        self._ntuple = ntuple
        # NanoAOD's fields are projections of anonymous collections, which are no columns themselves; PHYSLITE's names
        # have a colon where its TTrees have a full stop
        self._fields = {
            field.name.replace(":", "."): field for field in ntuple.fields if not field.name.startswith("_")
        }
        starts = [cluster.num_first_entry for cluster in ntuple.cluster_summaries]
        self._starts = [*starts, ntuple.num_entries]
        self._last: tuple[Any, Any] = (None, None)
        self.entries = int(ntuple.num_entries)
        self.names: tuple[str, ...] = tuple(self._fields)
        self.size, self.identity = file.size, file.identity

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a field is jagged, and the awkward form of its values."""
        return split_form(self._form(name))

    def _form(self, name: str) -> Any:
        return self._ntuple.field_form(self._fields[name].field_id, [name])

    def counter(self, name: str, supposed: str | None = None) -> str | None:  # noqa: ARG002 - no name tells it
        """Return the RNTuple column with the offsets of a field's lists, or whose differences are its values."""
        form = self._form(name)
        key: str = form.form_key
        counts = isinstance(form, ak.forms.ListOffsetForm) or key.endswith(_COUNTS)
        return key.removesuffix(_COUNTS) if counts else None

    def read(self, names: Sequence[str], start: int, stop: int, **_: Any) -> Mapping[str, Raw]:
        """Read fields of an entry range in one call."""
        first, last = overlapping(self._starts, start, stop)
        key = (tuple(names), first, last)
        last_read = self._last  # which another thread may replace
        if last_read[0] != key:
            wanted = {self._fields[name].field_id for name in names}
            arrays = self._ntuple.arrays(
                filter_field=lambda field: field.field_id in wanted,
                entry_start=self._starts[first],
                entry_stop=self._starts[last],
            )
            last_read = self._last = key, arrays.layout
        before = self._starts[first]
        layout = last_read[1][start - before : stop - before]
        return {name: to_raw(layout.content(self._fields[name].name)) for name in names}
