"""The networks: dense, and on sets of objects, with their normalisation inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from colonnade.inference import Card
from colonnade.training.declaration import Dense, Model, SetNetwork
from colonnade.training.weights import Scale

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


class Network(nn.Module):  # type: ignore[misc]  # torch is not analysed
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

    def score(self, event: Any, *objects: Any) -> Any:
        """Compute scores [N], between 0 and 1, given the prior odds; arguments as in `forward`."""
        return torch.sigmoid(self(event, *objects) - self.log_odds)


class Members(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """Several networks as one, whose logit is the mean of theirs."""

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.names = networks[0].names
        self.register_buffer("log_odds", networks[0].log_odds.clone())

    def forward(self, event: Any, *objects: Any) -> Any:
        """Compute logits [N]; arguments as in `Network.forward`."""
        return torch.stack([network(event, *objects) for network in self.networks]).mean(dim=0)

    def score(self, event: Any, *objects: Any) -> Any:
        """Compute scores [N], between 0 and 1, given the prior odds."""
        return torch.sigmoid(self(event, *objects) - self.log_odds)


def build_network(model: Model, card: Card, event_scale: Scale, object_scales: dict[str, Scale], seed: int) -> Any:
    """Make a network with weights drawn from a seed, leaving torch's own random state as it was."""
    assert isinstance(model.network, Dense | SetNetwork)  # noqa: S101 - the caller chose by this type
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(model.network, model.normalisation, card, event_scale, object_scales, model.prior_odds)
