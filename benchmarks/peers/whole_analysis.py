"""A whole analysis as an idiomatic coffea processor: the dilepton one with a classifier, and more of everything."""

from __future__ import annotations

import functools

import awkward as ak
import hist
import numpy as np
import onnxruntime
from peers.dilepton_met import DileptonMET, region_cuts


@functools.cache
def session(model):
    """Open a classifier, once in each process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class WholeAnalysis(DileptonMET):
    """The dilepton analysis with a score, 30 histograms, 6 regions, 40 weight variations and 4 shifts.

    Parameters
    ----------
    model
        The ONNX file of the classifier.
    features
        The observables it takes.
    regions
        The names of the regions.
    sources
        How many weights there are beside those of the efficiencies.
    """

    def __init__(self, model, features, regions, sources):
        super().__init__()
        self.axes = {
            **self.axes,
            "pt_ll": hist.axis.Regular(50, 0, 500, name="pt_ll"),
            "vector_ht": hist.axis.Regular(50, 0, 500, name="vector_ht"),
            "score": hist.axis.Regular(50, 0, 1, name="score"),
        }
        self.restricted = set()
        self.names = list(self.axes)
        self.regions = {name: region_cuts()[name] for name in regions}
        self.shifts |= {"jet_resolution_up": 0.5, "jet_resolution_down": -0.5}
        self.features, self.sources = features, sources
        self.model = model

    def observables(self, events, first, second, jets, light, met):
        """Add what the others do not have, and the score."""
        found = super().observables(events, first, second, jets, light, met)
        found["pt_ll"] = (first + second).pt
        px = first.px + second.px + ak.sum(jets.px, axis=1)
        py = first.py + second.py + ak.sum(jets.py, axis=1)
        found["vector_ht"] = np.hypot(px, py)
        columns = [np.asarray(found[name], dtype=np.float32) for name in self.features]
        found["score"] = session(self.model).run(None, {"event": np.stack(columns, axis=1)})[0]
        return found

    def efficiencies(self, weights, first, second, taggable, met):
        """Add the other weights."""
        super().efficiencies(weights, first, second, taggable, met)
        nominal = np.ones(len(first))
        pt = np.asarray(first.pt)
        for number in range(self.sources):
            change = 0.02 * np.tanh(pt / (50.0 + 10.0 * number))
            weights.add(f"source{number}", nominal, 1 + change, 1 - change)
