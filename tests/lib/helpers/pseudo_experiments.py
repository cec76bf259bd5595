"""Pseudo-experiments of the Z gamma study that take a moment."""

from __future__ import annotations

__all__ = ["SMALL"]

from studies.zgamma.ensemble import EnsembleSettings
from studies.zgamma.settings import PseudoExperimentSettings

from colonnade.statistics.resonance import Exponential

SMALL = PseudoExperimentSettings(
    events=600,
    background=Exponential(),
    rejections=(0.0, 0.5, 0.8),
    network=EnsembleSettings(hidden=(6,), epochs=2, batch=64),
    seed=5,
    block=4,
)
