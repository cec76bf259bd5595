"""What a model file says of a regression on made events and of a classifier that starts from it.

Light to import: no torch.
"""

from __future__ import annotations

__all__ = ["MODES", "MassScan", "Regression", "Transfer"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError, nearest
from colonnade.training import Model

# frozen: only the head learns; free: all of it from the start; freed: all of it from an epoch on
MODES = ("frozen", "free", "freed")


@dataclass(frozen=True)
class Regression:
    """A deep network that learns to calculate the quantities of three leptons from their momenta.

    It is trained on made events: drawn anew for each epoch, on the device that trains, their targets calculated there.

    Attributes
    ----------
    width, depth
        Nodes of a hidden layer and number of hidden layers.
    every, drop_in
        The inputs are given again to every third hidden layer ("drop-in"), or not.
    events, batch, epochs
        Events drawn for an epoch, of which those that look unlike data are left out; events a step; epochs.
    learning_rate, decay
        Adam's step, and by what it is multiplied after each epoch.
    percentiles
        Made events with a target outside these percentiles of the simulated events are left out.
    seed
        Of weights and of made events.
    """

    width: int = 1024
    depth: int = 25
    every: int = 3
    drop_in: bool = True
    events: int = 4_000_000
    batch: int = 16_384
    epochs: int = 400
    learning_rate: float = 3e-4
    decay: float = 0.985
    percentiles: tuple[float, float] = (0.3, 99.7)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "depth", "every", "events", "batch", "epochs", "learning_rate", "decay"):
            if not getattr(self, name) > 0:
                msg = f"Regression: {name} = {getattr(self, name)} must be greater than 0."
                raise ConfigError(msg)
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            msg = f"Regression: percentiles = {self.percentiles} must be a lower and a higher one between 0 and 100."
            raise ConfigError(msg)

    def given_again(self) -> tuple[int, ...]:
        """Tell which hidden layers, counted from 0, are given the inputs beside the layer before."""
        return tuple(range(self.every, self.depth, self.every)) if self.drop_in else ()

    def parameters(self, inputs: int, targets: int) -> int:
        """Count weights and biases.

        Examples
        --------
        >>> Regression().parameters(14, 112)
        25435248
        """
        hidden = (inputs + 1) * self.width + (self.depth - 1) * (self.width + 1) * self.width
        return hidden + len(self.given_again()) * inputs * self.width + (self.width + 1) * targets


@dataclass(frozen=True)
class Transfer:
    """A classifier on the last hidden layer of a trained `Regression`, and on what that does not know.

    A model's first 14 event features are the regression's inputs; the others (charges, channel, number of hadronic
    taus, mass) go straight to the classifier's own layers.

    Attributes
    ----------
    regression
        What it starts from.
    mode
        `frozen`: the regression's weights stay as they are. `free`: they learn from the start. `freed`: from epoch
        `freed_at` on.
    hidden, dropout
        Own hidden layers, and the share of inputs to each that is dropped in training.
    weight_decay
        AdamW's; the learning rate is the model's own.
    """

    regression: Regression = field(default_factory=Regression)
    mode: str = "frozen"
    freed_at: int = 5
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.5
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            msg = f"Transfer: mode = '{self.mode}' is unknown{nearest(self.mode, MODES)}; choose {', '.join(MODES)}."
            raise ConfigError(msg)
        if not 0 <= self.dropout < 1 or self.freed_at < 1:
            msg = f"Transfer: dropout = {self.dropout} must be in [0, 1), freed_at = {self.freed_at} at least 1."
            raise ConfigError(msg)

    def build(self, model: Model, sample: Any, split: Any, *, folder: Path, seed: int, device: str) -> Any:
        """Make the network of one fold from a trained regression; see `colonnade.training.OwnNetwork`."""
        from studies.hnl_tau.transfer import starting_network

        return starting_network(model, sample, split, folder, seed=seed, device=device)

    def learns(self, epoch: int) -> bool:
        """Tell whether the regression's weights learn in an epoch, counted from 1."""
        return self.mode == "free" or (self.mode == "freed" and epoch >= self.freed_at)


@dataclass(frozen=True)
class MassScan:
    """Significance against a signal's mass, of observables and models, by channel and averaged.

    Attributes
    ----------
    models
        Title to the name of a model in the file; those with a hypothesis are asked about each mass.
    per_channel
        Title to the name of a model that is trained for each mass and channel by itself.
    parameter
        The hypothesis, also a key of the signals' metadata.
    reference
        The observable to beat.
    classical
        How many of the best other observables to show; they are chosen from the reference model's features.
    held_out
        Title to (name of a model, mass): the model is trained without that mass, and asked about it.
    error
        Largest relative statistical error of a bin.
    sizes
        Name of a size to the changes that it makes in models' declarations, as in `Model.with_`; by model name.
    document, document_size
        The page, relative to the project, whose place for this scan's tables is filled by runs of a size; '': none.
    """

    models: Mapping[str, str]
    parameter: str
    reference: str
    per_channel: Mapping[str, str] = field(default_factory=dict)
    classical: int = 4
    held_out: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    error: float = 0.15
    sizes: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    document: str = ""
    document_size: str = "small"
