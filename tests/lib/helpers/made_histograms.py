"""Regions, weights and a filled set of histograms."""

from __future__ import annotations

__all__ = ["REGIONS", "VARIATIONS", "masks", "some_set", "weights"]

import awkward as ak
import numpy as np
from hist import axis

from colonnade.histograms import Histogram, HistogramSet

REGIONS = ("A", "B", "C")


VARIATIONS = ("nominal", "one_up", "one_down", "other_up")


def masks(size, seed=0):
    rng = np.random.default_rng(seed)
    return {region: rng.random(size) < share for region, share in zip(REGIONS, (0.5, 0.2, 0.0), strict=True)}


def weights(size, seed=0):
    return np.random.default_rng(seed).normal(1, 2, (size, len(VARIATIONS)))


def some_set(seed=0, variations=VARIATIONS):
    rng = np.random.default_rng(seed)
    declared = [Histogram("x", axis.Regular(4, 0, 1)), Histogram("y", axis.Variable([0, 1, 3]), regions=["A", "B"])]
    filled = HistogramSet(declared, REGIONS, variations)
    observables = {"x": rng.random(50), "y": ak.unflatten(rng.random(100) * 4, 2)}
    filled.fill(observables, masks(50, seed), weights(50, seed)[:, : len(variations)])
    return filled
