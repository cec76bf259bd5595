"""The kinds of files that can be read: one file a schema, registered here."""

from __future__ import annotations

__all__ = ["SCHEMAS", "CollectionRule", "Scalar", "Schema", "detect_schema", "find_schema"]

from collections.abc import Collection as Names

from colonnade.errors import ConfigError, nearest
from colonnade.events.schemas.atlas_open_data import ATLAS_OPEN_DATA
from colonnade.events.schemas.base import CollectionRule, Scalar, Schema
from colonnade.events.schemas.coffea import OF_COFFEA
from colonnade.events.schemas.nanoaod import CARTESIAN, FLAT, NANOAOD
from colonnade.events.schemas.physlite import PHYSLITE

#: In the order in which their signatures are tried; NanoAOD takes whatever the others do not know.
SCHEMAS: dict[str, Schema] = {
    schema.name: schema for schema in (PHYSLITE, ATLAS_OPEN_DATA, *OF_COFFEA, NANOAOD, CARTESIAN, FLAT)
}

#: What coffea calls the same.
_COFFEA = {
    **dict.fromkeys(("NanoAODSchema", "PFNanoAODSchema", "ScoutingNanoAODSchema"), "nanoaod"),
    "BaseSchema": "flat",
}


def find_schema(name: str) -> Schema:
    """Return the schema of a name, this package's or coffea's.

    Raises
    ------
    ConfigError
        If there is none, naming those there are.
    """
    known = _COFFEA.get(name, name)
    if known not in SCHEMAS:
        msg = f"There is no schema {name!r}{nearest(name, SCHEMAS)}; known are {', '.join([*SCHEMAS, *_COFFEA])}."
        raise ConfigError(msg)
    return SCHEMAS[known]


def detect_schema(names: Names[str]) -> Schema:
    """Return the schema whose signature a file's column names carry; NanoAOD where none does."""
    for schema in SCHEMAS.values():
        if schema.signature and all(any(name.startswith(start) for name in names) for start in schema.signature):
            return schema
    return SCHEMAS["nanoaod"]
