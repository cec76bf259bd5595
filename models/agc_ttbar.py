"""The assignment of jets to the partons of a top-quark pair: boosted trees that score each permutation of an event.

They are trained on simulated pairs in which exactly one assignment is right, in two folds, so that no event is scored
by trees that saw it.
"""

from processors.agc_ttbar import FEATURES

from colonnade.training import Feature, Model, Trees

model = Model(
    event=tuple(Feature(name, unit) for name, (_, unit, _, _) in FEATURES.items()),
    network=Trees(count=150, depth=5, learning_rate=0.15, minimum_weight=5.0, patience=15),
    signals=("tt",),
    backgrounds=(),
    regions=("4j2b",),
    candidates="right",
)
