"""Boosted trees with xgboost: missing values stay missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.output import replacing
from colonnade.training.declaration import Model, Trees
from colonnade.training.sample import Sample, Split

# onnxmltools wants features named so
TREE_FEATURE = "f{}"


def fit_trees(
    model: Model,
    sample: Sample,
    split: Split,
    weigh: Callable[[Sample], NDArray[np.float64]],
    *,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    checkpoint: Path | None = None,
    key: str = "",
    progress: Callable[[int, float, float], None] | None = None,
) -> Any:
    """Train boosted trees and keep those up to the best round.

    Parameters
    ----------
    model, sample, split, weigh, seed, device
        As in `fit_network`.
    threads
        How many to use.
    checkpoint
        Where the trees are kept (JSON) when they are done; a training that finds its own does not start
        again.
    key
        What the training depends on.
    progress
        Called after each round with its number and the losses in training and validation.

    Returns
    -------
    xgboost.Booster
    """
    import xgboost

    assert isinstance(model.network, Trees)  # noqa: S101 - the caller chose by this type
    if checkpoint is not None and checkpoint.is_file():
        kept = xgboost.Booster()
        try:
            kept.load_model(checkpoint)
        except xgboost.core.XGBoostError:
            kept = None  # a damaged checkpoint is only a training from the start
        if kept is not None and kept.attr("colonnade_key") == key:
            return kept
    train, validation = sample.take(split.train), sample.take(split.validation)
    weights = [weigh(train), weigh(validation)]
    rng = np.random.default_rng(seed)
    matrices = [_matrix(part, weight, rng) for part, weight in zip((train, validation), weights, strict=True)]
    settings = model.network
    best = xgboost.callback.EarlyStopping(rounds=settings.patience, data_name="validation", save_best=True)
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "max_depth": settings.depth,
            "learning_rate": settings.learning_rate,
            "subsample": settings.subsample,
            "colsample_bytree": settings.features,
            "min_child_weight": settings.minimum_weight,
            "lambda": settings.l2,
            "tree_method": "hist",
            "device": device,
            "nthread": threads,
            "seed": seed,
            "verbosity": 0,
        },
        matrices[0],
        num_boost_round=settings.count,
        evals=[(matrices[0], "training"), (matrices[1], "validation")],
        callbacks=[best, *([_callback(progress)] if progress is not None else [])],
        verbose_eval=False,
    )
    if checkpoint is not None and key:
        booster.set_attr(colonnade_key=key)
        with replacing(checkpoint) as temporary:
            booster.save_model(temporary)
    return booster


def _matrix(sample: Sample, weights: NDArray[np.float64], rng: np.random.Generator) -> Any:
    import xgboost

    columns, event = sample.card.parameter_columns(), sample.inputs.event
    if sample.card.parameters:
        # background has no hypothesis of its own: it gets one of the signal's, as often as signal counts
        event = event.copy()
        chances = np.abs(weights[sample.target])
        rows = rng.choice(np.flatnonzero(sample.target), size=int((~sample.target).sum()), p=chances / chances.sum())
        event[~sample.target, columns] = event[rows, columns]
    names = [TREE_FEATURE.format(place) for place in range(event.shape[1])]
    return xgboost.DMatrix(
        event, label=sample.target.astype(np.float32), weight=weights, missing=np.nan, feature_names=names
    )


def _callback(progress: Callable[[int, float, float], None]) -> Any:
    import xgboost

    class Report(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # xgboost is not analysed
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - the base class has it
            losses = [evals_log[name]["logloss"][-1] for name in ("training", "validation")]
            progress(epoch + 1, float(losses[0]), float(losses[1]))
            return False

    return Report()
