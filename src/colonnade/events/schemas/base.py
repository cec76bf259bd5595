"""What a schema is: a table from the columns a file has to NanoAOD's names in GeV."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

#: What a value in MeV is divided by to be in GeV.
MEV = 1000.0


@dataclasses.dataclass(frozen=True)
class Scalar:
    """One value per event.

    Attributes
    ----------
    name
        The canonical name: ``genWeight``, or ``MET_pt`` for the field ``pt`` of ``events.MET``.
    divisor
        What the values are divided by: 1, or `MEV`.
    first
        Whether the source has several values per event, of which the first is meant.
    """

    name: str
    divisor: float = 1.0
    first: bool = False


@dataclasses.dataclass(frozen=True)
class CollectionRule:
    """Objects per event: every source column that starts with a prefix is a field of one collection.

    Attributes
    ----------
    name
        The canonical name, such as ``Electron``.
    prefix
        How its source columns start, such as ``lep_``; the rest is the field's name.
    count
        The source column with the number of objects, where the file has one.
    rename
        Source field to canonical field (``E`` to ``energy``).
    mev
        The source fields in MeV.
    hidden
        Source fields that are no fields of the collection (the counter itself, for instance).
    constants
        Fields that are the same for every object and absent from the file, such as a muon's mass.
    select
        A source field and the value it must have: only those objects belong to this collection.
    """

    name: str
    prefix: str
    count: str | None = None
    rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mev: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    constants: Mapping[str, float] = dataclasses.field(default_factory=dict)
    select: tuple[str, int] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Schema:
    """How one kind of file is read.

    Attributes
    ----------
    name
        What it is called in a manifest or workflow.
    trees
        The trees such files usually hold, most likely first.
    signature
        How source columns begin that tell this kind of file: for each of these there must be one.
    scalars
        Source column to the event's value.
    collections
        The collections with a rule of their own.
    grouped
        Whether the columns without a rule are grouped as NanoAOD's names say (``nMuon`` and ``Muon_pt``
        make the field ``pt`` of ``Muon``); otherwise they keep their names.
    rename
        What fields of such groups are called: ``{"Px": "px"}``, or ``{"Electron_energy": "regrEnergy"}`` of one group.
    references
        Whether collections get the constants and the indices into other collections that coffea's NanoAOD has.
    expected
        Canonical columns an analysis may do without; a file without them is read, and a note says so.
    coffea
        Whether the schema of coffea with this name makes the events, of columns that keep the file's names.
    """

    name: str
    trees: tuple[str, ...] = ()
    signature: tuple[str, ...] = ()
    scalars: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    collections: tuple[CollectionRule, ...] = ()
    grouped: bool = False
    rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
    references: bool = False
    expected: tuple[str, ...] = ("run", "luminosityBlock", "event")
    coffea: bool = False
