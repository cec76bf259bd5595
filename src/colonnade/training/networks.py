"""The networks, dense and on sets of objects, with their normalisation inside, and how one is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from colonnade.inference import Card, Inputs
from colonnade.training.declaration import Dense, Model, OwnNetwork, SetNetwork
from colonnade.training.sample import Sample, Split
from colonnade.training.trainer import Fitted, Trainer, learn
from colonnade.training.weights import Scale, fit_scale

# events that are scored together
_BATCH = 65536
_ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


class _Normalise(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """One of the named normalisations, for columns [n, F]."""

    def __init__(self, name: str, scale: Scale) -> None:
        super().__init__()
        width = len(scale.shift)
        self.register_buffer("shift", torch.from_numpy(scale.shift.copy()))
        self.register_buffer("width", torch.from_numpy(scale.width.copy()))
        self.register_buffer("knee", None if scale.knee is None else torch.from_numpy(scale.knee.copy()))
        self.batch = nn.BatchNorm1d(width) if name == "batch" else None
        self.layer = nn.LayerNorm(width) if name == "layer" else None

    def forward(self, values: Any) -> Any:
        if self.batch is not None:
            if self.training and len(values) < 2:  # no variance to learn from
                norm = self.batch
                return nn.functional.batch_norm(
                    values, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
                )
            return self.batch(values)
        if self.layer is not None:
            return self.layer(values)
        if self.knee is not None:
            values = torch.asinh(values / self.knee)
        return (values - self.shift) / self.width


def _layers(inputs: int, widths: Sequence[int], activation: str, dropout: float) -> tuple[list[Any], int]:
    modules: list[Any] = []
    for width in widths:
        modules += [nn.Linear(inputs, width), _ACTIVATIONS[activation]()]
        if dropout:
            modules.append(nn.Dropout(dropout))
        inputs = width
    return modules, inputs


class _Pool(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """A network for each object, then the sum, mean or both over each event's objects, and their number."""

    def __init__(self, model: SetNetwork, features: int) -> None:
        super().__init__()
        modules, width = _layers(features, model.objects, model.activation, model.dropout)
        self.each = nn.Sequential(*modules)
        self.pools = model.pools
        self.outputs = width * len(model.pools) + 1

    def forward(self, events: Any, objects: Any, index: Any) -> Any:
        each = self.each(objects)
        # a column of ones counts the objects in the same pass that adds them up
        counted = torch.cat([each, torch.ones_like(each[:, :1])], dim=1)
        empty = torch.zeros(events.shape[0], counted.shape[1], dtype=each.dtype, device=each.device)
        total = empty.index_add(0, index, counted)
        number = total[:, -1:]
        pooled = {"sum": total[:, :-1], "mean": total[:, :-1] / number.clamp(min=1.0)}
        return torch.cat([*(pooled[name] for name in self.pools), number], dim=1)


class _Scoring(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """What gives logits, and scores given the logarithm of the prior odds, `log_odds`."""

    def score(self, event: Any, *objects: Any) -> Any:
        """Compute scores [N], between 0 and 1, given the prior odds; arguments as in `Network.forward`."""
        return torch.sigmoid(self(event, *objects) - self.log_odds)


class Network(_Scoring):
    """A network as declared: `forward` gives the logit of the score.

    Parameters
    ----------
    model
        Its declaration.
    card
        The features.
    event_scale
        For the columns of `event`.
    object_scales
        For those of each jagged collection.
    prior_odds
        See `Model.prior_odds`.
    """

    def __init__(
        self,
        model: Dense | SetNetwork,
        normalisation: str,
        card: Card,
        event_scale: Scale,
        object_scales: dict[str, Scale],
        prior_odds: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("log_odds", torch.tensor(math.log(prior_odds)))
        self.names = [collection.name for collection in card.jagged()]
        self.event_norm = _Normalise(normalisation, event_scale)
        self.object_norms = nn.ModuleDict({name: _Normalise(normalisation, object_scales[name]) for name in self.names})
        self.pools = nn.ModuleDict()
        width = card.width()
        if isinstance(model, SetNetwork):
            for collection in card.jagged():
                pool = _Pool(model, len(collection.features))
                self.pools[collection.name] = pool
                width += pool.outputs
        modules, width = _layers(width, model.hidden, model.activation, model.dropout)
        self.head = nn.Sequential(*modules, nn.Linear(width, 1))

    def forward(self, event: Any, *objects: Any) -> Any:
        """Compute logits [N] of N events.

        Parameters
        ----------
        event
            [N, F].
        objects
            For each jagged collection, in the card's order, its objects [sum n, G] and their events' rows
            [sum n].
        """
        parts = [self.event_norm(event)]
        for place, name in enumerate(self.names):
            values, index = objects[2 * place], objects[2 * place + 1]
            parts.append(self.pools[name](event, self.object_norms[name](values), index))
        return self.head(torch.cat(parts, dim=1))[:, 0]


class Members(_Scoring):
    """Several networks as one, whose logit is the mean of theirs."""

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.names = networks[0].names
        self.register_buffer("log_odds", networks[0].log_odds.clone())

    def forward(self, event: Any, *objects: Any) -> Any:
        """Compute logits [N]; arguments as in `Network.forward`."""
        return torch.stack([network(event, *objects) for network in self.networks]).mean(dim=0)


def build_network(model: Model, card: Card, event_scale: Scale, object_scales: dict[str, Scale], seed: int) -> Any:
    """Make a network with weights drawn from a seed, leaving torch's own random state as it was."""
    assert isinstance(model.network, Dense | SetNetwork)  # noqa: S101 - the caller chose by this type
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(model.network, model.normalisation, card, event_scale, object_scales, model.prior_odds)


@dataclass(frozen=True)
class Epoch:
    """What an epoch reached."""

    number: int
    loss: float
    validation: float
    seconds: float

    @property
    def merit(self) -> float:
        """Minus the loss of the validation events."""
        return -self.validation


class _Inputs:
    """Events on a device, from which batches are gathered without padding."""

    def __init__(self, inputs: Inputs, names: Sequence[str], device: str) -> None:
        self.event = torch.from_numpy(np.ascontiguousarray(inputs.event)).to(device)
        self.objects = [torch.from_numpy(inputs.objects[name]).to(device) for name in names]
        counts = [inputs.counts[name] for name in names]
        self.counts = [torch.from_numpy(count).to(device) for count in counts]
        self.starts = [torch.from_numpy(np.cumsum(count) - count).to(device) for count in counts]

    def batches(self) -> Any:
        """Return the rows of large batches, in order."""
        return torch.arange(len(self.event), device=self.event.device).split(_BATCH)

    def batch(self, rows: Any) -> tuple[Any, ...]:
        """Gather events and their objects: (event, objects, index, objects, index, ...)."""
        parts = [self.event[rows]]
        for objects, counts, starts in zip(self.objects, self.counts, self.starts, strict=True):
            count = counts[rows]
            index = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), count)
            first = torch.cumsum(count, 0) - count
            place = torch.arange(len(index), device=rows.device) + (starts[rows] - first)[index]
            parts += [objects[place], index]
        return tuple(parts)


class _Events(_Inputs):
    """Events to train on or to judge a network by."""

    def __init__(self, sample: Sample, weights: NDArray[np.float64], device: str) -> None:
        super().__init__(sample.inputs, [collection.name for collection in sample.card.jagged()], device)
        self.target = torch.from_numpy(sample.target.astype(np.float32)).to(device)
        self.weight = torch.from_numpy(weights.astype(np.float32)).to(device)
        self.background = torch.from_numpy(np.flatnonzero(~sample.target)).to(device)

    def set_background(self, columns: slice, values: NDArray[np.float32]) -> None:
        """Give background events the parameters drawn for them."""
        self.event[self.background, columns] = torch.from_numpy(values).to(self.event.device)


def network_scores(network: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Score N events with torch, on the processor, by a `Network` in evaluation mode."""
    events = _Inputs(inputs, network.names, "cpu")
    with torch.no_grad():
        scores: NDArray[np.float32] = torch.cat(
            [network.score(*events.batch(rows)) for rows in events.batches()]
        ).numpy()
    return scores


def fit_network(
    model: Model,
    sample: Sample,
    split: Split,
    weigh: Callable[[Sample], NDArray[np.float64]],
    *,
    seed: int,
    device: str = "cpu",
    folder: Path | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    progress: Callable[[Epoch], None] | None = None,
) -> Fitted[Epoch]:
    """Train one network.

    The same arguments give the same network on one machine, whether or not the training was interrupted.

    Parameters
    ----------
    model, sample, split
        What to train, on which events.
    weigh
        Gives training weights of mean 1 for a part of the sample.
    seed
        Of weights, order of events and background parameters.
    device
        `cpu`, `cuda`, ...
    folder
        Where a network of the user's own keeps what it needs.
    checkpoint
        Where the state is kept after each epoch; a training that finds its own goes on from there.
    key
        What the training depends on; a checkpoint of another key is not used.
    progress
        Called after each epoch.

    Raises
    ------
    FitError
        If the loss stops being a number.
    """
    train, validation = sample.take(split.train), sample.take(split.validation)
    if isinstance(model.network, OwnNetwork):
        network = model.network.build(model, sample, split, folder=folder or Path(), seed=seed, device=device)
    else:
        event_scale = fit_scale(model.normalisation, train.inputs.event)
        scales = {name: fit_scale(model.normalisation, values) for name, values in train.inputs.objects.items()}
        network = build_network(model, sample.card, event_scale, scales, seed)
    network = network.to(device)
    if hasattr(network, "optimiser"):
        optimiser = network.optimiser(model.optimisation.learning_rate)
    else:
        optimiser = torch.optim.Adam(_groups(network, model.optimisation.l2), lr=model.optimisation.learning_rate)
    weights = weigh(train)
    taught, check = _Events(train, weights, device), _Events(validation, weigh(validation), device)
    draw = _Parameters(train, weights)
    check.set_background(draw.columns, draw(validation, (seed, 0)))

    def epoch(number: int) -> Epoch:
        begin = time.perf_counter()
        taught.set_background(draw.columns, draw(train, (seed, number)))
        if hasattr(network, "begin_epoch"):
            network.begin_epoch(number)
        for group in optimiser.param_groups:
            group["lr"] = model.optimisation.rate(number)
        with torch.random.fork_rng(devices=[] if device == "cpu" else None):
            torch.manual_seed(seed + 7919 * number)  # for dropout
            losses = _losses(network, taught, model.optimisation.batch, seed + 7919 * number)
            loss = learn(network, optimiser, losses)
        return Epoch(number, loss, _loss(network, check), time.perf_counter() - begin)

    trainer = Trainer(network, optimiser, Epoch, checkpoint=checkpoint, key=key)
    how = model.optimisation
    return trainer.run(epoch, rounds=how.epochs, patience=how.patience, progress=progress)


class _Parameters:
    """Draws the hypothesis of background events from the signal's, as often as signal counts in training."""

    def __init__(self, train: Sample, weights: NDArray[np.float64]) -> None:
        self.columns = train.card.parameter_columns()
        if train.card.parameters:
            values = train.inputs.event[train.target, self.columns]
            self.values, inverse = np.unique(values, axis=0, return_inverse=True)
            shares = np.bincount(inverse.ravel(), weights=np.abs(weights[train.target]))
            self.shares = shares / shares.sum()

    def __call__(self, sample: Sample, seed: tuple[int, ...]) -> NDArray[np.float32]:
        count = int((~sample.target).sum())
        if not sample.card.parameters:
            return np.zeros((count, 0), dtype=np.float32)
        drawn = np.random.default_rng(seed).choice(len(self.values), size=count, p=self.shares)
        return np.asarray(self.values[drawn], dtype=np.float32)


def _groups(network: Any, l2: float) -> list[dict[str, Any]]:
    """Penalise weights but not biases: the loss is C + l2 * sum w^2, whose gradient is 2 l2 w."""
    parameters = list(network.parameters())
    return [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 2 * l2},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]


def _losses(network: Any, events: _Events, size: int, seed: int) -> Iterator[tuple[Any, int]]:
    """Yield the loss of each batch of an epoch, in an order drawn from a seed, and the batch's size."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(events.target))).to(events.target.device)
    for rows in order.split(size):
        logits = network(*events.batch(rows))
        yield _cross_entropy(logits, events.target[rows], events.weight[rows]) / len(rows), len(rows)


def _loss(network: Any, events: _Events) -> float:
    network.eval()
    total = 0.0
    with torch.no_grad():
        for rows in events.batches():
            total += float(_cross_entropy(network(*events.batch(rows)), events.target[rows], events.weight[rows]))
    return total / max(len(events.target), 1)


def _cross_entropy(logits: Any, target: Any, weight: Any) -> Any:
    """Add up the weighted binary cross entropy of the logits' sigmoid, stable for large logits."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
