"""What coffea's NanoAOD schema adds to the columns of a file: indices into other collections, and constants.

An index of the file counts the objects of one event; with a G behind its name it counts those of the whole entry range,
so that it stays right when events or objects are selected. The tables of names and the functions are coffea's
(`coffea.nanoevents.NanoAODSchema` with what PFNano and scouting add to it, `coffea.nanoevents.transforms`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

#: A column to the function that makes it and what that takes: columns, or with an o before it a collection's offsets.
Made = dict[str, tuple[str, ...]]
#: What takes lists, not only what is in them.
_OF_LISTS = frozenset({"local2global", "counts2nestedindex"})
_NESTED = frozenset({"nestedindex", "counts2nestedindex", "children", "distinctChildrenDeep"})


@functools.cache
def nano_schema() -> Any:
    """Return coffea's schema of NanoAOD, which also knows the collections that PFNano and scouting add to it."""
    from coffea.nanoevents import NanoAODSchema, PFNanoAODSchema, ScoutingNanoAODSchema

    kinds = (ScoutingNanoAODSchema, PFNanoAODSchema, NanoAODSchema)
    tables = ("mixins", "all_cross_references", "full_like_items", "nested_items", "nested_index_items")
    together = {name: {k: v for kind in kinds for k, v in getattr(kind, name).items()} for name in tables}
    return type("NanoAODSchema", (NanoAODSchema,), together)


def constants_of(group: str) -> dict[str, float]:
    """Return the fields of a collection that are the same for every object, where the file leaves them out."""
    items = nano_schema().full_like_items.items()
    return {name.partition("_")[2]: value for name, (_, (_, value)) in items if name.partition("_")[0] == group}


def aliases_of(group: str) -> dict[str, str]:
    """Return the fields of a collection that are others of its fields, where the file leaves them out."""
    items = nano_schema().alias_items.items()
    return {
        name.partition("_")[2]: other.partition("_")[2]
        for name, other in items
        if name.partition("_")[0] == other.partition("_")[0] == group
    }


def made_columns(names: Collection[str], jagged: Collection[str]) -> Made:
    """Return what can be made of a file's columns.

    Parameters
    ----------
    names
        The columns.
    jagged
        The collections.
    """
    schema = nano_schema()
    present = {*names, *(f"o{name}" for name in jagged)}
    made: Made = {}

    def add(name: str, function: str, *arguments: str) -> None:
        if name not in present and name.partition("_")[0] in jagged and present.issuperset(arguments):
            made[name] = (function, *arguments)
            present.add(name)

    for name, target in schema.all_cross_references.items():
        add(f"{name}G", "local2global", name, f"o{target}")
    for name, parts in schema.nested_items.items():
        add(name, "nestedindex", *parts)
    for name, (counts, target) in schema.nested_index_items.items():
        add(name, "counts2nestedindex", counts, f"o{target}")
    for name, (form, arguments) in schema.special_items.items():
        add(name, form.__name__.removesuffix("_form"), *arguments)
    return made


def is_nested(made: tuple[str, ...]) -> bool:
    """Tell whether a column has a list for each object."""
    return made[0] in _NESTED


def make(
    made: tuple[str, ...],
    values: Callable[[str], Any],
    offsets: Callable[[str], npt.NDArray[np.int64]],
) -> Any:
    """Make a column.

    Parameters
    ----------
    made
        The function and its arguments.
    values
        Gives a column in a row.
    offsets
        Gives where each event's objects of a collection start and stop.

    Returns
    -------
    numpy.ndarray or awkward layout
        One entry for each object.
    """
    from coffea.nanoevents import transforms

    name, *arguments = made
    stack: list[Any] = []
    for argument in arguments:
        if argument.startswith("o"):
            stack.append(offsets(argument[1:]))
        elif name in _OF_LISTS:
            content = ak.contents.NumpyArray(np.asarray(values(argument), dtype=np.int64))
            own = ak.index.Index64(offsets(argument.partition("_")[0]))
            stack.append(ak.Array(ak.contents.ListOffsetArray(own, content)))
        else:
            stack.append(np.asarray(values(argument)))
    getattr(transforms, name)(stack)
    (found,) = stack
    return ak.to_layout(found) if is_nested(made) else np.asarray(found)


def ingredients(name: str, made: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return the columns and counters of the file that a column is made of."""
    found: set[str] = set()
    for argument in made[name][1:]:
        if argument in made:
            found |= ingredients(argument, made)
        else:
            found.add(f"n{argument[1:]}" if argument.startswith("o") else argument)
    return found
