"""A classifier that starts from a regression: its last hidden layer, what that does not know, and a dense head."""

from __future__ import annotations

__all__ = ["TransferNetwork", "bounds_of", "pretrained_for", "starting_network"]

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processors.three_leptons import INPUTS
from torch import nn

from colonnade.errors import ConfigError
from colonnade.training.declaration import Model
from colonnade.training.sample import Sample, Split
from colonnade.training.trainer import Fitted
from colonnade.training.weights import fit_scale
from studies.hnl_tau.declaration import Transfer
from studies.hnl_tau.made_events import Bounds
from studies.hnl_tau.regression import DropInNetwork, Round, fit_regression


class _Latent(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """The regression's last hidden layer beside the other features, scaled."""

    def __init__(self, regression: DropInNetwork, shift: Any, width: Any) -> None:
        super().__init__()
        self.regression = regression
        self.register_buffer("shift", torch.from_numpy(shift.copy()))
        self.register_buffer("width", torch.from_numpy(width.copy()))

    def forward(self, event: Any) -> Any:
        latent = self.regression.latent(event[:, : len(INPUTS)])
        return torch.cat([latent, (event[:, len(INPUTS) :] - self.shift) / self.width], 1)


class TransferNetwork(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """As `networks.Network`: `forward` gives logits, `score` scores.

    Parameters
    ----------
    settings
        What was declared.
    regression
        What it starts from; it is changed in training unless it is frozen.
    shift, width
        The scale of the features that the regression does not take.
    prior_odds
        See `Model.prior_odds`.
    """

    def __init__(
        self, settings: Transfer, regression: DropInNetwork, shift: Any, width: Any, prior_odds: float
    ) -> None:
        super().__init__()
        self.names: list[str] = []
        self.pools = nn.ModuleDict()
        self.settings = settings
        self.register_buffer("log_odds", torch.tensor(math.log(prior_odds)))
        self.event_norm = _Latent(regression, shift, width)
        inputs = regression.last.in_features + len(shift)
        modules: list[Any] = []
        for nodes in settings.hidden:
            modules += [nn.Dropout(settings.dropout), nn.Linear(inputs, nodes), nn.ReLU()]
            inputs = nodes
        self.head = nn.Sequential(*modules, nn.Linear(inputs, 1))
        self.begin_epoch(1)

    def begin_epoch(self, number: int) -> None:
        """Let the regression's weights learn, or not, from an epoch (counted from 1) on."""
        learns = self.settings.learns(number)
        for parameter in self.event_norm.regression.hidden.parameters():
            parameter.requires_grad_(learns)
        # the regression's own output is not part of the classifier
        self.event_norm.regression.last.requires_grad_(False)

    def optimiser(self, learning_rate: float) -> Any:
        """Make AdamW over all weights; those that don't learn yet have no gradient and stay as they are."""
        parameters = [*self.event_norm.regression.hidden.parameters(), *self.head.parameters()]
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=self.settings.weight_decay)

    def forward(self, event: Any) -> Any:
        """Compute logits [N] of events [N, F]."""
        return self.head(self.event_norm(event))[:, 0]

    def score(self, event: Any) -> Any:
        """Compute scores [N], between 0 and 1, given the prior odds."""
        return torch.sigmoid(self(event) - self.log_odds)


def bounds_of(sample: Sample, percentiles: tuple[float, float]) -> Bounds:
    """Take the range of the regression's targets from a sample whose first features are the regression's inputs."""
    return Bounds.of(sample.inputs.event[:, : len(INPUTS)], percentiles)


def pretrained_for(
    settings: Transfer,
    sample: Sample,
    folder: Path,
    device: str = "cpu",
    progress: Callable[[Round], None] | None = None,
) -> Fitted[Round]:
    """Train the regression of a classifier, or take it from an earlier training.

    Parameters
    ----------
    settings
        What was declared.
    sample
        Simulated events, which say how far made events may reach; their labels are not looked at.
    folder
        Where regressions are kept.
    device, progress
        See `fit_regression`.
    """
    regression = settings.regression
    bounds = bounds_of(sample, regression.percentiles)
    name = hashlib.sha256(json.dumps(asdict(regression), sort_keys=True).encode()).hexdigest()[:12]
    return fit_regression(
        regression, bounds, device=device, checkpoint=folder / f"regression_{name}.pt", progress=progress
    )


def starting_network(
    model: Model,
    sample: Sample,
    split: Split,
    folder: Path,
    *,
    seed: int,
    device: str = "cpu",
    progress: Callable[[Round], None] | None = None,
) -> TransferNetwork:
    """Make the network of one fold from a trained regression.

    Parameters
    ----------
    model
        Whose network is a `Transfer`.
    sample, split
        The training events give the scale of the features that the regression does not take.
    folder
        Where regressions are kept; one serves all folds and modes.
    seed
        Of the head's weights.
    device, progress
        See `fit_regression`.

    Raises
    ------
    ConfigError
        If the model's first features are not the regression's inputs.
    """
    settings = model.network
    assert isinstance(settings, Transfer)  # noqa: S101 - the caller chose by this type
    wanted, given = [each.name for each in INPUTS], [each.name for each in model.event[: len(INPUTS)]]
    if wanted != given:
        msg = f"A Transfer model's first features must be {', '.join(wanted)}, but they are {', '.join(given)}."
        raise ConfigError(msg)
    pretrained = pretrained_for(settings, sample, folder, device, progress)
    scale = fit_scale(model.normalisation, sample.inputs.event[split.train][:, len(INPUTS) :])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TransferNetwork(
            settings, pretrained.network, np.asarray(scale.shift), np.asarray(scale.width), model.prior_odds
        )
