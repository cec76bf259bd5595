"""Monojet: Z -> nu nu against W -> tau nu. A network on the particles themselves, and networks on their images.

    colonnade train models/monojet.py --compare monojet_scaled     # samples, columns, all trainings, tables
    colonnade train models/monojet.py --compare monojet_full --device cuda    # the document's sizes

The first fits a machine without a GPU: it simulates fewer events, its images are cropped to 32 x 32, and its image
networks have an eighth of the channels, fewer and larger steps and less L2, which would otherwise hold so short a
training at nothing.
"""

from dataclasses import replace

from colonnade.training import (
    Collection,
    Feature,
    ImageModel,
    ImageNetwork,
    ImageStudy,
    ImageTraining,
    Model,
    Optimisation,
    SetNetwork,
)

PARTICLES = Collection(
    "particles",
    (
        Feature("particle_pt", "GeV"),
        Feature("particle_eta"),
        Feature("particle_phi", "rad"),
        Feature("particle_mass", "GeV"),
        Feature("particle_charge"),
        Feature("particle_pdgId"),
    ),
)
JETS = Collection(
    "jets",
    (Feature("jet_pt", "GeV"), Feature("jet_eta"), Feature("jet_phi", "rad"), Feature("jet_width")),
)

# no image: each particle passes a small network, and what comes out is added up
model = Model(
    event=(),
    collections=(
        Collection(
            "particles",
            (
                Feature("particle_log_pt"),
                Feature("particle_eta"),
                Feature("particle_dphi", "rad"),
                Feature("particle_charge"),
                Feature("particle_is_electron"),
                Feature("particle_is_muon"),
                Feature("particle_is_photon"),
            ),
        ),
    ),
    network=SetNetwork(objects=(32, 32), hidden=(64, 64)),
    signals=("znunu",),
    backgrounds=("wtaunu",),
    regions=("high",),
    weighting="none",
    folds=1,
    cut=0.5,
    optimisation=Optimisation(learning_rate=3e-3, batch=256, epochs=30, patience=8),
)

FULL = ImageTraining()
SCALED = ImageTraining(
    learning_rate=1e-3, l2=1e-4, batch=32, steps=400, every=100, patience=5, checked=300, precision="bfloat16"
)
# the whole grid has twelve times the cells
SCALED_WHOLE = replace(SCALED, steps=60, every=30)
NARROW = (8, 16, 32, 16, 32, 16)


def images(compressions, training, size=60, **network):
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

monojet_full = ImageStudy(
    images=images(COMPRESSIONS, FULL),
    signal="znunu",
    background="wtaunu",
    unseen="wmunu",
    region="high",
    slices=("high", "medium", "low"),
    selection="monojet",
    yields=YIELDS,
    document="docs/monojet.md",
)

monojet_scaled = ImageStudy(
    images=images(COMPRESSIONS[:3], SCALED, size=32, channels=NARROW, initial="he")
    | images(COMPRESSIONS[3:], SCALED_WHOLE, channels=NARROW, initial="he"),
    signal="znunu",
    background="wtaunu",
    unseen="wmunu",
    region="high",
    slices=("high", "medium", "low"),
    selection="monojet",
    yields=YIELDS,
    events={"monojet_znunu_pt1000": 12_000, "monojet_wtaunu_pt1000": 12_000, "monojet_*": 1_500},
    document="docs/monojet.md",
)
