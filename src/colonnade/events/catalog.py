"""From a file's source columns and a schema to the canonical columns: which exist, and what each is made of."""

from __future__ import annotations

__all__ = ["Catalog", "Column", "build_catalog"]

import dataclasses
import functools

from colonnade.events.schemas import Schema

#: The coordinates that make a record a vector, longest first.
_VECTORS = (
    ("Momentum4D", frozenset({"pt", "eta", "phi", "mass"})),
    ("Momentum4D", frozenset({"pt", "eta", "phi", "energy"})),
    ("Momentum3D", frozenset({"pt", "eta", "phi"})),
    ("Momentum2D", frozenset({"pt", "phi"})),
)
#: Every field name that vector takes for a coordinate.
_COORDINATES = frozenset(
    "x y z t px py pz E e energy rho pt phi theta eta tau M m mass".split()  # noqa: SIM905 - reads better
)


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
        The source column; None for a constant.
    divisor
        What the values are divided by to be in GeV.
    constant
        The value of a column that the file leaves out.
    """

    name: str
    group: str | None
    field: str
    source: str | None
    divisor: float = 1.0
    constant: float = 0.0


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
        A source column with one value per object and the value that marks the members.
    """

    name: str
    jagged: bool
    vector: str | None
    coordinates: tuple[str, ...]
    count: str | None = None
    like: str | None = None
    select: tuple[str, int] | None = None


@dataclasses.dataclass(frozen=True)
class Catalog:
    """All canonical columns of one file structure."""

    schema: str
    columns: dict[str, Column]
    groups: dict[str, Group]

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The canonical columns."""
        return frozenset(self.columns)

    @functools.cached_property
    def fields(self) -> frozenset[str]:
        """What an event has at its top: scalars and groups."""
        return frozenset(self.groups) | {c.name for c in self.columns.values() if c.group is None}


@functools.lru_cache(maxsize=64)
def build_catalog(schema: Schema, names: tuple[str, ...]) -> Catalog:
    """Apply a schema to the names of a file's source columns.

    Parameters
    ----------
    schema
        The rules.
    names
        The source columns, in the file's order.

    Notes
    -----
    Cached: the files of a dataset share their structure, so this is done once for all of them.
    """
    builder = _Builder(schema, names)
    return builder.build()


class _Builder:
    def __init__(self, schema: Schema, names: tuple[str, ...]) -> None:
        self.schema = schema
        self.names = names
        self.present = frozenset(names)
        self.columns: dict[str, Column] = {}
        self.groups: dict[str, Group] = {}

    def build(self) -> Catalog:
        used = self._ruled()
        left = [name for name in self.names if name not in used]
        if self.schema.grouped:
            self._grouped(left)
        else:
            for name in left:
                self._add(Column(name, None, name, name))
        return Catalog(self.schema.name, self.columns, self.groups)

    def _add(self, column: Column) -> None:
        self.columns.setdefault(column.name, column)

    def _ruled(self) -> set[str]:
        """Add what the schema has a rule for; return the source columns that used up."""
        used: set[str] = set()
        flat: dict[str, list[Column]] = {}
        for source, scalar in self.schema.scalars.items():
            if source not in self.present:
                continue
            used.add(source)
            group, _, field = scalar.name.partition("_")
            if field:
                flat.setdefault(group, []).append(Column(scalar.name, group, field, source, scalar.divisor))
            else:
                self._add(Column(scalar.name, None, scalar.name, source, scalar.divisor))
        for group, columns in flat.items():
            self._add_group(group, columns, jagged=False)
        return used

    def _grouped(self, names: list[str]) -> None:
        """Group names as NanoAOD does: by what stands before the first underscore."""
        members: dict[str, list[str]] = {}
        for name in names:
            prefix, _, field = name.partition("_")
            if field and prefix:
                members.setdefault(prefix, []).append(name)
        for name in names:
            prefix, _, field = name.partition("_")
            counted = f"n{prefix}"
            if field and prefix:
                if prefix in self.present or prefix in self.columns:
                    # a value and a record can't share a name; the value keeps it
                    self._add(Column(name, None, name, name))
                elif prefix not in self.groups:
                    fields = [Column(m, prefix, m[len(prefix) + 1 :], m) for m in members[prefix]]
                    count = counted if counted in self.present else None
                    self._add_group(prefix, fields, jagged=count is not None, count=count)
            elif not (name.startswith("n") and name[1:] in members):
                self._add(Column(name, None, name, name))

    def _add_group(
        self,
        name: str,
        columns: list[Column],
        *,
        jagged: bool,
        count: str | None = None,
        select: tuple[str, int] | None = None,
    ) -> None:
        fields = {column.field for column in columns}
        for field, value in self.schema.constants.get(name, {}).items():
            if field not in fields and jagged:
                columns = [*columns, Column(f"{name}_{field}", name, field, None, constant=value)]
                fields.add(field)
        vector, coordinates = _vector(fields)
        self.groups[name] = Group(
            name=name,
            jagged=jagged,
            vector=vector,
            coordinates=tuple(f"{name}_{field}" for field in coordinates),
            count=count,
            like=next((column.source for column in columns if column.source), None),
            select=select,
        )
        if jagged:
            self._add(Column(f"n{name}", None, f"n{name}", count))
        for column in columns:
            self._add(column)


def _vector(fields: set[str]) -> tuple[str | None, tuple[str, ...]]:
    """Tell which vector a record is by its fields; none where they are ambiguous, as for a vertex."""
    held = fields & _COORDINATES
    for name, coordinates in _VECTORS:
        if held == coordinates:
            return name, tuple(sorted(coordinates))
    return None, ()
