"""Networks on images: their size, padding, scaling and loss, against independent arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d
from studies.monojet.declaration import ImageModel, ImageNetwork, ImageStudy, ImageTraining
from studies.monojet.networks import (
    ImageClassifier,
    _Convolution,
    arithmetic,
    build_image_network,
    corrected_loss,
    count_parameters,
    l2_penalty,
)

from colonnade.errors import ConfigError
from colonnade.training import Collection, Feature

PARTICLES = Collection("particles", tuple(Feature(f"p{place}") for place in range(6)))
JETS = Collection("jets", tuple(Feature(f"j{place}") for place in range(4)))
SMALL = ImageNetwork(channels=(2, 3, 4, 3, 4, 2), dense=5)


def image_model(**changes):
    return ImageModel(PARTICLES, JETS, **changes)


@pytest.mark.parametrize("down", ["strides", "max_pool"])
def test_the_documents_networks_have_the_documents_size(down) -> None:
    network = build_image_network(image_model(network=ImageNetwork(down)), np.ones(8), seed=1)
    assert count_parameters(network) == {"all": 4_684_738, "convolutions": 997_952}
    assert network.head[1].in_features == 28_800
    assert [block.size for block in network.blocks] == ([(60, 60), (60, 60), (30, 30), (30, 30), (15, 15), (15, 15)])


def test_the_whole_grid_is_quartered_twice() -> None:
    network = build_image_network(image_model(compression="none", network=SMALL), np.ones(8), seed=1)
    assert network.head[1].in_features == 25 * 32 * 2
    assert network(torch.zeros(2, 100, 126, 10)).shape == (2, 2)


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (6, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_keeps_the_size_as_tensorflow_does(size, stride) -> None:
    torch.manual_seed(0)
    block = _Convolution(1, 1, 3, size, stride, pool=False)
    image = torch.randn(1, 1, *size)
    whole = correlate2d(image[0, 0].numpy(), block.convolution.weight.detach()[0, 0].numpy(), mode="same")
    # with stride 2, kernels stand on every second cell: from the second on if the size is even
    rows, columns = (slice((1 - length % 2) if stride == 2 else 0, None, stride) for length in size)
    expected = np.maximum(whole[rows, columns] + block.convolution.bias.item(), 0)
    np.testing.assert_allclose(block(image)[0, 0].detach().numpy(), expected, atol=1e-5)
    assert block.size == expected.shape


def test_a_pool_reaches_over_an_odd_edge() -> None:
    block = _Convolution(1, 1, 1, (3, 3), 1, pool=True)
    torch.nn.init.ones_(block.convolution.weight)
    torch.nn.init.zeros_(block.convolution.bias)
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert block(image)[0, 0].tolist() == [[4.0, 5.0], [7.0, 8.0]]
    assert block.size == (2, 2)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.booleans()), min_size=1, max_size=8))
def test_the_corrected_loss_is_twice_the_cross_entropy(drawn) -> None:
    logits = torch.tensor([[a, b] for a, b, _ in drawn], dtype=torch.float64)
    target = torch.tensor([signal for _, _, signal in drawn])
    x = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    y = np.where(target.numpy()[:, None], [1.0, 0.0], [0.0, 1.0])
    printed = -np.log(1 - np.abs(x - y)).sum(axis=1)  # the document's, with the absolute value
    entropy = -np.log(np.where(target.numpy(), x[:, 0], x[:, 1]))
    assert float(corrected_loss(logits, target)) == pytest.approx(printed.mean(), rel=1e-6, abs=1e-9)
    assert float(corrected_loss(logits, target)) == pytest.approx(2 * entropy.mean(), rel=1e-6, abs=1e-9)


def test_l2_is_on_the_weights_of_convolutions_only() -> None:
    network = build_image_network(image_model(network=SMALL, size=8), np.ones(8), seed=1)
    expected = sum(
        float(np.square(value.numpy()).sum())
        for name, value in network.state_dict().items()
        if name.endswith("convolution.weight")
    )
    assert float(l2_penalty(network).detach()) == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        network.head[1].weight += 1
        network.blocks[0].convolution.bias += 1
    assert float(l2_penalty(network).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("counts", [True, False])
def test_layers_are_scaled_inside(counts) -> None:
    means = np.arange(2.0, 10.0, dtype=np.float32)
    model = image_model(network=SMALL, size=8, scale_counts=counts)
    scaled, plain = build_image_network(model, means, seed=3), build_image_network(model, np.ones(8), seed=3)
    divisor = np.concatenate([means, [1.0, 1.0]]).astype(np.float32)
    divisor[1] = divisor[1] if counts else 1.0
    images = torch.rand(4, 8, 8, 10)
    scaled.eval(), plain.eval()
    torch.testing.assert_close(scaled(images), plain(images / torch.from_numpy(divisor)))
    assert isinstance(scaled, ImageClassifier)


def test_the_documents_first_weights() -> None:
    network = build_image_network(image_model(), np.ones(8), seed=2)
    weight, bias = network.blocks[2].convolution.weight.detach(), network.blocks[2].convolution.bias.detach()
    assert float(weight.std()) == pytest.approx(0.01, rel=0.01)
    assert float(bias.abs().max()) <= 0.5
    assert float(bias.std()) == pytest.approx(1 / np.sqrt(12), rel=0.2)
    other = build_image_network(image_model(), np.ones(8), seed=2)
    assert torch.equal(weight, other.blocks[2].convolution.weight)


def test_arithmetic_is_counted() -> None:
    network = build_image_network(image_model(network=SMALL, size=8), np.ones(8), seed=1)
    cells = [64, 64, 16, 16, 4, 4]
    kernels = [10 * 9 * 2, 2 * 9 * 3, 3 * 9 * 4, 4 * 9 * 3, 3 * 9 * 4, 4 * 1 * 2]
    expected = 2 * (sum(a * b for a, b in zip(cells, kernels, strict=True)) + 8 * 5 + 5 * 2)
    assert arithmetic(network, torch.zeros(1, 8, 8, 10)) == expected


def test_declarations_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean strides"):
        ImageNetwork("stride")
    with pytest.raises(ConfigError, match="six positive numbers"):
        ImageNetwork(channels=(1, 2, 3))
    with pytest.raises(ConfigError, match="compression"):
        image_model(compression="cells")
    with pytest.raises(ConfigError, match="precision"):
        ImageTraining(precision="float16")
    with pytest.raises(ConfigError, match="every = 0"):
        ImageTraining(every=0)
    with pytest.raises(ConfigError, match="6 features"):
        ImageModel(JETS, JETS)
    about = {"signal": "z", "background": "w", "unseen": "m", "region": "r", "slices": (), "selection": "s"}
    with pytest.raises(ConfigError, match="no yield of m"):
        ImageStudy({"a": image_model()}, **about, yields={"z": 1.0, "w": 1.0})
    with pytest.raises(ConfigError, match="not among its images"):
        ImageStudy({"a": image_model()}, **about, yields={"z": 1.0, "w": 1.0, "m": 1.0}, detailed=("b",))
