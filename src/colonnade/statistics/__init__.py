"""From histograms to significances, fits and limits; names are loaded when first used, as scipy is heavy."""

from __future__ import annotations

__all__ = [
    "Discovery",
    "FitResult",
    "HypothesisTest",
    "Likelihood",
    "Model",
    "ModelSettings",
    "UpperLimits",
    "asimov_significance",
    "discovery",
    "expected_discovery",
    "fit",
    "from_workspace",
    "hypothesis_test",
    "infer",
    "read_workspace",
    "refit",
    "significance",
    "to_workspace",
    "upper_limits",
]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonnade.statistics.counting import asimov_significance, significance
    from colonnade.statistics.fitting import Discovery, FitResult, discovery, expected_discovery, fit
    from colonnade.statistics.likelihood import Likelihood
    from colonnade.statistics.limits import HypothesisTest, UpperLimits, hypothesis_test, upper_limits
    from colonnade.statistics.model import Model
    from colonnade.statistics.settings import ModelSettings
    from colonnade.statistics.step import infer, refit
    from colonnade.statistics.workspace import from_workspace, read_workspace, to_workspace

_HOME = {
    "Discovery": "fitting",
    "FitResult": "fitting",
    "HypothesisTest": "limits",
    "Likelihood": "likelihood",
    "Model": "model",
    "ModelSettings": "settings",
    "UpperLimits": "limits",
    "asimov_significance": "counting",
    "discovery": "fitting",
    "expected_discovery": "fitting",
    "fit": "fitting",
    "infer": "step",
    "from_workspace": "workspace",
    "hypothesis_test": "limits",
    "read_workspace": "workspace",
    "refit": "step",
    "significance": "counting",
    "to_workspace": "workspace",
    "upper_limits": "limits",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"colonnade.statistics.{_HOME[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
