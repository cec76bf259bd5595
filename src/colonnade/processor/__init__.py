"""The base of an analysis: objects, observables, regions, weights, variations, blinding and cutflow."""

__all__ = [
    "Objects",
    "Processor",
    "Region",
    "Scorer",
    "Shift",
    "Source",
    "matrix_weight",
    "measure_transfer",
    "members",
    "up_down",
]

from colonnade.processor.base import Processor
from colonnade.processor.pieces import Objects, Region, Scorer, Shift, Source
from colonnade.processor.transfers import matrix_weight, measure_transfer
from colonnade.processor.weights import members, up_down
