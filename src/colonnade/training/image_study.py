"""Networks on images beside a network on the jagged particles: trained on the same events, judged on the same."""

from __future__ import annotations

__all__ = ["run_image_study"]

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.config import read_json
from colonnade.errors import ColonnadeError, ConfigError
from colonnade.images import SparseImages, compress
from colonnade.inference import Card, Classifier
from colonnade.output import write_json
from colonnade.training.declaration import Collection, Model, SetNetwork
from colonnade.training.evaluation import Significance, area_under_curve
from colonnade.training.image_declaration import ImageModel, ImageNetwork, ImageStudy
from colonnade.training.image_metrics import at_thresholds, average_precision, peak, sensitivity_gain
from colonnade.training.loading import read_sample
from colonnade.training.sample import Sample
from colonnade.training.train import Progress, train_model

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
# events that are scored to measure time
_TIMED = 200


@dataclass(frozen=True)
class _Events:
    """All events of a study, and which of them are for what.

    `test` is of the two classes and of no training; `fresh` is everything that nothing was trained or stopped on.
    """

    study: ImageStudy
    sample: Sample

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """The events of the two classes in the region of the training."""
        unseen = self.sample.process == self.sample.processes.index(self.study.unseen)
        known: NDArray[np.bool_] = self.sample.in_region(self.study.region) & ~unseen
        return known

    @cached_property
    def parts(self) -> dict[str, Rows]:
        """Rows to learn from, to stop by, and to test on: those that `Sample.split` gives the set network as well."""
        split = self.sample.split(1, 0)
        return {name: rows[self.known[rows]] for name, rows in asdict(split).items()}

    @cached_property
    def fresh(self) -> NDArray[np.bool_]:
        """The events that no network has seen."""
        seen = np.zeros(len(self.sample), dtype=bool)
        seen[self.parts["train"]] = seen[self.parts["validation"]] = True
        return ~seen

    def weight(self) -> NDArray[np.float64]:
        """Weights with which the fresh events stand for all: the test part of a class for the whole class."""
        weight = self.sample.weight.copy()
        for process in range(len(self.sample.processes)):
            own = self.known & (self.sample.process == process)
            if own.any():
                weight[own] *= weight[own].sum() / max(float(weight[own & self.fresh].sum()), 1e-300)
        return weight

    def of(self, process: str) -> NDArray[np.bool_]:
        """Tell which fresh events are of a process."""
        own: NDArray[np.bool_] = self.fresh & (self.sample.process == self.sample.processes.index(process))
        return own


def run_image_study(
    name: str,
    study: ImageStudy,
    jagged: Model,
    columns: Path,
    folder: Path,
    *,
    output: Path,
    significance: Significance,
    others: Mapping[str, Model] | None = None,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train every network of a study and write `folder/study.json`.

    Interrupted, it goes on where it was.

    Parameters
    ----------
    name
        Of the analysis: models are written to `output/NAME_IMAGES.onnx`, the network on sets to `output/NAME.onnx`,
        each of `others` to `output/NAME_OTHER.onnx`.
    study, jagged
        What to train: the networks on images, and the one on sets.
    columns
        The training columns.
    folder
        For checkpoints and the result.
    output
        The models' folder.
    significance, device, threads, progress
        As in `train_model`.
    others
        The study's further models, by name.

    Raises
    ------
    ConfigError
        If the columns lack a process or region, or the network on sets is none.
    """
    if not isinstance(jagged.network, SetNetwork):
        msg = f"The study compares images with a SetNetwork, but '{study.jagged}' is a {type(jagged.network).__name__}."
        raise ConfigError(msg)
    first = next(iter(study.images.values()))
    known: dict[Any, _Events] = {}
    for model in study.images.values():
        if _source(model) not in known:
            reads = model.reads(signals=(study.signal,), backgrounds=(study.background, study.unseen))
            known[_source(model)] = _Events(study, read_sample(columns, reads, name))
    events = known[_source(first)]
    _require(study, events.sample)
    result: dict[str, Any] = {
        "events": {part: len(rows) for part, rows in events.parts.items()},
        "full": {
            down: _size(ImageModel(first.particles, first.jets, network=ImageNetwork(down)))
            for down in ("strides", "max_pool")
        },
        "losses": {},
        "models": {},
        "others": {},
    }
    earlier = _earlier(folder / "study.json")
    networks: dict[str, Any] = {}
    cells: dict[Any, SparseImages] = {}
    for key, model in study.images.items():
        if (own := (*_source(model), model.emf)) not in cells:
            from colonnade.training.image_fit import make_sparse

            cells[own] = make_sparse(model.card(key), known[_source(model)].sample.inputs)
        if model.compression not in result["losses"]:
            result["losses"][model.compression] = _losses(model, cells[own], events.parts["test"])
        result["models"][key], networks[key] = _fit(
            f"{name}_{key}",
            model,
            known[_source(model)],
            cells[own],
            folder / key,
            output,
            device,
            progress,
            earlier.get(key, {}),
        )
        write_json(folder / "study.json", result)
    judged: dict[str, Floats] = {}
    for key, each in {"jagged": jagged, **(others or {})}.items():
        entry, judged[key] = _fit_model(
            name if key == "jagged" else f"{name}_{key}",
            study,
            each,
            columns,
            events,
            folder / key,
            output,
            significance,
            device,
            threads,
            progress,
            earlier.get(key, {}),
        )
        (result if key == "jagged" else result["others"])[key] = entry
        write_json(folder / "study.json", result)
    ranked = sorted(study.images, key=lambda key: -result["models"][key]["best"]["validation"])
    fresh = np.flatnonzero(events.fresh)
    result["detailed"] = {}
    for key in study.detailed or tuple(ranked[:2]):
        model = study.images[key]
        scores = _scores(networks[key], model.card(key), cells[(*_source(model), model.emf)], fresh, device)
        result["detailed"][key] = _detail(events, scores, result["models"][key]["peak"])
    for key, scores in judged.items():
        entry = result["jagged"] if key == "jagged" else result["others"][key]
        result["detailed"][key] = _detail(events, scores, entry["peak"])
    write_json(folder / "study.json", result)
    return result


def _source(model: ImageModel) -> tuple[Collection, Collection]:
    """Return what an image is made of."""
    return model.particles, model.jets


def _digest(model: ImageModel | Model, sample: Sample, device: str) -> str:
    return hashlib.sha256(json.dumps([repr(model), sample.digest, device]).encode()).hexdigest()


def _earlier(path: Path) -> dict[str, Any]:
    """Read the entries of a study that was interrupted, or nothing."""
    try:
        found = read_json(path)
        return {**found["models"], **found.get("others", {}), "jagged": found.get("jagged", {})}
    except (ColonnadeError, AttributeError, KeyError, TypeError):
        return {}


def _require(study: ImageStudy, sample: Sample) -> None:
    for region in (study.region, *study.slices, study.selection):
        if region not in sample.region_names:
            known = ", ".join(sample.region_names)
            msg = f"The study names the region '{region}', which the columns do not have; they have: {known}."
            raise ConfigError(msg)


def _size(model: ImageModel) -> dict[str, int]:
    """Count a network's parameters and the arithmetic for one event."""
    import torch

    from colonnade.training.image_networks import arithmetic, build_image_network, count_parameters

    rows, columns = _shape(model)
    network = build_image_network(model, np.ones(8), 0).eval()
    counted = count_parameters(network)
    return {
        "parameters": counted["all"],
        "parameters_convolutions": counted["convolutions"],
        "arithmetic": arithmetic(network, torch.zeros(1, rows, columns, 10)),
    }


def _shape(model: ImageModel) -> tuple[int, int]:
    from colonnade.images import GRID

    return (GRID.rows, GRID.columns) if model.compression == "none" else (model.size, model.size)


def _losses(model: ImageModel, cells: SparseImages, rows: Rows) -> dict[str, float]:
    """Measure what a compression's crop cuts off, on test events."""
    lost_cells, lost_pt = [], []
    for piece in np.array_split(rows, max(1, len(rows) // 500)):
        batch = compress(cells.take(piece), model.compression, size=model.size, rng=np.random.default_rng(0))
        lost_cells.append(batch.lost_cells)
        lost_pt.append(batch.lost_pt)
    cut, share = np.concatenate(lost_cells), np.concatenate(lost_pt)
    return {
        "events": float(np.mean(cut > 0)),
        "cells": float(np.sum(cut) / max(int(np.diff(cells.take(rows).offsets).sum()), 1)),
        "pt": float(np.mean(share)),
        "pt_worst": float(np.max(share, initial=0.0)),
    }


def _fit(
    name: str,
    model: ImageModel,
    events: _Events,
    cells: SparseImages,
    work: Path,
    output: Path,
    device: str,
    progress: Progress | None,
    earlier: dict[str, Any],
) -> tuple[dict[str, Any], Any]:
    """Train, export and judge one network on images; return its entry (the earlier one, if whole), and the network."""
    from colonnade.training.image_export import export_images
    from colonnade.training.image_fit import Check, ImageEvents, fit_images

    sample, parts = events.sample, events.parts
    train, validation = (
        ImageEvents(cells.take(parts[part]), sample.target[parts[part]]) for part in ("train", "validation")
    )

    digest = _digest(model, sample, device)

    def told(check: Check) -> None:
        if progress is not None:
            progress.round(check.step, check.loss, 1 - check.validation)

    if progress is not None:
        progress.begin(name, model.training.steps)
    try:
        fitted = fit_images(
            model,
            train,
            validation,
            device=device,
            checkpoint=work / "training.pt",
            key=digest,
            progress=told,
        )
    finally:
        if progress is not None:
            progress.end()
    if earlier.get("key") == digest and (output / f"{name}.onnx").is_file():
        return earlier, fitted.network
    card = model.card(name)
    judged = _judge(_scores(fitted.network, card, cells, parts["test"], device), sample, parts["test"])
    held_out = sample.inputs.take(parts["test"][:_TIMED])
    about = card.training.model_copy(
        update={
            "columns": sample.digest,
            "datasets": {
                each: int((sample.process[parts["train"]] == place).sum())
                for place, each in enumerate(sample.processes)
            },
            "seed": model.seed,
            "hyperparameters": {
                "network": asdict(model.network),
                "training": asdict(model.training),
                "steps": fitted.best,
            },
        }
    )
    metrics = {each: judged[each] for each in ("accuracy", "average_precision", "auc")}
    classifier = export_images(
        output / f"{name}.onnx",
        fitted.network.cpu(),
        card.model_copy(update={"training": about, "metrics": metrics}),
        _shape(model),
        held_out,
    )
    best = next((asdict(check) for check in fitted.history if check.step == fitted.best), {})
    entry = {
        "key": digest,
        "compression": model.compression,
        "down": model.network.down,
        **_size(model),
        **judged,
        "history": [asdict(check) for check in fitted.history],
        "best": best,
        "seconds_training": fitted.history[-1].seconds,
        "processor_training": fitted.history[-1].processor,
        "seconds_event": _time(classifier, held_out),
    }
    return entry, fitted.network


def _scores(network: Any, card: Card, cells: SparseImages, rows: Rows, device: str) -> Floats:
    """Score some events; the others' scores are not numbers."""
    from colonnade.training.image_fit import image_scores

    assert card.image is not None  # noqa: S101 - that of a network on images has one
    scores = np.full(len(cells), np.nan, dtype=np.float32)
    scores[rows] = image_scores(network.to(device), card.image, cells.take(rows), device)
    return scores


def _fit_model(
    name: str,
    study: ImageStudy,
    model: Model,
    columns: Path,
    events: _Events,
    work: Path,
    output: Path,
    significance: Significance,
    device: str,
    threads: int,
    progress: Progress | None,
    earlier: dict[str, Any],
) -> tuple[dict[str, Any], Floats]:
    """Train a model without images on the same events; of one already trained the times are the earlier entry's."""
    begin, worked = time.perf_counter(), time.process_time()
    trained = train_model(
        name,
        model,
        read_sample(columns, model, name),
        output=output,
        work=work,
        significance=significance,
        device=device,
        threads=threads,
        progress=progress,
    )
    times = {"seconds_training": time.perf_counter() - begin, "processor_training": time.process_time() - worked}
    digest = _digest(model, events.sample, device)
    if earlier.get("key") == digest:
        times = {name: earlier[name] for name in times}
    everything = model.with_(regions=(), backgrounds=(study.background, study.unseen))
    sample = read_sample(columns, everything, name)
    same = all(np.array_equal(sample.identity[each], events.sample.identity[each]) for each in sample.identity)
    assert same  # noqa: S101 - both read the same files in the same order
    scores = trained.classifier.run(sample.inputs)
    test = events.parts["test"]
    few = sample.inputs.take(test[:_TIMED])
    return {
        "key": digest,
        **_model_size(model, trained.classifier.card, few),
        **_judge(scores, sample, test),
        "objects": float(sum(np.mean(counts) for counts in few.counts.values())),
        "importance": trained.evaluation["importance"],
        **times,
        "seconds_event": _time(trained.classifier, few),
    }, scores


def _model_size(model: Model, card: Card, inputs: Any) -> dict[str, int]:
    """Count a network's parameters and its arithmetic for one event, the mean over some."""
    import torch

    from colonnade.training.image_networks import arithmetic, count_parameters
    from colonnade.training.networks import build_network
    from colonnade.training.normalisation import fit_scale

    scales = {c.name: fit_scale("none", np.zeros((1, len(c.features)), dtype=np.float32)) for c in card.jagged()}
    network = build_network(model, card, fit_scale("none", np.zeros((1, card.width()), dtype=np.float32)), scales, 0)
    example = [torch.from_numpy(inputs.event)]
    for collection in card.jagged():
        counts = inputs.counts[collection.name]
        index = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        example += [torch.from_numpy(inputs.objects[collection.name]), index]
    return {
        "parameters": count_parameters(network)["all"],
        "arithmetic": round(arithmetic(network.eval(), *example) / max(len(inputs), 1)),
    }


def _judge(scores: Floats, sample: Sample, test: Rows) -> dict[str, Any]:
    score, target = scores[test], sample.target[test]
    rows = at_thresholds(score, target)
    return {
        "accuracy": at_thresholds(score, target, [0.5])[0].accuracy,
        "average_precision": average_precision(score, target),
        "auc": area_under_curve(score.astype(np.float64), np.ones(len(score)), target),
        "thresholds": [asdict(row) for row in rows],
        "peak": asdict(peak(rows)),
    }


def _time(classifier: Classifier, inputs: Any) -> float:
    """Measure the processor's seconds for an event as the event loop scores it; the least of three."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        classifier.run(inputs)
        spent.append(time.process_time() - begin)
    return min(spent) / max(len(inputs), 1)


def _detail(events: _Events, scores: Floats, chosen: dict[str, float]) -> dict[str, Any]:
    """Judge a score at its threshold in every slice, and after the selection."""
    study, sample, cut = events.study, events.sample, chosen["threshold"]
    processes = (study.signal, study.background, study.unseen)
    slices = {
        region: {process: _right(events, scores, cut, process, sample.in_region(region)) for process in processes}
        for region in study.slices
    }
    anywhere = np.any([sample.in_region(region) for region in study.slices], axis=0)
    inside = sample.in_region(study.selection) & anywhere
    selected = {process: _right(events, scores, cut, process, inside) for process in processes}
    passed = {
        process: share["right"] if process == study.signal else 1 - share["right"]
        for process, share in selected.items()
    }
    errors = {process: share["error"] for process, share in selected.items()}
    return {
        "threshold": cut,
        "slices": slices,
        "selected": selected,
        "gain": sensitivity_gain(study.yields, passed, study.signal),
        "gain_error": _gain_error(study, passed, errors),
    }


def _gain_error(study: ImageStudy, passed: dict[str, float], errors: dict[str, float]) -> float:
    """Carry the errors of the shares that pass, which are independent, to the gain."""
    gain = sensitivity_gain(study.yields, passed, study.signal)
    total = 0.0
    for process, error in errors.items():
        step = error if passed[process] + error <= 1 else -error
        total += (sensitivity_gain(study.yields, {**passed, process: passed[process] + step}, study.signal) - gain) ** 2
    return float(np.sqrt(total))


def _right(events: _Events, scores: Floats, cut: float, process: str, inside: NDArray[np.bool_]) -> dict[str, float]:
    """Return the share of a process's events called what they are, its error, and the number of events."""
    rows = np.flatnonzero(events.of(process) & inside)
    weight = events.weight()[rows]
    right = (scores[rows] > cut) == (process == events.study.signal)
    total = max(float(weight.sum()), 1e-300)
    share = float(weight[right].sum()) / total
    error = float(np.sqrt(np.sum(np.square(weight * (right - share))))) / total
    return {"right": share, "error": error, "events": len(rows)}
