"""Monojet: Z -> nu nu against W -> tau nu, by a network on the particles themselves.

`studies.monojet` compares it with networks on images of the same particles.
"""

from dataclasses import replace

from colonnade.training import Collection, Dense, Feature, Model, Optimisation, SetNetwork

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
