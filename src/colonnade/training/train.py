"""Training a declared model from columns to a model file: folds, export, checks, evaluation, card."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.inference import Classifier, Inputs, TrainingCard, fold_of
from colonnade.output import write_json
from colonnade.training import export
from colonnade.training.declaration import Model, Trees
from colonnade.training.evaluation import (
    BACKGROUND_ERROR,
    Point,
    Significance,
    accuracy,
    best,
    calibration,
    distributions,
    importance,
    points_of,
    roc,
)
from colonnade.training.networks import Members, fit_network
from colonnade.training.results import EVALUATION_SUFFIX, Evaluation, RocCurve, SignalEvaluation
from colonnade.training.sample import TEST_PART, Sample
from colonnade.training.trainer import SILENT, TrainingProgress
from colonnade.training.trees import fit_trees
from colonnade.training.weights import apply_policy, compare_policies, effective_number, training_weights
from colonnade.versions import installed

_PACKAGES = ("colonnade", "numpy", "torch", "xgboost-cpu", "onnx", "onnxscript", "onnxmltools", "onnxruntime")
# how many events at most the slow parts of an evaluation use
_IMPORTANCE_EVENTS = 20_000
_ROC_POINTS = 200


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    classifier
        The model as it was written and read back.
    evaluation
        How good it is.
    """

    classifier: Classifier
    evaluation: Evaluation


def weigher(model: Model) -> Callable[[Sample], NDArray[np.float64]]:
    """Return what gives the training weights, of mean 1, of a part of a model's sample."""

    def weigh(part: Sample) -> NDArray[np.float64]:
        treated = apply_policy(part.weight, part.process, model.negative_weights)
        return training_weights(model.weighting, treated, part.target, part.process, part.regions)

    return weigh


def train_model(
    name: str,
    model: Model,
    sample: Sample,
    *,
    output: Path,
    work: Path,
    significance: Significance,
    device: str = "cpu",
    threads: int = 1,
    progress: TrainingProgress = SILENT,
) -> Trained:
    """Train every fold of a model, export, verify, evaluate on events never trained on, and write the model.

    Interrupted, it goes on where it was when called again with the same arguments.

    Parameters
    ----------
    name
        Of the model; its file is `output/NAME.onnx`, its card `output/NAME.card.json`, and what reports show of its
        evaluation `output/NAME.evaluation.json`.
    model, sample
        The declaration, and the events to train on.
    output
        Where the model goes.
    work
        Where checkpoints and `evaluation.json` go.
    significance
        See `training.evaluation`.
    device, threads
        Where to train, with how many threads (trees; torch's are the process's own).
    progress
        Shows it.

    Raises
    ------
    EventError
        If a class has no events, or weights can't be used.
    FitError
        If a training diverges, or the exported graph does not score as the trained model.
    """
    to_graph = export.tree_graph if isinstance(model.network, Trees) else export.network_graph
    fits: list[Any] = []
    graphs: list[Any] = []
    for fold in range(model.folds):
        fits.append(fit_fold(name, model, sample, fold, work, device, threads, progress))
        graphs.append(to_graph(fits[-1], sample.card))
    card = sample.card.model_copy(update={"training": _training_card(model, sample)})
    draft = export.write_model(work / f"{name}.onnx", graphs, card)
    difference = _verify(model, fits, draft, sample)
    evaluation = _evaluate(model, draft, sample, significance, difference)
    classifier = export.write_model(
        output / f"{name}.onnx", graphs, card.model_copy(update={"metrics": _summary(evaluation)})
    )
    write_json(work / "evaluation.json", evaluation.to_json())
    write_json(output / f"{name}{EVALUATION_SUFFIX}", evaluation.shortened().to_json())
    return Trained(classifier, evaluation)


def fit_fold(
    name: str,
    model: Model,
    sample: Sample,
    fold: int,
    work: Path,
    device: str = "cpu",
    threads: int = 1,
    progress: TrainingProgress = SILENT,
) -> Any:
    """Train the networks or trees of one fold; parameters as in `train_model`."""
    fits: list[Any] = []
    for member in range(model.members):
        seed = 1000 * model.seed + 100 * member + fold
        key = hashlib.sha256(json.dumps([repr(model), sample.digest, fold, seed, device]).encode()).hexdigest()
        what = f"{name}, fold {fold + 1} of {model.folds}" if model.folds > 1 else name
        if model.members > 1:
            what += f", {member + 1} of {model.members}"
        stem = work / (f"fold{fold}" if member == 0 else f"fold{fold}_{member}")
        options: dict[str, Any] = {"checkpoint": stem, "key": key, "device": device, "threads": threads}
        progress.begin(what, model.network.count if isinstance(model.network, Trees) else model.optimisation.epochs)
        try:
            fits.append(fit_part(model, sample, fold, seed, told=progress.round, **options))
        finally:
            progress.end()
    return fits[0] if len(fits) == 1 else Members(fits).eval()


def fit_part(
    model: Model,
    sample: Sample,
    fold: int,
    seed: int,
    *,
    checkpoint: Path | None = None,
    key: str = "",
    device: str = "cpu",
    threads: int = 1,
    told: Callable[[int, float, float], None] = lambda *_: None,
) -> Any:
    """Train one network, or the trees, of a fold.

    Parameters
    ----------
    model, sample, fold
        What to train, on which events.
    seed
        Of its random numbers.
    checkpoint, key
        Where the state is kept, without suffix, and what identifies the training.
    device, threads
        As in `train_model`.
    told
        Called after each round with its number and the losses in training and validation.

    Returns
    -------
    torch.nn.Module or xgboost.Booster
    """
    split = sample.split(model.folds, fold)
    common: dict[str, Any] = {"seed": seed, "device": device, "key": key}
    if isinstance(model.network, Trees):
        common["checkpoint"] = None if checkpoint is None else checkpoint.with_suffix(".json")
        return fit_trees(model, sample, split, weigher(model), threads=threads, progress=told, **common)
    common["progress"] = lambda epoch: told(epoch.number, epoch.loss, epoch.validation)
    if checkpoint is not None:
        common |= {"checkpoint": checkpoint.with_suffix(".pt"), "folder": checkpoint.parent.parent}
    return fit_network(model, sample, split, weigher(model), **common).network


def _verify(model: Model, fits: list[Any], classifier: Classifier, sample: Sample) -> float:
    """Compare onnxruntime with what was trained on held-out events, and return the largest difference of scores."""
    worst = 0.0
    for fold, fitted in enumerate(fits):
        rows = sample.split(model.folds, fold).test[:20_000]
        inputs = _complete(sample, rows)
        scores = classifier.run(inputs, np.full(len(rows), fold, dtype=np.int64))
        trained = export.model_scores(fitted, inputs)
        worst = max(worst, export.require_equal("Trained and exported model", scores, trained))
    return worst


def _complete(sample: Sample, rows: NDArray[np.int64]) -> Inputs:
    """Take events, with the hypotheses of background filled in turn from the signal points."""
    inputs = sample.inputs.take(rows)
    columns = sample.card.parameter_columns()
    points = np.array(list(sample.points().values()), dtype=np.float32)
    turn = points[np.arange(len(rows)) % len(points)]
    inputs.event[:, columns] = np.where(np.isnan(inputs.event[:, columns]), turn, inputs.event[:, columns])
    return inputs


def _evaluate(
    model: Model, classifier: Classifier, sample: Sample, significance: Significance, difference: float
) -> Evaluation:
    folds = fold_of(sample.identity, model.folds)

    def score(inputs: Inputs, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return classifier.run(inputs, folds[rows])

    def seen(inputs: Inputs, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        # the next fold's network was trained on (most of) these
        return classifier.run(inputs, (folds[rows] + 1) % model.folds)

    rows = other = np.flatnonzero(sample.judged)
    scale = 1.0
    if model.folds == 1:
        split = sample.split(1, 0)
        rows, other, scale = split.test, split.train, float(TEST_PART)  # which makes up for the others
    points = points_of(sample, score, rows, scale)
    trained = {point.signal: point for point in points_of(sample, seen, other)}
    weigh = weigher(model)
    few = np.random.default_rng(model.seed).permutation(rows)[:_IMPORTANCE_EVENTS]
    weights = np.abs(weigh(sample.take(few)))
    complete = _complete(sample, rows)
    features = dict(zip([f.name for f in sample.card.event], sample.inputs.event.T.astype(np.float64), strict=False))
    return Evaluation(
        luminosity=sample.luminosity,
        background_error=BACKGROUND_ERROR,
        cut=model.cut,
        points=tuple(_point(model, point, trained[point.signal], significance) for point in points),
        calibration=calibration(
            np.asarray(score(complete, rows), dtype=np.float64),
            # the share of signal that the score speaks of
            np.abs(weigh(sample.take(rows))) * np.where(sample.target[rows], 1.0, model.prior_odds),
            sample.target[rows],
        ),
        importance=importance(sample, score, few, weights, model.seed),
        negative_weights=compare_policies(sample.weight, sample.process, sample.processes, features),
        effective_events={
            name: effective_number(sample.weight[sample.process == place])
            for place, name in enumerate(sample.processes)
        },
        differences={"onnx": difference},
    )


def _point(model: Model, point: Point, trained: Point, significance: Significance) -> SignalEvaluation:
    false, true = roc(point.score, np.abs(point.weight), point.target)
    thin = np.unique(np.searchsorted(true, np.linspace(0, 1, _ROC_POINTS)).clip(0, len(true) - 1))
    scan = point.scan(significance)
    return SignalEvaluation(
        signal=point.signal,
        parameters=dict(zip([p.name for p in model.parameters], point.parameters, strict=True)),
        auc=float(np.trapezoid(true, false)),
        auc_training=trained.auc,
        accuracy=accuracy(point.score, point.target),
        roc=RocCurve(tuple(false[thin].tolist()), tuple(true[thin].tolist())),
        significance=tuple(scan),
        best=best(scan),
        at_cut=point.scan(significance, cuts=[model.cut])[0],
        distributions=distributions(point),
        distributions_training=distributions(trained),
    )


def _summary(evaluation: Evaluation) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {}
    for point in evaluation.points:
        metrics[f"auc_{point.signal}"] = round(point.auc, 6)
        metrics[f"significance_{point.signal}"] = point.best.z
    return metrics | {f"difference_{name}": value for name, value in evaluation.differences.items()}


def _training_card(model: Model, sample: Sample) -> TrainingCard:
    versions = installed(_PACKAGES) | {"python": platform.python_version()}
    hyperparameters: dict[str, Any] = {"network": {"kind": type(model.network).__name__, **asdict(model.network)}}  # type: ignore[arg-type]  # a dataclass, as OwnNetwork asks for
    if not isinstance(model.network, Trees):
        hyperparameters["optimisation"] = asdict(model.optimisation)
    return TrainingCard(
        columns=sample.digest,
        datasets={name: int((sample.process == place).sum()) for place, name in enumerate(sample.processes)},
        events={"signal": int(sample.target.sum()), "background": int((~sample.target).sum())},
        weighting=f"{model.weighting}, negative weights: {model.negative_weights}",
        normalisation=model.normalisation,
        seed=model.seed,
        hyperparameters=hyperparameters,
        versions=versions,
    )
