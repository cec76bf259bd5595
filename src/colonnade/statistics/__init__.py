"""From histograms to significances, fits and limits; names are loaded when first used, as scipy is heavy."""

from __future__ import annotations

__all__ = [
    "Discovery",
    "FitResult",
    "HypothesisTest",
    "Inputs",
    "Likelihood",
    "Model",
    "ModelSettings",
    "Process",
    "UpperLimits",
    "asimov_significance",
    "discovery",
    "expected_discovery",
    "fit",
    "from_workspace",
    "hypothesis_test",
    "refit",
    "significance",
    "to_workspace",
    "upper_limits",
]

from typing import TYPE_CHECKING

from colonnade.lazy import lazy

if TYPE_CHECKING:
    from colonnade.statistics.counting import asimov_significance, significance
    from colonnade.statistics.fitting import Discovery, FitResult, discovery, expected_discovery, fit
    from colonnade.statistics.likelihood import Likelihood
    from colonnade.statistics.limits import HypothesisTest, UpperLimits, hypothesis_test, upper_limits
    from colonnade.statistics.model import Model
    from colonnade.statistics.settings import ModelSettings
    from colonnade.statistics.step import refit
    from colonnade.statistics.templates import Inputs, Process
    from colonnade.statistics.workspace import from_workspace, to_workspace

__getattr__ = lazy(
    __name__,
    counting=("asimov_significance", "significance"),
    fitting=("Discovery", "FitResult", "discovery", "expected_discovery", "fit"),
    likelihood=("Likelihood",),
    limits=("HypothesisTest", "UpperLimits", "hypothesis_test", "upper_limits"),
    model=("Model",),
    settings=("ModelSettings",),
    step=("refit",),
    templates=("Inputs", "Process"),
    workspace=("from_workspace", "to_workspace"),
)
