"""Training a network on images: batches made when their turn comes, checks, early stopping, checkpoints."""

from __future__ import annotations

__all__ = ["Check", "ImageEvents", "fit_images", "image_scores", "layer_means", "make_sparse"]

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.inference import Card, Inputs
from colonnade.training.trainer import Fitted, Trainer, learn
from processors.event_images import LAYERS, ImageSettings, SparseImages, dense_images, settings_of, sparse_images
from studies.monojet.declaration import ImageModel
from studies.monojet.metrics import at_thresholds
from studies.monojet.networks import build_image_network, corrected_loss, l2_penalty

_SCORED = 64
# events whose cells are made together: their particles are for a moment held in double precision
_CHUNK = 20_000


@dataclass(frozen=True)
class Check:
    """What training had reached at a step, at the threshold 0.5.

    `seconds` passed, of them `processor` at work here, all threads together (other processes may share the machine).
    `training` and `validation` are accuracies; `document_...` the mean of precision and recall, the document's.
    """

    step: int
    seconds: float
    processor: float
    loss: float
    training: float
    validation: float
    document_training: float
    document_validation: float

    @property
    def merit(self) -> float:
        """The accuracy on the validation events."""
        return self.validation


@dataclass(frozen=True)
class ImageEvents:
    """Events to learn from or to check: the non-empty cells of their images, and which are signal."""

    sparse: SparseImages
    target: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.target)

    def first(self, count: int) -> ImageEvents:
        """Return so many events, drawn at random but always the same."""
        rows = np.random.default_rng(0).permutation(len(self))[:count]
        return ImageEvents(self.sparse.take(rows), self.target[rows])


def make_sparse(card: Card, inputs: Inputs) -> SparseImages:
    """Make the non-empty cells of many events, in pieces; the images themselves are never held."""
    pieces = np.array_split(np.arange(len(inputs)), max(1, -(-len(inputs) // _CHUNK)))
    return SparseImages.join([sparse_images(card, inputs.take(piece)) for piece in pieces])


def fit_images(
    model: ImageModel,
    train: ImageEvents,
    validation: ImageEvents,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    key: str = "",
    progress: Callable[[Check], None] | None = None,
) -> Fitted[Check]:
    """Train one network on images.

    The same arguments give the same network on one machine, whether or not the training was interrupted.

    Parameters
    ----------
    model
        What to train.
    train, validation
        Events to learn from, and to stop by.
    device
        `cpu`, `cuda`, ...
    checkpoint
        Where the state is kept after each check; a training that finds its own goes on from there.
    key
        What the training depends on; a checkpoint of another key is not used.
    progress
        Called after each check.

    Raises
    ------
    FitError
        If there are no events, or the loss stops being a number.
    """
    if not len(train) or not len(validation):
        msg = "There are no events to train a network on images on, or none to check it; make more."
        raise FitError(msg)
    how, settings = model.training, settings_of(model.card("images"))
    network = build_image_network(model, layer_means(train.sparse), model.seed).to(device)
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=how.learning_rate)
    looked = train.first(how.checked), validation.first(how.checked)
    trainer = Trainer(network, optimiser, Check, checkpoint=checkpoint, key=key)
    with torch.random.fork_rng(devices=[] if device == "cpu" else None), ThreadPoolExecutor(1) as pool:
        batches = _batches(model, settings, train, len(trainer.history) * how.every, pool)

        def check(number: int) -> Check:
            begin, worked = time.perf_counter(), time.process_time()
            first, last = (number - 1) * how.every, min(number * how.every, how.steps)
            loss = learn(network, optimiser, _losses(network, model, batches, range(first, last), device))
            accuracies = [_accuracies(network, settings, part, device, how.precision) for part in looked]
            earlier = trainer.history[-1] if trainer.history else None
            return Check(
                step=last,
                seconds=(earlier.seconds if earlier else 0.0) + time.perf_counter() - begin,
                processor=(earlier.processor if earlier else 0.0) + time.process_time() - worked,
                loss=loss,
                training=accuracies[0][0],
                validation=accuracies[1][0],
                document_training=accuracies[0][1],
                document_validation=accuracies[1][1],
            )

        rounds = -(-how.steps // how.every)
        fitted = trainer.run(check, rounds=rounds, patience=how.patience, progress=progress)
    # the layout of memory is no part of the model
    return replace(fitted, network=fitted.network.to(memory_format=torch.contiguous_format))


def layer_means(images: SparseImages) -> NDArray[np.float32]:
    """Return the mean of each layer's non-zero entries, shape (8,); 1 for a layer that is zero everywhere.

    Dividing each layer by it makes the entries of order one. It is to be taken from the training split only.
    """
    values = images.values.astype(np.float64)
    filled = np.count_nonzero(values, axis=0)
    # charge is of both signs: its mean size is what brings it to order one
    means = np.divide(np.abs(values).sum(axis=0), filled, out=np.ones(len(LAYERS)), where=filled > 0)
    return np.asarray(means, dtype=np.float32)


def _batches(
    model: ImageModel, settings: ImageSettings, events: ImageEvents, step: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield batches for ever from a step on, each made while the one before is learned from."""
    size = min(model.training.batch, len(events))
    each = len(events) // size  # an epoch's rest is left out, another one each time

    def make(number: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        epoch, place = divmod(number, each)
        order = np.random.default_rng((model.seed, epoch)).permutation(len(events))
        rows = order[place * size : (place + 1) * size]
        rng = np.random.default_rng((model.seed, epoch, place))
        return dense_images(settings, events.sparse.take(rows), rng), events.target[rows]

    waiting = pool.submit(make, step)
    while True:
        step += 1
        ready, waiting = waiting.result(), pool.submit(make, step)
        yield ready


def _losses(network: Any, model: ImageModel, batches: Any, steps: range, device: str) -> Iterator[tuple[Any, int]]:
    """Yield the loss of the batch of each step; batches count alike."""
    how = model.training
    for number in steps:
        images, target = (torch.from_numpy(part).to(device, non_blocking=True) for part in next(batches))
        torch.manual_seed(1_000_003 * model.seed + number)  # for dropout
        with _autocast(device, how.precision):
            logits = network(images)
        yield corrected_loss(logits.float(), target) + how.l2 * l2_penalty(network), 1


def _autocast(device: str, precision: str) -> Any:
    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bfloat16")


def image_scores(
    network: Any, settings: ImageSettings, sparse: SparseImages, device: str = "cpu", precision: str = "float32"
) -> NDArray[np.float32]:
    """Score events with torch, making their images a batch at a time."""
    network.eval()
    scores = np.empty(len(sparse), dtype=np.float32)
    with torch.no_grad(), _autocast(device, precision):
        for low in range(0, len(sparse), _SCORED):
            images = dense_images(settings, sparse[low : low + _SCORED])
            scores[low : low + _SCORED] = network.score(torch.from_numpy(images).to(device)).cpu().numpy()
    return scores


def _accuracies(
    network: Any, settings: ImageSettings, part: ImageEvents, device: str, precision: str
) -> tuple[float, float]:
    (row,) = at_thresholds(image_scores(network, settings, part.sparse, device, precision), part.target, [0.5])
    return row.accuracy, row.mean_precision_recall
