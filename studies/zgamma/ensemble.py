"""Hundreds of small dense networks trained at once, each on its own data from its own seed.

One network of a few thousand weights leaves a processor mostly waiting: the calls cost more than the
arithmetic. Here all networks of an ensemble take each step together, every layer being one batched matrix
product, and share one Adam update over one flat buffer. The networks stay independent: the numbers of each
come from its own seed, and its data never meet another's. Gradients are written out, as the layers are
known; a test holds them against autograd.
"""

from __future__ import annotations

__all__ = ["Ensemble", "EnsembleSettings", "check_device", "train_ensemble"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from colonnade.config import Settings
from colonnade.errors import ConfigError

Floats = NDArray[np.float32]
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# events scored at once, over all networks: bounds the memory of scoring
_SCORED = 1 << 18


class EnsembleSettings(Settings):
    """How each network is built and trained.

    Attributes
    ----------
    hidden : tuple of int
        Width of each hidden layer (ReLU).
    epochs : int
        Passes over the data.
    batch : int
        Events in a step; the last step of an epoch takes what is left.
    rate : float
        Learning rate of Adam (D. Kingma and J. Ba, arXiv:1412.6980), whose other constants are its authors'.
    """

    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (32, 32)
    epochs: Annotated[int, Field(ge=1)] = 5
    batch: Annotated[int, Field(ge=1)] = 256
    rate: Annotated[float, Field(gt=0)] = 1e-3


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained networks.

    Attributes
    ----------
    weights : list of torch tensors of shape (networks, inputs, outputs)
        One a layer.
    biases : list of torch tensors of shape (networks, 1, outputs)
        One a layer.
    """

    weights: list[Any]
    biases: list[Any]

    @property
    def networks(self) -> int:
        """How many there are."""
        return int(self.weights[0].shape[0])

    def score(self, features: Floats) -> Floats:
        """Response of each network to its own events: (networks, events, features) to (networks, events)."""
        import torch

        device = self.weights[0].device
        events = features.shape[1]
        scores = np.empty(features.shape[:2], dtype=np.float32)
        step = max(1, _SCORED // max(1, self.networks))
        with torch.inference_mode():
            for first in range(0, events, step):
                part = torch.from_numpy(np.ascontiguousarray(features[:, first : first + step])).to(device)
                output = _forward(part, self.weights, self.biases)[-1]
                scores[:, first : first + step] = torch.sigmoid(output)[..., 0].cpu().numpy()
        return scores

    def network(self, index: int) -> Any:
        """Return one network as a `torch.nn.Sequential` that ends in a sigmoid."""
        import torch

        layers: list[Any] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            if layers:
                layers.append(torch.nn.ReLU())
            layer = torch.nn.Linear(weight.shape[1], weight.shape[2])
            with torch.no_grad():
                layer.weight.copy_(weight[index].T)
                layer.bias.copy_(bias[index, 0])
            layers.append(layer)
        return torch.nn.Sequential(*layers, torch.nn.Sigmoid())


def check_device(device: str) -> str:
    """Return the device's name, if torch can use it.

    Raises
    ------
    ConfigError
        If it is unknown, or CUDA is asked for where there is none.
    """
    import torch

    try:
        kind = torch.device(device)
    except RuntimeError as error:
        msg = f"there is no device {device!r}; use cpu or cuda."
        raise ConfigError(msg) from error
    if kind.type == "cuda" and not torch.cuda.is_available():
        msg = f"torch sees no CUDA device for {device!r}; use the device cpu."
        raise ConfigError(msg)
    return device


def initial_parameters(sizes: Sequence[int], rng: np.random.Generator) -> tuple[list[Floats], list[Floats]]:
    """Draw one network's weights and biases, uniform within 1 / sqrt(inputs), as torch's `Linear` does."""
    weights, biases = [], []
    for inputs, outputs in pairwise(sizes):
        bound = 1 / math.sqrt(inputs)
        weights.append(rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32))
        biases.append(rng.uniform(-bound, bound, (1, outputs)).astype(np.float32))
    return weights, biases


def train_ensemble(
    features: Floats,
    labels: NDArray[Any],
    settings: EnsembleSettings,
    rngs: Sequence[np.random.Generator],
    *,
    weights: NDArray[Any] | None = None,
    device: str = "cpu",
) -> Ensemble:
    """Train one network on each data set: binary cross entropy, Adam.

    Parameters
    ----------
    features : array of shape (networks, events, features)
        Inputs, normalised already.
    labels : array of shape (networks, events)
        0 or 1.
    settings
        Architecture and training.
    rngs
        One random generator a network: first weights and biases, then the order of events of each epoch.
    weights : array of shape (networks, events), optional
        Weight of each event in the loss; mean about 1.
    device
        `cpu` or `cuda`; the random numbers are the same on both.

    Raises
    ------
    ConfigError
        If shapes do not match, or the device is not there.
    """
    import torch

    check_device(device)
    networks, events, inputs = features.shape
    if labels.shape != (networks, events) or len(rngs) != networks or events == 0:
        msg = (
            f"features {features.shape}, labels {labels.shape} and {len(rngs)} seeds do not describe one "
            "ensemble; give (networks, events, features), (networks, events) and one seed a network."
        )
        raise ConfigError(msg)
    state = _State([inputs, *settings.hidden, 1], rngs, device)
    # label and weight travel with the features, so that one look-up an epoch brings them all
    width = inputs + 2
    columns = np.empty((networks, events, width), dtype=np.float32)
    columns[..., :inputs] = features
    columns[..., inputs] = labels
    columns[..., inputs + 1] = 1.0 if weights is None else weights
    data = torch.from_numpy(columns).to(device)
    batch = min(settings.batch, events)
    full = events // batch
    # one step's events of all networks lie together
    shuffled = torch.empty((full, networks, batch, width), device=device)
    rest = torch.empty((networks, events - full * batch, width), device=device)
    with torch.inference_mode():
        for _ in range(settings.epochs):
            order = np.stack([rng.permutation(events) for rng in rngs])
            index = torch.from_numpy(order).to(device)
            # network by network, as the rows of one fit into a processor's cache
            for network in range(networks):
                rows = data[network].index_select(0, index[network])
                shuffled[:, network] = rows[: full * batch].view(full, batch, width)
                if full * batch < events:
                    rest[network] = rows[full * batch :]
            for step in shuffled:
                state.step(step, settings.rate)
            if full * batch < events:
                state.step(rest, settings.rate)
    return Ensemble([weight.clone() for weight in state.weights], [bias.clone() for bias in state.biases])


def _forward(x: Any, weights: list[Any], biases: list[Any], out: list[Any] | None = None) -> list[Any]:
    """Activations of every layer, the input first and the output's logit last."""
    import torch

    activations = [x]
    last = len(weights) - 1
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        target = None if out is None else out[index]
        value = torch.baddbmm(bias, activations[-1], weight, out=target)
        activations.append(value.relu_() if index < last else value)
    return activations


class _State:
    """Parameters, gradients and Adam's moments of all networks, each in one flat buffer with a view a layer."""

    def __init__(self, sizes: Sequence[int], rngs: Sequence[np.random.Generator], device: str) -> None:
        import torch

        count = len(rngs)
        self._sizes, self._device = sizes, device
        shapes = [
            shape for inputs, outputs in pairwise(sizes) for shape in ((count, inputs, outputs), (count, 1, outputs))
        ]
        total = sum(math.prod(shape) for shape in shapes)
        self.parameters, self.gradients, self.first, self.second, self._scratch = (
            torch.zeros(total, device=device) for _ in range(5)
        )
        views: list[list[Any]] = [[], []]
        for buffer, found in zip((self.parameters, self.gradients), views, strict=True):
            begin = 0
            for shape in shapes:
                end = begin + math.prod(shape)
                found.append(buffer[begin:end].view(shape))
                begin = end
        self.weights, self.biases = views[0][0::2], views[0][1::2]
        self._weight_gradients, self._bias_gradients = views[1][0::2], views[1][1::2]
        for network, rng in enumerate(rngs):
            weights, biases = initial_parameters(sizes, rng)
            for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                self.weights[layer][network].copy_(torch.from_numpy(weight))
                self.biases[layer][network].copy_(torch.from_numpy(bias))
        self.steps = 0
        # activations and errors of a batch length: memory that is new at each step costs more than the
        # arithmetic
        self._workspaces: dict[int, tuple[list[Any], list[Any]]] = {}

    def _workspace(self, events: int) -> tuple[list[Any], list[Any]]:
        import torch

        if events not in self._workspaces:
            count = self.weights[0].shape[0]
            forward, back = (
                [torch.empty((count, events, size), device=self._device) for size in self._sizes[1:]] for _ in range(2)
            )
            self._workspaces[events] = (forward, back)
        return self._workspaces[events]

    def differentiate(self, rows: Any) -> None:
        """Fill the gradients of the mean weighted cross entropy of one batch.

        Parameters
        ----------
        rows : tensor of shape (networks, batch, inputs + 2)
            Features, label, weight.
        """
        import torch

        inputs = self._sizes[0]
        outputs, errors = self._workspace(rows.shape[1])
        activations = _forward(rows[..., :inputs], self.weights, self.biases, outputs)
        # derivative of the loss by the logit: (sigmoid - label) weight / batch
        error = activations.pop().sigmoid_().sub_(rows[..., inputs : inputs + 1]).mul_(rows[..., inputs + 1 :])
        error.div_(rows.shape[1])
        for layer in range(len(self.weights) - 1, -1, -1):
            below = activations.pop()
            torch.bmm(below.transpose(1, 2), error, out=self._weight_gradients[layer])
            torch.sum(error, 1, keepdim=True, out=self._bias_gradients[layer])
            if layer:
                weight, back = self.weights[layer].transpose(1, 2), errors[layer - 1]
                # an outer product: broadcasting is faster than a matrix product of inner size one
                if weight.shape[1] == 1:
                    torch.mul(error, weight, out=back)
                else:
                    torch.bmm(error, weight, out=back)
                error = torch.ops.aten.threshold_backward.grad_input(back, below, 0, grad_input=back)

    def step(self, rows: Any, rate: float) -> None:
        """Take one step of Adam."""
        import torch

        self.differentiate(rows)
        self.steps += 1
        # two vectorised passes: torch's lerp is one slow one
        self.first.mul_(_BETA1).add_(self.gradients, alpha=1 - _BETA1)
        self.second.mul_(_BETA2).addcmul_(self.gradients, self.gradients, value=1 - _BETA2)
        scratch = torch.sqrt(self.second, out=self._scratch)
        scratch.div_(math.sqrt(1 - _BETA2**self.steps)).add_(_EPSILON)
        self.parameters.addcdiv_(self.first, scratch, value=-rate / (1 - _BETA1**self.steps))
