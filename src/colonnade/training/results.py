"""The results of trainings and searches as their files keep them: frozen types, written and read by one rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from colonnade.config import JsonData

Numbers = tuple[float, ...]
# NAME.onnx has NAME.evaluation.json beside it
EVALUATION_SUFFIX = ".evaluation.json"
_DIGITS = 5
_MOST_CUTS, _MOST_RATES = 80, 100


@dataclass(frozen=True, slots=True)
class CutYield:
    """Expected events with a score above a cut, at the luminosity of the evaluation.

    Attributes
    ----------
    cut
        On the score.
    signal, background, background_statistical
        Expected events, and the statistical error of the background.
    z
        Expected significance; None where the statistical error of the background is too large to quote one.
    """

    cut: float
    signal: float
    background: float
    background_statistical: float
    z: float | None


@dataclass(frozen=True, slots=True)
class RocCurve:
    """False and true positive rates from (0, 0) to (1, 1)."""

    false: Numbers
    true: Numbers


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The mean score of a bin, the share of signal among its events, and their total training weight."""

    score: float
    signal_share: float
    weight: float


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Events of each bin of the score, each counted once."""

    events: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoreDistributions:
    """Histograms of the scores of one signal and of all background."""

    edges: Numbers
    signal: ScoreHistogram
    background: ScoreHistogram


@dataclass(frozen=True, slots=True)
class SignalEvaluation:
    """How well a classifier tells one signal process from the backgrounds.

    Attributes
    ----------
    signal, parameters
        The process, and the hypothesis under which its events and the background's were scored.
    auc, auc_training
        Areas under the ROC curve, of events that the scoring network did not see and of training events.
    accuracy
        Share of events on the right side of a score of 0.5.
    roc
        The curve.
    significance, best, at_cut
        Yields and significance against the cut, at the best cut, and at the cut that the model declares.
    distributions, distributions_training
        Scores of events that the scoring network did not see, and of training events.
    """

    signal: str
    parameters: Mapping[str, float]
    auc: float
    auc_training: float
    accuracy: float
    roc: RocCurve
    significance: tuple[CutYield, ...]
    best: CutYield
    at_cut: CutYield
    distributions: ScoreDistributions
    distributions_training: ScoreDistributions


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """What a policy on negative weights does to a process.

    Attributes
    ----------
    process, policy
        Which process under which policy.
    negative
        Share of its events that have a negative weight.
    effective
        Effective number of events.
    bias
        By feature, how far the weighted mean moves, in units of the weighted mean's statistical error under `keep`.
    """

    process: str
    policy: str
    negative: float
    effective: float
    bias: Mapping[str, float]

    @property
    def largest_bias(self) -> tuple[str, float]:
        """The feature whose mean moves most, and how far."""
        return max(self.bias.items(), key=lambda item: abs(item[1]), default=("–", 0.0))


@dataclass(frozen=True, slots=True)
class Evaluation(JsonData):
    """How good a classifier is.

    Attributes
    ----------
    luminosity
        In fb^-1.
    background_error
        Relative uncertainty of the background in all significances.
    cut
        The cut on the score at which a significance is quoted beside the best one.
    points
        For each signal process.
    calibration
        Score against the share of signal.
    importance
        Feature to the area under the ROC curve that is lost when it is shuffled, the largest first.
    negative_weights
        For processes that have some.
    effective_events
        Effective number of events of each process.
    differences
        Largest difference of scores on held-out events; ``onnx``: between the exported file and what was trained.
    """

    luminosity: float
    background_error: float
    cut: float
    points: tuple[SignalEvaluation, ...]
    calibration: tuple[CalibrationBin, ...]
    importance: Mapping[str, float]
    negative_weights: tuple[PolicyReport, ...]
    effective_events: Mapping[str, float]
    differences: Mapping[str, float | None]

    def shortened(self) -> Evaluation:
        """Return the same with five digits and fewer points on each curve, for the file beside the model."""
        points = []
        for point in self.points:
            false, true = point.roc.false, point.roc.true
            rates = _some(len(true), _MOST_RATES)
            known = [each for each in point.significance if each.z is not None]
            points.append(
                replace(
                    point,
                    roc=RocCurve(tuple(false[place] for place in rates), tuple(true[place] for place in rates)),
                    significance=tuple(known[place] for place in _some(len(known), _MOST_CUTS)),
                )
            )
        content = _rounded(replace(self, points=tuple(points)).to_json())
        return Evaluation.from_json(content, "the evaluation")


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """How well the network of a trial does for one signal process; see `SignalEvaluation`."""

    signal: str
    auc: float
    auc_training: float
    accuracy: float
    at_cut: CutYield
    best: CutYield


@dataclass(frozen=True, slots=True)
class Trial(JsonData):
    """A finished training of a search.

    Attributes
    ----------
    changes
        Field of the model to its value.
    points
        For each signal process; none if the training diverged.
    failed
        Why there are none.
    """

    changes: Mapping[str, Any]
    points: tuple[TrialPoint, ...]
    failed: str | None = None

    @property
    def auc(self) -> float | None:
        """Area under the ROC curve, mean over the signal processes."""
        return self._mean([point.auc for point in self.points])

    @property
    def accuracy(self) -> float | None:
        """Share of events on the right side of 0.5, mean over the signal processes."""
        return self._mean([point.accuracy for point in self.points])

    @property
    def significance_at_cut(self) -> float | None:
        """Expected significance at the model's cut, mean; one that can't be quoted counts as 0."""
        return self._mean([point.at_cut.z or 0.0 for point in self.points])

    @property
    def significance_best(self) -> float | None:
        """Expected significance at the best cut, mean; one that can't be quoted counts as 0."""
        return self._mean([point.best.z or 0.0 for point in self.points])

    @staticmethod
    def _mean(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if values else None


@dataclass(frozen=True, slots=True)
class SearchResult(JsonData):
    """All trials of a search.

    Attributes
    ----------
    model
        Its name.
    axes
        Field of the model to the values that were tried.
    cut, background_error
        See `Evaluation`.
    columns
        Digest of the training columns.
    trials
        In the order of the axes' combinations.
    """

    model: str
    axes: Mapping[str, tuple[Any, ...]]
    cut: float
    background_error: float
    columns: str
    trials: tuple[Trial, ...]


def _some(count: int, most: int) -> list[int]:
    """Return at most so many places, evenly, with the first and the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))}) if count else []


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
