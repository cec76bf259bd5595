"""Models against each other and against cut and count: same events, same luminosity, same uncertainty.

Every model is trained in folds and judged on the events that its networks did not see. The cut on the score is chosen
on the other folds' events, so that no event helps to choose the cut it is judged by. A channel's cut and count is one
of the analysis's regions.
"""

from __future__ import annotations

__all__ = ["compare_models", "crossed_yields"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest
from colonnade.inference import Inputs, fold_of
from colonnade.output import write_json
from colonnade.training.declaration import Model
from colonnade.training.evaluation import (
    MOST_STATISTICAL_ERROR,
    Point,
    Significance,
    area_under_curve,
    best,
    points_of,
    significance_scan,
)
from colonnade.training.sample import Sample, read_sample
from colonnade.training.train import fit_fold
from colonnade.training.trainer import SILENT, TrainingProgress
from studies.dilepton_met.settings import Channel, Comparison

Floats = NDArray[np.float64]
# what else the background's statistical error might have been bound to (None: by nothing) where a cut is chosen; in
# two folds the second is 30 % of the events that choose
OTHER_BOUNDS = (0.15, 0.3 / 2**0.5, 0.5, None)


@dataclass(frozen=True)
class _Yields:
    """Expected events in a selection, with the background's statistical error."""

    signal: float
    background: float
    error: float

    def as_json(self, significance: Significance, relative: float) -> dict[str, float | None]:
        z = None
        if self.background > 0 and self.signal >= 0:
            uncertainty = np.hypot(relative * self.background, self.error)
            z = float(significance(self.signal, self.background, uncertainty))
        return {
            "signal": self.signal,
            "background": self.background,
            "background_statistical": self.error,
            "z": z,
        }


def compare_models(
    models: Mapping[str, Model],
    comparison: Comparison,
    columns: Path,
    folder: Path,
    *,
    significance: Significance,
    device: str = "cpu",
    threads: int = 1,
    progress: TrainingProgress = SILENT,
) -> dict[str, Any]:
    """Train each model of a comparison and write `folder/comparison.json`.

    Interrupted, it goes on where it was.

    Parameters
    ----------
    models
        What the model file declares.
    comparison
        Which of them, on which channels.
    columns
        The training columns.
    folder
        For checkpoints and the result.
    significance
        See `training.evaluation`.
    device, threads, progress
        As in `train_model`.

    Raises
    ------
    ConfigError
        If the comparison names a model or region that does not exist, or a model without folds.
    """
    table: dict[str, Any] = {}
    for name in comparison.models:
        if name not in models:
            msg = f"The comparison names the model '{name}', which is not declared{nearest(name, models)}."
            raise ConfigError(msg)
        if models[name].folds < 2:
            msg = f"The comparison's model '{name}' has one fold; with two or more every event can be judged."
            raise ConfigError(msg)
    counting: dict[str, Any] = {}
    result: dict[str, Any] = {}
    bounds: list[dict[str, Any]] = []
    whole: dict[str, int] = {}
    for name in comparison.models:
        model = models[name]
        sample = read_sample(columns, model, name)
        seen = _trainable(sample, comparison.require.get(name))
        part = sample.take(np.flatnonzero(seen))
        fits = [
            fit_fold(name, model, part, fold, folder / name, device, threads, progress) for fold in range(model.folds)
        ]
        points = points_of(sample, _scorer(model, fits, sample, seen))
        table[name] = [_judged(point, sample, model.folds, comparison, significance) for point in points]
        counting |= _counted(sample, comparison, significance)
        if not bounds:  # the first model, which the others are compared with
            bounds = [
                {
                    "bound": bound,
                    "points": [_judged(each, sample, model.folds, comparison, significance, bound) for each in points],
                }
                for bound in (MOST_STATISTICAL_ERROR, *OTHER_BOUNDS)
            ]
        whole = whole or {"signal": int(sample.target.sum()), "background": int((~sample.target).sum())}
        result = {
            "luminosity": sample.luminosity,
            "events": whole,
            "background_error": comparison.background_error,
            "channels": [channel.name for channel in comparison.channels],
            "counting": counting,
            "models": table,
            "bounds": bounds,
        }
        write_json(folder / "comparison.json", result)
    return result


def _trainable(sample: Sample, require: tuple[str, float] | None) -> NDArray[np.bool_]:
    """Tell which events a model can be trained on and can score: those where a feature is at least a value."""
    if require is None:
        return np.ones(len(sample), dtype=bool)
    names = [feature.name for feature in sample.card.event]
    enough: NDArray[np.bool_] = sample.inputs.event[:, names.index(require[0])] >= require[1]
    return enough


def _scorer(
    model: Model, fits: list[Any], sample: Sample, seen: NDArray[np.bool_]
) -> Callable[[Inputs, NDArray[np.int64]], NDArray[np.float32]]:
    """Score each event by the network that did not see it; what a model can't score gets 0."""
    from colonnade.training.export import model_scores

    folds = fold_of(sample.identity, model.folds)

    def score(inputs: Inputs, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        scores = np.zeros(len(rows), dtype=np.float32)
        for fold, fitted in enumerate(fits):
            own = np.flatnonzero((folds[rows] == fold) & seen[rows])
            scores[own] = model_scores(fitted, inputs.take(own))
        return scores

    return score


def _judged(
    point: Point,
    sample: Sample,
    folds: int,
    comparison: Comparison,
    significance: Significance,
    bound: float | None = MOST_STATISTICAL_ERROR,
) -> dict[str, Any]:
    channels = {}
    for channel in comparison.channels:
        inside = _in_any(sample, channel)[point.rows]
        part = Point(
            point.signal,
            point.parameters,
            point.rows[inside],
            point.score[inside],
            point.weight[inside],
            point.target[inside],
        )
        fold = fold_of({name: column[part.rows] for name, column in sample.identity.items()}, folds)
        yields, cuts = crossed_yields(part, fold, folds, significance, comparison.background_error, bound)
        area = area_under_curve(part.score, np.abs(part.weight), part.target)
        channels[channel.name] = {
            "auc": area,
            "cuts": cuts,
            **_Yields(*yields).as_json(significance, comparison.background_error),
        }
    return {"signal": point.signal, "parameters": list(point.parameters), "channels": channels}


def crossed_yields(
    point: Point,
    fold: NDArray[np.int64],
    folds: int,
    significance: Significance,
    background_error: float,
    bound: float | None = MOST_STATISTICAL_ERROR,
) -> tuple[tuple[float, float, float], list[float]]:
    """Add up each fold's events above the cut that is best for the other folds.

    Parameters
    ----------
    point
        Scores.
    fold
        [n], the fold of each event.
    folds
        How many there are.
    significance, background_error
        See `significance_scan`.
    bound
        Largest relative statistical error of the background, in all events, at a cut that may be chosen; None: any.

    Returns
    -------
    yields
        Expected signal, background, and the background's statistical error.
    cuts
        Of each fold.
    """
    signal = background = variance = 0.0
    cuts = []
    for number in range(folds):
        here, others = fold == number, fold != number
        scale = folds / (folds - 1)
        scan = significance_scan(
            point.score[others],
            point.weight[others] * scale,
            point.target[others],
            significance,
            background_error,
            # a part of the events has this much more of an error than all of them
            most_statistical_error=1e6 if bound is None else bound * scale**0.5,
        )
        cut = best(scan).cut
        above = here & (point.score > cut)
        signal += float(point.weight[above & point.target].sum())
        background += float(point.weight[above & ~point.target].sum())
        variance += float(np.square(point.weight[above & ~point.target]).sum())
        cuts.append(cut)
    return (signal, background, variance**0.5), cuts


def _in_any(sample: Sample, channel: Channel) -> NDArray[np.bool_]:
    known = sample.region_names
    for name in (*channel.regions, channel.counting):
        if name not in known:
            msg = f"The comparison's channel {channel.name} names the region '{name}', which does not exist"
            msg += f"{nearest(name, known)}."
            raise ConfigError(msg)
    inside: NDArray[np.bool_] = np.any([sample.in_region(name) for name in channel.regions], axis=0)
    return inside


def _counted(sample: Sample, comparison: Comparison, significance: Significance) -> dict[str, Any]:
    """Cut and count, for every signal of a sample."""
    table: dict[str, Any] = {}
    for channel in comparison.channels:
        _in_any(sample, channel)
        inside = sample.in_region(channel.counting)
        background = sample.weight[inside & ~sample.target]
        for name in sample.points():
            own = sample.weight[inside & (sample.process == sample.processes.index(name))]
            yields = _Yields(float(own.sum()), float(background.sum()), float(np.square(background).sum() ** 0.5))
            events = {"events_background": len(background), "events_signal": len(own)}
            table.setdefault(name, {})[channel.name] = {
                **yields.as_json(significance, comparison.background_error),
                **events,
            }
    return table
