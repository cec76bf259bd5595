"""ATLAS 13 TeV Open Data, the flat ntuples with the tree ``mini``.

Momenta are in MeV. Electrons and muons come as one collection, ``lep``, told apart by ``lep_type``; they are
read as ``Electron`` and ``Muon``, and together, in the file's order, as ``Lepton`` with ``absPdgId``. Source:
ATLAS Collaboration, ATL-OREACH-PUB-2020-001, "Review of the 13 TeV ATLAS Open Data release".
"""

from __future__ import annotations

from colonnade.events.schemas.base import MEV, CollectionRule, Scalar, Schema

_RENAME = {"E": "energy", "m": "mass", "isTightID": "tightId"}
_LEPTON_MEV = frozenset({"pt", "E", "ptcone30", "etcone20", "pt_syst"})


def _leptons(name: str, select: tuple[str, int] | None = None) -> CollectionRule:
    return CollectionRule(
        name,
        prefix="lep_",
        count="lep_n",
        # ak.Array has a type of its own
        rename={**_RENAME, "type": "absPdgId"},
        mev=_LEPTON_MEV,
        hidden=frozenset({"n"} if select is None else {"n", "type"}),
        select=select,
    )


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
        _leptons("Lepton"),
        _leptons("Electron", ("type", 11)),
        _leptons("Muon", ("type", 13)),
        CollectionRule(
            "Jet",
            prefix="jet_",
            count="jet_n",
            rename=_RENAME,
            mev=frozenset({"pt", "E", "pt_syst"}),
            hidden=frozenset({"n"}),
        ),
        CollectionRule(
            "FatJet",
            prefix="largeRjet_",
            count="largeRjet_n",
            rename={"m": "mass"},
            mev=frozenset({"pt", "m", "pt_syst"}),
            # pt, eta, phi and mass say all; a second time component would make the vector ambiguous
            hidden=frozenset({"n", "E"}),
        ),
        CollectionRule(
            "Photon",
            prefix="photon_",
            count="photon_n",
            rename=_RENAME,
            mev=frozenset({"pt", "E", "ptcone30", "etcone20", "pt_syst"}),
            hidden=frozenset({"n"}),
        ),
        CollectionRule(
            "Tau",
            prefix="tau_",
            count="tau_n",
            rename=_RENAME,
            mev=frozenset({"pt", "E", "pt_syst"}),
            hidden=frozenset({"n"}),
        ),
    ),
    # scaleFactor_ELE: the field ELE of events.scaleFactor, and so on
    grouped=True,
    # luminosityBlock does not exist in these ntuples at all
    expected=("run", "event"),
)
