"""Heavy Higgs: what tells the signal from the background without looking at the mass, and what looks at it.

`model` sees no mass of the pair and jet, and learns from events near the signal's mass, so its cut keeps the background
smooth. `mass_aware` sees the mass and shows what goes wrong: its cut carves the signal's mass out of the background.
Both are trained on a mixture of half signal, half background, in folds, so that no event is scored by a network that
saw it.
"""

from colonnade.training import Dense, Feature, Model, Optimisation

FEATURES = (
    Feature("lep1_pt", "GeV"),
    Feature("lep2_pt", "GeV"),
    Feature("fatjet_pt", "GeV"),
    Feature("fatjet_eta"),
    Feature("fatjet_D2"),
    Feature("Zll_mass", "GeV"),
    Feature("Zll_pt", "GeV"),
    Feature("MET", "GeV"),
)

model = Model(
    event=FEATURES,
    network=Dense(hidden=(32, 32)),
    regions=("all",),
    # near the signal's mass only: what tells it from background of equal mass, so that the cut keeps the mass's shape
    learn_from=(("reco_zv_mass", 900.0, 1100.0),),
    # signal weighs as much as all background
    weighting="equal_points",
    folds=5,
    cut=0.5,
    optimisation=Optimisation(learning_rate=2e-3, batch=1024, epochs=60, patience=8),
)

mass_aware = model.with_(event=(*FEATURES, Feature("reco_zv_mass", "GeV")), learn_from=())
