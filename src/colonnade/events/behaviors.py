"""What events can do beyond holding columns: metadata, clear words for a missing one, and coffea's answers.

What this package does not know is asked of coffea's own classes over the same columns: the layout of an array goes by
coffea's names of records and gets coffea's behavior; nothing is read or copied for that.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import vector
from vector.backends.awkward import MomentumArray2D, MomentumArray3D, MomentumArray4D

from colonnade.errors import MissingColumnError, nearest
from colonnade.events.catalog import COORDINATES, Catalog, nano_schema
from colonnade.events.source import named
from colonnade.kinematics.layouts import of_held_fields, run_original


class UnlearnedColumnError(MissingColumnError):
    """The file has this column, but these events were read without it.

    Not an AttributeError, so that `hasattr` does not say no where the file says yes. How many were raised in this
    process is counted, as an analysis may catch any error and go on without the column.
    """

    raised = 0

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        UnlearnedColumnError.raised += 1


class _Uncut:
    """All events of an entry range, as coffea's cross references ask for them."""

    def __init__(self, layout: Any, catalog: Any) -> None:
        self._relabelled = functools.cache(functools.partial(_relabelled, layout, catalog))

    def events(self) -> ak.Array:
        """Return the events."""
        return _array(self._relabelled(), self)


def _array(layout: Any, uncut: _Uncut | None) -> ak.Array:
    from coffea.nanoevents.methods import nanoaod

    behavior = dict(nanoaod.behavior)  # systematics add to it
    return ak.Array(layout, behavior=behavior, attrs={} if uncut is None else {"@events_factory": uncut})


def coffea_view(array: ak.Array) -> ak.Array:
    """Return events, or objects of a collection, as coffea's NanoEvents would give them."""
    layout, catalog = array.attrs.get("@layout"), array.attrs.get("@catalog")
    return _array(_relabelled(array.layout, catalog), None if layout is None else _Uncut(layout, catalog))


def _relabelled(layout: Any, catalog: Any) -> Any:
    if layout.is_record:
        group = layout.parameter("group")
        if group is None:  # a sum of momenta has no collection
            name = _sum_name(layout)
            return layout if name is None else layout.copy(parameters={"__record__": name})
        if not group:
            contents = [_relabelled(content, catalog) for content in layout.contents]
            return layout.copy(contents=contents, parameters={"__record__": "NanoEvents"})
        return _collection(layout, group, catalog)
    if layout.is_union or layout.is_numpy or layout.is_unknown:
        return layout
    return layout.copy(content=_relabelled(layout.content, catalog))


def _sum_name(layout: Any) -> str | None:
    """Return coffea's name of momenta that belong to no collection; None if they are none."""
    if layout.purelist_parameter("__record__") != "Momentum4D":
        return None
    kind = "Candidate" if "charge" in layout.fields else "LorentzVector"
    return kind if "t" in layout.fields else f"PtEtaPhiM{kind}"


def _collection(layout: Any, group: str, catalog: Any) -> Any:
    """Return records under coffea's name, with the fields that its class asks for."""
    members = () if catalog is None else catalog.members(group)
    missing = [name for name in members if name not in layout.fields]
    record = nano_schema().mixins.get(group, "NanoCollection")
    parameters = {"__record__": record, "collection_name": group}
    if not missing:  # else their number is counted, which may read an offset
        return layout.copy(parameters=parameters)
    length = layout.length
    contents = [*layout.contents, *(unread(f"{group}_{name}", (), False, length) for name in missing)]
    return ak.contents.RecordArray(contents, [*layout.fields, *missing], length, parameters=parameters)


def unread(column: str, fields: Sequence[str], jagged: bool, length: int) -> Any:
    """Return what is not there: whoever looks at its numbers learns that the events were read without it.

    Parameters
    ----------
    column
        The name of the column, or of the record that has the fields.
    fields
        Its fields; none for numbers.
    jagged
        Whether it has any number of records per event.
    length
        The number of entries.
    """
    form: Any = ak.forms.NumpyForm("float32", form_key=column)
    if fields:
        contents = [ak.forms.NumpyForm("float32", form_key=f"{column}_{field}") for field in fields]
        form = ak.forms.RecordForm(contents, fields, parameters={"__record__": "Group", "group": column}, form_key="")
    if jagged:
        form = ak.forms.ListOffsetForm("i64", form, form_key=f"n{column}")
    buffers = {key: functools.partial(_fail, key.rpartition("-")[0]) for key in form.expected_from_buffers()}
    return ak.from_buffers(form, length, buffers, highlevel=False)


def _fail(column: str) -> Any:
    msg = f"These events were read without the column {column}."
    raise UnlearnedColumnError(msg)


def answer(array: ak.Array, name: str) -> Any:
    """Return what coffea's class of a collection has under a name, or NotImplemented.

    Raises
    ------
    AttributeError, ValueError, TypeError
        As coffea does, if it can't work it out of the columns that there are.
    """
    seen = coffea_view(array)
    if not hasattr(type(seen), name):
        return NotImplemented
    found = getattr(seen, name)
    return _method(array, seen, found) if inspect.ismethod(found) else found


def _method(array: ak.Array, seen: ak.Array, bound: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of coffea's that takes arrays of this package too; what it adds to its array is kept in ours."""

    @functools.wraps(bound)
    def method(*arguments: Any, **options: Any) -> Any:
        before = set(seen.layout.fields)
        result = bound(*map(_taken, arguments), **{key: _taken(value) for key, value in options.items()})
        for field in seen.layout.fields:
            if field not in before:
                array[field] = seen[field]
        return result

    return method


def _taken(argument: Any) -> Any:
    if isinstance(argument, ak.Array) and argument.layout.purelist_parameter("group") is not None:
        return coffea_view(argument)
    return argument


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
        catalog, group = self._origin()
        return held if catalog is None else list(dict.fromkeys([*catalog.members(group), *held]))

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

    def _origin(self) -> tuple[Catalog | None, str]:
        """Return the columns of the file, and the group of these records there; None where they are not of a file."""
        catalog, group = self.attrs.get("@catalog"), self.layout.purelist_parameter("group")
        return (None, "") if catalog is None or group is None else (catalog, group)

    def _not_held(self, where: str) -> Any:
        """Return what the file has under a name though these events don't hold it as a field; None if it has not.

        A field of a collection by the name of its branch, such as Muon_pt; or a column or record that was not read:
        its fields are known, and whoever looks at its numbers learns that it was not.
        """
        catalog, group = self._origin()
        if catalog is None:
            return None
        known = catalog.known
        column = f"{group}_{where}" if group else where
        if not group and column in known and where.partition("_")[0] in self.layout.fields:
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
        catalog, group = self._origin()
        if catalog is not None:
            column = f"{group}_{field}" if group else field
            raise NoSuchColumnError(missing_sentence(self.attrs.get("metadata", {}), column, catalog.known), column)


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
    where = named(str(metadata.get("filename")), metadata.get("treename"))
    return f"{dataset}{where}: there is no column {column}{nearest(column, known)}, which the analysis asks for."


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
