"""One real sample as two eras: what is in the halves is what is in the whole."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.execution import ExecutorSettings, run_datasets
from colonnade.manifest import load_manifest

HERE = ExecutorSettings(kind="iterative")


class Jets(Processor):
    histograms = (Histogram("ht", Regular(10, 0, 1000)),)
    regions = {"all": Region()}

    def __init__(self, *, threshold=30.0, **others):
        super().__init__(**others)
        self.threshold = threshold

    def objects(self, events, _):
        return Objects(jets=events.Jet[events.Jet.pt > self.threshold])

    def observables(self, _, objects):
        return {"ht": ak.sum(objects.jets.pt, axis=1)}

    def cuts(self, *_):
        return {}

    def weights(self, events, _, weights):
        one = np.ones(len(events))
        weights.add("sf", one, one * 1.1)


def manifest(folder: Path, file: Path, **steps: list[list[int]]) -> Path:
    """Write datasets of parts of the file, each named after the era that it is of."""
    entries = {}
    for era, ranges in steps.items():
        metadata = {"process": "ttbar", "kind": "background", "xsec_pb": 1.0, "sumw": 65536.0, "era": era[1:]}
        entries[era] = {"files": {str(file): {"object_path": "Events", "steps": ranges}}, "metadata": metadata}
    path = folder / "datasets.json"
    path.write_text(json.dumps(entries))
    return path


def test_halves_as_two_eras_give_the_yields_of_one(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "nanoaod" / "nano_tt_v12.root"
    one = list(load_manifest(manifest(tmp_path, file, e2016=[[0, 100], [100, 200]])).datasets.values())
    two = list(load_manifest(manifest(tmp_path, file, e2016=[[0, 100]], e2017=[[100, 200]])).datasets.values())
    # 65.536 fb^-1 make the factor of each event 1, and 32.768 of each half, so that nothing is rounded but sums
    whole = run_datasets(Jets(), one, luminosity=65.536, executor=HERE)
    eras = run_datasets(
        dict.fromkeys(("2016", "2017"), Jets()), two, luminosity={"2016": 32.768, "2017": 32.768}, executor=HERE
    )
    expected, found = whole.histograms["ht"]["ttbar"], eras.histograms["ht"]["ttbar"]
    assert expected.view(flow=True)["value"].sum() > 0
    assert found.view(flow=True).tobytes() == expected.view(flow=True).tobytes()
    parts = [eras.of_era(era).histograms["ht"]["ttbar"].view(flow=True) for era in ("2016", "2017")]
    assert (parts[0]["value"] + parts[1]["value"]).tobytes() == expected.view(flow=True)["value"].tobytes()
    rows = {name: table["all"][-1] for name, table in eras.cutflow.items()}
    assert sum(row["raw"] for row in rows.values()) == 200
    assert [entry.era for entry in eras.ledger.datasets.values()] == ["2016", "2017"]


def test_each_era_has_its_own_analysis(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "nanoaod" / "nano_tt_v12.root"
    two = list(load_manifest(manifest(tmp_path, file, e2016=[[0, 100]], e2017=[[100, 200]])).datasets.values())
    each = {"2016": Jets(threshold=30.0), "2017": Jets(threshold=60.0)}
    found = run_datasets(each, two, luminosity={"2016": 1.0, "2017": 3.0}, executor=HERE)
    for era, analysis in each.items():
        (own,) = (dataset for dataset in two if dataset.metadata.era == era)
        alone = run_datasets(analysis, [own], luminosity={"2016": 1.0, "2017": 3.0}[era], executor=HERE)
        assert found.of_era(era).histograms["ht"]["ttbar"] == alone.histograms["ht"]["ttbar"]
