"""Training on images, export and scoring: an easy problem is learned, and every way to the score agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import torch
from studies.monojet.declaration import ImageModel, ImageNetwork, ImageTraining
from studies.monojet.export import export_images
from studies.monojet.fit import ImageEvents, fit_images, image_scores, layer_means, make_sparse

from colonnade.errors import ConfigError, FitError
from colonnade.inference import Inputs
from colonnade.training import Collection, Feature
from processors.event_images import ImageScorer, make_images, settings_of

PARTICLES = Collection("particles", tuple(Feature(f"p_{n}") for n in ("pt", "eta", "phi", "mass", "charge", "pdgId")))
JETS = Collection("jets", tuple(Feature(f"j_{n}") for n in ("pt", "eta", "phi", "width")))
MODEL = ImageModel(
    PARTICLES,
    JETS,
    network=ImageNetwork(channels=(4, 4, 6, 4, 6, 4), dense=8, initial="he"),
    training=ImageTraining(learning_rate=5e-3, l2=1e-4, batch=25, steps=24, every=8, patience=9, checked=100),
    size=12,
)


def drawn(events=160, seed=4):
    """Signal has one muon among its particles, background none."""
    rng = np.random.default_rng(seed)
    counts, jets = rng.integers(3, 9, events), rng.integers(0, 3, events)
    target = rng.random(events) < 0.5
    total = counts.sum()
    pdg = np.full(total, 211.0)
    pdg[(np.cumsum(counts) - counts)[target]] = 13.0
    columns = (rng.exponential(5, total) + 1, rng.uniform(-2, 2, total), rng.uniform(-3, 3, total), np.zeros(total))
    particles = np.column_stack([*columns, rng.integers(-1, 2, total), pdg])
    n = jets.sum()
    jet = np.column_stack([rng.exponential(30, n) + 20, rng.uniform(-2, 2, n), rng.uniform(-3, 3, n), rng.random(n)])
    objects = {"particles": particles.astype(np.float32), "jets": jet.astype(np.float32)}
    return Inputs(np.zeros((events, 0), np.float32), objects, {"particles": counts, "jets": jets}), target


@pytest.fixture(scope="module")
def events():
    inputs, target = drawn()
    return inputs, ImageEvents(make_sparse(MODEL.card("m"), inputs), target)


def test_an_easy_problem_is_learned_and_the_best_network_kept(events) -> None:
    _, everything = events
    model = replace(MODEL, training=replace(MODEL.training, steps=180, every=30))
    fitted = fit_images(model, everything, everything)
    assert max(check.validation for check in fitted.history) > 0.9
    assert [check.step for check in fitted.history] == [30, 60, 90, 120, 150, 180]
    best = fitted.history[fitted.best - 1]
    assert best.validation == max(check.validation for check in fitted.history)
    looked = everything.first(100)
    scores = image_scores(fitted.network, settings_of(model.card("m")), looked.sparse)
    assert np.mean((scores > 0.5) == looked.target) == pytest.approx(best.validation)


def test_an_interrupted_training_goes_on_to_the_same_network(events, tmp_path) -> None:
    _, everything = events
    whole = fit_images(MODEL, everything, everything)
    short = replace(MODEL, training=replace(MODEL.training, steps=16))
    fit_images(short, everything, everything, checkpoint=tmp_path / "c.pt", key="k")
    seen = []
    rest = fit_images(MODEL, everything, everything, checkpoint=tmp_path / "c.pt", key="k", progress=seen.append)
    assert [check.step for check in seen] == [24]
    assert [check.loss for check in rest.history] == [check.loss for check in whole.history]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name]), name
    other = fit_images(MODEL, everything, everything, checkpoint=tmp_path / "c.pt", key="other")
    assert len(other.history) == 3


def test_layer_means_are_of_what_is_there() -> None:
    def electron(pt: float, phi: float, charge: float) -> dict:
        return {"pt": pt, "eta": 0.3, "phi": phi, "mass": 0.0, "charge": charge, "pdgId": 11}

    particles = ak.Array([[electron(10.0, 0.1, 1.0), electron(30.0, 2.1, -1.0)], [electron(20.0, 0.1, 1.0)]])
    jet = {"pt": 1.0, "eta": 0.0, "phi": 0.0, "width": 0.0}
    means = layer_means(make_images(particles, ak.Array([[jet], []])[:, :0]))
    assert means[0] == pytest.approx(20.0)
    assert means[2] == pytest.approx(1.0)
    assert means[3] == 1.0  # no muon: left as it is


def test_training_stops_when_nothing_gets_better(events) -> None:
    _, everything = events
    still = replace(MODEL, training=replace(MODEL.training, learning_rate=1e-12, steps=200, every=2, patience=3))
    fitted = fit_images(still, everything, everything)
    assert (fitted.best, fitted.history[-1].step) == (1, 8)


def test_what_cannot_be_trained_is_said(events) -> None:
    _, everything = events
    wild = replace(MODEL, training=replace(MODEL.training, learning_rate=1e30))
    with pytest.raises(FitError, match="lower the learning rate"):
        fit_images(wild, everything, everything)
    with pytest.raises(FitError, match="no events"):
        fit_images(MODEL, everything.first(0), everything)


@pytest.mark.parametrize("compression", ["row_column", "stochastic"])
def test_the_file_scores_as_the_network_whatever_the_batch(events, compression, tmp_path) -> None:
    inputs, everything = events
    down = "max_pool" if compression == "stochastic" else "strides"
    model = replace(MODEL, compression=compression, network=replace(MODEL.network, down=down))
    fitted = fit_images(model, everything, everything)
    card = model.card("m")
    classifier = export_images(tmp_path / "m.onnx", fitted.network, card, (12, 12), inputs)
    expected = image_scores(fitted.network, settings_of(card), everything.sparse)
    observables = {
        feature.name: ak.unflatten(inputs.objects[collection.name][:, place], inputs.counts[collection.name])
        for collection in (PARTICLES, JETS)
        for place, feature in enumerate(collection.features)
    }
    loaded = ImageScorer.load(classifier.path)
    np.testing.assert_allclose(loaded.score(observables), expected, atol=1e-5)
    some = {name: column[37:49] for name, column in observables.items()}
    np.testing.assert_allclose(loaded.score(some), expected[37:49], atol=1e-5)
    assert len(loaded.score({name: column[:0] for name, column in observables.items()})) == 0
    assert loaded.card.metrics["difference_onnx"] < 1e-5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.card.json", "m.onnx"]


def test_a_card_of_images_needs_its_two_collections() -> None:
    card = MODEL.card("m")
    assert ImageScorer(Path("m.onnx"), "", card).graph_inputs() == {"image": None}
    with pytest.raises(ConfigError, match="six features"):
        ImageScorer(Path("m.onnx"), "", card.model_copy(update={"collections": card.collections[1:]})).graph_inputs()
    with pytest.raises(ConfigError, match="compression"):
        ImageScorer(Path("m.onnx"), "", card.model_copy(update={"image": {"size": 60}})).graph_inputs()
    with pytest.raises(ConfigError, match="emf"):
        replace(MODEL, emf="energies")
