"""Networks and trees: trained, resumed, exported and checked."""

from __future__ import annotations

import dataclasses
import json
import os

import awkward as ak
import numpy as np
import pytest
from helpers.training_project import JETS, TOY, make_sample

from colonnade.errors import EventError, FitError
from colonnade.inference import Classifier, fold_of, stack_inputs
from colonnade.statistics import asimov_significance
from colonnade.training import Collection, Feature, Model, Optimisation, SetNetwork, Trees
from colonnade.training.results import Evaluation
from colonnade.training.train import train_model, weigher
from colonnade.training.trainer import SILENT

torch = pytest.importorskip("torch", reason="needs the train extra")
from colonnade.training.export import require_equal
from colonnade.training.networks import (
    Epoch,
    _Events,
    _loss,
    _Parameters,
    build_network,
    fit_network,
    network_scores,
)
from colonnade.training.trees import _matrix
from colonnade.training.weights import fit_scale


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sample():
    return make_sample(TOY)


def fitted(sample, model=TOY, seed=5, **options):
    return fit_network(model, sample, sample.split(2, 0), weigher(model), seed=seed, **options)


def equal(first, second):
    a, b = first.network.state_dict(), second.network.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_loss_falls_and_the_best_epoch_is_kept(sample):
    model = TOY.with_(optimisation=Optimisation(batch=128, epochs=60, learning_rate=0.05, patience=3))
    result = fitted(sample, model)
    losses = [epoch.validation for epoch in result.history]
    assert losses[0] > min(losses)
    assert losses[result.best - 1] == min(losses)
    assert len(losses) == min(60, result.best + 3)
    assert len(losses) < 60  # stopped early
    # what is returned is the network of that epoch
    split = sample.split(2, 0)
    train, validation = sample.take(split.train), sample.take(split.validation)
    events = _Events(validation, weigher(model)(validation), "cpu")
    draw = _Parameters(train, weigher(model)(train))
    events.set_background(draw.columns, draw(validation, (5, 0)))
    assert _loss(result.network, events) == pytest.approx(min(losses), rel=1e-6)


def test_same_seed_same_network_other_seed_another(sample):
    first = fitted(sample)
    assert equal(first, fitted(sample))
    assert not equal(first, fitted(sample, seed=6))


def test_an_interrupted_training_goes_on_to_the_same_network(sample, tmp_path):
    model = TOY.with_(network__dropout=0.2)
    whole = fitted(sample, model)
    told = []

    def interrupt(epoch):
        told.append(epoch.number)
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(sample, model, checkpoint=tmp_path / "state.pt", key="a", progress=interrupt)
    resumed = fitted(
        sample, model, checkpoint=tmp_path / "state.pt", key="a", progress=lambda epoch: told.append(epoch.number)
    )
    assert told == [1, 2, 3, 4]
    assert equal(whole, resumed)
    # a finished one does nothing; one of another declaration starts again
    fitted(sample, model, checkpoint=tmp_path / "state.pt", key="a", progress=lambda _: told.append("again"))
    fitted(sample, model, checkpoint=tmp_path / "state.pt", key="b", progress=lambda epoch: told.append(epoch.number))
    assert told == [1, 2, 3, 4, 1, 2, 3, 4]


class _Malicious:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_damaged_or_malicious_checkpoint_is_not_used(sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = TOY.with_(optimisation__epochs=1)
    (tmp_path / "state.pt").write_bytes(b"damaged")
    expected = fitted(sample, model)
    assert equal(fitted(sample, model, checkpoint=tmp_path / "state.pt", key="a"), expected)
    torch.save({"key": "a", "history": _Malicious()}, tmp_path / "state.pt")
    assert equal(fitted(sample, model, checkpoint=tmp_path / "state.pt", key="a"), expected)
    assert not (tmp_path / "ran").exists()


def test_a_training_that_diverges_says_so(sample):
    with pytest.raises(FitError, match="lower the learning rate"):
        fitted(sample, TOY.with_(optimisation__learning_rate=1e30))


def test_background_hypotheses_are_drawn_as_often_as_signal_counts(sample):
    weights = np.where(sample.process == 1, 3.0, 1.0)
    draw = _Parameters(sample, weights)
    values = draw(sample, (1, 1))
    assert values.shape == ((~sample.target).sum(), 1)
    share = (sample.process == 1).sum() * 3 / ((sample.process == 1).sum() * 3 + (sample.process == 2).sum())
    assert set(values.ravel()) == {100.0, 200.0}
    assert (values == 100.0).mean() == pytest.approx(share, abs=0.05)
    assert not np.array_equal(values, draw(sample, (1, 2)))  # anew each epoch


def padded_scores(network, inputs):
    """Score events the way others do, [N, most, G] with a mask: an independent check of the jagged way."""
    parts = [network.event_norm(torch.from_numpy(np.ascontiguousarray(inputs.event)))]
    with torch.no_grad():
        for name in network.names:
            counts, flat = inputs.counts[name], inputs.objects[name]
            most = max(int(counts.max(initial=0)), 1)
            mask = np.arange(most) < counts[:, np.newaxis]
            padded = np.zeros((len(counts), most, flat.shape[1]), dtype=np.float32)
            padded[mask] = flat
            pool = network.pools[name]
            normed = network.object_norms[name](torch.from_numpy(padded).reshape(-1, flat.shape[1]))
            each = pool.each(normed).reshape(len(counts), most, -1) * torch.from_numpy(mask)[:, :, None]
            total, number = each.sum(dim=1), torch.from_numpy(mask.sum(axis=1, keepdims=True).astype(np.float32))
            pooled = {"sum": total, "mean": total / number.clamp(min=1.0)}
            parts += [*(pooled[kind] for kind in pool.pools), number]
        logits = network.head(torch.cat(parts, dim=1))[:, 0]
        return torch.sigmoid(logits - network.log_odds).numpy()


@pytest.mark.parametrize("normalisation", ["none", "minmax", "zscore", "asinh", "batch", "layer"])
@pytest.mark.parametrize("pools", [("sum",), ("mean",), ("sum", "mean")])
def test_jagged_is_padded_and_masked(sample, normalisation, pools):
    model = TOY.with_(normalisation=normalisation, network__pools=pools, parameters=())
    card = model.card("x", {})
    inputs = make_sample(model).inputs
    scales = {"jets": fit_scale(normalisation, inputs.objects["jets"])}
    network = build_network(model, card, fit_scale(normalisation, inputs.event), scales, 3)
    network(*_batch(network, inputs))  # lets batch normalisation learn
    network.eval()
    jagged, padded = network_scores(network, inputs), padded_scores(network, inputs)
    assert np.ptp(jagged) > 1e-3
    assert np.abs(jagged - padded).max() < 1e-5
    # and the order of an event's jets does not matter
    order = np.lexsort((inputs.objects["jets"][:, 0], np.repeat(np.arange(len(inputs)), inputs.counts["jets"])))
    shuffled = type(inputs)(inputs.event, {"jets": inputs.objects["jets"][order]}, inputs.counts)
    assert network_scores(network, shuffled) == pytest.approx(jagged, abs=1e-5)


def test_asinh_brings_in_a_tail_and_leaves_a_bounded_feature():
    rng = np.random.default_rng(4)
    values = np.stack([np.exp(rng.normal(4, 1.5, 5000)), rng.uniform(-1, 1, 5000), np.zeros(5000)], 1)
    scale = fit_scale("asinh", values.astype(np.float32))
    # by definition, with numpy's own median and moments
    turned = np.arcsinh(values / np.where((knee := np.median(np.abs(values), axis=0)) > 0, knee, 1.0))
    assert scale.knee[:2] == pytest.approx(knee[:2], rel=1e-5)
    assert scale.shift == pytest.approx(turned.mean(axis=0), abs=1e-5)
    assert scale.width[:2] == pytest.approx(turned[:, :2].std(axis=0), rel=1e-5)
    scaled = (turned - scale.shift) / scale.width
    assert np.abs(scaled).max() < 6
    assert ((values[:, 0] - values[:, 0].mean()) / values[:, 0].std()).max() > 10
    assert np.corrcoef(scaled[:, 1], values[:, 1])[0, 1] > 0.99


def test_the_cosine_schedule_ends_near_nothing(sample):
    settings = Optimisation(learning_rate=0.02, epochs=4, schedule="cosine")
    # half cosine at 0, 1/4, 1/2, 3/4 of the way
    assert [settings.rate(number) for number in (1, 2, 3, 4)] == pytest.approx(
        [0.02, 0.02 * 0.853553, 0.01, 0.02 * 0.146447], rel=1e-5
    )
    told = fitted(sample, TOY.with_(optimisation=settings))
    assert not equal(told, fitted(sample, TOY.with_(optimisation=Optimisation(learning_rate=0.02, epochs=4))))


def _batch(network, inputs):
    index = np.repeat(np.arange(len(inputs)), inputs.counts["jets"])
    return (torch.from_numpy(each) for each in (inputs.event, inputs.objects["jets"], index))


def test_a_batch_with_one_jet_can_be_normalised():
    model = TOY.with_(normalisation="batch", parameters=())
    network = build_network(
        model,
        model.card("x", {}),
        fit_scale("batch", np.zeros((1, 2), dtype=np.float32)),
        {"jets": fit_scale("batch", np.zeros((1, 2), dtype=np.float32))},
        1,
    )
    for jets in (0, 1):
        event = torch.zeros(3, 2)
        assert network(event, torch.zeros(jets, 2), torch.zeros(jets, dtype=torch.int64)).shape == (3,)


class _Steps:
    def __init__(self):
        self.told = []

    def begin(self, what, rounds):
        self.told.append((what, rounds))

    def round(self, number, *losses):
        self.told.append(number)
        assert np.isfinite(losses).all()

    def end(self):
        self.told.append("end")


def trained(model, sample, folder, progress=SILENT):
    return train_model(
        "toy",
        model,
        sample,
        output=folder / "models",
        work=folder / "work",
        significance=asimov_significance,
        progress=progress,
    )


def test_from_sample_to_model_file(sample, tmp_path):
    steps = _Steps()
    result = trained(TOY, sample, tmp_path, steps)
    told = [step for step in steps.told if isinstance(step, tuple)]
    assert told == [("toy, fold 1 of 2", 4), ("toy, fold 2 of 2", 4)]
    assert steps.told.count("end") == 2
    # the file is whole in itself, and its card readable beside it
    model = Classifier.load(tmp_path / "models" / "toy.onnx")
    assert json.loads((tmp_path / "models" / "toy.card.json").read_text()) == json.loads(model.card.model_dump_json())
    assert model.card.training.columns == "made"
    assert model.card.training.events == {"signal": int(sample.target.sum()), "background": int((~sample.target).sum())}
    assert model.card.training.hyperparameters["network"]["kind"] == "SetNetwork"
    assert model.card.metrics["difference_onnx"] < 1e-5
    # it tells signal from background, on events that the scoring network never saw
    inputs = sample.inputs.take(np.arange(len(sample)))
    inputs.event[:, 2] = 100.0
    scores = model.run(inputs, fold_of(sample.identity, 2))
    assert scores[sample.target].mean() > scores[~sample.target].mean() + 0.1
    assert [point.signal for point in result.evaluation.points] == ["S_100", "S_200"]
    assert all(0.7 < point.auc < 1 for point in result.evaluation.points)
    assert all(point.best.z > 0 for point in result.evaluation.points)
    # both files hold the evaluation, the one beside the model a shorter one
    whole = json.loads((tmp_path / "work" / "evaluation.json").read_text())
    assert Evaluation.from_json(whole, "whole") == result.evaluation
    short = json.loads((tmp_path / "models" / "toy.evaluation.json").read_text())
    assert Evaluation.from_json(short, "short") == result.evaluation.shortened()


def test_members_of_a_fold_are_averaged(sample, tmp_path):
    """Two networks of other seeds a fold; the file's score is that of the mean of their logits."""
    model = TOY.with_(members=2, normalisation="asinh")
    steps = _Steps()
    result = trained(model, sample, tmp_path, steps)
    told = [step[0] for step in steps.told if isinstance(step, tuple)]
    assert told == [f"toy, fold {fold} of 2, {member} of 2" for fold in (1, 2) for member in (1, 2)]
    assert result.classifier.card.metrics["difference_onnx"] < 1e-5
    inputs = sample.inputs.take(np.arange(len(sample)))
    inputs.event[:, 2] = 100.0
    logits = []
    for seed in (1000, 1100):
        alone = fitted(sample, model, seed=seed).network
        scores = network_scores(alone, inputs).astype(np.float64)
        logits.append(np.log(scores / (1 - scores)))
    mean = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
    assert np.ptp(logits[0] - logits[1]) > 0.01
    assert result.classifier.run(inputs, np.zeros(len(sample), dtype=np.int64)) == pytest.approx(mean, abs=1e-5)


@pytest.fixture(scope="module")
def tree_sample():
    flat = TOY.with_(
        network=Trees(count=30, depth=3, learning_rate=0.3),
        collections=(Collection("jets", JETS.features, leading=2),),
        parameters=(),
    )
    toy = make_sample(TOY.with_(parameters=()))
    jets = ak.unflatten(toy.inputs.objects["jets"], toy.inputs.counts["jets"])
    columns = dict(zip(("met", "x"), toy.inputs.event.T, strict=True))
    columns |= {"jet_pt": jets[:, :, 0], "jet_eta": jets[:, :, 1]}
    card = flat.card("toy", {})
    return flat, dataclasses.replace(toy, card=card, inputs=stack_inputs(card, columns)), columns


def test_trees_with_missing_jets(tree_sample, tmp_path):
    model, sample, columns = tree_sample
    steps = _Steps()
    result = trained(model, sample, tmp_path, steps)
    assert [step for step in steps.told if isinstance(step, int)][:3] == [1, 2, 3]
    assert result.classifier.card.metrics["difference_onnx"] < 1e-5
    assert result.evaluation.points[0].auc > 0.7
    assert np.isnan(sample.inputs.event).any()
    scores = result.classifier.score(columns, sample.identity)
    assert np.isfinite(scores).all()
    # again: what is done is not done again, and the bytes are the same
    digest = result.classifier.digest
    steps = _Steps()
    assert trained(model, sample, tmp_path, steps).classifier.digest == digest
    assert not [step for step in steps.told if isinstance(step, int)]


def test_background_of_trees_is_given_hypotheses_of_the_signal():
    sample = make_sample(TOY.with_(network=Trees(), collections=()))
    weights = np.where(sample.process == 1, 3.0, 1.0)
    told = _matrix(sample, weights, np.random.default_rng(1)).get_data().toarray()[:, 2]
    assert told[sample.target] == pytest.approx(sample.inputs.event[sample.target, 2])
    share = (sample.process == 1).sum() * 3 / ((sample.process == 1).sum() * 3 + (sample.process == 2).sum())
    assert set(told) == {100.0, 200.0}
    assert (told[~sample.target] == 100.0).mean() == pytest.approx(share, abs=0.05)


def test_classes_that_can_not_be_trained(sample, tmp_path):
    signal = sample.take(np.flatnonzero(sample.target))
    with pytest.raises(EventError, match="no background events to train on"):
        trained(TOY, signal, tmp_path)
    for factor, words in ((0.0, "add up to 0"), (-1.0, "can't be made positive")):
        wrong = dataclasses.replace(sample, weight=np.abs(sample.weight) * factor)
        with pytest.raises(EventError, match=words):
            trained(TOY, wrong, tmp_path)
    assert not (tmp_path / "models").exists()


def test_scores_that_differ_are_refused():
    scores = np.linspace(0, 1, 5, dtype=np.float32)
    assert require_equal("Both", scores, scores + np.float32(5e-6)) < 1e-5
    with pytest.raises(FitError, match=r"Both differ by 0\.1 on held-out events"):
        require_equal("Both", scores, scores + np.float32(0.1))
    with pytest.raises(FitError):
        require_equal("Both", scores, np.full(5, np.nan, dtype=np.float32))


def test_a_logistic_regression_finds_the_known_answer():
    """Of two Gaussians of equal width the optimum is known: the logit is linear with slope distance / variance."""
    model = Model(
        event=(Feature("met", "GeV"), Feature("x")),
        network=SetNetwork((4,), hidden=()),
        collections=(JETS,),
        weighting="background_ratio",
        optimisation=Optimisation(batch=500, epochs=40, learning_rate=0.02, l2=0.0),
    )
    sample = make_sample(model, 6000)
    rng = np.random.default_rng(4)
    event = np.stack([rng.normal(np.where(sample.target, 1.0, 0.0), 1.0), rng.normal(0, 1, 6000)], 1).astype("f4")
    none = type(sample.inputs)(event, {"jets": np.zeros((0, 2), "f4")}, {"jets": np.zeros(6000, dtype=np.int64)})
    result = fitted(dataclasses.replace(sample, inputs=none), model)
    points = type(none)(
        np.array([[0.0, 0], [1, 0], [0, 1]], "f4"), {"jets": none.objects["jets"]}, {"jets": np.zeros(3, "i8")}
    )
    scores = network_scores(result.network, points)
    logits = np.log(scores / (1 - scores))
    assert logits[1] - logits[0] == pytest.approx(1.0, abs=0.1)
    assert logits[2] - logits[0] == pytest.approx(0.0, abs=0.1)
    assert logits[0] == pytest.approx(-0.5, abs=0.1)
    assert isinstance(result.history[0], Epoch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_the_same_model(sample, tmp_path):
    model = TOY.with_(optimisation=Optimisation(batch=256, epochs=10, learning_rate=1e-2))
    here = fitted(sample, model)
    there = fitted(sample, model, device="cuda", checkpoint=tmp_path / "state.pt", key="a")
    assert there.history[-1].validation == pytest.approx(here.history[-1].validation, rel=0.05)
    inputs = sample.inputs.take(np.arange(len(sample)))
    inputs.event[:, 2] = 100.0
    assert network_scores(there.network, inputs) == pytest.approx(network_scores(here.network, inputs), abs=0.05)
    resumed = fitted(sample, model, device="cuda", checkpoint=tmp_path / "state.pt", key="a")
    assert equal(there, resumed)


def test_prior_odds_shift_the_score_and_keep_the_order(sample):
    inputs = sample.inputs.take(np.arange(len(sample)))
    inputs.event[:, 2] = 100.0
    even = network_scores(fitted(sample).network, inputs).astype(np.float64)
    rare = network_scores(fitted(sample, TOY.with_(prior_odds=50.0)).network, inputs)
    assert rare == pytest.approx(even / (even + 50 * (1 - even)), rel=1e-4)  # Bayes
