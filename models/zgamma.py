"""Z gamma resonance: the network that tells the mass window from its sidebands.

In the pseudo-experiments (`workflows/zgamma.yaml`) each network is trained on one drawn data set, window against
sidebands, without knowing what a signal looks like: semi-supervised. `colonnade train` trains the same network on
simulated signal against background instead, for comparison.
"""

from colonnade.training import Dense, Feature, Model, Optimisation

# nothing that is the mass itself; transverse momenta know something of it all the same
FEATURES = (
    Feature("photon_pt", "GeV"),
    Feature("photon_eta"),
    Feature("lep1_pt", "GeV"),
    Feature("lep2_pt", "GeV"),
    Feature("dr_ll"),
    Feature("dr_lg"),
    Feature("dphi_zg"),
    Feature("pt_zg", "GeV"),
)

model = Model(
    event=FEATURES,
    network=Dense(hidden=(32, 32)),
    # the document's: Adam, 1e-3, batches of 256
    optimisation=Optimisation(learning_rate=1e-3, batch=256, epochs=5),
    regions=("ZG",),
    folds=2,
)
