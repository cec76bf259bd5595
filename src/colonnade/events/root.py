"""Reading a ROOT file: plain branches of a TTree from their baskets, all other branches and RNTuples by uproot."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar, cast

import awkward as ak
import numpy as np
import uproot

from colonnade.errors import InputError
from colonnade.events.baskets import PlainBranch, keep_freed_memory, plain_branch, read_branches
from colonnade.events.header import Directory, TreeHeader, UnknownLayoutError, read_directory, read_identity, unpack_key
from colonnade.events.paths import fetch_remote, is_remote, local_path, storage_options
from colonnade.events.source import Raw, Reader, split_form, to_raw
from colonnade.events.uproot_inside import check_pages, tell_childless

_TREES = ("TTree", "TNtuple", "ROOT::RNTuple")
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
    def directory(self) -> Directory | None:
        """Give the file's objects; None if only uproot can list them."""
        try:
            return read_directory(self.fetch)
        except UnknownLayoutError:
            return None

    @kept
    def uproot(self) -> Any:
        """Give the file, as uproot opens it."""
        return uproot.open(self.path, array_cache=None, **storage_options(self.path))

    @kept
    def kinds(self) -> dict[str, str]:
        """Give the class of each tree."""
        if self.directory is None:
            found = dict(self.uproot.classnames(cycle=False))
        else:
            found = {name: key.kind for name, key in self.directory.keys.items()}
        return {name: kind for name, kind in found.items() if kind.startswith(_TREES)}

    @kept
    def _identity(self) -> tuple[str, int]:
        try:
            # of the header alone, where the list of objects is not needed
            known = self.directory if "directory" in self.__dict__ else None
            return read_identity(self.fetch) if known is None else (known.identity, known.size)
        except UnknownLayoutError:
            size = int(self.uproot.file.fEND)
            return f"{self.uproot.file.uuid}:{size}", size

    @property
    def identity(self) -> str:
        """Tells this content from any other: the file's UUID and size."""
        return self._identity[0]

    @property
    def size(self) -> int:
        """In bytes, as the file's header says it."""
        return self._identity[1]

    def header(self, name: str) -> TreeHeader | None:
        """Read the header of a tree; None if that is left to uproot."""
        key = self.directory.keys.get(name) if self.directory is not None else None
        if key is None or not key.kind.startswith("TTree"):
            return None
        if name not in self._records:
            assert self.directory is not None  # noqa: S101 - it gave the key
            # the Runs tree comes with the first one, so that it costs a server no request of its own
            keys = [key, *(other for place, other in self.directory.keys.items() if place == "Runs" != name)]
            records = self.fetch([(one.seek, one.seek + one.nbytes) for one in keys])
            self._records.update(zip((one.name for one in keys), records, strict=True))
        try:
            return TreeHeader(unpack_key(key, self._records.pop(name)), key.keylen)
        except UnknownLayoutError:
            return None

    @kept
    def runs(self) -> TTreeReader | None:
        """Give the ``Runs`` tree, if there is one."""
        return TTreeReader(self, "Runs") if self.kinds.get("Runs", "").startswith("TTree") else None

    def total(self, name: str) -> float | None:
        """Sum a branch of the ``Runs`` tree; None where there is none."""
        if "Runs" not in self.kinds:
            return None
        if self.runs is None:
            runs = self.uproot["Runs"]
            return float(np.sum(runs[name].array(library="np"), dtype=np.float64)) if name in runs.keys() else None  # noqa: SIM118
        if name not in self.runs.names:
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

    def __init__(self, file: RootFile, name: str, known: Mapping[str, PlainBranch] | None = None) -> None:
        keep_freed_memory()
        self.file = file
        self._name = name
        self._plain: dict[str, PlainBranch | None] = dict(known or {})
        self._header = None if known else file.header(name)
        if known:
            self.entries = int(next(iter(known.values())).starts[-1])
            self.names: tuple[str, ...] = tuple(known)
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
            self._require(name, int(branch.starts[-1]))
        plain = [(branch, name not in without_offsets) for name, branch in found.items()]
        results = read_branches(plain, start, stop, self.file.fetch, executor, self._present)
        for name, result in zip(found, results, strict=True):
            if result is not None:
                raws[name] = Raw(*result)
        others = [name for name in names if name not in raws]
        if others:
            raws.update(self._read_others(others, start, stop, executor))
        return raws

    def places(self, names: Collection[str]) -> dict[str, PlainBranch] | None:
        """Return where the baskets of branches are; None if some of them are left to uproot."""
        found = {name: branch for name in names if (branch := self._find(name)) is not None and not branch.embedded}
        alike = all(int(branch.starts[-1]) == self.entries for branch in found.values())
        return (
            {name: dataclasses.replace(branch, kept=[]) for name, branch in found.items()}
            if (found and alike and len(found) == len(names))
            else None
        )

    def _find(self, name: str) -> PlainBranch | None:
        if name not in self._plain:
            plain = None if self._header is None else self._header.branch(name)
            if plain is None:
                # of what uproot can't interpret it will say so when it is read
                with contextlib.suppress(Exception):
                    plain = plain_branch(self._branches[name])
            self._plain[name] = plain
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


@dataclasses.dataclass(frozen=True)
class _Plain:
    """A field with one number per event, or any number of them per event."""

    #: the RNTuple column with the values, or with the offsets whose differences are the values
    values: int
    #: the RNTuple column with the offsets, if there is any number of values
    offsets: int | None
    #: whether the values are the lengths of lists
    cardinality: bool


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
    Clusters are unpacked as a whole: those of the last entry range are kept for the next one in them.
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
        self._plain: dict[str, _Plain | None] = {}
        self._starts = np.array(
            [cluster.num_first_entry for cluster in ntuple.cluster_summaries] + [ntuple.num_entries], np.int64
        )
        self._kept: tuple[tuple[int, int], dict[int, Any]] = ((0, 0), {})
        self.entries = int(ntuple.num_entries)
        self.names: tuple[str, ...] = tuple(self._fields)
        self.size, self.identity = file.size, file.identity

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a field is jagged, and the awkward form of its values."""
        return split_form(self._ntuple.field_form(self._fields[name].field_id, [name]))

    def counter(self, name: str, supposed: str | None = None) -> str | None:  # noqa: ARG002 - no name tells it
        """Return the RNTuple column with the offsets of a field's lists, or whose differences are its values."""
        plain = self._find(name)
        if plain is None:
            return None
        number = plain.values if plain.cardinality else plain.offsets
        return None if number is None else f"column {number}"

    def read(self, names: Sequence[str], start: int, stop: int, **_: Any) -> Mapping[str, Raw]:
        """Read fields of an entry range in one call."""
        raws = {}
        others = []
        for name in names:
            plain = self._find(name)
            if plain is None:
                others.append(name)
            else:
                raws[name] = self._read_plain(plain, start, stop)
        if others:
            wanted = {self._fields[name].field_id for name in others}
            arrays = self._ntuple.arrays(
                filter_field=lambda field: field.field_id in wanted, entry_start=start, entry_stop=stop
            )
            raws.update((name, to_raw(arrays.layout.content(self._fields[name].name))) for name in others)
        return raws

    def _find(self, name: str) -> _Plain | None:
        if name not in self._plain:
            form = self._ntuple.field_form(self._fields[name].field_id, [name])
            self._plain[name] = _plain(form, self._ntuple)
        return self._plain[name]

    def _read_plain(self, plain: _Plain, start: int, stop: int) -> Raw:
        first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
        last = max(int(np.searchsorted(self._starts, stop, side="left")), first)
        last = min(last, len(self._starts) - 1)
        low, high = start - int(self._starts[first]), stop - int(self._starts[first])
        if plain.offsets is None and not plain.cardinality:
            return Raw(None, self._column(plain.values, first, last)[low:high])
        number = plain.values if plain.offsets is None else plain.offsets
        offsets = self._column(number, first, last)[low : high + 1].astype(np.int64)
        if plain.offsets is None:
            return Raw(None, np.diff(offsets))
        values = self._column(plain.values, first, last)
        return Raw(offsets - offsets[0], values[offsets[0] : offsets[-1]])

    def _column(self, number: int, first: int, last: int) -> Any:
        """Return a column of whole clusters; of offsets one more than there are entries."""
        if self._kept[0] != (first, last):
            self._kept = (first, last), {}
        kept = self._kept[1]
        if number not in kept:
            kept[number] = self._ntuple.read_cluster_range(number, first, last)
        return kept[number]


def _plain(form: Any, ntuple: Any) -> _Plain | None:
    """Return where a field's numbers are, or None if it is left to uproot."""
    offsets = None
    if isinstance(form, ak.forms.ListOffsetForm):
        offsets, form = form.form_key, form.content
    if not isinstance(form, ak.forms.NumpyForm) or form.inner_shape or form.parameter("__array__"):
        return None
    keys = [key.split("-") for key in (offsets, form.form_key) if key is not None]
    if any(key[0] != "column" or key[2:] not in ([], ["cardinality"]) for key in keys):
        return None
    numbers = [int(key[1]) for key in keys]
    # a column that was added after the first entries begins with zeros that uproot fills in
    if any(ntuple.column_records[number].first_element_index for number in numbers):
        return None
    return _Plain(numbers[-1], numbers[0] if offsets is not None else None, len(keys[-1]) == 3)
