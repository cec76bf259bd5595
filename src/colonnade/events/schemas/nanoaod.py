"""CMS NanoAOD, and every file written in its layout; the naming all other schemas are brought to."""

from __future__ import annotations

__all__ = ["NANOAOD"]

from colonnade.events.schemas.base import Schema

_MASSLESS = {"mass": 0.0}

NANOAOD = Schema(
    name="nanoaod",
    trees=("Events",),
    grouped=True,
    # massless, or close enough that NanoAOD leaves the column out
    constants={
        "Photon": _MASSLESS,
        "FsrPhoton": _MASSLESS,
        "IsoTrack": _MASSLESS,
        "SoftActivityJet": _MASSLESS,
        "TrigObj": _MASSLESS,
    },
)
