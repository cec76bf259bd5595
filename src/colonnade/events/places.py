"""Where the baskets of an analysis's columns lie in a file, kept for the next time that they are read.

Finding them means to read the header of the tree, which for a file of some thousand branches is the larger part of
reading ten of them. What was found once is written as JSON, so that nothing which another program left there is run.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.events.baskets import PlainBranch
from colonnade.events.catalog import Catalog, Column, Group
from colonnade.events.kept import reading_code
from colonnade.events.source import SourceFile
from colonnade.store import Store

_LIMIT = 2 * 10**9


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
    branches: Mapping[str, PlainBranch]


@dataclasses.dataclass
class KnownPlaces:
    """Places of columns, on disk.

    Attributes
    ----------
    folder
        Where.
    """

    folder: Path

    @functools.cached_property
    def _files(self) -> Store:
        return Store(self.folder, _LIMIT, ".places")

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def get(self, source: SourceFile, columns: Sequence[str]) -> Places | None:
        """Return the places of a file's columns; None where they are not known, or damaged."""
        key = _key(source, columns)
        try:
            digest, _, text = self._files.path(key).read_bytes().partition(b"\n")
            if hashlib.blake2b(text, digest_size=16).hexdigest().encode() != digest:
                self._files.drop(key)
                return None
        except OSError:
            return None
        self._files.use(key)
        content = json.loads(text)
        groups = {group["name"]: Group(**_tuples(group)) for group in content["groups"]}
        catalog = Catalog(
            source.schema,
            {column["name"]: Column(**_tuples(column)) for column in content["columns"]},
            groups,
            more=source.columns | frozenset(content["others"]),
            others=tuple(content["others"]),
        )
        return Places(catalog, {branch["name"]: _branch(branch) for branch in content["branches"]})

    def put(self, source: SourceFile, columns: Sequence[str], places: Places) -> None:
        """Keep the places of a file's columns."""
        content = {
            "columns": [dataclasses.asdict(column) for column in places.catalog.columns.values()],
            "groups": [dataclasses.asdict(group) for group in places.catalog.groups.values()],
            "others": places.catalog.others,
            "branches": [_plain(branch) for branch in places.branches.values()],
        }
        text = json.dumps(content).encode()
        digest = hashlib.blake2b(text, digest_size=16).hexdigest().encode()
        self._files.put(_key(source, columns), digest + b"\n", text)


def _key(source: SourceFile, columns: Sequence[str]) -> str:
    words = (reading_code(), source.identity, source.size, source.tree, source.schema, source.weight, *columns)
    return hashlib.blake2b("|".join(map(str, words)).encode(), digest_size=20).hexdigest()


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a dataclass with tuples where JSON has lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _plain(branch: PlainBranch) -> dict[str, Any]:
    return {
        "name": branch.name,
        "stored": branch.stored.str,
        "jagged": branch.jagged,
        "starts": branch.starts.tolist(),
        "ranges": branch.ranges,
        "counter": branch.counter,
    }


def _branch(fields: dict[str, Any]) -> PlainBranch:
    stored = np.dtype(fields["stored"])
    return PlainBranch(
        name=fields["name"],
        stored=stored,
        native=stored.newbyteorder("="),
        jagged=fields["jagged"],
        starts=np.asarray(fields["starts"], dtype=np.int64),
        ranges=tuple((start, stop) for start, stop in fields["ranges"]),
        counter=fields["counter"],
    )
