"""Networks on images beside a network on the jagged particles: trained on the same events, judged on the same."""

from __future__ import annotations

__all__ = ["run_image_study"]

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.config import read_json
from colonnade.errors import ColonnadeError, ConfigError
from colonnade.inference import Card, Classifier
from colonnade.output import write_json
from colonnade.training.declaration import Collection, Model, SetNetwork
from colonnade.training.evaluation import Significance
from colonnade.training.sample import Sample, read_sample
from colonnade.training.train import train_model
from colonnade.training.trainer import SILENT, TrainingProgress
from processors.event_images import SparseImages, compress, settings_of
from studies.monojet.declaration import ImageModel, ImageNetwork, ImageStudy
from studies.monojet.judging import StudyEvents, detail, judge

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
# events that are scored to measure time
_TIMED = 200


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
    progress: TrainingProgress = SILENT,
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
    known: dict[Any, StudyEvents] = {}
    for model in study.images.values():
        if _source(model) not in known:
            reads = model.reads(signals=(study.signal,), backgrounds=(study.background, study.unseen))
            known[_source(model)] = StudyEvents(study, read_sample(columns, reads, name))
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
            from studies.monojet.fit import make_sparse

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
        result["detailed"][key] = detail(events, scores, result["models"][key]["peak"])
    for key, scores in judged.items():
        entry = result["jagged"] if key == "jagged" else result["others"][key]
        result["detailed"][key] = detail(events, scores, entry["peak"])
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

    from studies.monojet.networks import arithmetic, build_image_network, count_parameters

    rows, columns = _shape(model)
    network = build_image_network(model, np.ones(8), 0).eval()
    counted = count_parameters(network)
    return {
        "parameters": counted["all"],
        "parameters_convolutions": counted["convolutions"],
        "arithmetic": arithmetic(network, torch.zeros(1, rows, columns, 10)),
    }


def _shape(model: ImageModel) -> tuple[int, int]:
    from processors.event_images import GRID

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
    events: StudyEvents,
    cells: SparseImages,
    work: Path,
    output: Path,
    device: str,
    progress: TrainingProgress,
    earlier: dict[str, Any],
) -> tuple[dict[str, Any], Any]:
    """Train, export and judge one network on images; return its entry (the earlier one, if whole), and the network."""
    from studies.monojet.export import export_images
    from studies.monojet.fit import Check, ImageEvents, fit_images

    sample, parts = events.sample, events.parts
    train, validation = (
        ImageEvents(cells.take(parts[part]), sample.target[parts[part]]) for part in ("train", "validation")
    )

    digest = _digest(model, sample, device)

    def told(check: Check) -> None:
        progress.round(check.step, check.loss, 1 - check.validation)

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
        progress.end()
    if earlier.get("key") == digest and (output / f"{name}.onnx").is_file():
        return earlier, fitted.network
    card = model.card(name)
    judged = judge(_scores(fitted.network, card, cells, parts["test"], device), sample, parts["test"])
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
                "steps": fitted.history[fitted.best - 1].step,
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
    best = asdict(fitted.history[fitted.best - 1])
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
    from studies.monojet.fit import image_scores

    scores = np.full(len(cells), np.nan, dtype=np.float32)
    scores[rows] = image_scores(network.to(device), settings_of(card), cells.take(rows), device)
    return scores


def _fit_model(
    name: str,
    study: ImageStudy,
    model: Model,
    columns: Path,
    events: StudyEvents,
    work: Path,
    output: Path,
    significance: Significance,
    device: str,
    threads: int,
    progress: TrainingProgress,
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
        **judge(scores, sample, test),
        "objects": float(sum(np.mean(counts) for counts in few.counts.values())),
        "importance": dict(trained.evaluation.importance),
        **times,
        "seconds_event": _time(trained.classifier, few),
    }, scores


def _model_size(model: Model, card: Card, inputs: Any) -> dict[str, int]:
    """Count a network's parameters and its arithmetic for one event, the mean over some."""
    import torch

    from colonnade.training.networks import build_network
    from colonnade.training.weights import fit_scale
    from studies.monojet.networks import arithmetic, count_parameters

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


def _time(classifier: Classifier, inputs: Any) -> float:
    """Measure the processor's seconds for an event as the event loop scores it; the least of three."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        classifier.run(inputs)
        spent.append(time.process_time() - begin)
    return min(spent) / max(len(inputs), 1)
