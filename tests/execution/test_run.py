"""The same bits from every executor, with the right numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.errors import EventError, InputError, LossError, MissingColumnError
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.manifest import Dataset, Metadata


def run(project: Any, datasets: list[Dataset], kind: str = "iterative", workers: int = 1, **more: Any) -> Any:
    settings = ExecutorSettings(kind=kind, workers=workers)
    processor = project.load()(**more.pop("parameters", {}))
    return run_datasets(
        processor, datasets, **{"luminosity": 10.0, "executor": settings, "chunk_size": 30, **more}
    )


def test_every_executor_gives_the_same_bits(
    project: Any, simulated: Callable[..., Dataset], bits: Callable[[Any], bytes]
) -> None:
    datasets = [simulated(), simulated("ww", (400,), runs=True)]
    expected = run(project, datasets)
    assert len(bits(expected.histograms)) > 1000
    for kind, workers in [("futures", 2), ("dask", 1), ("dask", 2)]:
        found = run(project, datasets, kind, workers)
        assert bits(found.histograms) == bits(expected.histograms), kind
        assert found.cutflow == expected.cutflow
        assert found.ledger == expected.ledger


def test_the_numbers_are_those_of_a_direct_computation(project: Any, simulated: Callable[..., Dataset]) -> None:
    dataset = simulated()
    result = run(project, [dataset])
    weights, masses = [], []
    for path, _ in dataset.expand():
        events = uproot.open(path)["Events"].arrays()
        muons = ak.zip({name: events[f"Muon_{name}"] for name in ("pt", "eta", "phi", "charge")})
        muons = muons[muons.pt > 6.0]
        events, muons = events[ak.num(muons) == 2], muons[ak.num(muons) == 2]
        one, two = muons[:, 0], muons[:, 1]
        square = 2 * one.pt * two.pt * (np.cosh(one.eta - two.eta) - np.cos(one.phi - two.phi))
        masses.append(np.asarray(np.sqrt(square)))
        weights.append(np.asarray(events.genWeight, dtype=float))
    generated = sum(
        np.asarray(uproot.open(path)["Events/genWeight"].array(), dtype=float).sum()
        for path, _ in dataset.expand()
    )
    scale = 10.0 * 1000 * 2.0 / generated
    counts, _ = np.histogram(np.concatenate(masses), 40, (0, 200), weights=np.concatenate(weights) * scale)
    found = result.histograms["mass"]["zll"][{"region": "pair", "variation": "nominal"}].values()
    assert found == pytest.approx(counts, rel=1e-5, abs=abs(scale))  # one event may change its bin: no muon mass here
    assert result.cutflow["zll"]["pair"][-1]["raw"] == len(np.concatenate(masses))
    assert result.ledger.datasets["zll"].sumw == pytest.approx(generated)


def test_the_runs_tree_normalises_a_skim(project: Any, simulated: Callable[..., Dataset]) -> None:
    entry = run(project, [simulated(runs=True)]).ledger.datasets["zll"]
    assert entry.sumw == 3.0 * 1200
    assert entry.sumw_processed != entry.sumw


def test_a_file_that_cant_be_read_is_in_the_ledger(
    project: Any, simulated: Callable[..., Dataset], tmp_path: Path, bits: Callable[[Any], bytes]
) -> None:
    dataset = simulated(sizes=(700, 500, 600), runs=True)
    broken = tmp_path / "zll_1.root"
    broken.write_bytes(broken.read_bytes()[:200])
    result = run(project, [dataset])
    entry = result.ledger.datasets["zll"]
    assert entry.events_processed == 1300
    assert [loss.file for loss in entry.lost] == [str(broken)]
    assert entry.sumw == 3.0 * 1300
    whole = run(project, [Dataset("zll", {"zll_0.root": "Events", "zll_2.root": "Events"}, dataset.metadata, tmp_path)])
    assert bits(result.histograms) == bits(whole.histograms)
    with pytest.raises(LossError, match=r"zll_1\.root"):
        result.ledger.check()
    result.ledger.write(tmp_path / "ledger.json")
    written = json.loads((tmp_path / "ledger.json").read_text())
    assert written["datasets"]["zll"]["lost"][0]["file"] == str(broken)
    assert written["lost_fraction"] == pytest.approx(650 / 1950)
    run(project, [dataset], allow_loss=0.4).ledger.check()


def test_a_dataset_without_a_readable_file_stops_the_run(
    project: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = simulated(sizes=(50,))
    (tmp_path / "zll_0.root").write_text("no ROOT file")
    with pytest.raises(InputError, match=r"Dataset zll: .*zll_0\.root"):
        run(project, [dataset])


def test_a_missing_column_is_found_before_any_worker_starts(
    project: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.analysis.write_text(project.analysis.read_text().replace("events.Muon", "events.Moun"))
    monkeypatch.setattr("colonnade.execution.run._Run._open", lambda _: pytest.fail("a worker was started"))
    with pytest.raises(MissingColumnError, match="did you mean Muon"):
        run(project, [simulated(sizes=(50,))])


def test_an_error_of_the_analysis_is_one_sentence_with_its_line(
    project: Any, simulated: Callable[..., Dataset]
) -> None:
    text = project.analysis.read_text().replace("two = ak.num", "two = 1 / 0 * ak.num")
    project.analysis.write_text(text)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "1 / 0" in row)
    with pytest.raises(EventError, match=rf"Pairs failed at .*pairs\.py:{line} .*ZeroDivisionError"):
        run(project, [simulated(sizes=(50,))])


def test_a_weight_that_is_no_number_stops_the_run(
    project: Any, tmp_path: Path, write_events: Callable[..., None]
) -> None:
    write_events(tmp_path / "nan.root", 3000, seed=1, weight=float("nan"))
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0)
    with pytest.raises(EventError, match="genWeight"):
        run(project, [Dataset("zll", {"nan.root": "Events"}, metadata, tmp_path)])


def test_data_are_not_scaled_and_tell_the_missing_luminosity(
    project: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = simulated("data", (700, 300), kind="data", xsec_pb=None, luminosity=5.0)
    whole = run(project, [dataset])
    assert whole.ledger.datasets["data"].luminosity_lost == 0.0
    assert whole.cutflow["data"]["pair"][0]["weighted"] == 1000.0
    (tmp_path / "data_1.root").unlink()
    entry = run(project, [dataset]).ledger.datasets["data"]
    # nobody knows how many events the missing file had; the other file's number stands for it
    assert entry.luminosity_lost == pytest.approx(2.5)
