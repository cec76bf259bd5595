"""What is trained for `hnl_tau`: heavy neutral leptons in three leptons, at 16 masses from 85 to 1000 GeV.

`model` is the one the analysis scores with, told the mass; background gets masses drawn from the signals'. `masses`
compares it with observables, trees, the baseline and networks that start from a regression on made events:

    colonnade train models/hnl_tau.py --compare masses              # scaled to a CPU
    colonnade train models/hnl_tau.py --compare masses --size full --device cuda
"""

from colonnade.kinematics.three_leptons import INPUTS, MASS_HYPOTHESIS, THREE_LEPTON_FEATURES
from colonnade.training import Dense, Feature, MassScan, Model, Optimisation, Parameter, Regression, Transfer, Trees

CHANNELS = ("tee", "tem", "tmm", "tte", "ttm")
channel = tuple(Feature(f"is_{name}") for name in CHANNELS)
features = tuple(Feature(each.name, each.unit) for each in THREE_LEPTON_FEATURES if each != MASS_HYPOTHESIS)
mass = Parameter(MASS_HYPOTHESIS.name, MASS_HYPOTHESIS.unit)

# 85 inputs with the mass: 9,689 parameters
baseline = Model(
    event=features,
    parameters=(mass,),
    network=Dense(hidden=(83, 30)),
    regions=CHANNELS,
    # every mass counts the same, whatever its cross-section
    weighting="equal_points",
    prior_odds=100.0,
    # events are few: with five folds a network learns from 64 % of them, with two from 40 %
    folds=5,
    optimisation=Optimisation(learning_rate=1e-3, batch=1024, epochs=30, patience=6),
)
# masses count by their cross-section: what 85 GeV looks like is nearly all that is learned
by_cross_section = baseline.with_(weighting="signal_up_weighted")

# the channel is told; every mass counts the same in every channel, as the mean over channels counts them
model = baseline.with_(
    event=(*features, *channel),
    network=Dense(hidden=(128, 64), activation="silu", dropout=0.3),
    weighting="equal_cells",
    normalisation="asinh",
    members=3,
    optimisation=Optimisation(learning_rate=2e-3, l2=3e-5, batch=1024, epochs=20, patience=20, schedule="cosine"),
)
# what three networks of five folds gain: the same as one network of two
single = model.with_(folds=2, members=1)

# the same, never shown 300 GeV
MASSES = (85, 100, 125, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900, 1000)
HELD_OUT = 300
held_out = single.with_(signals=tuple(f"hnl_m{each}" for each in MASSES if each != HELD_OUT))

# for each mass and channel by itself
trees = Model(
    event=features,
    network=Trees(count=60, depth=3, learning_rate=0.15, subsample=0.8, features=0.5, minimum_weight=2.0, patience=15),
    regions=CHANNELS,
    weighting="equal_points",
    folds=5,
)

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
variants = {
    "baseline": baseline,
    "by_cross_section": by_cross_section,
    "single": single,
    "held_out": held_out,
    "trees": trees,
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
