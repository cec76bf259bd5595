"""The regression on made events and the classifiers that start from it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from processors.three_leptons import INPUTS, THREE_LEPTON_TARGETS, three_lepton_targets
from studies.hnl_tau.declaration import Regression, Transfer
from studies.hnl_tau.made_events import LEPTONS, MISSING, Bounds, draw_events, inside
from studies.hnl_tau.regression import (
    DropInNetwork,
    fit_regression,
    residuals,
    scaled_targets,
)
from studies.hnl_tau.settings import MODELS as STUDY_MODELS
from studies.hnl_tau.settings import SCANS
from studies.hnl_tau.trainings import sized
from studies.hnl_tau.transfer import TransferNetwork

from colonnade.errors import ConfigError
from colonnade.inference import Classifier, Inputs
from colonnade.statistics import asimov_significance
from colonnade.training import Dense, Feature, Model, Optimisation, Parameter, load_models
from colonnade.training.networks import build_network
from colonnade.training.sample import Sample
from colonnade.training.train import fit_fold, train_model
from colonnade.training.weights import fit_scale

MODELS = Path(__file__).parents[3] / "models" / "hnl_tau.py"
TINY = Regression(width=24, depth=5, events=6000, batch=500, epochs=2, learning_rate=2e-3, decay=0.8)
NAMES = [target.name for target in THREE_LEPTON_TARGETS]
EXTRA = ("charge_1", "charge_2", "charge_3", "is_tee", "n_tauh")


def generator(seed=1):
    return torch.Generator("cpu").manual_seed(seed)


def weights_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def bounds():
    return Bounds.of(draw_events(20_000, generator()).numpy(), (0.3, 99.7))


class TestSizes:
    def test_full_size(self):
        """25 layers of 1024 with the 14 inputs given to eight of them again."""
        settings = Regression()
        assert settings.given_again() == (3, 6, 9, 12, 15, 18, 21, 24)
        with torch.device("meta"):
            network = DropInNetwork(settings)
        assert weights_of(network) == settings.parameters(14, 112) == 25_435_248
        plain = Regression(drop_in=False)
        assert plain.parameters(14, 112) == 25_435_248 - 8 * 14 * 1024

    def test_baseline_has_9689(self):
        """85 inputs, the mass among them, and layers of 83 and 30."""
        baseline = (load_models(MODELS) | STUDY_MODELS)["baseline"]
        card = baseline.card("baseline", {"m_HNL": (85.0,)})
        assert card.width() == 85
        scale = fit_scale("zscore", np.zeros((2, 85), dtype=np.float32))
        assert weights_of(build_network(baseline, card, scale, {}, 1)) == 9_689

    def test_transfer_takes_ten_further_numbers(self):
        """1024 + 10 to 128 to 128 to one score."""
        frozen = (load_models(MODELS) | STUDY_MODELS)["frozen"]
        assert frozen.network.regression == Regression()
        assert frozen.card("frozen", {"m_HNL": (85.0,)}).width() == 14 + 10
        small = sized((load_models(MODELS) | STUDY_MODELS), SCANS["masses"], "small")["frozen"]
        assert small.network.regression.parameters(14, 112) == 170_352
        with torch.device("meta"):
            regression = DropInNetwork(Regression())
        head = TransferNetwork(frozen.network, regression, np.zeros(10, np.float32), np.ones(10, np.float32), 1.0).head
        assert weights_of(head) == (1034 + 1) * 128 + (128 + 1) * 128 + 129

    def test_scan_sizes(self):
        models, scan = (load_models(MODELS) | STUDY_MODELS), SCANS["masses"]
        assert sized(models, scan, "full")["freed"].network.regression == Regression()
        with pytest.raises(ConfigError, match=r"no size 'smal' .did you mean small"):
            sized(models, scan, "smal")

    def test_what_can_not_be(self):
        with pytest.raises(ConfigError, match="mode = 'frosen' is unknown"):
            Transfer(mode="frosen")
        with pytest.raises(ConfigError, match="percentiles"):
            Regression(percentiles=(99.0, 1.0))
        with pytest.raises(ConfigError, match="width = 0"):
            Regression(width=0)


class TestMadeEvents:
    def test_distributions(self):
        """Flat angles and masses; momenta exponential above their least value."""
        events = draw_events(100_000, generator()).numpy().astype(np.float64)
        assert events.shape == (100_000, 14)
        for place, (rate, shift) in enumerate(LEPTONS):
            eta, mass, phi, pt = events[:, 4 * place : 4 * place + 4].T
            for values, low, high in ((eta, -2.5, 2.5), (mass, 0.0, 11.0), (phi, -math.pi, math.pi)):
                assert low - 1e-5 <= values.min() < low + 0.01 * (high - low)
                assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
            assert pt.min() == pytest.approx(shift / rate, rel=1e-3)
            assert (pt - shift / rate).mean() == pytest.approx(1 / rate, rel=0.02)
        rate, shift = MISSING
        assert events[:, 12].mean() == pytest.approx((1 + shift) / rate, rel=0.02)

    def test_same_seed_same_events(self):
        assert torch.equal(draw_events(10, generator(3)), draw_events(10, generator(3)))
        assert not torch.equal(draw_events(10, generator(3)), draw_events(10, generator(4)))

    def test_percentiles(self, bounds):
        """Each target of its own sample is outside for 0.6 % of events; all together for more."""
        targets = three_lepton_targets(draw_events(20_000, generator()))
        outside = ((targets < torch.from_numpy(bounds.low)) | (targets > torch.from_numpy(bounds.high))).float().mean(0)
        assert outside.numpy() == pytest.approx(np.full(112, 0.006), abs=0.002)
        kept = float(inside(targets, bounds).float().mean())
        assert 0.5 < kept < 1 - 0.006


def test_energies_are_shares_of_the_total():
    raw = three_lepton_targets(draw_events(500, generator()))
    scaled = scaled_targets(raw)
    total = raw[:, NAMES.index("e_tot")]
    for place, target in enumerate(THREE_LEPTON_TARGETS):
        expected = raw[:, place] / total if target.unit == "GeV" else raw[:, place]
        if target.name == "e_tot":
            expected = total / 100
        assert torch.allclose(scaled[:, place], expected), target.name
    energies = [place for place, target in enumerate(THREE_LEPTON_TARGETS[:-1]) if target.unit == "GeV"]
    assert scaled[:, energies].abs().max() <= 1 + 1e-5


class TestRegression:
    def test_learns_and_goes_on(self, bounds, tmp_path):
        """Interrupted after the first epoch, it ends with the same network; the loss falls."""
        whole = fit_regression(TINY, bounds)
        assert whole.history[1].loss < whole.history[0].loss
        assert 0.6 < whole.history[0].kept < 0.8
        from dataclasses import replace

        path = tmp_path / "regression.pt"
        fit_regression(replace(TINY, epochs=1), bounds, checkpoint=path)
        again = fit_regression(TINY, bounds, checkpoint=path)
        for one, other in zip(whole.network.parameters(), again.network.parameters(), strict=True):
            assert torch.equal(one, other)
        # done: nothing is trained again
        seen = []
        fit_regression(TINY, bounds, checkpoint=path, progress=seen.append)
        assert not seen

    def test_full_size_starts(self, bounds):
        """One step of the full network, on a GPU where there is one."""
        from dataclasses import replace

        device = "cuda" if torch.cuda.is_available() else "cpu"
        trained = fit_regression(replace(Regression(), events=128, batch=128, epochs=1), bounds, device=device)
        assert weights_of(trained.network) == 25_435_248
        assert math.isfinite(trained.history[0].loss)

    def test_drop_in_reaches_deep_layers(self):
        """With all weights on the layer before set to zero, only what is given again tells events apart."""
        for drop_in in (True, False):
            network = DropInNetwork(Regression(width=8, depth=5, drop_in=drop_in))
            with torch.no_grad():
                network.hidden[3].weight[:, :8] = 0
            latent = network.latent(draw_events(20, generator()))
            assert bool((latent.std(0) > 0).any()) == drop_in

    def test_residuals(self, bounds):
        trained = fit_regression(TINY, bounds).network
        events = draw_events(3000, generator(9)).numpy()
        found = residuals(trained, events)
        assert found.shape == (3000, 112)
        with torch.no_grad():
            predicted = trained(torch.from_numpy(events))[:, -1].numpy() * 100
        total = three_lepton_targets(events)[:, -1]
        assert found[:, -1] == pytest.approx(predicted / total - 1, rel=1e-3, abs=1e-4)


@pytest.fixture(scope="module")
def sample():
    """Made events: signal has more total energy, at two masses."""
    rng = np.random.default_rng(4)
    count = 4000
    events = draw_events(count, generator(5)).numpy()
    target = rng.random(count) < 0.4
    events[target, 12] *= 4
    mass = np.where(rng.random(count) < 0.5, 200.0, 600.0)
    extra = rng.integers(0, 2, (count, len(EXTRA)))
    given = np.where(target, mass, np.nan)[:, np.newaxis]
    card = model().card("made", {"m_HNL": (200.0, 600.0)})
    return Sample(
        card=card,
        inputs=Inputs(np.concatenate([events, extra, given], axis=1).astype(np.float32), {}, {}),
        weight=np.ones(count),
        target=target,
        process=np.where(target, 1 + (mass > 400), 0),
        processes=("background", "hnl_200", "hnl_600"),
        regions=np.ones(count, dtype=np.uint64),
        region_names=("all",),
        identity={name: np.arange(count) for name in ("run", "luminosityBlock", "event")},
        learned=np.ones(count, dtype=bool),
        judged=np.ones(count, dtype=bool),
        luminosity=1.0,
        digest="made",
    )


def model(mode="frozen", **changes):
    inputs = tuple(Feature(each.name, each.unit) for each in INPUTS)
    return Model(
        event=(*inputs, *(Feature(name) for name in EXTRA)),
        parameters=(Parameter("m_HNL", "GeV"),),
        network=Transfer(regression=TINY, mode=mode, hidden=(16, 16), dropout=0.2, freed_at=3),
        folds=2,
        optimisation=Optimisation(learning_rate=2e-3, batch=500, epochs=4, patience=4),
    ).with_(**changes)


class TestTransfer:
    @pytest.mark.parametrize(("mode", "epochs", "moves"), [("frozen", 4, False), ("free", 1, True), ("freed", 4, True)])
    def test_modes(self, sample, tmp_path, mode, epochs, moves):
        """Frozen weights are those of the regression to the last bit; freed ones are from the third epoch on."""
        for rounds in (2, epochs) if mode == "freed" else (epochs,):
            declared = model(mode, optimisation__epochs=rounds)
            network = fit_fold("made", declared, sample, 0, tmp_path / f"{mode}{rounds}" / "made")
            kept = next((tmp_path / f"{mode}{rounds}").glob("regression_*.pt"))
            start = torch.load(kept, weights_only=True)["network"]
            same = all(
                torch.equal(weight, start[f"hidden.{name}"])
                for name, weight in network.event_norm.regression.hidden.state_dict().items()
            )
            assert same == (not moves or rounds == 2), rounds

    def test_from_training_to_scores(self, sample, tmp_path):
        """One file with both folds, scored by onnxruntime as torch scores; it tells signal from background."""
        trained = train_model(
            "made",
            model("free", optimisation__epochs=8),
            sample,
            output=tmp_path,
            work=tmp_path / "work" / "made",
            significance=asimov_significance,
        )
        assert trained.evaluation.differences["onnx"] < 1e-5
        assert all(point.auc > 0.75 for point in trained.evaluation.points)
        card = Classifier.load(tmp_path / "made.onnx").card
        assert card.kind == "Transfer"
        assert [feature.name for feature in card.event[:14]] == [each.name for each in INPUTS]

    def test_other_features_first(self, sample, tmp_path):
        wrong = model().with_(event=tuple(reversed(model().event)))
        with pytest.raises(ConfigError, match="first features must be eta_1, m_1"):
            fit_fold("made", wrong, sample, 0, tmp_path / "made")

    def test_optimiser_is_adamw(self):
        network = TransferNetwork(
            model().network, DropInNetwork(TINY), np.zeros(6, np.float32), np.ones(6, np.float32), 1.0
        )
        optimiser = network.optimiser(2e-4)
        assert isinstance(optimiser, torch.optim.AdamW)
        assert optimiser.param_groups[0]["weight_decay"] == 1e-4
        held = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        assert not held & {id(parameter) for parameter in network.event_norm.regression.last.parameters()}


def test_dense_models_are_as_before():
    """A classifier that declares no regression starts from nothing."""
    plain = model(network=Dense((4,)))
    card = plain.card("plain", {"m_HNL": (200.0,)})
    scale = fit_scale("zscore", np.zeros((2, card.width()), dtype=np.float32))
    assert not isinstance(build_network(plain, card, scale, {}, 1), TransferNetwork)
