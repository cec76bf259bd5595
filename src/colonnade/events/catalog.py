"""From a file's source columns and a schema to the canonical columns: which exist, and of what.

Coffea's NanoAOD schema adds to the columns of a file: indices into other collections, and constants. An index of the
file counts the objects of one event; with a G behind its name it counts those of the whole entry range, so that it
stays right when events or objects are selected. The tables of names and the functions are coffea's
(`coffea.nanoevents.NanoAODSchema` with what PFNano and scouting add to it, `coffea.nanoevents.transforms`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.events.schemas import MEV, CollectionRule, Schema

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


#: The vector that a record with certain coordinates is, and no others: azimuth, longitude and time.
_VECTORS = {
    frozenset(f"{azimuth} {longitude} {temporal}".split()): f"Momentum{2 + bool(longitude) + bool(temporal)}D"
    for azimuth in ("pt phi", "px py")
    for longitude in ("", "eta", "pz")
    for temporal in ("", "mass", "energy")
    if longitude or not temporal
}
#: The counter and a typical column of a collection's objects.
Objects = tuple[str | None, str | None]
#: Every field name that vector takes for a coordinate.
COORDINATES = frozenset(
    "x y z t px py pz E e energy rho pt phi theta eta tau M m mass".split()  # noqa: SIM905 - reads better
)
#: Fields that are surely one number per object.
_TYPICAL = ("pt", "px", "eta", "charge")


@dataclasses.dataclass(frozen=True)
class Column:
    """One canonical column.

    Attributes
    ----------
    name
        ``Muon_pt``, ``nMuon``, ``genWeight``.
    group
        The record it is a field of (``Muon``), or None at the level of the event.
    field
        Its name there (``pt``).
    source
        The source column; None for a constant, or for a counter that follows from the objects.
    divisor
        What the values are divided by to be in GeV.
    constant
        The value of a column that the file leaves out.
    first
        Whether the source has several values per event, of which the first is meant.
    made
        Of what is made of other columns, how: see `colonnade.events.catalog`.
    """

    name: str
    group: str | None
    field: str
    source: str | None
    divisor: float = 1.0
    constant: float = 0.0
    first: bool = False
    made: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Group:
    """A record in the event: a collection of objects, or one record per event (such as MET).

    Attributes
    ----------
    name
        ``Muon``.
    jagged
        Whether it has any number of objects per event.
    vector
        The vector class it carries, or None.
    coordinates
        The columns that make it that vector.
    count
        The source column with the number of objects per event; None: taken from `like`.
    like
        A source column with one value per object.
    select
        A source column with one value per object, and the value that marks the members.
    """

    name: str
    jagged: bool
    vector: str | None
    coordinates: tuple[str, ...]
    count: str | None = None
    like: str | None = None
    select: tuple[str, int] | None = None

    @property
    def objects(self) -> Objects:
        """What tells these objects, before any selection, from those of another collection."""
        return self.count, self.like


@dataclasses.dataclass(frozen=True, eq=False)
class Catalog:
    """All canonical columns of one file structure."""

    schema: str
    columns: dict[str, Column]
    groups: dict[str, Group]
    #: canonical names that two source columns claim; the first has them
    twice: tuple[str, ...] = ()
    #: names of the file's other columns and groups, where only some are given here
    more: frozenset[str] = frozenset()
    #: what the events of the whole file have as fields, where only some are given here
    others: tuple[str, ...] = ()

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The canonical columns."""
        return frozenset(self.columns)

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """All that can be asked of the events: columns and groups."""
        return self.names | frozenset(self.groups) | self.more

    @functools.cached_property
    def fields(self) -> tuple[str, ...]:
        """The groups and the columns that belong to none, of the whole file, sorted."""
        scalars = (column.name for column in self.columns.values() if column.group is None)
        return self.others or tuple(sorted({*self.groups, *scalars}))

    def members(self, group: str) -> tuple[str, ...]:
        """Return the fields of a group of the whole file, sorted; of the events themselves, if it has no name."""
        return tuple(self._members.get(group, ())) if group else self.fields

    @functools.cached_property
    def _members(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in sorted(self.known.difference(self.fields)):
            group, _, field = name.partition("_")
            found.setdefault(group, []).append(field)
        return found

    def part(self, names: Sequence[str]) -> Catalog:
        """Return the same of some columns, with all that their groups need."""
        columns = {name: self.columns[name] for name in names}
        counted = (name[1:] for name in names if name.startswith("n") and name[1:] in self.groups)
        groups = {
            name: self.groups[name]
            for name in dict.fromkeys([*(column.group for column in columns.values() if column.group), *counted])
        }
        for group in groups.values():
            columns.update((name, self.columns[name]) for name in group.coordinates)
        return Catalog(self.schema, columns, groups, self.twice, self.known, self.fields)

    @property
    def sources(self) -> frozenset[str]:
        """All source columns that reading these columns may need."""
        found = {column.source for column in self.columns.values()}
        for group in self.groups.values():
            found.update((group.count, group.like, group.select[0] if group.select else None))
        return frozenset(name for name in found if name is not None)


@functools.lru_cache(maxsize=64)
def build_catalog(
    schema: Schema, names: tuple[str, ...], lists: frozenset[str] = frozenset(), weight: str | None = None
) -> Catalog:
    """Apply a schema to the names of a file's source columns.

    Parameters
    ----------
    schema
        The rules.
    names
        The source columns, in the file's order.
    lists
        Those that have one value for each object of the collection that their name begins with.
    weight
        The source column with the generator's weight, where it has no name that the schema knows.

    Notes
    -----
    Cached: the files of a dataset share their structure, so this is done once for all of them.
    """
    builder = _Builder(schema, names, lists)
    if weight is not None:
        builder.add(Column("genWeight", None, "genWeight", weight, first=schema.coffea))
    left = builder.apply_rules()
    builder.group(left) if schema.grouped else builder.keep(left)
    if schema.references:
        builder.refer()
    return Catalog(schema.name, builder.columns, builder.groups, tuple(sorted(builder.twice)))


def prefixed(names: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the columns that share what stands before their first underscore, which may be a collection's name."""
    present = frozenset(names)
    members: dict[str, list[str]] = {}
    for name in names:
        prefix, _, field = name.partition("_")
        # a value and a record can't share a name; the value keeps it, and a path is no prefix
        if prefix and field and prefix not in present and "/" not in prefix:
            members.setdefault(prefix, []).append(name)
    return members


class _Builder:
    def __init__(self, schema: Schema, names: tuple[str, ...], lists: frozenset[str]) -> None:
        self.schema = schema
        self.lists = lists
        self.names = names
        self.present = frozenset(names)
        self.columns: dict[str, Column] = {}
        self.groups: dict[str, Group] = {}
        self.twice: set[str] = set()

    def apply_rules(self) -> list[str]:
        """Add what the schema has a rule for; return the other source columns."""
        used: set[str] = set()
        records: dict[str, list[Column]] = {}
        for source, scalar in self.schema.scalars.items():
            if source in self.present:
                used.add(source)
                group, _, field = scalar.name.partition("_")
                if field:
                    column = Column(scalar.name, group, field, source, scalar.divisor, first=scalar.first)
                    records.setdefault(group, []).append(column)
                else:
                    self.add(Column(scalar.name, None, scalar.name, source, scalar.divisor, first=scalar.first))
        for name, columns in records.items():
            self._add_group(name, columns)
        for collection in self.schema.collections:
            used.update(self._collect(collection))
        return [name for name in self.names if name not in used]

    def keep(self, names: list[str]) -> None:
        """Add source columns under their own names."""
        for name in names:
            self.add(Column(name, None, name, name))

    def group(self, names: list[str]) -> None:
        """Group names as NanoAOD does: by what stands before the first underscore.

        Where columns of one prefix are lists of the same objects, those are a collection, and the others keep their
        names; elsewhere they are all fields of a record.
        """
        members = {name: sources for name, sources in prefixed(tuple(names)).items() if name not in self.groups}
        jagged = {prefix for prefix, sources in members.items() if not self.lists.isdisjoint(sources)}
        for prefix in jagged:
            members[prefix] = [name for name in members[prefix] if name in self.lists]
        grouped = {name for sources in members.values() for name in sources}
        for name in names:
            if name not in grouped and not (name.startswith("n") and name[1:] in jagged):
                self.add(Column(name, None, name, name))
        for prefix, sources in members.items():
            columns = []
            for source in sources:
                own = source[len(prefix) + 1 :]
                field = self.schema.rename.get(source, self.schema.rename.get(own, own))
                columns.append(Column(f"{prefix}_{field}", prefix, field, source))
            fields = {column.field: column.source for column in columns}
            for alias, field in aliases_of(prefix).items() if self.schema.references else ():
                if alias not in fields and field in fields:
                    columns.append(Column(f"{prefix}_{alias}", prefix, alias, fields[field]))
            constants = constants_of(prefix) if self.schema.references and prefix in jagged else {}
            self._add_group(prefix, columns, constants, jagged=prefix in jagged, count=f"n{prefix}")

    def refer(self) -> None:
        """Add indices into other collections, which stay right when objects are selected."""
        jagged = [name for name, group in self.groups.items() if group.jagged]
        for name, made in made_columns(self.columns, jagged).items():
            group, _, field = name.partition("_")
            self.add(Column(name, group, field, None, made=made))

    def _collect(self, rule: CollectionRule) -> list[str]:
        """Add a collection with a rule of its own; return the source columns that used up."""
        sources = [name for name in self.names if name.startswith(rule.prefix)]
        columns = []
        for source in sources:
            field = source[len(rule.prefix) :]
            if field and field not in rule.hidden and source != rule.count:
                canonical = rule.rename.get(field, field)
                divisor = MEV if field in rule.mev else 1.0
                columns.append(Column(f"{rule.name}_{canonical}", rule.name, canonical, source, divisor))
        if columns:
            select = (f"{rule.prefix}{rule.select[0]}", rule.select[1]) if rule.select else None
            self._add_group(rule.name, columns, rule.constants, jagged=True, count=rule.count, select=select)
        return sources

    def add(self, column: Column) -> None:
        """Add a column, unless its name is taken."""
        if self.columns.setdefault(column.name, column) is not column and column.source is not None:
            self.twice.add(column.name)

    def _add_group(
        self,
        name: str,
        columns: list[Column],
        constants: Mapping[str, float] = MappingProxyType({}),
        *,
        jagged: bool = False,
        count: str | None = None,
        select: tuple[str, int] | None = None,
    ) -> None:
        """Add a group and its columns, with what is the same for all objects where the file leaves it out."""
        fields = {column.field for column in columns}
        columns += [
            Column(f"{name}_{field}", name, field, None, constant=value)
            for field, value in constants.items()
            if field not in fields
        ]
        count = count if jagged and count in self.present else None
        if jagged:
            # a counter of all objects does not count the selected ones
            self.add(Column(f"n{name}", None, f"n{name}", None if select else count))
        vector, coordinates = _vector({*fields, *constants})
        typical = {column.field: column.source for column in columns if column.source}
        like = next((typical[f] for f in _TYPICAL if f in typical), None) or next(iter(typical.values()), None)
        names = tuple(f"{name}_{field}" for field in coordinates)
        self.groups[name] = Group(name, jagged, vector, names, count, like, select)
        for column in columns:
            self.add(column)


def _vector(fields: set[str]) -> tuple[str | None, tuple[str, ...]]:
    """Tell which vector a record is by its fields; none where they are ambiguous, as for a vertex."""
    held = frozenset(fields & COORDINATES)
    return _VECTORS.get(held), tuple(sorted(held)) if held in _VECTORS else ()
