"""What the study compares: the models of `models/hnl_tau.py` and classifiers that start from a regression."""

from __future__ import annotations

__all__ = ["MODELS", "SCANS"]

from models.hnl_tau import CHANNELS, HELD_OUT, channel, mass
from processors.three_leptons import INPUTS

from colonnade.training import Feature, Model, Optimisation
from studies.hnl_tau.declaration import MassScan, Regression, Transfer

# starts from a regression on made events: its 14 inputs, then what it does not know (10 with the mass)
inputs = tuple(Feature(each.name, each.unit) for each in INPUTS)
charges = tuple(Feature(f"charge_{place}") for place in (1, 2, 3))
frozen = Model(
    event=(*inputs, *charges, *channel, Feature("n_tauh")),
    parameters=(mass,),
    network=Transfer(mode="frozen"),
    regions=CHANNELS,
    weighting="equal_cells",
    prior_odds=100.0,
    folds=5,
    optimisation=Optimisation(learning_rate=2e-4, batch=1024, epochs=100, patience=10),
)

MODELS = {
    "frozen": frozen,
    "free": frozen.with_(network__mode="free"),
    "freed": frozen.with_(network__mode="freed"),
}

# 170,352 instead of 25,435,248 parameters, 400,000 made events instead of 1.6 billion
SMALL = Regression(width=128, depth=10, events=50_000, batch=512, epochs=8, learning_rate=1.5e-3, decay=0.7)
small = {
    "network__regression": SMALL,
    "optimisation__learning_rate": 1e-3,
    "optimisation__epochs": 16,
    # its networks are the dearest
    "folds": 2,
}
longer = {"optimisation__epochs": 300, "optimisation__patience": 30}
masses = MassScan(
    models={
        "baseline, by cross-section": "by_cross_section",
        "baseline": "baseline",
        "parametrised, one network, two folds": "single",
        "parametrised": "model",
        "transfer, frozen": "frozen",
        "transfer, free": "free",
        "transfer, freed": "freed",
    },
    per_channel={"trees": "trees"},
    parameter=mass.name,
    reference="mt_tot",
    classical=4,
    document="docs/hnl_tau.md",
    held_out={"one network, two folds, 300 GeV held out": ("held_out", HELD_OUT)},
    sizes={
        "small": {name: {**small} for name in ("frozen", "free", "freed")},
        "full": {
            "by_cross_section": longer,
            "baseline": longer,
            "model": {"members": 10, "optimisation__epochs": 60, "optimisation__patience": 60},
            "trees": {"network__count": 1000},
        },
    },
)

SCANS = {"masses": masses}
