"""What is trained for `dilepton_met`: dark matter in two leptons and missing transverse momentum.

`model` is the one the analysis scores with: all jets of all events, unpadded, told the hypothesis for the Z' mass.
The others are alternatives, trained on the same columns; `studies.dilepton_met` compares them.
"""

from colonnade.training import (
    Collection,
    Dense,
    Feature,
    Model,
    Optimisation,
    Parameter,
    Search,
    SetNetwork,
    Trees,
)

event = (
    Feature("mll", "GeV"),
    Feature("mt2", "GeV"),
    Feature("mt", "GeV"),
    Feature("mt_ll", "GeV"),
    Feature("et_ll", "GeV"),
    Feature("met", "GeV"),
    Feature("met_significance"),
    Feature("ht", "GeV"),
    Feature("rt"),
    Feature("lep1_pt", "GeV"),
    Feature("lep1_eta"),
    Feature("lep2_pt", "GeV"),
    Feature("lep2_eta"),
    Feature("dphi_ll"),
    Feature("dphi_ll_met"),
    Feature("dphi_leading_met"),
    Feature("dphi_closest_met"),
    Feature("n_jets"),
)
jet = (Feature("jet_pt", "GeV"), Feature("jet_eta"))
jets = Collection("jets", jet)
# where the search looks
signal_regions = ("SR_ee", "SR_mm")
mass = Parameter("m_Zprime", "GeV")

model = Model(
    event=event,
    collections=(jets,),
    parameters=(mass,),
    network=SetNetwork(objects=(32, 32), hidden=(64, 64)),
    regions=signal_regions,
    # pairs of an electron and a muon teach too what top and W pairs look like
    learn_from=(("mll", 110.0, None), ("n_bjets", None, 0.0)),
    prior_odds=100.0,
    weighting="equal_points",
    folds=2,
    optimisation=Optimisation(learning_rate=2e-3, batch=1024, epochs=60, patience=10),
)

# one thing changed at a time; half the epochs, as it is the differences that matter
told_mass = model.with_(optimisation__epochs=30)
told_nothing = told_mass.with_(parameters=())
flat = told_nothing.with_(network=Dense(hidden=(64, 64)), collections=())
variants = {
    "told_mass": told_mass,
    "set": told_nothing,
    "flat": flat,
    "trees": flat.with_(
        prior_odds=1.0,
        network=Trees(count=200, depth=4, learning_rate=0.2),
        collections=(Collection("jets", jet, leading=3),),
    ),
    # the three ways of the thesis to handle jets that an event does not have, for its three leading jets
    "padded": flat.with_(collections=(Collection("jets", jet, leading=3, fill=(0.0, 10.0)),)),
    "zero_filled": flat.with_(collections=(Collection("jets", jet, leading=3, fill=0.0),)),
    "dropped": flat.with_(collections=(Collection("jets", jet, leading=1, fill=0.0),)),
}
weightings = {
    f"weighting_{name}": told_nothing.with_(weighting=name)
    for name in (
        "none",
        "background_ratio",
        "signal_up_raw",
        "signal_up_weighted",
        "background_down_raw",
        "background_down_weighted",
    )
}
theories = {f"theory_{name}": told_mass.with_(signals=(f"{name}_*",)) for name in ("DH", "LV", "EFT")}

# the two grids of the thesis, with its numbers of neurons and few epochs; its "n_layers = 2" is one hidden layer
quick = {"quick": flat.with_(optimisation__epochs=5)}
grid_rate_l2_neurons = Search(
    {
        "optimisation__learning_rate": (1e-3, 1e-2, 1e-1, 1.0),
        "optimisation__l2": (1e-5, 1e-4, 1e-3, 1e-2),
        "network__hidden": ((1,), (10,), (50,), (100,)),
    },
    base="quick",
)
grid_layers_rate_neurons = Search(
    {
        "optimisation__learning_rate": (1e-3, 1e-2, 1e-1, 1.0),
        "network__hidden": tuple((width,) * layers for layers in (1, 2, 3, 4) for width in (1, 10, 50, 100)),
    },
    base="quick",
)
