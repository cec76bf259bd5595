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
    Dense,
    Feature,
    ImageModel,
    ImageNetwork,
    ImageStudy,
    ImageTraining,
    Model,
    Optimisation,
    SetNetwork,
)

# of a particle: where it is, and where from the missing momentum
AZIMUTH, TURNED = Feature("particle_phi", "rad"), Feature("particle_dphi", "rad")


def particles(azimuth):
    """Take what an image is made of."""
    return Collection(
        "particles",
        (
            Feature("particle_pt", "GeV"),
            Feature("particle_eta"),
            azimuth,
            Feature("particle_mass", "GeV"),
            Feature("particle_charge"),
            Feature("particle_pdgId"),
        ),
    )


def jets(azimuth):
    """Take its jets."""
    return Collection("jets", (Feature("jet_pt", "GeV"), Feature("jet_eta"), azimuth, Feature("jet_width")))


PARTICLES, JETS = particles(AZIMUTH), jets(Feature("jet_phi", "rad"))

# no image: each particle passes a small network, and what comes out is added up
model = Model(
    event=(),
    collections=(
        Collection(
            "particles",
            (
                Feature("particle_log_pt"),
                Feature("particle_eta"),
                TURNED,
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

# what the set network's inputs are worth: the same network with the azimuth that images have ...
raw_azimuth = replace(
    model,
    collections=(
        Collection("particles", tuple(AZIMUTH if each == TURNED else each for each in model.collections[0].features)),
    ),
)
# ... and one number instead of all particles: the pT of the hardest beside the missing momentum
one_number = replace(model, event=(Feature("pt_beside_met", "GeV"),), collections=(), network=Dense(hidden=(16,)))

FULL = ImageTraining()
SCALED = ImageTraining(
    learning_rate=3e-3, l2=1e-4, batch=128, steps=800, every=100, patience=8, checked=1000, precision="bfloat16"
)
# the whole grid has twelve times the cells: about as much of the processor's time as the others
SCALED_WHOLE = replace(SCALED, batch=64, steps=150, every=50, checked=500)
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


def turned(image):
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
COMMON = {
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


def study(images, **changes):
    """Compare images, and two of the networks on turned ones as well."""
    again = {f"{name}_turned": turned(images[name]) for name in ("cell_strides", "stochastic_max_pool")}
    return ImageStudy(images=images | again, **COMMON, **changes)


monojet_full = study(images(COMPRESSIONS, FULL))

monojet_scaled = study(
    images(COMPRESSIONS[:3], SCALED, size=32, channels=NARROW, initial="he")
    | images(COMPRESSIONS[3:], SCALED_WHOLE, channels=NARROW, initial="he"),
    events={"monojet_znunu_pt1000": 12_000, "monojet_wtaunu_pt1000": 12_000, "monojet_*": 1_500},
)
