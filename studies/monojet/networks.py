"""Convolutional networks on event images, with the layers' scaling inside, and their loss."""

from __future__ import annotations

__all__ = ["ImageClassifier", "arithmetic", "build_image_network", "corrected_loss", "count_parameters", "l2_penalty"]

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from processors.event_images import GRID
from studies.monojet.declaration import ImageModel, ImageNetwork

_LAYERS = 10
_COUNTS = 1
# of the convolutions, those after which the image is halved
_HALVED = (2, 4)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros to add before and after `size` cells, so that ceil(size / stride) remain.

    As TensorFlow's padding SAME, in which the document's networks were written: of an odd number, the greater part
    comes after.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Convolution(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """A convolution of an image of known size, padded, then ReLU and perhaps a 2x2 pool."""

    def __init__(self, inputs: int, outputs: int, kernel: int, size: tuple[int, int], stride: int, *, pool: bool):
        super().__init__()
        # torch pads from the last axis backwards
        vertical, horizontal = (same_padding(length, kernel, stride) for length in size)
        even = vertical[0] == vertical[1] and horizontal[0] == horizontal[1]
        self.pad = nn.Identity() if even else nn.ZeroPad2d((*horizontal, *vertical))
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=(vertical[0], horizontal[0]) if even else 0
        )
        # after ReLU a pool that reaches over the edge is one padded with zeros
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if pool else nn.Identity()
        halve = 2 if pool else stride
        self.size = (-(-size[0] // halve), -(-size[1] // halve))

    def forward(self, images: Any) -> Any:
        return self.pool(torch.relu(self.convolution(self.pad(images))))


class ImageClassifier(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """A network as declared: `forward` gives two logits, signal first.

    Parameters
    ----------
    network
        Its declaration.
    size
        Rows and columns of the images.
    means
        [10], what each layer is divided by.
    """

    def __init__(self, network: ImageNetwork, size: tuple[int, int], means: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("means", torch.as_tensor(means, dtype=torch.float32).clone())
        blocks: list[Any] = []
        inputs = _LAYERS
        for place, outputs in enumerate(network.channels):
            halved = place in _HALVED
            stride = 2 if halved and network.down == "strides" else 1
            kernel = 1 if place == len(network.channels) - 1 else 3
            block = _Convolution(inputs, outputs, kernel, size, stride, pool=halved and network.down == "max_pool")
            blocks.append(block)
            inputs, size = outputs, block.size
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(size[0] * size[1] * inputs, network.dense),
            nn.ReLU(),
            nn.Dropout(network.dropout),
            nn.Linear(network.dense, 2),
        )

    def forward(self, images: Any) -> Any:
        """Compute logits [N, 2] of images [N, rows, columns, 10] as `processors.event_images` makes them."""
        return self.head(self.blocks((images / self.means).permute(0, 3, 1, 2)))

    def score(self, images: Any) -> Any:
        """Compute the probability of signal [N]."""
        return torch.softmax(self(images).float(), dim=1)[:, 0]


def build_image_network(model: ImageModel, means: NDArray[Any], seed: int) -> ImageClassifier:
    """Make a network with weights drawn from a seed, leaving torch's own random state as it was.

    Parameters
    ----------
    model
        The declaration.
    means
        [8], of the layers' non-zero entries; the cells' coordinates are left as they are.
    seed
        Of the weights.
    """
    size = (GRID.rows, GRID.columns) if model.compression == "none" else (model.size, model.size)
    scale = torch.ones(_LAYERS)
    scale[: len(means)] = torch.as_tensor(means)
    if not model.scale_counts:
        scale[_COUNTS] = 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ImageClassifier(model.network, size, scale.numpy())
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                _initialise(module, model.network.initial)
    return network


def _initialise(module: Any, how: str) -> None:
    if how == "he":
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
    else:
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.uniform_(module.bias, -0.5, 0.5)


def corrected_loss(logits: Any, target: Any) -> Any:
    r"""Return the mean of the document's loss with the absolute value that its print lacks.

    .. math:: l(x, y) = -\sum_i \log(1 - |x_i - y_i|)

    with x the softmax of two logits and y 1 for the true class. Both terms are minus the logarithm of the true class's
    probability, so this is twice the cross entropy, and computed as that.

    Parameters
    ----------
    logits
        [N, 2], signal first.
    target
        [N], true for signal.
    """
    return 2 * nn.functional.cross_entropy(logits, (~target).long())


def l2_penalty(network: Any) -> Any:
    """Return the sum of the squared weights, not biases, of all convolutions."""
    return sum(module.weight.square().sum() for module in network.modules() if isinstance(module, nn.Conv2d))


def count_parameters(network: Any) -> dict[str, int]:
    """Count what a network learns: `all`, and of it in `convolutions`."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return {
        "all": sum(each.numel() for each in network.parameters()),
        "convolutions": sum(each.numel() for module in convolutions for each in module.parameters()),
    }


def arithmetic(network: Any, *example: Any) -> int:
    """Count the floating-point operations (a multiplication and an addition are two) of one evaluation.

    Only those of convolutions and matrix products, which are nearly all.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*example)
    return int(counter.get_total_flops())
