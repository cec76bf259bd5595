"""An input file: what is known of it before its events are read, and what every format offers once it is open."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

_COLUMNS: dict[frozenset[str], frozenset[str]] = {}


def named(path: str, tree: str | None) -> str:
    """Return what a sentence calls a file and its tree; a table has none.

    Examples
    --------
    >>> named("a.root", "Events"), named("a.parquet", "")
    ('a.root, tree Events', 'a.parquet')
    """
    return f"{path}, tree {tree}" if tree else path


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


@dataclasses.dataclass(frozen=True)
class Raw:
    """One source column of an entry range, as it is in the file.

    Attributes
    ----------
    offsets
        Where each event's values start and stop in `content`, int64, events + 1 of them; None for one value
        per event.
    content
        The values: a NumPy array, or an awkward layout where they are no plain numbers.
    """

    offsets: npt.NDArray[np.int64] | None
    content: Any


class Reader:
    """An open tree: what every format offers; of a format that says less, what is here holds."""

    entries: int
    #: The source columns, in the file's order.
    names: tuple[str, ...]
    #: Tells this content from any other.
    identity: str
    size: int
    #: The ROOT file that it is in, if it is.
    file: Any = None

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a column is jagged, and the awkward form of its values."""
        raise NotImplementedError

    def counter(self, name: str, supposed: str | None = None) -> str | None:  # noqa: ARG002 - for formats that say it
        """Return what two columns have in common if each event has as many values of one as of the other.

        Parameters
        ----------
        name
            The source column.
        supposed
            What its name lets suppose, which may be quicker to confirm.
        """
        return None

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        without_offsets: Collection[str] = (),
        executor: Executor | None = None,
    ) -> Mapping[str, Raw]:
        """Read columns of an entry range, all in one call.

        Parameters
        ----------
        names
            The source columns.
        start, stop
            The entry range.
        without_offsets
            Jagged columns whose offsets the caller does not need; they may come without.
        executor
            Unpacks columns in parallel, where the format can use it.
        """
        raise NotImplementedError

    def total(self, name: str) -> float | None:
        """Return the sum of a column of the file's ``Runs`` tree; None where there is none."""
        return None if self.file is None else self.file.total(name)


def overlapping(starts: Sequence[int], start: int, stop: int) -> tuple[int, int]:
    """Return the first and, exclusive, the last of several parts of a table that hold an entry range.

    Parameters
    ----------
    starts
        The first entry of each part, and after the last one the number of entries.
    start, stop
        The entry range, stop exclusive.

    Examples
    --------
    >>> overlapping([0, 10, 20, 30], 10, 21)
    (1, 3)
    """
    first = max(bisect.bisect_right(starts, start) - 1, 0)
    return first, min(max(bisect.bisect_left(starts, stop), first), len(starts) - 1)


def split_form(form: Any) -> tuple[bool, Any]:
    """Tell whether an awkward form is of lists, and return that of what is in them, or the form itself."""
    jagged = isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") is None
    return jagged, form.content if jagged else form


def to_raw(layout: Any) -> Raw:
    """Split an awkward layout into the outermost offsets and the values."""
    if layout.is_list and layout.parameter("__array__") is None and not layout.is_regular:
        layout = layout.to_ListOffsetArray64(start_at_zero=True)
        offsets = np.asarray(layout.offsets.data)
        return Raw(offsets, _plain(layout.content[: offsets[-1]]))
    return Raw(None, _plain(layout))


def _plain(layout: Any) -> Any:
    plain = isinstance(layout, ak.contents.NumpyArray) and not layout.parameter("__array__")
    return np.asarray(layout.data) if plain else layout
