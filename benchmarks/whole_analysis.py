"""A whole analysis against idiomatic coffea: classifier, 40 weight variations, 4 shifts, 30 histograms, 6 regions.

It is the dilepton analysis with more of everything; the classifier is a dense network of 12 observables that this
script makes, with weights as drawn. Both sides score each shift's events in the event loop, on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from hist.axis import Regular

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parents[1])]

from measuring import FOLDER, Coffea, Colonnade, compare, events_file, prepare, same_histograms
from peers.whole_analysis import WholeAnalysis as Peer
from processors.dilepton_met import DileptonMET

from colonnade import Histogram
from colonnade.inference import Classifier

FEATURES = (
    *("mll", "mt2", "mt", "met", "met_significance", "ht", "rt", "n_jets", "lep1_pt", "lep2_pt"),
    *("dphi_ll", "dphi_ll_met"),
)
REGIONS = ("CR_ee", "CR_mm", "CR_em", "SR_ee", "SR_mm", "CC_ee")
SOURCES = 16  # with the 4 of the dilepton analysis 20, each up and down
MORE = {"pt_ll": Regular(50, 0, 500), "vector_ht": Regular(50, 0, 500), "score": Regular(50, 0, 1)}


class Whole(DileptonMET):
    """The dilepton analysis with more of everything."""

    shifts = ("jet_energy_scale", "jet_resolution")
    regions = {name: DileptonMET.regions[name] for name in REGIONS}  # noqa: RUF012 - as an analysis is written
    histograms = (
        *(Histogram(one.name, *one.axes) for one in DileptonMET.histograms),
        *(Histogram(name, axis) for name, axis in MORE.items()),
    )

    def __init__(self, **others):
        super().__init__(**others)
        self.histograms = type(self).histograms

    def objects(self, events, shift):
        """Shift jets by both sources."""
        sigma = shift["jet_energy_scale"] + 0.5 * shift["jet_resolution"]
        return super().objects(events, {"jet_energy_scale": sigma})

    def weights(self, events, objects, weights):
        """Add weights with variations."""
        super().weights(events, objects, weights)
        nominal = np.ones(len(events))
        for number in range(SOURCES):
            change = 0.02 * np.tanh(objects.lepton1.pt / (50.0 + 10.0 * number))
            weights.add(f"source{number}", nominal, 1 + change, 1 - change)


def made_classifier(path: Path) -> Classifier:
    """Export a dense network with weights as drawn."""
    from colonnade.training import Dense, Feature, Model
    from colonnade.training.export import network_graph, write_model
    from colonnade.training.networks import build_network
    from colonnade.training.weights import fit_scale

    model = Model(event=tuple(Feature(name) for name in FEATURES), network=Dense(hidden=(64, 64)), folds=1)
    card = model.card("benchmark", {})
    spread = np.abs(np.random.default_rng(2).normal(50, 100, (100, len(FEATURES)))).astype(np.float32)
    network = build_network(model, card, fit_scale("zscore", spread), {}, 1)
    return write_model(path, [network_graph(network, card)], card)


def differences(ours, theirs) -> list[str]:
    """Tell where the two sides differ."""
    filled = ours["histograms"]
    variations = [len(one.axes["variation"]) for one in filled.values()]
    if len(filled) != 30 or set(variations) != {1 + 40 + 4}:
        return [f"{len(filled)} histograms with {set(variations)} variations"]
    return same_histograms(filled, theirs["histograms"])


def main() -> None:
    """Compare, and report the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--chunks", type=int, nargs="+", default=(100_000,))
    options = parser.parse_args()
    prepare()
    path = events_file(options.events)
    classifier = made_classifier(FOLDER / "whole_analysis.onnx")
    compare(
        "a whole analysis",
        Colonnade(path, Whole(scorers={"score": classifier})),
        Coffea(path, Peer(str(classifier.path), FEATURES, REGIONS, SOURCES)),
        differences,
        least=(5.0, 5.0),
        chunks=options.chunks,
        rounds=options.rounds,
    )


if __name__ == "__main__":
    main()
