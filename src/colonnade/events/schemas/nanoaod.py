"""CMS NanoAOD, and files written in its layout or one like it; the naming all other schemas are brought to."""

from __future__ import annotations

from colonnade.events.schemas.base import Schema

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
