"""Layouts whose events coffea's own schemas make, with the names, units and behaviors that these give them."""

from __future__ import annotations

from colonnade.events.schemas.base import Schema


def _of(name: str, trees: tuple[str, ...], *signature: str) -> Schema:
    return Schema(name, trees, signature, expected=(), coffea=True)


#: PHYSLITE is detected as this package's, in GeV and with NanoAOD's names.
OF_COFFEA = (
    _of("DelphesSchema", ("Delphes",), "Event_size", "Event."),
    _of("TreeMakerSchema", ("PreSelection",), "RunNum", "LumiBlockNum", "EvtNum", "Jets.fCoordinates."),
    _of("FCCSchema_edm4hep1", ("events",), "EventHeader.", "MCRecoAssociations."),
    _of("EDM4HEPSchema", ("events",), "EventHeader.", "MCParticle"),
    _of("FCCSchema", ("events",), "MCRecoAssociations", "MissingET#0."),
    _of("PDUNESchema", ("pduneana/beamana",)),
    _of("PHYSLITESchema", ("CollectionTree",)),
)
