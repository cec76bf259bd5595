"""Calibrations of physics objects and weights of events, from correctionlib's JSON files."""

from __future__ import annotations

__all__ = ["Correction", "Jets"]

from colonnade.calibration.evaluation import Correction
from colonnade.calibration.jets import Jets
