"""Reading an RNTuple with uproot."""

from __future__ import annotations

__all__ = ["RNTupleReader"]

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import awkward as ak

from colonnade.events.readers import Raw, runs_total, to_raw


class RNTupleReader:
    """An RNTuple of an open ROOT file.

    Parameters
    ----------
    directory
        The file, as uproot opens it.
    ntuple
        The RNTuple in it.
    """

    def __init__(self, directory: Any, ntuple: Any) -> None:
        _childless(ntuple)
        self._directory = directory
        self._ntuple = ntuple
        # NanoAOD's fields are projections of anonymous collections, which are no columns themselves
        self._fields = {field.name: field for field in ntuple.fields if not field.name.startswith("_")}
        self.entries = int(ntuple.num_entries)
        self.names: tuple[str, ...] = tuple(self._fields)
        self.size = int(directory.file.fEND)
        self.identity = f"{directory.file.uuid}:{self.size}"

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a field is jagged, and the awkward form of its values."""
        form = self._ntuple.field_form(self._fields[name].field_id, [name])
        jagged = isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") is None
        return jagged, form.content if jagged else form

    def read(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        *,
        bare: Collection[str] = (),  # noqa: ARG002 - the offsets come at no extra cost
        executor: Executor | None = None,  # noqa: ARG002
    ) -> Mapping[str, Raw]:
        """Read fields of an entry range in one call."""
        wanted = {self._fields[name].field_id for name in names}
        arrays = self._ntuple.arrays(
            filter_field=lambda field: field.field_id in wanted, entry_start=start, entry_stop=stop
        )
        return {name: to_raw(arrays.layout.content(name)) for name in names}

    def total(self, name: str) -> float | None:
        """Sum a column of the ``Runs`` tree."""
        return runs_total(self._directory, name)


def _childless(ntuple: Any) -> None:
    """Tell uproot which fields have no named children.

    It finds that out by going through all fields for each field: seconds for the 1,900 of a NanoAOD file.
    """
    children: dict[int, list[int]] = {}
    for number, record in enumerate(ntuple.field_records):
        if record.parent_field_id != number:
            children.setdefault(record.parent_field_id, []).append(number)
    for number, field in enumerate(ntuple.all_fields):
        below = children.get(number, [])
        if hasattr(field, "_fields") and all(
            ntuple.all_fields[child].is_anonymous and child not in children for child in below
        ):
            field._fields = []
