"""Overlapping samples stitched: weights by hand, yields of the inclusive sample, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.errors import ConfigError, EventError
from colonnade.execution import ExecutorSettings, ResultCache, run_datasets
from colonnade.manifest import load_manifest

HERE = ExecutorSettings(kind="iterative")
SIGMA, LUMINOSITY = 10.0, 3.0


class Spectrum(Processor):
    histograms = (Histogram("ht", Regular(8, 0, 400)),)
    regions = {"all": Region(), "even": Region("even")}

    def objects(self, *_):
        return Objects()

    def observables(self, events, _):
        return {"ht": np.asarray(events.LHE.HT)}

    def cuts(self, events, *_):
        return {"even": np.asarray(events.event) % 2 == 0}


def write(path: Path, ht: np.ndarray[Any, Any], jets: np.ndarray[Any, Any] | None = None) -> None:
    """Write events of weight 1 and -1, with their generated HT and number of jets."""
    number = np.arange(len(ht))
    weights = np.where(number % 5 == 0, -1.0, 1.0)
    columns = {"event": number.astype(np.uint64), "run": np.ones(len(ht), np.uint32)}
    columns |= {"luminosityBlock": np.ones(len(ht), np.uint32), "genWeight": weights, "LHE_HT": ht}
    columns["LHE_Njets"] = np.zeros(len(ht), np.uint8) if jets is None else jets.astype(np.uint8)
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        file["Events"].extend(columns)


def stitched(folder: Path, **samples: tuple[float, dict[str, Any]]) -> list[Any]:
    entries = {
        name: {
            "files": {f"{name}.root": "Events"},
            "metadata": {"process": "w", "kind": "background", "xsec_pb": xsec, "stitch": box, "sumw": "events"},
        }
        for name, (xsec, box) in samples.items()
    }
    (folder / "datasets.json").write_text(json.dumps(entries))
    return list(load_manifest(folder / "datasets.json").datasets.values())


@pytest.fixture
def samples(tmp_path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """An inclusive sample, and two that hold its events of high HT, more of them."""
    rng = np.random.default_rng(7)
    ht = {
        "inclusive": rng.exponential(100.0, 4000),
        "medium": 100 + rng.uniform(0, 100, 3000),
        "high": 200 + rng.exponential(100.0, 5000),
    }
    for name, values in ht.items():
        write(tmp_path / f"{name}.root", values)
    return ht


SHARE = {"inclusive": 1.0, "medium": np.exp(-1) - np.exp(-2), "high": np.exp(-2)}
BOXES = {"inclusive": [0, None], "medium": [100, 200], "high": [200, None]}


def boxes(**boxes: Any) -> dict[str, tuple[float, dict[str, Any]]]:
    return {name: (SIGMA * SHARE[name], {"LHE.HT": box}) for name, box in (BOXES | boxes).items()}


def test_weights_are_those_by_hand(tmp_path: Path, samples: dict[str, Any]) -> None:
    result = run_datasets(
        Spectrum(), stitched(tmp_path, **boxes()), luminosity=LUMINOSITY, executor=HERE, chunk_size=1500
    )
    weights = {name: np.where(np.arange(len(ht)) % 5 == 0, -1.0, 1.0) for name, ht in samples.items()}
    worth = {name: each.sum() / (1000 * SIGMA * SHARE[name]) for name, each in weights.items()}
    expected, squares = np.zeros(8), np.zeros(8)
    edges = np.linspace(0, 400, 9)
    for name, ht in samples.items():
        both = worth["inclusive"] + np.where(ht < 100, 0, np.where(ht < 200, worth["medium"], worth["high"]))
        each = weights[name] * LUMINOSITY / both
        expected += np.histogram(ht, edges, weights=each)[0]
        squares += np.histogram(ht, edges, weights=each**2)[0]
    filled = result.histograms["ht"]["w"]["all", "nominal", :]
    np.testing.assert_allclose(filled.values(), expected, rtol=1e-12)
    np.testing.assert_allclose(filled.variances(), squares, rtol=1e-10)  # NumPy's are differences of sums
    # all of it is the cross-section, within the statistics of the inclusive sample and of the others
    total = filled.values(flow=True).sum()
    assert total == pytest.approx(1000 * SIGMA * LUMINOSITY, rel=0.05)
    alone = run_datasets(
        Spectrum(), stitched(tmp_path, inclusive=(SIGMA, {})), luminosity=LUMINOSITY, executor=HERE
    ).histograms["ht"]["w"]["all", "nominal", :]
    errors = np.sqrt(alone.variances() + filled.variances())
    assert np.all(np.abs(alone.values() - filled.values()) < 4 * errors)
    assert np.all(filled.variances()[2:] < alone.variances()[2:])
    # the cutflow, too, and the account
    rows = [table["even"] for table in result.cutflow.values()]
    kept = result.histograms["ht"]["w"]["even", "nominal", :].values(flow=True).sum()
    assert sum(table[-1]["weighted"] for table in rows) == pytest.approx(kept, rel=1e-12)
    assert sum(table[0]["raw"] for table in rows) == 12000
    entry = result.ledger.datasets["inclusive"]
    assert set(entry.strata) == {"0 <= LHE.HT < 100", "100 <= LHE.HT < 200", "200 <= LHE.HT < inf"}
    assert (
        entry.strata["100 <= LHE.HT < 200"][0] == ((samples["inclusive"] >= 100) & (samples["inclusive"] < 200)).sum()
    )


def test_bins_in_two_quantities(tmp_path: Path) -> None:
    """An inclusive sample, one of high HT and one of many jets: where they overlap all three stand together."""
    rng = np.random.default_rng(5)
    ht, jets = rng.uniform(0, 200, 900), rng.integers(0, 4, 900)
    chosen = {"inclusive": ht >= 0, "high": ht >= 100, "many": jets >= 2}
    for name, keep in chosen.items():
        write(tmp_path / f"{name}.root", ht[keep], jets[keep])
    given = {
        "inclusive": (1.0, {"LHE.HT": [0, None], "LHE.Njets": [0, None]}),
        "high": (0.5, {"LHE.HT": [100, None]}),
        "many": (0.5, {"LHE.Njets": [2, None]}),
    }
    result = run_datasets(Spectrum(), stitched(tmp_path, **given), luminosity=1.0, executor=HERE)
    weights = {name: np.where(np.arange(keep.sum()) % 5 == 0, -1.0, 1.0) for name, keep in chosen.items()}
    worth = {name: weights[name].sum() / (1000 * given[name][0]) for name in chosen}
    total = 0.0
    for name, keep in chosen.items():
        joint = sum(np.where(other[keep], worth[each], 0.0) for each, other in chosen.items())
        total += (weights[name] / joint).sum()
    assert result.histograms["ht"]["w"]["all", "nominal", :].values(flow=True).sum() == pytest.approx(total, rel=1e-12)


def test_another_sample_changes_what_is_kept_of_the_inclusive_one(tmp_path: Path, samples: Any) -> None:
    cache = ResultCache(tmp_path / "cache", 1 << 30)
    options = {"luminosity": LUMINOSITY, "executor": HERE, "cache": cache}
    whole = run_datasets(Spectrum(), stitched(tmp_path, **boxes()), **options)
    again = run_datasets(Spectrum(), stitched(tmp_path, **boxes()), **options)
    assert again.timing.processed == 0
    assert again.histograms["ht"]["w"] == whole.histograms["ht"]["w"]
    assert again.ledger == whole.ledger
    del samples["high"]
    fewer = {name: box for name, box in boxes(medium=[100, None]).items() if name != "high"}
    assert run_datasets(Spectrum(), stitched(tmp_path, **fewer), **options).timing.processed == 7000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"inclusive": [0, 50]},
            r"No dataset of the process w holds 50 <= LHE.HT < 100; between others there is a gap",
        ),
        ({"medium": None}, "Dataset medium of the process w has no `stitch`, which inclusive has"),
    ],
)
def test_strata_that_leave_a_gap_are_refused_before_events_are_read(
    tmp_path: Path, samples: Any, change: dict[str, Any], words: str
) -> None:
    given = boxes(**change)
    datasets = stitched(tmp_path, **{n: (x, b if b["LHE.HT"] is not None else {}) for n, (x, b) in given.items()})
    with pytest.raises(ConfigError, match=words):
        run_datasets(Spectrum(), datasets, luminosity=LUMINOSITY, executor=HERE)
    assert samples


def test_an_event_outside_of_its_sample_is_refused(tmp_path: Path, samples: Any) -> None:
    datasets = stitched(tmp_path, **boxes(high=[250, None], medium=[100, 250]))
    with pytest.raises(EventError, match=r"events of the dataset high in .*high.root are not in 250 <= LHE.HT < inf"):
        run_datasets(Spectrum(), datasets, luminosity=LUMINOSITY, executor=HERE)
    assert samples
