"""What is trained for `hnl_tau`: heavy neutral leptons in three leptons, at 16 masses from 85 to 1000 GeV.

`model` is the one the analysis scores with, told the mass; background gets masses drawn from the signals'.
`studies.hnl_tau` compares it with observables, trees, the baseline and networks that start from a regression.
"""

from processors.three_leptons import MASS_HYPOTHESIS, THREE_LEPTON_FEATURES

from colonnade.training import Dense, Feature, Model, Optimisation, Parameter, Trees

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

variants = {
    "baseline": baseline,
    "by_cross_section": by_cross_section,
    "single": single,
    "held_out": held_out,
    "trees": trees,
}
