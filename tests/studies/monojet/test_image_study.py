"""A whole study on a few made events: what it leaves, and how its shares are counted."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from studies.monojet.declaration import ImageModel, ImageNetwork, ImageStudy, ImageTraining
from studies.monojet.judging import StudyEvents, detail
from studies.monojet.study import run_image_study
from studies.monojet.tables import markdown, replace_section, thresholds_markdown

from colonnade.errors import ConfigError
from colonnade.inference import Classifier
from colonnade.output import write_json
from colonnade.statistics import asimov_significance
from colonnade.training import Collection, Dense, Feature, Model, Optimisation, SetNetwork
from colonnade.training.columns import ColumnsCard, ProcessCard
from colonnade.training.sample import read_sample
from processors.event_images import ImageScorer

PARTICLE = ("pt", "eta", "phi", "mass", "charge", "pdgId")
JET = ("pt", "eta", "phi", "width")
PARTICLES = Collection("particles", tuple(Feature(f"particle_{n}") for n in PARTICLE))
JETS = Collection("jets", tuple(Feature(f"jet_{n}") for n in JET))
# the same images with pt and eta exchanged
SWAPPED = Collection("particles", tuple(Feature(f"particle_{n}") for n in ("eta", "pt", *PARTICLE[2:])))
REGIONS = ("high", "low", "selected")


def image(compression, down):
    return ImageModel(
        PARTICLES,
        JETS,
        compression=compression,
        network=ImageNetwork(down, channels=(2, 2, 2, 2, 2, 2), dense=3, initial="he"),
        training=ImageTraining(learning_rate=1e-2, batch=16, steps=4, every=2, checked=20),
        size=8,
    )


STUDY = ImageStudy(
    images={
        "cell_strides": image("cell", "strides"),
        "cell_strides_swapped": replace(image("cell", "strides"), particles=SWAPPED),
    },
    signal="z",
    background="w",
    unseen="m",
    region="high",
    slices=("high", "low"),
    selection="selected",
    yields={"z": 100.0, "w": 50.0, "m": 20.0, "other": 10.0},
    others=("one_number",),
    detailed=("cell_strides",),
)
JAGGED = Model(
    event=(),
    collections=(Collection("particles", (Feature("particle_pt"), Feature("particle_eta"))),),
    network=SetNetwork(objects=(4,), hidden=(4,)),
    signals=("z",),
    backgrounds=("w",),
    regions=("high",),
    weighting="none",
    folds=1,
    optimisation=Optimisation(batch=64, epochs=2),
)

ONE_NUMBER = replace(JAGGED, event=(Feature("n"),), collections=(), network=Dense(hidden=(4,)))


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    rng = np.random.default_rng(3)
    cards = {}
    for name, kind in (("w", "background"), ("m", "background"), ("z", "signal")):
        events = 150
        table = {
            "run": np.ones(events, dtype=np.int64),
            "luminosityBlock": np.ones(events, dtype=np.int64),
            "event": np.arange(events),
            "weight": rng.uniform(0.5, 1.5, events),
            "n": rng.uniform(0, 1, events),
            # two of three events are high, and every second is selected
            "regions": np.where(np.arange(events) % 3 < 2, 1, 2).astype(np.uint64)
            | np.where(np.arange(events) % 2, 4, 0).astype(np.uint64),
        }
        counts, jets = rng.integers(2, 6, events), rng.integers(0, 3, events)
        for prefix, fields, number in (("particle", PARTICLE, counts), ("jet", JET, jets)):
            for field in fields:
                flat = rng.uniform(1, 2, number.sum()).astype(np.float32)
                table[f"{prefix}_{field}"] = ak.to_arrow(ak.unflatten(flat, number), extensionarray=False)
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
        digest = hashlib.sha256((folder / f"{name}.parquet").read_bytes()).hexdigest()
        cards[name] = ProcessCard(kind=kind, file=f"{name}.parquet", sha256=digest, events=events, expected=1.0)
    observables = {f"{p}_{n}": True for p, names in (("particle", PARTICLE), ("jet", JET)) for n in names}
    observables["n"] = False
    card = ColumnsCard(luminosity=1.0, regions=REGIONS, observables=observables, processes=cards)
    write_json(folder / "columns.json", card.model_dump(mode="json"))
    return folder


def everything(columns):
    reads = image("cell", "strides").reads(signals=("z",), backgrounds=("w", "m"))
    return StudyEvents(STUDY, read_sample(columns, reads, "s"))


def test_a_study_leaves_models_tables_and_numbers(columns, tmp_path) -> None:
    def run():
        return run_image_study(
            "mini",
            STUDY,
            JAGGED,
            columns,
            tmp_path / "work",
            output=tmp_path,
            significance=asimov_significance,
            others={"one_number": ONE_NUMBER},
        )

    result = run()
    # what is trained is not trained again, and its times stay those of its training
    again = run()
    assert again["models"] == result["models"]
    for one, other in (
        (again["jagged"], result["jagged"]),
        (again["others"]["one_number"], result["others"]["one_number"]),
    ):
        assert one | {"seconds_event": 0.0} == other | {"seconds_event": 0.0}
    assert set(result["models"]) == set(STUDY.images)
    assert result["full"]["strides"]["parameters"] == 4_684_738
    assert set(result["others"]) == {"one_number"}
    for entry in (*result["models"].values(), result["jagged"], *result["others"].values()):
        assert len(entry["thresholds"]) == 21
        assert 0 <= entry["average_precision"] <= 1
        assert entry["arithmetic"] > 0
    assert set(result["detailed"]) == {"cell_strides", "jagged", "one_number"}
    # a dense layer of 4 and one of 1
    assert (result["others"]["one_number"]["parameters"], result["others"]["one_number"]["arithmetic"]) == (13, 16)
    assert set(result["jagged"]["importance"]) == {"particle_pt", "particle_eta"}
    # images of other columns are other images
    assert ImageScorer.load(tmp_path / "mini_cell_strides_swapped.onnx").card.jagged()[0].features[0].name == (
        "particle_eta"
    )
    one, other = (result["models"][key]["history"][0]["loss"] for key in STUDY.images)
    assert one != other
    scored = ImageScorer.load(tmp_path / "mini_cell_strides.onnx").card
    assert scored.image["compression"] == "cell"
    assert scored.metrics["accuracy"] == result["models"]["cell_strides"]["accuracy"]
    assert Classifier.load(tmp_path / "mini.onnx").card.kind == "SetNetwork"
    text = markdown(STUDY, result)
    for name in ("empty cell, strides", "empty cell, strides, swapped", "set network", "no image: one number"):
        assert text.count(f"\n| {name} |") + text.count(f"\n| {name} (best image) |") >= 2
    assert f"| empty cell, strides | {result['detailed']['cell_strides']['gain']:.4f} ± " in text
    thresholds = thresholds_markdown(result)
    assert thresholds.count("| 0.55 |") == thresholds.count("**") / 2 == 4
    row = result["jagged"]["thresholds"][7]
    (shown,) = [line for line in thresholds.partition("**set network**")[2].splitlines() if "| 0.35 |" in line][:1]
    keys = ("precision", "recall", "mean_precision_recall", "product_precision_recall", "accuracy")
    assert [float(cell) for cell in shown.strip("|").split("|")[1:]] == [round(row[key], 3) for key in keys]


def test_networks_are_judged_on_events_that_none_has_seen(columns) -> None:
    events = everything(columns)
    sample, parts = events.sample, events.parts
    rows = np.concatenate([*parts.values()])
    assert len(np.unique(rows)) == len(rows)
    unseen = sample.processes.index("m")
    assert not np.any(sample.process[rows] == unseen)
    assert sample.in_region("high")[rows].all()
    assert not events.fresh[parts["train"]].any()
    assert not events.fresh[parts["validation"]].any()
    assert events.fresh[parts["test"]].all()
    assert events.of("m").sum() == 150


def test_the_test_part_stands_for_its_class(columns) -> None:
    events = everything(columns)
    sample, weight = events.sample, events.weight()
    for process in ("z", "w"):
        own = sample.process == sample.processes.index(process)
        assert weight[own & events.fresh].sum() == pytest.approx(sample.weight[own].sum())


def test_shares_and_gain_by_hand(columns) -> None:
    events = everything(columns)
    rng = np.random.default_rng(0)
    scores = rng.random(len(events.sample)).astype(np.float32)
    found = detail(events, scores, {"threshold": 0.4})
    sample, weight = events.sample, events.weight()

    def passed(process, region):
        rows = [i for i in np.flatnonzero(events.of(process)) if sample.in_region(region)[i]]
        return sum(weight[i] for i in rows if scores[i] > 0.4) / sum(weight[i] for i in rows)

    assert found["slices"]["low"]["z"]["right"] == pytest.approx(passed("z", "low"))
    assert found["slices"]["high"]["m"]["right"] == pytest.approx(1 - passed("m", "high"))
    z, w, m = (passed(process, "selected") for process in ("z", "w", "m"))
    after = 100 * z + 50 * w + 20 * m + 10
    assert found["gain"] == pytest.approx(z * np.sqrt(180 / after))
    assert 0 < found["selected"]["w"]["error"] < 0.2
    # the gain's error, by its derivatives
    errors = {process: found["selected"][process]["error"] for process in ("z", "w", "m")}
    gain = found["gain"]
    slopes = {"z": gain / z - gain * 100 / after / 2, "w": -gain * 50 / after / 2, "m": -gain * 20 / after / 2}
    linear = np.sqrt(sum((slopes[process] * errors[process]) ** 2 for process in errors))
    assert found["gain_error"] == pytest.approx(linear, rel=0.1)


def test_tables_go_between_their_marks(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n")
    replace_section(page, "a", "new\n\n")
    assert page.read_text() == "before\n<!-- a -->\nnew\n<!-- /a -->\nafter\n"
    with pytest.raises(ConfigError, match="no place for the tables"):
        replace_section(page, "b", "new")


def test_wrong_regions_and_networks_are_refused(columns, tmp_path) -> None:
    def run(study, jagged):
        return run_image_study(
            "mini", study, jagged, columns, tmp_path, output=tmp_path, significance=asimov_significance
        )

    with pytest.raises(ConfigError, match="the region 'higher'"):
        run(replace(STUDY, region="higher"), JAGGED)
    dense = Model(event=(Feature("x"),), network=Dense())
    with pytest.raises(ConfigError, match="is a Dense"):
        run(STUDY, dense)
