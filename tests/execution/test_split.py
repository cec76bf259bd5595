"""One sample as several processes: the parts are the whole, to the bit."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.accumulators import load
from colonnade.errors import ConfigError, EventError
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.histograms import write_zip
from colonnade.manifest import Dataset, Metadata

HERE = ExecutorSettings(kind="iterative")


class Whole(Processor):
    histograms = (Histogram("ht", Regular(10, 0, 1000)), Histogram("pt", Regular(10, 0, 500)))
    regions = {"few": Region("few"), "many": Region("many")}

    def objects(self, events, _):
        return Objects(jets=events.Jet[events.Jet.pt > 30])

    def observables(self, _, objects):
        return {"ht": ak.sum(objects.jets.pt, axis=1), "pt": objects.jets.pt}

    def cuts(self, _, objects, *__):
        return {"few": ak.num(objects.jets) < 5, "many": ak.num(objects.jets) >= 5}

    def weights(self, events, _, weights):
        one = np.ones(len(events))
        weights.add("half", one, 0.5 * one)


class Split(Whole):
    parts = {"ttbar": ("bb", "cc")}

    def split(self, events, _):
        extra = np.asarray(events.genTtbarId) % 100
        return {"bb": extra >= 51, "cc": (extra >= 41) & (extra < 51)}


class Overlapping(Split):
    def split(self, events, _):
        return {"bb": np.ones(len(events), bool), "cc": np.ones(len(events), bool)}


class Other(Split):
    def split(self, events, _):
        return {"bb": np.ones(len(events), bool), "light": np.ones(len(events), bool)}


@pytest.fixture
def ttbar(shared_data: Path) -> list[Dataset]:
    metadata = Metadata(process="ttbar", kind="background", xsec_pb=923.6, sumw="events", era="2022")
    return [Dataset("ttbar", {"nano_tt_v12.root": "Events"}, metadata, shared_data / "nanoaod")]


def test_parts_are_the_whole_to_the_bit(ttbar: list[Dataset], tmp_path: Path) -> None:
    """Sums of the file's weights, 32-bit numbers of one size, are exact in 64 bits, in any order."""
    options = {"luminosity": {"2022": 8.0}, "executor": HERE, "chunk_size": 70}
    whole = run_datasets({"2022": Whole()}, ttbar, **options)
    split = run_datasets({"2022": Split()}, ttbar, **options)
    names = ("ttbar", "ttbar_bb", "ttbar_cc")
    for histogram, by_process in split.histograms.items():
        assert tuple(by_process) == names
        unscaled = [by_process[name].view(flow=True)["value"] for name in names]
        assert all(each.any() for each in unscaled)
        total = whole.histograms[histogram]["ttbar"].view(flow=True)["value"]
        np.testing.assert_allclose(sum(unscaled), total, rtol=1e-15, atol=0)
        of_era = split.of_era("2022").histograms[histogram]
        assert all(of_era[name] == by_process[name] for name in names)
    assert split.cutflow == whole.cutflow
    entry = split.ledger.datasets["ttbar"]
    assert set(entry.parts) == set(names)
    assert sum(events for events, _ in entry.parts.values()) == 200
    assert sum(sumw for _, sumw in entry.parts.values()) == entry.sumw_processed
    assert split.ledger.to_json()["datasets"]["ttbar"]["parts"]["ttbar_bb"][0] == entry.parts["ttbar_bb"][0]
    write_zip(split.histograms, tmp_path / "histograms.zip", split.eras)
    assert set(load(tmp_path, "2022")["ht"]) == set(names)


def test_unscaled_parts_add_exactly(ttbar: list[Dataset]) -> None:
    about = ttbar[0].metadata.model_copy(update={"xsec_pb": None, "weighted_to": 1.0})
    one = [Dataset("ttbar", ttbar[0].files, about, ttbar[0].folder)]
    whole, split = (
        run_datasets({"2022": each()}, one, luminosity={"2022": 1.0}, executor=HERE) for each in (Whole, Split)
    )
    parts = [split.histograms["ht"][name].view(flow=True) for name in ("ttbar", "ttbar_bb", "ttbar_cc")]
    total = whole.histograms["ht"]["ttbar"].view(flow=True)
    assert sum(each["value"] for each in parts).tobytes() == total["value"].tobytes()


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (Overlapping, EventError, "200 events of cc are of another part, too, in dataset 'ttbar'"),
        (Other, ConfigError, "split returns bb, light .* where parts declares bb, cc"),
    ],
)
def test_parts_that_are_no_parts_are_refused(ttbar: list[Dataset], kind: type, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        run_datasets({"2022": kind()}, ttbar, luminosity={"2022": 8.0}, executor=HERE)


def test_a_part_without_a_name_is_refused() -> None:
    class Unnamed(Split):
        parts = {"ttbar": ("b b",)}

    with pytest.raises(ConfigError, match=r"parts\['ttbar'\] = \('b b',\): give a tuple of different names"):
        Unnamed()
