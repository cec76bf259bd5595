"""Models of candidates: each entry of an event's lists is trained on and scored; the best one is kept."""

import hashlib

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colonnade.errors import ConfigError, EventError
from colonnade.inference import fold_of
from colonnade.output import write_json
from colonnade.statistics import asimov_significance
from colonnade.training import Collection, Feature, Model, Trees
from colonnade.training.columns import COLUMNS_FILE, ColumnsCard, ProcessCard
from colonnade.training.sample import read_sample
from colonnade.training.train import train_model

MODEL = Model(
    event=(Feature("x"), Feature("met", "GeV")),
    network=Trees(count=20, depth=2, learning_rate=0.3),
    signals=("pairs",),
    backgrounds=(),
    candidates="right",
)


@pytest.fixture(scope="module")
def events():
    """Lists of numbers of which the one nearest to 3 is right; of a third of the events nobody knows it."""
    rng = np.random.default_rng(4)
    counts = rng.integers(0, 5, 3000)
    x = ak.unflatten(rng.normal(0, 1, counts.sum()), counts)
    place = ak.local_index(x)
    chosen = np.where(counts > 0, rng.integers(0, 100, 3000) % np.maximum(counts, 1), -1)
    x = ak.where(place == chosen, x + 3, x)
    right = ak.where(place == chosen, 1.0, 0.0)
    right = right + np.where(np.arange(3000) % 3 == 0, np.nan, 0.0)
    return {
        "run": np.ones(3000, dtype=np.int64),
        "luminosityBlock": np.ones(3000, dtype=np.int64),
        "event": np.arange(3000),
        "x": x,
        "met": rng.exponential(50, 3000),
        "right": right,
    }


def written(folder, events):
    """Write columns as `colonnade columns` does."""
    table = {name: ak.to_arrow(values, extensionarray=False) for name, values in events.items()}
    table |= {"weight": pa.array(np.ones(3000)), "regions": pa.array(np.ones(3000, dtype=np.uint64))}
    pq.write_table(pa.table(table), folder / "pairs.parquet")
    digest = hashlib.sha256((folder / "pairs.parquet").read_bytes()).hexdigest()
    process = ProcessCard(kind="signal", file="pairs.parquet", sha256=digest, events=3000, expected=3000)
    jagged = {name: getattr(events[name], "ndim", 1) > 1 for name in ("x", "met", "right")}
    card = ColumnsCard(luminosity=1.0, regions=("all",), observables=jagged, processes={"pairs": process})
    write_json(folder / COLUMNS_FILE, card.model_dump(mode="json"))
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory, events):
    return read_sample(written(tmp_path_factory.mktemp("columns"), events), MODEL, "pairs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sample):
    folder = tmp_path_factory.mktemp("model")
    return train_model("pairs", MODEL, sample, output=folder, work=folder / "work", significance=asimov_significance)


def test_candidates_of_unknown_truth_are_left_out(sample, events):
    right = ak.to_numpy(ak.flatten(events["right"]))
    assert len(sample) == np.isfinite(right).sum()
    assert sample.target.tolist() == (right[np.isfinite(right)] == 1).tolist()
    met = np.repeat(events["met"], ak.to_numpy(ak.num(events["x"])))[np.isfinite(right)]
    np.testing.assert_allclose(sample.inputs.event[:, 1], met, rtol=1e-6)


def test_candidates_of_one_event_are_in_one_fold(sample):
    for fold in (0, 1):
        split = sample.split(2, fold)
        seen = set(sample.identity["event"][split.train]) | set(sample.identity["event"][split.validation])
        assert not seen & set(sample.identity["event"][split.test])


def test_the_best_candidate_is_that_of_a_loop(trained, events):
    classifier = trained.classifier
    found = classifier.score(events, events)
    folds = fold_of(events, 2)
    for event in range(0, 3000, 37):
        values = events["x"][event].tolist()
        assert len(found[""][event]) == min(len(values), 1)
        if not values:
            continue
        inputs = np.array([[value, events["met"][event]] for value in values], dtype=np.float32)
        feed = {"event": inputs, "fold": np.array(folds[event], dtype=np.int64)}
        scores = classifier._session().run(None, feed)[0]
        assert found[""][event].tolist() == pytest.approx([scores.max()], abs=1e-6)
        assert found["x"][event].tolist() == pytest.approx([values[int(np.argmax(scores))]])
        assert found["met"][event].tolist() == pytest.approx([events["met"][event]])


def test_the_right_candidate_is_found(trained, events):
    best = trained.classifier.score(events, events)["x"]
    right = ak.max(ak.where(events["right"] == 1, events["x"], -np.inf), axis=1)
    known = ak.to_numpy(ak.fill_none(right, -np.inf)) > -np.inf
    hit = ak.to_numpy(ak.flatten(best[known])) == ak.to_numpy(right[known])
    assert known.sum() > 1000
    assert hit.mean() > 0.93


def test_variations_are_scored_together_as_by_themselves(trained, events):
    shifted = events | {"x": events["x"] * 1.3}
    together = trained.classifier.score_variations([events, shifted], [events, events])
    assert together[1]["x"].tolist() == trained.classifier.score(shifted, events)["x"].tolist()


def test_what_is_wrong_with_candidates_is_said(trained, events, tmp_path):
    with pytest.raises(EventError, match="none of its features is a list"):
        trained.classifier.score({"x": events["met"], "met": events["met"]}, events)
    with pytest.raises(EventError, match="different numbers of entries"):
        trained.classifier.score({"x": events["x"], "met": ak.local_index(events["x"])[:, 1:]}, events)
    with pytest.raises(ConfigError, match="collections"):
        MODEL.with_(collections=(Collection("jets", (Feature("pt"),), leading=1),))
    flat = events | {"right": np.ones(3000)}
    with pytest.raises(EventError, match=r"right, has one value an event"):
        read_sample(written(tmp_path, flat), MODEL, "pairs")
