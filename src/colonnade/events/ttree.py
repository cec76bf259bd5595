"""Reading a TTree: plain columns from their baskets, all others by uproot."""

from __future__ import annotations

__all__ = ["TTreeReader"]

import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import awkward as ak

from colonnade.events.baskets import PlainBranch, keep_freed_memory, plain_branch, read_branches
from colonnade.events.paths import fetch_remote, is_remote
from colonnade.events.readers import Raw, runs_total, to_raw


class TTreeReader:
    """A TTree of an open ROOT file.

    Parameters
    ----------
    directory
        The file, as uproot opens it.
    tree
        The tree in it.
    path
        Where it is.
    """

    def __init__(self, directory: Any, tree: Any, path: str) -> None:
        keep_freed_memory()
        self._path = path
        self._directory = directory
        self._tree = tree
        # a branch inside another (of a split object) goes by its own name; the outer one holds no data
        self._branches = {branch.name: branch for branch in tree.itervalues(recursive=True) if not branch.branches}
        self._plain: dict[str, PlainBranch | None] = {}
        self.entries = int(tree.num_entries)
        self.names: tuple[str, ...] = tuple(self._branches)
        self.size = int(directory.file.fEND)
        self.identity = f"{directory.file.uuid}:{self.size}"
        self._descriptor: int | None = None
        if not is_remote(path):
            # read at positions, so that neither threads nor forked children share one
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a branch is jagged, and the awkward form of its values."""
        plain = self._find(name)
        if plain is not None:
            return plain.jagged, ak.forms.numpyform.from_dtype(plain.native)
        branch = self._branches[name]
        form = branch.interpretation.awkward_form(branch.file)
        jagged = isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") is None
        return jagged, form.content if jagged else form

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        bare: Collection[str] = (),
        executor: Executor | None = None,
    ) -> Mapping[str, Raw]:
        """Read branches of an entry range in one call; `bare` ones without offsets."""
        raws: dict[str, Raw] = {}
        plain = [(branch, name not in bare) for name in names if (branch := self._find(name)) is not None]
        for (branch, _), result in zip(plain, read_branches(plain, start, stop, self._fetch, executor), strict=True):
            if result is not None:
                raws[branch.name] = Raw(*result)
        others = [name for name in names if name not in raws]
        if others:
            raws.update(self._read_others(others, start, stop, executor))
        return raws

    def total(self, name: str) -> float | None:
        """Sum a branch of the ``Runs`` tree."""
        return runs_total(self._directory, name)

    def _find(self, name: str) -> PlainBranch | None:
        if name not in self._plain:
            self._plain[name] = plain_branch(self._branches[name])
        return self._plain[name]

    def _fetch(self, ranges: list[tuple[int, int]]) -> list[Any]:
        """Get the bytes of several ranges: a system call each here, in one request from a server."""
        if self._descriptor is not None:
            return [os.pread(self._descriptor, end - begin, begin) for begin, end in ranges]
        return fetch_remote(self._path, ranges)

    def _read_others(self, names: Sequence[str], start: int, stop: int, executor: Executor | None) -> dict[str, Raw]:
        wanted = {id(self._branches[name]) for name in names}
        arrays = self._tree.arrays(
            filter_branch=lambda branch: id(branch) in wanted,
            entry_start=start,
            entry_stop=stop,
            decompression_executor=executor,
            library="ak",
        )
        return {name: to_raw(arrays.layout.content(name)) for name in names}
