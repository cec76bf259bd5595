"""Calibrations of physics objects and weights of events, from correctionlib's JSON files."""

__all__ = [
    "Correction",
    "Electrons",
    "Factor",
    "Jets",
    "Muons",
    "TagShape",
    "WorkingPoint",
    "any_fires",
    "met_filters",
    "vetoed",
]

from colonnade.calibration.energies import Electrons, Jets, Muons
from colonnade.calibration.evaluation import Correction
from colonnade.calibration.factors import Factor, TagShape, WorkingPoint, any_fires, met_filters, vetoed
