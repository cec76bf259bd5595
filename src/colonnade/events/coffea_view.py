"""What coffea's NanoEvents answer and this package does not know, asked of coffea's own classes over the same columns.

The layout of an array goes by coffea's names of records and gets coffea's behavior; nothing is read or copied for that.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak

from colonnade.errors import MissingColumnError
from colonnade.events.references import nano_schema


class UnlearnedColumnError(MissingColumnError):
    """The file has this column, but these events were read without it.

    Not an AttributeError, so that `hasattr` does not say no where the file says yes. How many were raised in this
    process is counted, as an analysis may catch any error and go on without the column.
    """

    raised = 0

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        UnlearnedColumnError.raised += 1


@functools.lru_cache(maxsize=1)
def _classes() -> tuple[dict[Any, Any], dict[str, str]]:
    """Return coffea's behavior of NanoAOD, and the record of each collection."""
    from coffea.nanoevents.methods import nanoaod

    return nanoaod.behavior, nano_schema().mixins


class _Uncut:
    """All events of an entry range, as coffea's cross references ask for them."""

    def __init__(self, layout: Any, catalog: Any) -> None:
        self._relabelled = functools.cache(functools.partial(_relabelled, layout, catalog))

    def events(self) -> ak.Array:
        """Return the events."""
        return _array(self._relabelled(), self)


def _array(layout: Any, uncut: _Uncut | None) -> ak.Array:
    behavior = dict(_classes()[0])  # systematics add to it
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
    group = array.layout.purelist_parameter("group")
    behavior, records = _classes()
    if group is None:
        record = _sum_name(array.layout)
    else:
        record = records.get(group, "NanoCollection") if group else "NanoEvents"
    kind = behavior.get(("*", record))
    if kind is None or not hasattr(kind, name):
        return NotImplemented
    seen = coffea_view(array)
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
