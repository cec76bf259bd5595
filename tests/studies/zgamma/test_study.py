"""The study of pseudo-experiments: its sample, its numbers, its pictures, and the ranking of features."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.pseudo_experiments import SMALL
from studies.zgamma.ensemble import EnsembleSettings
from studies.zgamma.figures import pictures as study_pictures
from studies.zgamma.ranking import rank_features
from studies.zgamma.sampling import Sample
from studies.zgamma.study import (
    StudySettings,
    calibration_summary,
    network_settings,
    normal_fit,
    read_study_sample,
    study_pseudo_experiments,
)

from colonnade.errors import ColonnadeError, ConfigError, FitError
from colonnade.statistics.look_elsewhere import Calibration
from colonnade.training import Dense, Feature, Model, Optimisation, load_models
from colonnade.training.columns import ColumnsCard, ProcessCard

PROJECT = Path(__file__).parents[3]


def test_shapley_values_of_known_functions():
    """Of a sum each feature gets its own term; of a product of two both get half of what they do together."""
    rng = np.random.default_rng(6)
    features = rng.normal(size=(400, 3)).astype(np.float32)
    names = ("a", "b", "c")

    def linear(x):
        return 2 * x[:, 0] - x[:, 1]

    found = rank_features(linear, features, names, np.random.default_rng(1), events=30, references=40)
    others = features[np.random.default_rng(1).permutation(400)[-40:]].astype(float)
    assert found.values[:, 0] == pytest.approx(2 * (found.features[:, 0] - others[:, 0].mean()), abs=1e-5)
    assert found.values[:, 2] == pytest.approx(0, abs=1e-6)
    assert found.order == ["a", "b", "c"]
    total = found.values.sum(axis=1)
    assert total == pytest.approx(linear(found.features) - found.mean, abs=1e-5)

    def product(x):
        return x[:, 0] * x[:, 1]

    both = rank_features(product, features, names, np.random.default_rng(1), events=30, references=40)
    a, b = both.features[:, 0].astype(float), both.features[:, 1].astype(float)
    ra, rb = others[:, 0], others[:, 1]
    expected = 0.5 * ((a * rb.mean() - (ra * rb).mean()) + (a * b - b * ra.mean()))
    assert both.values[:, 0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ConfigError, match="at most 14"):
        rank_features(linear, np.ones((5, 20), dtype=np.float32), tuple("abcdefghijklmnopqrst"), rng)
    json.dumps(found.to_dict(), allow_nan=False)


# --- the study


MODEL = Model(event=(Feature("x1"), Feature("x3")), network=Dense(hidden=(6,)), optimisation=Optimisation(epochs=1))
STUDY = StudySettings(
    model="models/made.py",
    processes=("zgamma",),
    region="ZG",
    observable="mllg",
    experiments=8,
    sigmas=(1.0, 3.0),
    experiment=SMALL.model_copy(update={"free_background": True}),
)


def test_a_study_leaves_its_numbers(tmp_path, sample):
    two = Sample(sample.mass, sample.features[:, [1, 3]], ("x1", "x3"))
    result = study_pseudo_experiments(two, STUDY, MODEL, directory=tmp_path)
    written = json.loads((tmp_path / "pseudo_experiments.json").read_text())
    assert written == json.loads(json.dumps(result))
    assert written["settings"]["experiment"]["network"]["hidden"] == [6]
    assert [row["shape"] for row in written["shapes"]["fits"]] == [
        "exponential", "exponential with quadratic", "polynomial (2)", "poly-log-exponential",
    ]  # fmt: skip
    # the made spectrum is an exponential: the richer form must not look needed at the per-mille level
    assert written["shapes"]["f_test"]["steps"][1]["p"] > 1e-3
    statistic = written["statistics"]["z"]
    assert sum(statistic["global_counts"]) == 8
    assert [sum(counts) for counts in statistic["local_counts"]] == [8, 8, 8]
    assert statistic["global"]["size"]["3"] is None  # eight experiments don't reach three sigma
    assert statistic["levels"][0]["p_global"]["value"] >= statistic["levels"][0]["p_local"]["value"]
    assert set(written["statistics"]) == {"z", "z_wilks", "z_free"}
    example = written["example"]
    assert np.trapezoid(example["roc"]["true"][::-1], example["roc"]["false"][::-1]) == pytest.approx(
        example["auc"], abs=0.02
    )
    first = example["scan"][0]
    assert sum(first["counts"]) == SMALL.events
    assert len(example["scan"]) == 3
    assert set(example["ranking"]["order"]) == {"x1", "x3"}
    # a second call finds all blocks
    seen = []
    again = study_pseudo_experiments(two, STUDY, MODEL, directory=tmp_path, progress=lambda done, _: seen.append(done))
    assert seen == [8]
    assert again == result


def test_columns_become_a_sample(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    count = 50
    mass = rng.uniform(132, 168, count).astype(np.float32)
    table = pa.table(
        {
            "mllg": mass,
            "x1": rng.normal(size=count).astype(np.float32),
            "x3": rng.normal(size=count).astype(np.float32),
            "weight": np.full(count, 0.4),
            "regions": (np.arange(count) % 2).astype(np.uint64) << np.uint64(1),
        }
    )
    pq.write_table(table, tmp_path / "zgamma.parquet")
    card = ColumnsCard(
        luminosity=139.0,
        regions=("SB", "ZG"),
        observables={"mllg": False, "x1": False, "x3": False, "jet_pt": True},
        processes={
            "zgamma": ProcessCard(kind="background", file="zgamma.parquet", sha256="", events=50, expected=20.0)
        },
    )
    (tmp_path / "columns.json").write_text(card.model_dump_json())
    found = read_study_sample(tmp_path, STUDY, ("x1", "x3"))
    assert found.mass == pytest.approx(mass[1::2])
    assert found.features.shape == (25, 2)
    assert found.weights is None
    for changes, features, sentence in (
        ({"region": "ZZ"}, ("x1",), "no such region"),
        ({}, ("x2",), "no per-event observable 'x2'"),
        ({}, ("jet_pt",), "no per-event observable 'jet_pt'"),
        ({"processes": ("zgama",)}, ("x1",), "no process 'zgama' \\(did you mean zgamma"),
    ):
        with pytest.raises(ColonnadeError, match=sentence):
            read_study_sample(tmp_path, STUDY.model_copy(update=changes), features)


def test_networks_that_ensembles_cannot_train():
    assert network_settings(MODEL).hidden == (6,)
    with pytest.raises(ConfigError, match="Dense networks of per-event features"):
        network_settings(MODEL.with_(network__activation="tanh"))
    models = load_models(PROJECT / "models" / "zgamma.py")
    assert network_settings(models["model"]) == EnsembleSettings()


def test_a_study_gives_its_pictures(tmp_path, sample):
    two = Sample(sample.mass, sample.features[:, [1, 3]], ("x1", "x3"))
    settings = STUDY.model_copy(update={"experiments": 4})
    study_pseudo_experiments(two, settings, MODEL, directory=tmp_path)
    found = json.loads((tmp_path / "pseudo_experiments.json").read_text())
    pictures = list(study_pictures(found))
    stems = {picture.stem for picture in pictures}
    assert {"drawn_mass", "drawn_x1", "shapes", "response", "roc", "ranking", "scan_0", "z_local", "z_global"} <= stems
    assert {"z_free_p_values", "z_wilks_global"} <= stems
    for picture in pictures:
        picture.plot.figure()


def test_the_summary_of_a_calibration_holds_normal_fits_and_sizes():
    toys = Calibration(np.random.default_rng(11).normal(size=(40000, 5)))
    report = json.loads(json.dumps(calibration_summary(toys, (1.0, 3.0), list("abcde")), allow_nan=False))
    assert report["global"]["size"]["3"]["value"] == pytest.approx(toys.size(3.0).value)
    assert report["local"][1]["place"] == "b"
    assert report["local"][1]["normal"]["width"] == pytest.approx(1.0, abs=0.02)
    fit = normal_fit(np.random.default_rng(1).normal(0.2, 1.1, 20000))
    assert abs(fit["mean"] - 0.2) < 4 * fit["mean_error"]
    assert abs(fit["width"] - 1.1) < 4 * fit["width_error"]
    with pytest.raises(FitError, match="make more toys"):
        normal_fit(np.ones(3))
