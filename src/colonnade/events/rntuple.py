"""Reading an RNTuple with uproot."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import awkward as ak
import numpy as np

from colonnade.events.readers import Raw, to_raw
from colonnade.events.ttree import RootFile
from colonnade.events.uproot_inside import check_pages, tell_childless


@dataclasses.dataclass(frozen=True)
class _Plain:
    """A field with one number per event, or any number of them per event."""

    #: the RNTuple column with the values, or with the offsets whose differences are the values
    values: int
    #: the RNTuple column with the offsets, if there is any number of values
    offsets: int | None
    #: whether the values are the lengths of lists
    cardinality: bool


class RNTupleReader:
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
        form = self._ntuple.field_form(self._fields[name].field_id, [name])
        jagged = isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") is None
        return jagged, form.content if jagged else form

    def counter(self, name: str, supposed: str | None = None) -> str | None:  # noqa: ARG002 - no name tells it
        """Return the RNTuple column with the offsets of a field's lists, or whose differences are its values."""
        plain = self._find(name)
        if plain is None:
            return None
        number = plain.values if plain.cardinality else plain.offsets
        return None if number is None else f"column {number}"

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        without_offsets: Collection[str] = (),  # noqa: ARG002 - the offsets come at no extra cost
        executor: Executor | None = None,  # noqa: ARG002
    ) -> Mapping[str, Raw]:
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

    def total(self, name: str) -> float | None:
        """Sum a column of the ``Runs`` tree."""
        return self.file.total(name)

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
