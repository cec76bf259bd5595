"""What the study compares: the network of `models/monojet.py` with eight networks on images, in two sizes.

`monojet_scaled` fits a machine without a GPU: it simulates fewer events, its images are cropped to 32 x 32, and its
image networks have an eighth of the channels, fewer and larger steps and less L2, which would otherwise hold so short
a training at nothing. `monojet_full` has the sizes of arXiv:1712.07042.
"""

from __future__ import annotations

__all__ = ["STUDIES"]

from dataclasses import replace
from typing import Any

from models.monojet import JETS, PARTICLES, TURNED, jets, particles

from colonnade.training import Feature
from studies.monojet.declaration import ImageModel, ImageNetwork, ImageStudy, ImageTraining

FULL = ImageTraining()
SCALED = ImageTraining(
    learning_rate=3e-3, l2=1e-4, batch=128, steps=800, every=100, patience=8, checked=1000, precision="bfloat16"
)
# the whole grid has twelve times the cells: about as much of the processor's time as the others
SCALED_WHOLE = replace(SCALED, batch=64, steps=150, every=50, checked=500)
NARROW = (8, 16, 32, 16, 32, 16)


def images(
    compressions: tuple[str, ...], training: ImageTraining, size: int = 60, **network: Any
) -> dict[str, ImageModel]:
    """Both networks on each compression."""
    return {
        f"{compression}_{down}": ImageModel(
            PARTICLES,
            JETS,
            compression=compression,
            network=ImageNetwork(down=down, **network),
            training=training,
            size=size,
        )
        for compression in compressions
        for down in ("strides", "max_pool")
    }


def turned(image: ImageModel) -> ImageModel:
    """Turn images in azimuth, so that the missing momentum lies in their middle."""
    return replace(image, particles=particles(TURNED), jets=jets(Feature("jet_dphi", "rad")))


COMPRESSIONS = ("cell", "row_column", "stochastic", "none")

# events with missing momentum above 250 GeV after the selection of ATLAS, arXiv:1711.03301
YIELDS = {
    "wenu": 20600,
    "wmunu": 20860,
    "wtaunu": 50300,
    "zee": 0.11,
    "zmumu": 564,
    "ztautau": 812,
    "znunu": 137800,
    "top": 8600,
    "diboson": 5230,
    "multijet": 700,
}

# what both studies have in common; the document shows slices and the gain of the first two image networks, the third
# was the best in the scaled study
COMMON: dict[str, Any] = {
    "others": ("raw_azimuth", "one_number"),
    "detailed": ("cell_strides", "row_column_max_pool", "stochastic_max_pool", "stochastic_max_pool_turned"),
    "signal": "znunu",
    "background": "wtaunu",
    "unseen": "wmunu",
    "region": "high",
    "slices": ("high", "medium", "low"),
    "selection": "monojet",
    "yields": YIELDS,
    "document": "docs/monojet.md",
}


def study(images: dict[str, ImageModel], **changes: Any) -> ImageStudy:
    """Compare images, and two of the networks on turned ones as well."""
    again = {f"{name}_turned": turned(images[name]) for name in ("cell_strides", "stochastic_max_pool")}
    return ImageStudy(images=images | again, **COMMON, **changes)


monojet_full = study(images(COMPRESSIONS, FULL))

monojet_scaled = study(
    images(COMPRESSIONS[:3], SCALED, size=32, channels=NARROW, initial="he")
    | images(COMPRESSIONS[3:], SCALED_WHOLE, channels=NARROW, initial="he"),
    events={"monojet_znunu_pt1000": 12_000, "monojet_wtaunu_pt1000": 12_000, "monojet_*": 1_500},
)

STUDIES = {"monojet_full": monojet_full, "monojet_scaled": monojet_scaled}
