"""ATLAS DAOD_PHYSLITE: the calibrated collections, ``Analysis...AuxDyn``, in MeV."""

from __future__ import annotations

from colonnade.events.schemas.base import CollectionRule, Scalar, Schema

#: Particle Data Group, Review of Particle Physics (2024), in GeV.
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
