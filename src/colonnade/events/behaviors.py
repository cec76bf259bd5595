"""What events can do beyond holding columns: metadata, and clear words for a missing one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import vector
from vector.backends.awkward import MomentumArray2D, MomentumArray3D, MomentumArray4D

from colonnade.errors import nearest
from colonnade.events.catalog import COORDINATES
from colonnade.events.coffea_view import answer, unread
from colonnade.kinematics.inside import of_held_fields, run_original

vector.register_awkward()


class NoSuchColumnError(AttributeError, IndexError):
    """The file does not have this column.

    An AttributeError, so that `hasattr` says no, and an IndexError, as awkward's own of a missing field.
    """

    def __init__(self, sentence: str, column: str = "") -> None:
        super().__init__(sentence)
        self.column = column


#: ak.Array comes next in line in every class that this is mixed into
_Base: Any = object


class _Columns(_Base):  # type: ignore[misc]  # as above
    """Mixed into every record of the events: looks a missing field up in what the file has."""

    def __getattr__(self, where: str) -> Any:
        try:
            return super().__getattr__(where)
        except AttributeError as error:
            # a property that fails inside is not a missing column
            if where.startswith("_") or hasattr(type(self), where):
                raise
            found = self._not_held(where)
            return self._answer(where, error) if found is None else found

    def __getitem__(self, where: Any) -> Any:
        field = where[0] if isinstance(where, tuple) and where else where
        if isinstance(field, str):
            if field not in self.layout.fields:
                found = self._not_held(field)
                if found is not None:
                    return found if isinstance(where, str) else found[where[1:]]
                self._missing(field)
            if isinstance(where, tuple) and len(where) > 1 and isinstance(where[1], str):
                return self[field][where[1:]]
        return super().__getitem__(where)

    @property
    def fields(self) -> list[str]:
        """The columns and collections that the file has, read or not, and those that were assigned."""
        held: list[str] = super().fields
        catalog, group = self.attrs.get("@catalog"), self.layout.purelist_parameter("group")
        if catalog is None or group is None:
            return held
        return list(dict.fromkeys([*catalog.members(group), *held]))

    def __awkward_function__(
        self, function: Any, _: Collection[Any], arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        """Let `ak.fields` tell what the file has, too; every other function is awkward's own."""
        if function is ak.fields:
            return self.fields
        return run_original(function, arguments, options)

    def _wrap_result(self, *arguments: Any) -> Any:
        # vector takes the fields that are no coordinates along: those that were read
        return of_held_fields(self, arguments)

    def _not_held(self, where: str) -> Any:
        """Return what the file has under a name though these events don't hold it as a field; None if it has not.

        A field of a collection by the name of its branch, such as Muon_pt; or a column or record that was not read:
        its fields are known, and whoever looks at its numbers learns that it was not.
        """
        catalog, group = self.attrs.get("@catalog"), self.layout.purelist_parameter("group")
        if catalog is None or group is None:
            return None
        known = catalog.known
        column = f"{group}_{where}" if group else where
        if group == "" and column in known and where.partition("_")[0] in self.layout.fields:
            collection, _, field = where.partition("_")
            return getattr(getattr(self, collection), field) if field else None
        if column not in known:
            return None
        fields, jagged = ((), False) if group else (catalog.members(where), f"n{where}" in known)
        layout = _in_place_of_records(self.layout, functools.partial(unread, column, fields, jagged))
        return ak.Array(layout, behavior=self.behavior, attrs=self.attrs)

    def _answer(self, where: str, error: AttributeError) -> Any:
        """Return what coffea has under a name; else raise for a missing column, or what was raised before."""
        try:
            found = answer(self, where)
        except (AttributeError, ValueError, TypeError) as failed:
            group = self.layout.purelist_parameter("group")
            reason = str(failed).strip().partition("\n")[0] or type(failed).__name__
            file = self.attrs.get("metadata", {}).get("filename")
            msg = f"{file}: {group}.{where} can't be worked out as coffea does: {reason}."
            raise NoSuchColumnError(msg, where) from failed
        if found is NotImplemented:
            self._missing(where)
            raise error
        return found

    def _missing(self, field: str) -> None:
        """Raise for a field that is not held, if that can be told."""
        catalog, group = self.attrs.get("@catalog"), self.layout.purelist_parameter("group")
        if catalog is None or group is None:
            return
        column = f"{group}_{field}" if group else field
        metadata = self.attrs.get("metadata", {})
        msg = missing_sentence(metadata, column, catalog.known)
        raise NoSuchColumnError(msg, column)


def _in_place_of_records(layout: Any, made: Callable[[int], Any]) -> Any:
    if layout.is_record:
        return made(layout.length)
    if layout.is_union:
        contents = [_in_place_of_records(content, made) for content in layout.contents]
        return ak.contents.UnionArray.simplified(layout.tags, layout.index, contents)
    return layout.copy(content=_in_place_of_records(layout.content, made))


def missing_sentence(metadata: Mapping[str, Any], column: str, known: Collection[str]) -> str:
    """Say that a file does not have a column, and which come near."""
    dataset = f"Dataset {metadata['dataset']}, " if metadata.get("dataset") else ""
    tree = f", tree {metadata['treename']}" if metadata.get("treename") else ""
    return (
        f"{dataset}{metadata.get('filename')}{tree}: there is no column {column}{nearest(column, known)}, "
        "which the analysis asks for."
    )


class Events(_Columns, ak.Array):  # type: ignore[misc]  # awkward and vector come without types
    """The events of one entry range."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What is known of these events: dataset, filename, entry range and the manifest's metadata."""
        metadata: Mapping[str, Any] = self.attrs["metadata"]
        return metadata


class Group(_Columns, ak.Array):  # type: ignore[misc]  # awkward and vector come without types
    """A collection or a record per event that is no vector."""


class Group2D(_Columns, MomentumArray2D):  # type: ignore[misc]  # awkward and vector come without types
    """Vectors in the transverse plane, such as MET."""


class Group3D(_Columns, MomentumArray3D):  # type: ignore[misc]  # awkward and vector come without types
    """Momenta without a mass."""


class Group4D(_Columns, MomentumArray4D):  # type: ignore[misc]  # awkward and vector come without types
    """Four-momenta."""


def _said(array: Any) -> str | None:
    title, group = array.attrs.get("@title"), array.layout.purelist_parameter("group")
    return title(group) if title and group else None


# what the file says of a collection, as coffea gives it, comes before what its class is
for _class in (Group, Group2D, Group3D, Group4D):
    _class.__doc__ = property(_said)  # type: ignore[assignment]  # of an array, not of the class


@functools.cache
def behavior() -> dict[Any, Any]:
    """Return what rides on the events, so that nothing of this package is registered for arrays that are not its own.

    Coffea's vectors and candidates are registered, as vector's are, for analyses name them in arrays that they make:
    ``ak.with_name(leptons, "PtEtaPhiMCandidate")``.
    """
    from coffea.nanoevents.methods import candidate

    ak.behavior.update(candidate.behavior)
    return {
        ("*", "Events"): Events,
        ("*", "Group"): Group,
        ("*", "Momentum2D"): Group2D,
        ("*", "Momentum3D"): Group3D,
        ("*", "Momentum4D"): Group4D,
        (np.add, "Momentum4D", "Momentum4D"): _add,
    }


def _add(one: Any, other: Any) -> Any:
    """Return the sum of momenta in double precision, for single loses the mass of particles that fly together.

    The sum of their charges is there where both have one; that is only read if it is used.
    """
    total = _doubled(one).add(_doubled(other))
    charges = [ak.Array(each.layout["charge"]) for each in (one, other) if "charge" in each.layout.fields]
    if len(charges) < 2:
        return total
    dtype = np.result_type(*(np.dtype(ak.type(each).content.primitive) for each in charges))
    form = ak.forms.NumpyForm(dtype.name, form_key="charge")
    buffers = {"charge-data": lambda: np.add(*map(ak.to_numpy, charges), dtype=dtype)}
    layout = total.layout
    charge = ak.from_buffers(form, layout.length, buffers, highlevel=False)
    contents, fields = [*layout.contents, charge], [*layout.fields, "charge"]
    record = ak.contents.RecordArray(contents, fields, layout.length, parameters=layout.parameters)
    return ak.Array(record, behavior=total.behavior, attrs=total.attrs)


def _doubled(momenta: Any) -> Any:
    """Return momenta whose coordinates have double precision, and nothing else."""
    fields = [field for field in momenta.layout.fields if field in COORDINATES]
    values = [ak.to_numpy(ak.Array(momenta.layout[field])).astype(np.float64) for field in fields]
    contents = [ak.contents.NumpyArray(column) for column in values]
    record = ak.contents.RecordArray(contents, fields, len(momenta), parameters={"__record__": "Momentum4D"})
    return ak.Array(record, behavior=momenta.behavior, attrs=momenta.attrs)
