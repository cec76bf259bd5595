"""How good a model is: ROC, significance against the cut, calibration, importance, training against test.

All numbers are of events that the scoring network was not trained on, weighted to the luminosity. A
significance is computed by a function that the caller passes, (signal, background, background's
uncertainty) -> Z, as `colonnade.statistics.asimov_significance` is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colonnade.inference import Inputs
from colonnade.training.results import CalibrationBin, CutYield, ScoreDistributions, ScoreHistogram
from colonnade.training.sample import Sample

Floats = NDArray[np.float64]
# relative uncertainty of the background in the significances of trainings and searches
BACKGROUND_ERROR = 0.2
# relative statistical error of a background beyond which no significance is quoted
MOST_STATISTICAL_ERROR = 0.3
Significance = Callable[[ArrayLike, ArrayLike, ArrayLike], Floats]
Score = Callable[[Inputs, NDArray[np.int64]], NDArray[np.float32]]
"""(inputs, rows of the sample) -> scores"""


@dataclass(frozen=True)
class Point:
    """Scores of one signal point against all background.

    Attributes
    ----------
    signal
        The process.
    parameters
        The hypothesis at which all events were scored.
    rows
        [n], rows of the sample.
    score, weight, target
        [n].
    """

    signal: str
    parameters: tuple[float, ...]
    rows: NDArray[np.int64]
    score: Floats
    weight: Floats
    target: NDArray[np.bool_]

    @property
    def auc(self) -> float:
        """Area under the ROC curve; weights count by their size."""
        return area_under_curve(self.score, np.abs(self.weight), self.target)

    def scan(self, significance: Significance, cuts: ArrayLike | None = None) -> list[CutYield]:
        """Compute yields and significance for many cuts; see `significance_scan`."""
        return significance_scan(self.score, self.weight, self.target, significance, BACKGROUND_ERROR, cuts)


def points_of(sample: Sample, score: Score, rows: NDArray[np.int64] | None = None, scale: float = 1.0) -> list[Point]:
    """Score each signal point, and background under its hypothesis.

    Parameters
    ----------
    sample
        Events.
    score
        What scores them.
    rows
        Use these events only; None: all.
    scale
        By which weights are multiplied, to make up for events left out.
    """
    chosen = np.arange(len(sample)) if rows is None else rows
    background = chosen[~sample.target[chosen]]
    known: dict[tuple[float, ...], Floats] = {}
    points = []
    for name, parameters in sample.points().items():
        signal = chosen[sample.target[chosen] & (sample.process[chosen] == sample.processes.index(name))]
        if parameters not in known:
            known[parameters] = _scores(sample, score, background, parameters)
        both = np.concatenate([background, signal])
        scores = np.concatenate([known[parameters], _scores(sample, score, signal, parameters)])
        points.append(Point(name, parameters, both, scores, sample.weight[both] * scale, sample.target[both]))
    return points


def _scores(sample: Sample, score: Score, rows: NDArray[np.int64], parameters: tuple[float, ...]) -> Floats:
    inputs = sample.inputs.take(rows)
    inputs.event[:, sample.card.parameter_columns()] = parameters  # take copies
    return np.asarray(score(inputs, rows), dtype=np.float64)


def roc(score: Floats, weight: Floats, target: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return false and true positive rates of every cut, from (0, 0) to (1, 1); equal scores are one step.

    Parameters
    ----------
    score, weight, target
        [n]; weights are not negative.
    """
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(target, score, sample_weight=weight, drop_intermediate=False)
    return false, true


def area_under_curve(score: Floats, weight: Floats, target: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, by trapezoids; parameters as in `roc`."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, score, sample_weight=weight))


def accuracy(score: Floats, target: NDArray[np.bool_], threshold: float = 0.5) -> float:
    """Return the share of events, each counted once, on the right side of a threshold."""
    return float(((score > threshold) == target).mean())


def significance_scan(
    score: Floats,
    weight: Floats,
    target: NDArray[np.bool_],
    significance: Significance,
    background_error: float,
    cuts: ArrayLike | None = None,
    most_statistical_error: float = MOST_STATISTICAL_ERROR,
) -> list[CutYield]:
    """Compute yields and the expected significance of events with score > cut, for many cuts.

    Parameters
    ----------
    score, weight, target
        [n].
    significance
        See the module.
    background_error
        Relative uncertainty of the background; its statistical one is added in quadrature.
    cuts
        By default 0, 0.01, ... 0.99, quantiles of the signal's scores, and those that leave 1, 2, ... of the expected
        background, in steps of 5 %: where few events are left the scores alone would step too far.
    most_statistical_error
        Beyond this relative statistical error of the background no significance is quoted, as a fluctuation would
        dominate it.
    """
    if cuts is None:
        quantiles = np.quantile(score[target], np.linspace(0.02, 0.98, 49)) if target.any() else np.zeros(0)
        left = _leaving(score[~target], np.abs(weight[~target]))
        cuts = np.unique(np.concatenate([np.linspace(0, 0.99, 100), quantiles, left]))
    edges = np.asarray(cuts, dtype=np.float64)
    s, _ = _above(score[target], weight[target], edges)
    b, squares = _above(score[~target], weight[~target], edges)
    error = np.sqrt(squares)
    fine = (b > 0) & (s >= 0) & (error <= most_statistical_error * b)
    z = np.full(len(edges), np.nan)
    if fine.any():
        z[fine] = significance(s[fine], b[fine], np.hypot(background_error * b[fine], error[fine]))
    known = [float(each) if np.isfinite(each) else None for each in z]
    return [
        CutYield(float(cut), float(signal), float(background), float(statistical), each)
        for cut, signal, background, statistical, each in zip(edges, s, b, error, known, strict=True)
    ]


def _leaving(score: Floats, weight: Floats) -> Floats:
    """Return the cuts that leave 1, 1.05, ... events of these."""
    order = np.argsort(-score)
    left = np.cumsum(weight[order])
    if not len(left) or left[-1] <= 1:
        return np.zeros(0)
    wanted = np.exp(np.arange(0, np.log(left[-1]), 0.05))
    return np.asarray(score[order][np.searchsorted(left, wanted).clip(0, len(score) - 1)])


def _above(score: Floats, weight: Floats, cuts: Floats) -> tuple[Floats, Floats]:
    """Sum weights and their squares of the events with score > cut, [cuts] each."""
    order = np.argsort(score)
    first = np.searchsorted(score[order], cuts, side="right")
    tails = [np.append(np.cumsum(values[order][::-1])[::-1], 0.0) for values in (weight, np.square(weight))]
    return tails[0][first], tails[1][first]


def best(scan: Sequence[CutYield]) -> CutYield:
    """Return the scan's entry of highest significance."""
    return max(scan, key=lambda entry: -1.0 if entry.z is None else entry.z)


def calibration(score: Floats, weight: Floats, target: NDArray[np.bool_], bins: int = 10) -> tuple[CalibrationBin, ...]:
    """Compare the score with the share of signal in training weights, bin by bin; empty bins are left out."""
    place = np.clip((score * bins).astype(int), 0, bins - 1)
    table = []
    for number in range(bins):
        chosen = place == number
        total = float(weight[chosen].sum())
        if total > 0:
            mean = float((score[chosen] * weight[chosen]).sum() / total)
            table.append(CalibrationBin(mean, float(weight[chosen & target].sum() / total), total))
    return tuple(table)


def distributions(point: Point, bins: int = 50) -> ScoreDistributions:
    """Histogram the scores of a signal point and of all background."""
    edges = np.linspace(0, 1, bins + 1)
    signal, background = (
        ScoreHistogram(tuple(np.histogram(point.score[chosen], edges)[0].tolist()))
        for chosen in (point.target, ~point.target)
    )
    return ScoreDistributions(tuple(edges.tolist()), signal, background)


def importance(
    sample: Sample, score: Score, rows: NDArray[np.int64], weight: Floats, seed: int = 1
) -> dict[str, float]:
    """Compute the area under the ROC curve that is lost when a feature is shuffled among events or objects.

    Parameters
    ----------
    sample, score, rows
        The events, the function that scores them, and the rows to use.
    weight
        [rows], the weights for the area.
    """
    rng = np.random.default_rng(seed)
    inputs = sample.inputs.take(rows)
    target = sample.target[rows]
    columns = sample.card.parameter_columns()
    if sample.card.parameters:
        # each background event stands for the hypothesis of some signal event
        background = np.flatnonzero(~target)
        drawn = rng.choice(np.flatnonzero(target), size=len(background))
        inputs.event[background, columns] = inputs.event[drawn, columns]
    reference = area_under_curve(np.asarray(score(inputs, rows), dtype=np.float64), weight, target)

    def loss(values: NDArray[np.float32], column: int) -> float:
        kept = values[:, column].copy()
        values[:, column] = rng.permutation(kept)
        area = area_under_curve(np.asarray(score(inputs, rows), dtype=np.float64), weight, target)
        values[:, column] = kept
        return reference - area

    alone = [each.name for each in sample.card.event] + [each.name for each in sample.card.parameters]
    table = {name: loss(inputs.event, place) for place, name in enumerate(alone)}
    start = len(alone)
    for collection in sample.card.collections:
        names = [feature.name for feature in collection.features]
        values, first = inputs.objects.get(collection.name, inputs.event), 0
        if collection.leading is not None:
            names = [f"{name}_{number + 1}" for number in range(collection.leading) for name in names]
            first, start = start, start + len(names)
        table |= {name: loss(values, place) for place, name in enumerate(names, first)}
    return dict(sorted(table.items(), key=lambda entry: -entry[1]))
