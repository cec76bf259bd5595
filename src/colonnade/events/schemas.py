"""The kinds of files that can be read: each a table from the columns of a file to NanoAOD's names, in GeV.

ATLAS 13 TeV Open Data: ATLAS Collaboration, ATL-OREACH-PUB-2020-001, "Review of the 13 TeV ATLAS Open Data release".
Masses of particles: Particle Data Group, Review of Particle Physics (2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection as Names
from collections.abc import Mapping

from colonnade.errors import ConfigError, nearest

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


#: CMS NanoAOD, and files written in its layout or one like it; the naming all other schemas are brought to.
NANOAOD = Schema(
    name="nanoaod",
    trees=("Events",),
    grouped=True,
    # beside mass it would leave open which of the two makes the momentum
    rename={"Electron_energy": "regrEnergy", "Photon_energy": "regrEnergy"},
    references=True,
)

#: Ntuples with momenta as energy and three components: ``Muon_Px``, ``Muon_Py``, ``Muon_Pz``, ``Muon_E``.
CARTESIAN = Schema(
    name="cartesian",
    grouped=True,
    rename={
        **{f"{letter}{axis}": f"p{axis.lower()}" for letter in "pP" for axis in "xyzXYZ"},
        **dict.fromkeys(("E", "e", "energy", "Energy"), "energy"),
    },
)

#: A tree as it is: every column under its own name, none of them a field of a collection.
FLAT = Schema(name="flat")


def _ntuple(
    name: str, prefix: str, mev: str, rename: dict[str, str], *hidden: str, select: tuple[str, int] | None = None
) -> CollectionRule:
    """Return the rule for objects of an ATLAS ntuple, whose counter is ``PREFIXn``; of `mev` the words are fields."""
    return CollectionRule(
        name, prefix, f"{prefix}n", rename, frozenset(mev.split()), frozenset({"n", *hidden}), select=select
    )


_RENAME = {"E": "energy", "m": "mass", "isTightID": "tightId"}
# ak.Array has a type of its own
_LEPTON = "lep_", "pt E ptcone30 etcone20 pt_syst", {**_RENAME, "type": "absPdgId"}

#: The flat ntuples with the tree ``mini``, in MeV. Electrons and muons come as one collection, ``lep``, told apart by
#: ``lep_type``; they are read as ``Electron`` and ``Muon``, and together, in the file's order, as ``Lepton`` with
#: ``absPdgId``.
ATLAS_OPEN_DATA = Schema(
    name="atlas_open_data",
    trees=("mini",),
    signature=("lep_n", "lep_pt", "lep_type", "met_et", "eventNumber"),
    scalars={
        "runNumber": Scalar("run"),
        "eventNumber": Scalar("event"),
        "channelNumber": Scalar("channelNumber"),
        "mcWeight": Scalar("genWeight"),
        "met_et": Scalar("MET_pt", MEV),
        "met_phi": Scalar("MET_phi"),
        "met_et_syst": Scalar("MET_ptSyst", MEV),
        "ditau_m": Scalar("ditau_mass"),
    },
    collections=(
        _ntuple("Lepton", *_LEPTON),
        _ntuple("Electron", *_LEPTON, "type", select=("type", 11)),
        _ntuple("Muon", *_LEPTON, "type", select=("type", 13)),
        _ntuple("Jet", "jet_", "pt E pt_syst", _RENAME),
        # pt, eta, phi and mass say all; a second time component would make the vector ambiguous
        _ntuple("FatJet", "largeRjet_", "pt m pt_syst", {"m": "mass"}, "E"),
        _ntuple("Photon", "photon_", "pt E ptcone30 etcone20 pt_syst", _RENAME),
        _ntuple("Tau", "tau_", "pt E pt_syst", _RENAME),
    ),
    # scaleFactor_ELE: the field ELE of events.scaleFactor, and so on
    grouped=True,
    # luminosityBlock does not exist in these ntuples at all
    expected=("run", "event"),
)


#: In GeV.
_MUON_MASS = 0.1056583755
_ELECTRON_MASS = 0.00051099895
_ISOLATION = (
    "ptcone20 ptcone30 ptcone40 ptvarcone20 ptvarcone30 ptvarcone40 topoetcone20 topoetcone30 topoetcone40 "
    "ptvarcone30_Nonprompt_All_MaxWeightTTVA_pt1000 ptvarcone30_Nonprompt_All_MaxWeightTTVA_pt500 "
    "ptcone20_Nonprompt_All_MaxWeightTTVA_pt1000 ptcone20_Nonprompt_All_MaxWeightTTVA_pt500 "
    "ptvarcone20_Nonprompt_All_MaxWeightTTVALooseCone_pt1000 neflowisol20 EnergyLoss InnerDetectorPt "
    "MuonSpectrometerPt ptTauEnergyScale ptFinalCalib"
)
_MEV = frozenset({"pt", "m", "px", "py", "pz"}) | frozenset(_ISOLATION.split())
#: Written with or without "Dyn", as columns that were added later or not.
_EVENT = ("EventInfoAuxDyn", "EventInfoAux")
_SCALARS = {
    "runNumber": Scalar("run"),
    "lumiBlock": Scalar("luminosityBlock"),
    "eventNumber": Scalar("event"),
    "mcChannelNumber": Scalar("channelNumber"),
    "actualInteractionsPerCrossing": Scalar("Pileup_actualInteractions"),
    "averageInteractionsPerCrossing": Scalar("Pileup_averageInteractions"),
    # the first of the generator's weights is the nominal one
    "mcEventWeights": Scalar("genWeight", first=True),
}


def _objects(name: str, prefix: str, constants: dict[str, float] | None = None) -> CollectionRule:
    # of energy and mass one is enough; the energy of a light particle has no digits left for its mass
    return CollectionRule(
        name, prefix, rename={"m": "mass"}, mev=_MEV, hidden=frozenset({"e"}), constants=constants or {}
    )


def _missing_momentum(name: str, prefix: str) -> CollectionRule:
    """Return the terms of a missing momentum, each with its name; PHYSLITE holds no final sum."""
    return CollectionRule(
        name,
        prefix,
        rename={"mpx": "px", "mpy": "py", "sumet": "sumEt"},
        mev=frozenset({"mpx", "mpy", "sumet"}),
    )


#: ATLAS DAOD_PHYSLITE: the calibrated collections, ``Analysis...AuxDyn``, in MeV.
PHYSLITE = Schema(
    name="physlite",
    # the second is the name of the RNTuple
    trees=("CollectionTree", "EventData"),
    signature=("Analysis", "EventInfoAux"),
    scalars={f"{prefix}.{name}": scalar for prefix in _EVENT for name, scalar in _SCALARS.items()},
    collections=(
        _objects("Electron", "AnalysisElectronsAuxDyn.", {"mass": _ELECTRON_MASS}),
        _objects("Muon", "AnalysisMuonsAuxDyn.", {"mass": _MUON_MASS}),
        _objects("Photon", "AnalysisPhotonsAuxDyn.", {"mass": 0.0}),
        _objects("Tau", "AnalysisTauJetsAuxDyn."),
        _objects("Jet", "AnalysisJetsAuxDyn."),
        _objects("FatJet", "AnalysisLargeRJetsAuxDyn."),
        _objects("Track", "InDetTrackParticlesAuxDyn."),
        _objects("GenElectron", "TruthElectronsAuxDyn."),
        _objects("GenMuon", "TruthMuonsAuxDyn."),
        _objects("GenPhoton", "TruthPhotonsAuxDyn."),
        _objects("GenTau", "TruthTausAuxDyn."),
        _objects("GenNeutrino", "TruthNeutrinosAuxDyn."),
        _objects("GenBoson", "TruthBosonAuxDyn."),
        _objects("GenTop", "TruthTopAuxDyn."),
        _missing_momentum("CoreMET", "MET_Core_AnalysisMETAuxDyn."),
        _missing_momentum("GenMET", "MET_TruthAuxDyn."),
        _objects("GenJet", "AntiKt4TruthDressedWZJetsAux."),
    ),
)


def _of(name: str, trees: tuple[str, ...], *signature: str) -> Schema:
    return Schema(name, trees, signature, expected=(), coffea=True)


#: Layouts whose events coffea's own schemas make, with the names, units and behaviors that these give them; PHYSLITE is
#: detected as this package's.
OF_COFFEA = (
    _of("DelphesSchema", ("Delphes",), "Event_size", "Event."),
    _of("TreeMakerSchema", ("PreSelection",), "RunNum", "LumiBlockNum", "EvtNum", "Jets.fCoordinates."),
    _of("FCCSchema_edm4hep1", ("events",), "EventHeader.", "MCRecoAssociations."),
    _of("EDM4HEPSchema", ("events",), "EventHeader.", "MCParticle"),
    _of("FCCSchema", ("events",), "MCRecoAssociations", "MissingET#0."),
    _of("PDUNESchema", ("pduneana/beamana",)),
    _of("PHYSLITESchema", ("CollectionTree",)),
)


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
