"""The regression on made events: a deep network, its inputs given again every few layers ("drop-in")."""

from __future__ import annotations

__all__ = ["DropInNetwork", "Round", "fit_regression", "predict", "residuals", "scaled_targets"]

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from processors.three_leptons import INPUTS, THREE_LEPTON_TARGETS, three_lepton_targets
from torch import nn

from colonnade.errors import FitError
from colonnade.training.trainer import Fitted, Trainer, learn
from studies.hnl_tau.declaration import Regression
from studies.hnl_tau.made_events import Bounds, draw_events, inside

_TOTAL = len(THREE_LEPTON_TARGETS) - 1
# which targets are energies, to be divided by the total
_ENERGIES = [target.unit == "GeV" and place != _TOTAL for place, target in enumerate(THREE_LEPTON_TARGETS)]
# made events from which the inputs' scale is taken
_SCALE_EVENTS = 200_000


class DropInNetwork(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """Hidden layers of one width, some of which are given the inputs again, and one linear layer to the targets.

    The inputs' scale is part of it. `latent` is the last hidden layer, `forward` the targets as `scaled_targets` has
    them.
    """

    def __init__(self, settings: Regression) -> None:
        super().__init__()
        inputs = len(INPUTS)
        self.again = settings.given_again()
        widths = [settings.width + (inputs if place in self.again else 0) for place in range(1, settings.depth)]
        self.hidden = nn.ModuleList(nn.Linear(width, settings.width) for width in (inputs, *widths))
        self.last = nn.Linear(settings.width, len(THREE_LEPTON_TARGETS))
        self.register_buffer("shift", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        for layer in self.hidden:
            # keeps the size of signals through many layers of ReLU (He et al., arXiv:1502.01852)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def latent(self, events: Any) -> Any:
        """Compute the last hidden layer [N, width] of events [N, 14] in GeV and radians."""
        given = (events - self.shift) / self.spread
        values = given
        for place, layer in enumerate(self.hidden):
            values = torch.relu(layer(torch.cat([values, given], 1) if place in self.again else values))
        return values

    def forward(self, events: Any) -> Any:
        """Compute targets [N, 112]."""
        return self.last(self.latent(events))


def scaled_targets(targets: Any) -> Any:
    """Divide energies by the total energy, which itself stays in units of 100 GeV.

    Parameters
    ----------
    targets
        [N, 112], GeV and radians.
    """
    total = targets[:, _TOTAL:]
    energies = torch.tensor(_ENERGIES, device=targets.device)
    scaled = torch.where(energies, targets / total, targets)
    return torch.cat([scaled[:, :_TOTAL], total / 100.0], 1)


@dataclass(frozen=True)
class Round:
    """What an epoch reached.

    Attributes
    ----------
    number, loss, kept, seconds
        Its number, mean loss, share of made events that were kept, and time.
    """

    number: int
    loss: float
    kept: float
    seconds: float

    @property
    def merit(self) -> float:
        """Its number: without events to stop by, the last epoch is kept."""
        return float(self.number)


def fit_regression(
    settings: Regression,
    bounds: Bounds,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[Round], None] | None = None,
) -> Fitted[Round]:
    """Train a regression.

    The loss is the mean squared error of all targets but the total energy, which counts by its relative one.
    Interrupted, it goes on after the last whole epoch.

    Parameters
    ----------
    settings
        What to train.
    bounds
        Which made events look like simulated ones.
    device
        Where events are made and the network is trained.
    checkpoint
        Where the state is kept after each epoch.
    progress
        Called after each epoch.

    Raises
    ------
    FitError
        If the loss stops being a number, or no made event is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = DropInNetwork(settings)
    first = draw_events(_SCALE_EVENTS, _generator(settings.seed, 0, "cpu"))
    network.shift.copy_(first.mean(0))
    network.spread.copy_(first.std(0))
    network = network.to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    key = _key(settings, bounds)

    def epoch(number: int) -> Round:
        begin, kept = time.perf_counter(), 0

        def losses() -> Iterator[tuple[Any, int]]:
            nonlocal kept
            for events, targets in _batches(settings, bounds, number, device):
                kept += len(events)
                yield _loss(network(events), targets), len(events)

        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * settings.decay ** (number - 1)
        loss = learn(network, optimiser, losses())
        if not kept:
            msg = f"No made event of epoch {number} was kept; check the events that give the percentiles."
            raise FitError(msg)
        return Round(number, loss, kept / settings.events, time.perf_counter() - begin)

    trainer = Trainer(network, optimiser, Round, checkpoint=checkpoint, key=key)
    return trainer.run(epoch, rounds=settings.epochs, progress=progress)


def _batches(settings: Regression, bounds: Bounds, epoch: int, device: str) -> Iterator[tuple[Any, Any]]:
    """Draw an epoch's events, batch by batch; those out of bounds are left out."""
    generator = _generator(settings.seed, epoch, device)
    for low in range(0, settings.events, settings.batch):
        events = draw_events(min(settings.batch, settings.events - low), generator)
        targets = three_lepton_targets(events)
        keep = inside(targets, bounds)
        yield events[keep], scaled_targets(targets[keep])


def _generator(seed: int, epoch: int, device: str) -> Any:
    return torch.Generator(device).manual_seed(1_000_003 * seed + epoch)


def _loss(predicted: Any, wanted: Any) -> Any:
    difference = predicted - wanted
    relative = difference[:, _TOTAL] / wanted[:, _TOTAL]
    return (difference[:, :_TOTAL].square().sum(1) + relative.square()).mean() / len(THREE_LEPTON_TARGETS)


def predict(network: Any, events: NDArray[np.float32], batch: int = 16384) -> NDArray[np.float32]:
    """Return the network's scaled targets [N, 112] of events [N, 14], on the CPU."""
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(np.ascontiguousarray(events[low : low + batch])))
            for low in range(0, len(events), batch)
        ]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def residuals(network: Any, events: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return predicted minus true scaled targets of events; of the total energy the relative difference.

    Parameters
    ----------
    network
        A `DropInNetwork` on the CPU.
    events
        [N, 14].

    Returns
    -------
    ndarray [N, 112]
    """
    wanted = scaled_targets(three_lepton_targets(torch.from_numpy(np.ascontiguousarray(events)))).numpy()
    difference: NDArray[np.float32] = predict(network, events) - wanted
    difference[:, _TOTAL] /= wanted[:, _TOTAL]
    return difference


def _key(settings: Regression, bounds: Bounds) -> str:
    # more epochs of the same training go on from fewer
    same = {name: value for name, value in asdict(settings).items() if name != "epochs"}
    content = json.dumps(same, sort_keys=True).encode() + bounds.low.tobytes() + bounds.high.tobytes()
    return hashlib.sha256(content).hexdigest()
