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
from colonnade.execution import ExecutorSettings, StoppedError, run_datasets
from colonnade.manifest import Dataset, Metadata


def run(pairs: Any, datasets: list[Dataset], kind: str = "iterative", workers: int = 1, **more: Any) -> Any:
    settings = ExecutorSettings(kind=kind, workers=workers)
    processor = pairs.load()(**more.pop("parameters", {}))
    return run_datasets(processor, datasets, **{"luminosity": 10.0, "executor": settings, "chunk_size": 100, **more})


def test_every_executor_gives_the_same_bits(
    pairs: Any, simulated: Callable[..., Dataset], bits: Callable[[Any], bytes]
) -> None:
    datasets = [simulated(), simulated("ww", (150,), runs=True)]
    expected = run(pairs, datasets)
    assert sum(entry["raw"] for entry in expected.cutflow["zll"]["pair"]) > 500
    for kind, workers in [("futures", 2), ("dask", 1), ("dask", 2)]:
        found = run(pairs, datasets, kind, workers)
        assert bits(found.histograms) == bits(expected.histograms), kind
        assert found.cutflow == expected.cutflow
        assert found.ledger == expected.ledger


def test_the_numbers_are_those_of_a_direct_computation(pairs: Any, simulated: Callable[..., Dataset]) -> None:
    dataset = simulated()
    result = run(pairs, [dataset])
    weights, leading = [], []
    for path, _ in dataset.expand():
        events = uproot.open(path)["Events"].arrays(["Muon_pt", "genWeight"])
        pt = events.Muon_pt[events.Muon_pt > 6.0]
        weights.append(np.asarray(events.genWeight, dtype=float)[ak.num(pt) == 2])
        leading.append(np.asarray(ak.max(pt[ak.num(pt) == 2], axis=1)))
    generated = sum(
        np.asarray(uproot.open(path)["Events/genWeight"].array(), dtype=float).sum() for path, _ in dataset.expand()
    )
    scale = 10.0 * 1000 * 2.0 / generated
    counts, _ = np.histogram(np.concatenate(leading), 40, (0, 200), weights=np.concatenate(weights) * scale)
    found = result.histograms["leading"]["zll"][{"region": "pair", "variation": "nominal"}].values()
    assert found == pytest.approx(counts, rel=1e-9, abs=1e-9 * scale)
    assert result.cutflow["zll"]["pair"][-1]["raw"] == len(np.concatenate(leading))
    assert result.ledger.datasets["zll"].sumw == pytest.approx(generated)


def test_the_runs_tree_normalises_a_skim(pairs: Any, simulated: Callable[..., Dataset]) -> None:
    entry = run(pairs, [simulated(runs=True)]).ledger.datasets["zll"]
    assert entry.sumw == 3.0 * 500
    assert entry.sumw_processed != entry.sumw


def test_sums_of_weights_of_some_files_only_are_refused_before_the_work(
    pairs: Any,
    simulated: Callable[..., Dataset],
    tmp_path: Path,
    write_events: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = simulated(runs=True)
    write_events(tmp_path / "zll_1.root", 200, seed=3)
    monkeypatch.setattr("colonnade.execution.run._Run.learn", lambda *_: pytest.fail("the work began"))
    with pytest.raises(InputError, match=r"zll_1\.root.*sumw in the manifest"):
        run(pairs, [dataset])


def test_a_dataset_without_a_processed_event_stops_the_run_with_its_account(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    datasets = [simulated(runs=True), simulated("ww", (100,))]
    for number in range(2):
        path = tmp_path / f"zll_{number}.root"
        with uproot.open(path) as file:
            key = file["Events/Muon_charge"].basket_key(0)
            place = key.data_cursor.index + key.data_compressed_bytes // 2
        blob = bytearray(path.read_bytes())
        blob[place] ^= 16
        path.write_bytes(blob)
    with pytest.raises(StoppedError, match=r"Dataset zll: no event could be processed .*Muon_charge") as caught:
        run(pairs, datasets)
    assert caught.value.exit_code == 3
    ledger = caught.value.ledger
    assert ledger is not None
    assert (ledger.datasets["zll"].events_processed, ledger.datasets["ww"].events_processed) == (0, 100)
    assert [(loss.start, loss.stop) for loss in ledger.datasets["zll"].lost] == [
        (0, 100), (100, 200), (200, 300), (0, 100), (100, 200),
    ]  # fmt: skip
    assert ledger.lost_fraction == pytest.approx(500 / 600)


def test_a_file_that_cant_be_read_is_in_the_ledger(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path, bits: Callable[[Any], bytes]
) -> None:
    dataset = simulated(sizes=(150, 100, 200), runs=True)
    broken = tmp_path / "zll_1.root"
    broken.write_bytes(broken.read_bytes()[:200])
    result = run(pairs, [dataset])
    entry = result.ledger.datasets["zll"]
    assert entry.events_processed == 350
    assert [loss.file for loss in entry.lost] == [str(broken)]
    assert entry.sumw == 3.0 * 350
    whole = run(pairs, [Dataset("zll", {"zll_0.root": "Events", "zll_2.root": "Events"}, dataset.metadata, tmp_path)])
    assert bits(result.histograms) == bits(whole.histograms)
    with pytest.raises(LossError, match=r"zll_1\.root"):
        result.ledger.check()
    result.ledger.write(tmp_path / "ledger.json")
    written = json.loads((tmp_path / "ledger.json").read_text())
    assert written["datasets"]["zll"]["lost"][0]["file"] == str(broken)
    assert written["lost_fraction"] == pytest.approx(175 / 525)
    run(pairs, [dataset], allow_loss=0.4).ledger.check()


def test_a_dataset_without_a_readable_file_stops_the_run(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = simulated(sizes=(50,))
    (tmp_path / "zll_0.root").write_text("no ROOT file")
    with pytest.raises(InputError, match=r"Dataset zll: .*zll_0\.root"):
        run(pairs, [dataset])


def test_a_missing_column_is_found_before_any_worker_starts(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs.analysis.write_text(pairs.analysis.read_text().replace("events.Muon", "events.Moun"))
    monkeypatch.setattr("colonnade.execution.run._Run._open", lambda *_: pytest.fail("a worker was started"))
    with pytest.raises(MissingColumnError, match="did you mean Muon"):
        run(pairs, [simulated(sizes=(50,))])


def test_an_error_of_the_analysis_is_one_sentence_with_its_line(pairs: Any, simulated: Callable[..., Dataset]) -> None:
    text = pairs.analysis.read_text().replace("two = ak.num", "two = 1 / 0 * ak.num")
    pairs.analysis.write_text(text)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "1 / 0" in row)
    with pytest.raises(EventError, match=rf"Pairs failed at .*pairs\.py:{line} .*ZeroDivisionError"):
        run(pairs, [simulated(sizes=(50,))])


def test_a_weight_that_is_no_number_stops_the_run(
    pairs: Any, tmp_path: Path, write_events: Callable[..., None]
) -> None:
    write_events(tmp_path / "nan.root", 3000, seed=1, weight=float("nan"))
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events")
    with pytest.raises(EventError, match="genWeight"):
        run(pairs, [Dataset("zll", {"nan.root": "Events"}, metadata, tmp_path)])


def test_data_are_not_scaled_and_tell_the_missing_luminosity(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = simulated("data", (250, 150), kind="data", xsec_pb=None, luminosity=5.0)
    whole = run(pairs, [dataset])
    assert whole.ledger.datasets["data"].luminosity_lost == 0.0
    assert whole.cutflow["data"]["pair"][0]["weighted"] == 400.0
    (tmp_path / "data_1.root").unlink()
    entry = run(pairs, [dataset]).ledger.datasets["data"]
    # nobody knows how many events the missing file had; the other file's number stands for it
    assert entry.luminosity_lost == pytest.approx(2.5)


def test_a_negative_sum_of_weights_normalises_nothing(
    pairs: Any, tmp_path: Path, write_events: Callable[..., None]
) -> None:
    """Divided by it, weights that are mostly negative would give positive yields."""
    write_events(tmp_path / "negative.root", 200, seed=1, weight=-1.0)
    metadata = Metadata(process="zll", kind="background", xsec_pb=2.0, sumw="events")
    with pytest.raises(EventError, match=r"zll can't be normalised: its sum of generator weights is -\d"):
        run(pairs, [Dataset("zll", {"negative.root": "Events"}, metadata, tmp_path)])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize(("xsec", "weight"), [(1e308, 1.0), (1.0, 1e160), (1e-160, 1e200)])
def test_sums_that_overflow_are_noticed(pairs: Any, tmp_path: Path, xsec: float, weight: float) -> None:
    muons = ak.zip({"pt": ak.Array([[50.0, 40.0], [30.0, 20.0]]), "charge": ak.Array([[1, -1], [1, 1]])})
    events = {name: np.arange(2, dtype="u4") for name in ("run", "luminosityBlock", "event")}
    with uproot.recreate(tmp_path / "large.root") as file:
        columns = {**events, "genWeight": np.full(2, weight), "Muon": muons}
        kinds = {name: ak.type(ak.Array(values)).content for name, values in columns.items()}
        file.mktree("Events", kinds).extend(columns)
    metadata = Metadata(process="zll", kind="background", xsec_pb=xsec, sumw="events")
    with pytest.raises(EventError, match=r"zll (can't be normalised|holds a sum of weights).* too large"):
        run(pairs, [Dataset("zll", {"large.root": "Events"}, metadata, tmp_path)])
