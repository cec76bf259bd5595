"""A mass scan from made columns to its tables and figures."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

pytest.importorskip("torch")

from processors.three_leptons import THREE_LEPTON_FEATURES, three_lepton_features
from studies.hnl_tau.scan import run_mass_scan
from studies.hnl_tau.settings import MODELS, SCANS
from studies.hnl_tau.trainings import network_scan, scan_sample, sized, train_side_by_side

from colonnade.errors import ConfigError
from colonnade.training import load_models
from studies.hnl_tau import settings

REAL = Path(__file__).parents[3] / "models" / "hnl_tau.py"
CHANNELS = ("tee", "tem", "tmm", "tte", "ttm")
MASSES = (150.0, 300.0, 800.0)
# the real models, made small; two of the classifiers and one observable will do
QUICK = {"optimisation__epochs": 6, "optimisation__batch": 512, "folds": 2}
REALS = load_models(REAL) | MODELS
SMALL = {"model": REALS["model"].with_(**QUICK, members=2), "frozen": REALS["frozen"].with_(**QUICK)}
SMALL |= {
    "held_out": SMALL["model"].with_(signals=("hnl_m150", "hnl_m800")),
    "trees": REALS["trees"].with_(network__count=10, folds=2),
}
REGRESSION = dataclasses.replace(settings.SMALL, width=16, depth=5, events=4000, batch=500, epochs=1)
SCAN = dataclasses.replace(
    SCANS["masses"],
    models={"parametrised": "model", "transfer": "frozen"},
    classical=2,
    held_out={"held out": ("held_out", 300.0)},
    sizes={"small": {"frozen": {"network__regression": REGRESSION}}},
    document="",
)


def made(rng, count, hardness):
    """Three leptons and missing momentum, harder or softer, as an event loop would write them."""
    leptons = [
        (
            rng.exponential(20 * hardness, count) + 20,
            rng.uniform(-2.4, 2.4, count),
            rng.uniform(-np.pi, np.pi, count),
            np.full(count, 0.5),
        )
        for _ in range(3)
    ]
    met = (rng.exponential(25 * hardness, count) + 1, rng.uniform(-np.pi, np.pi, count))
    charges = [np.ones(count), np.where(rng.random(count) < 0.5, 1, -1), -np.ones(count)]
    observables = three_lepton_features(leptons, met, charges, rng.integers(1, 3, count))
    place = rng.integers(0, 5, count)
    observables |= {f"is_{name}": (place == number) * 1.0 for number, name in enumerate(CHANNELS)}
    return observables, place


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    rng = np.random.default_rng(8)
    processes, first = {}, 0
    kinds = {"hnl_wz": ("background", 3000, 1.0, None)}
    kinds |= {f"hnl_m{mass:g}": ("signal", 900, 1.2 + mass / 250, mass) for mass in MASSES}
    for name, (kind, count, hardness, mass) in kinds.items():
        observables, place = made(rng, count, hardness)
        columns = {key: np.arange(first, first + count) for key in ("run", "luminosityBlock", "event")}
        columns |= {"weight": np.full(count, 0.1), "regions": np.uint64(1) << place.astype(np.uint64)}
        columns |= {key: np.asarray(values, dtype=np.float32) for key, values in observables.items()}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
        first += count
        processes[name] = {
            "kind": kind,
            "file": f"{name}.parquet",
            "sha256": name,
            "events": count,
            "expected": 0.1 * count,
            "signal": {} if mass is None else {"m_HNL": mass},
        }
    card = {
        "luminosity": 139.0,
        "regions": CHANNELS,
        "observables": dict.fromkeys(observables, False),
        "processes": processes,
    }
    (folder / "columns.json").write_text(json.dumps(card))
    return folder


@dataclass
class Workflow:
    root: Path
    name: str = "hnl_tau"


def test_the_real_file():
    """Models, features and sizes that the documentation names."""
    models, scan = REALS, SCANS["masses"]
    names = [feature.name for feature in models["baseline"].event]
    assert names == [feature.name for feature in THREE_LEPTON_FEATURES[:-1]]
    for size in ("small", "full"):
        declared = sized(models, scan, size)
        wanted = {*scan.models.values(), *scan.per_channel.values(), *(name for name, _ in scan.held_out.values())}
        assert wanted <= set(declared)
    assert scan.reference == "mt_tot"
    assert "hnl_m300" not in models["held_out"].signals
    assert len(models["held_out"].signals) == 15


def test_events_of_each_mass(columns):
    events = scan_sample(columns, SMALL["model"], SCAN)
    assert events.masses == MASSES
    assert [len(events.rows[mass]) for mass in MASSES] == [3900] * 3
    assert sum(inside.sum() for inside in events.channels.values()) == len(events.sample) == 5700


def test_side_by_side_is_one_after_another(columns, tmp_path):
    """The same weights, and a scan finds the trainings and does not train again."""
    import torch

    model = SMALL["model"].with_(optimisation__epochs=2, members=1)
    events = scan_sample(columns, model, SCAN)
    folders = [shutil.copytree(columns, tmp_path / name, ignore=shutil.ignore_patterns("training")) for name in "ab"]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    train_side_by_side({"x": model}, folders[0], 2)
    kept = [folder / "training" / "x" / "fold1.pt" for folder in folders]
    written = kept[0].stat().st_mtime_ns
    scores = [network_scan("x", model, events, folder) for folder in folders]
    torch.set_num_threads(before)
    assert kept[0].stat().st_mtime_ns == written
    weights = [torch.load(path, weights_only=True)["network"] for path in kept]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert all(np.array_equal(scores[0][mass], scores[1][mass]) for mass in MASSES)


def test_from_columns_to_tables(columns, tmp_path):
    """Everything is trained once, shown, and found again by a second call."""
    page = tmp_path / "docs" / "hnl.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- masses -->\nold\n<!-- /masses -->\nafter\n")
    scan = dataclasses.replace(SCAN, document="docs/hnl.md")
    console = Console(file=StringIO(), width=120)

    def run(which=scan):
        return run_mass_scan(Workflow(tmp_path), SMALL, "masses", which, columns=columns, console=console)

    folder = run()
    result = json.loads((folder / "scan.json").read_text())
    kinds = [entry["kind"] for entry in result["estimators"]]
    assert kinds == ["reference", "observable", "observable", "model", "model", "model", "held out"]
    by = {entry["title"]: {row["mass"]: row for row in entry["masses"]} for entry in result["estimators"]}
    for title, rows in by.items():
        assert list(rows) == ([300.0] if title == "held out" else list(MASSES))
        for row in rows.values():
            assert len(row["channels"]) == 5
            assert row["mean"] == pytest.approx(np.mean([each["z"] for each in row["channels"]]))
    assert all(row["ratio"] == 1 for row in by["mt_tot"].values())
    # harder events are easier to find, with any estimator, and no network is far behind
    for title in ("mt_tot", "parametrised", "trees"):
        assert by[title][800.0]["mean"] > 1.3 * by[title][150.0]["mean"]
    assert by["parametrised"][800.0]["ratio"] > 0.8
    assert result["regression"]["parameters"]["full"] == 25_435_248
    assert len(result["regression"]["rms"]) == 112
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| 300 |" in text
    clear = sum(row["ratio"] - row["ratio_error"] > 1 for row in by["parametrised"].values())
    assert f"| above 1 by its error | {clear} of 3 |" in text
    # the columns were given, so that only the trainings took time
    assert list(result["processor_seconds"]) == ["trainings and scores"]
    assert result["processor_seconds"]["trainings and scores"] > 0
    for name in ("significance", "residuals"):
        assert (page.parent / "images" / f"hnl_tau_{name}.png").stat().st_size > 10_000
    trained = {file: file.stat().st_mtime_ns for file in (columns / "training").rglob("*.pt")}
    again = json.loads((run() / "scan.json").read_text())
    assert again["estimators"] == result["estimators"]
    assert {file: file.stat().st_mtime_ns for file in trained} == trained

    with pytest.raises(ConfigError, match="names the model 'modle'"):
        run(dataclasses.replace(scan, models={"one": "modle"}))
    with pytest.raises(ConfigError, match="no size 'small'"):
        run(dataclasses.replace(scan, sizes={}))
