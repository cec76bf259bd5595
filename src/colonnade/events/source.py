"""What is known of an input file before its events are read."""

from __future__ import annotations

import dataclasses
from typing import Any

_COLUMNS: dict[frozenset[str], frozenset[str]] = {}


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One tree of one file: where it is, what it holds, and how to tell it from any other.

    Attributes
    ----------
    path
        Local path or URL.
    tree
        The tree's name; empty for a parquet file.
    entries
        How many events it holds.
    schema
        The name of the schema it is read with.
    identity
        Tells this content from any other: the file's UUID and size, or its size and modification time.
    size
        In bytes.
    columns
        The canonical columns it can give: ``Muon_pt``, ``nMuon``, ``genWeight``.
    sumw
        Sum of the generator's weights of all events that were made for this file, as its ``Runs`` tree says;
        None where it does not.
    weight
        The source column that is read as ``genWeight``, where the manifest names one.
    notes
        What was noticed that a user should know, one sentence each.
    """

    path: str
    tree: str
    entries: int
    schema: str
    identity: str
    size: int
    columns: frozenset[str]
    sumw: float | None = None
    weight: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", _shared(self.columns))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, columns=_shared(state["columns"]))


def _shared(columns: frozenset[str]) -> frozenset[str]:
    """Keep one copy of equal sets: the 100,000 files of a production have few structures between them."""
    if len(_COLUMNS) > 256:
        _COLUMNS.clear()
    return _COLUMNS.setdefault(columns, columns)
