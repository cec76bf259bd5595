"""The batched networks against torch's own layers, loss, autograd and Adam, one network at a time."""

from __future__ import annotations

import numpy as np
import pytest

from colonnade.errors import ConfigError

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from studies.zgamma.ensemble import (
    Ensemble,
    EnsembleSettings,
    _State,
    initial_parameters,
    train_ensemble,
)


def made(networks, events, inputs, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(networks, events, inputs)).astype(np.float32)
    y = (x[..., 0] + rng.normal(size=(networks, events)) > 0).astype(np.float32)
    w = rng.uniform(0.5, 1.5, (networks, events)).astype(np.float32)
    return x, y, w


def plain_network(sizes, rng):
    layers = []
    for weight, bias in zip(*initial_parameters(sizes, rng), strict=True):
        if layers:
            layers.append(torch.nn.ReLU())
        layer = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias[0]))
        layers.append(layer)
    return torch.nn.Sequential(*layers)


def train_plainly(x, y, w, settings, rng):
    """What the ensemble should do, in torch's own words."""
    network = plain_network([x.shape[1], *settings.hidden, 1], rng)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
    x, y, w = torch.from_numpy(x), torch.from_numpy(y)[:, None], torch.from_numpy(w)[:, None]
    for _ in range(settings.epochs):
        for batch in torch.from_numpy(rng.permutation(len(x))).split(settings.batch):
            optimiser.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x[batch]), y[batch], w[batch])
            loss.backward()
            optimiser.step()
    return network


@pytest.mark.parametrize("hidden", [(5,), (7, 4), (1, 6, 3)])
def test_gradients_are_autograds(hidden):
    x, y, w = made(3, 20, 4)
    sizes = [4, *hidden, 1]
    state = _State(sizes, [np.random.default_rng(seed) for seed in range(3)], "cpu")
    rows = torch.from_numpy(np.concatenate([x, y[..., None], w[..., None]], axis=2))
    state.differentiate(rows)
    for index in range(3):
        network = plain_network(sizes, np.random.default_rng(index))
        logits = network(torch.from_numpy(x[index]))[:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(y[index]), torch.from_numpy(w[index])
        ).backward()
        layers = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
        for number, layer in enumerate(layers):
            mine = state._weight_gradients[number][index].numpy()
            assert mine == pytest.approx(layer.weight.grad.numpy().T, rel=1e-4, abs=1e-7)
            assert state._bias_gradients[number][index, 0].numpy() == pytest.approx(
                layer.bias.grad.numpy(), rel=1e-4, abs=1e-7
            )


@pytest.mark.parametrize("batch", [16, 30, 1000], ids=["even", "a rest", "one batch"])
def test_training_is_that_of_single_networks(batch):
    settings = EnsembleSettings(hidden=(8, 5), epochs=4, batch=batch, rate=3e-3)
    x, y, w = made(3, 160, 6)
    rngs = [np.random.default_rng([9, index]) for index in range(3)]
    ensemble = train_ensemble(x, y, settings, rngs, weights=w)
    scores = ensemble.score(x)
    for index in range(3):
        network = train_plainly(x[index], y[index], w[index], settings, np.random.default_rng([9, index]))
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(x[index])))[:, 0].numpy()
            exported = ensemble.network(index)(torch.from_numpy(x[index]))[:, 0].numpy()
        # single precision, some 40 steps: rounding grows to about 1e-5
        assert scores[index] == pytest.approx(expected, abs=2e-4)
        assert exported == pytest.approx(scores[index], abs=1e-6)


def test_networks_do_not_know_of_each_other():
    settings = EnsembleSettings(hidden=(6,), epochs=2, batch=32)
    x, y, _ = made(4, 100, 3)
    together = train_ensemble(x, y, settings, [np.random.default_rng(i) for i in range(4)]).score(x)
    alone = train_ensemble(x[2:3], y[2:3], settings, [np.random.default_rng(2)]).score(x[2:3])
    assert together[2] == pytest.approx(alone[0], abs=1e-6)
    other = x.copy()
    other[0] += 1
    changed = train_ensemble(other, y, settings, [np.random.default_rng(i) for i in range(4)]).score(x)
    assert np.array_equal(changed[1:], together[1:])


def test_it_learns():
    x, y, _ = made(2, 2000, 3, seed=4)
    settings = EnsembleSettings(hidden=(16,), epochs=20, batch=64, rate=1e-2)
    scores = train_ensemble(x, y, settings, [np.random.default_rng(i) for i in range(2)]).score(x)
    # the best possible rule, x0 > 0, is right for 75 % of the events
    assert ((scores > 0.5) == (y > 0.5)).mean() > 0.73


def test_scores_in_parts(monkeypatch):
    import studies.zgamma.ensemble as module

    x, y, _ = made(2, 101, 3)
    ensemble = train_ensemble(x, y, EnsembleSettings(hidden=(4,), epochs=1), [np.random.default_rng(i) for i in (0, 1)])
    whole = ensemble.score(x)
    monkeypatch.setattr(module, "_SCORED", 20)
    assert ensemble.score(x) == pytest.approx(whole, abs=1e-7)
    assert isinstance(ensemble, Ensemble)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_networks():
    settings = EnsembleSettings(hidden=(16, 16), epochs=3, batch=64)
    x, y, w = made(5, 500, 6)
    here, there = (
        train_ensemble(x, y, settings, [np.random.default_rng(i) for i in range(5)], weights=w, device=device).score(x)
        for device in ("cpu", "cuda")
    )
    assert here == pytest.approx(there, abs=2e-3)


def test_bad_input():
    x, y, _ = made(2, 10, 3)
    with pytest.raises(ConfigError, match="do not describe one ensemble"):
        train_ensemble(x, y[:, :5], EnsembleSettings(), [np.random.default_rng(0)] * 2)
    with pytest.raises(ConfigError, match="do not describe one ensemble"):
        train_ensemble(x, y, EnsembleSettings(), [np.random.default_rng(0)])
    with pytest.raises(ConfigError, match="no device 'gpu'; use cpu or cuda"):
        train_ensemble(x, y, EnsembleSettings(), [np.random.default_rng(0)] * 2, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="sees no CUDA device"):
            train_ensemble(x, y, EnsembleSettings(), [np.random.default_rng(0)] * 2, device="cuda")
