"""The same events from a TTree, an RNTuple and parquet; and the files that are not NanoAOD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from colonnade.errors import ConfigError, InputError
from colonnade.events import SourceFile, inspect_file, read_events
from colonnade.events.schemas import SCHEMAS, detect_schema


@pytest.mark.parametrize("other", ["nano_dy_rntuple.root", "nano_dy.parquet"])
@pytest.mark.parametrize("lazy", [False, True])
def test_formats_agree(shared_data: Path, other: str, lazy: bool) -> None:
    tree = inspect_file(str(shared_data / "nanoaod" / "nano_dy.root"))
    source = inspect_file(str(shared_data / "nanoaod" / other))
    assert source.columns == tree.columns
    assert source.entries == tree.entries
    columns = tuple(c for i, c in enumerate(sorted(tree.columns)) if not i % 15 or c.startswith(("Muon", "nMuon")))
    expected = read_events(tree, 5, 37, columns, {})
    found = read_events(source, 5, 37, None if lazy else columns, {})
    different = []
    for name in expected.layout.fields:
        for field in expected[name].layout.fields or ([] if f"n{name}" in tree.columns else [None]):
            one, two = (array[name] if field is None else array[name][field] for array in (expected, found))
            # a counter of an RNTuple is its list's, in another integer type
            if not ak.array_equal(one, two, equal_nan=True, check_parameters=False, dtype_exact=False):
                different.append((name, field))
    assert different == []


def test_lists_without_a_counter_are_collections(tmp_path: Path) -> None:
    counts = [i % 4 for i in range(1000)]
    jets = ak.unflatten(np.arange(sum(counts), dtype=np.float32), counts)
    arrays = ak.Array({"x": np.arange(1000.0), "Jet_pt": jets, "Jet_eta": jets / 100, "Jet_phi": jets / 1000})
    path = tmp_path / "lists.root"
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple("Events", arrays[:400])
        ntuple.extend(arrays[400:600])
        ntuple.extend(arrays[600:])
    source = inspect_file(str(path))
    assert source.columns == {"x", "nJet", "Jet_pt", "Jet_eta", "Jet_phi", "Jet_charge"}
    for start, stop in ((0, 1000), (399, 401), (400, 600), (5, 5), (1000, 1000), (100, 700)):
        events = read_events(source, start, stop, ("x", "Jet_pt", "nJet"), {})
        assert events.x.to_list() == arrays.x[start:stop].to_list()
        assert events.Jet.pt.to_list() == arrays.Jet_pt[start:stop].to_list()
        assert events.nJet.to_list() == counts[start:stop]
        assert len(events.Jet.px) == stop - start


def test_parquet_across_row_groups(tmp_path: Path) -> None:
    rows = 1000
    table = pa.table(
        {
            "genWeight": np.linspace(-1, 1, rows),
            "Jet_pt": [[float(i), 2.0][: i % 3] for i in range(rows)],
            "nJet": [i % 3 for i in range(rows)],
        }
    )
    path = tmp_path / "jets.parquet"
    pq.write_table(table, path, row_group_size=130)
    source = inspect_file(str(path))
    for start, stop in ((0, 1000), (129, 131), (130, 260), (400, 400), (999, 1000)):
        events = read_events(source, start, stop, ("genWeight", "Jet_pt"), {})
        assert events.Jet.pt.to_list() == table["Jet_pt"].to_pylist()[start:stop]
        assert events.genWeight.to_list() == table["genWeight"].to_pylist()[start:stop]


@pytest.mark.parametrize(("period", "expected"), [("A", 27), ("B", 86), ("C", 146), ("D", 247)])
def test_four_leptons_in_atlas_open_data(shared_data: Path, period: str, expected: int) -> None:
    source = inspect_file(str(shared_data / "atlas_open_data" / f"data_{period}.4lep.root"))
    assert (source.schema, source.tree) == ("atlas_open_data", "mini")
    columns = ("Lepton_absPdgId", "Lepton_charge", "Electron_charge", "Muon_charge")
    events = read_events(source, 0, source.entries, columns, {})
    kinds = ak.sum(events.Lepton.absPdgId, axis=1)
    neutral = ak.sum(events.Lepton.charge, axis=1) == 0
    together = (ak.num(events.Lepton) == 4) & neutral & ((kinds == 44) | (kinds == 48) | (kinds == 52))
    assert ak.sum(together) == expected
    electrons, muons = ak.num(events.Electron), ak.num(events.Muon)
    charge = ak.sum(events.Electron.charge, axis=1) + ak.sum(events.Muon.charge, axis=1)
    apart = (electrons + muons == 4) & (electrons % 2 == 0) & (charge == 0)
    assert ak.all(apart == together)


@pytest.mark.parametrize("lazy", [False, True])
def test_atlas_open_data_in_gev_and_canonical_names(shared_data: Path, lazy: bool) -> None:
    source = inspect_file(str(shared_data / "atlas_open_data" / "data_D.4lep.root"))
    # in data there is no truth to match: the file has an empty list there, which is no value per lepton
    columns = tuple(sorted(c for c in source.columns if not c.endswith(("_truthMatched", "_trueflav"))))
    events = read_events(source, 20, 300, None if lazy else columns, {})
    tree = uproot.open(source.path)["mini"].arrays(entry_start=20, entry_stop=300)
    electron, muon = tree.lep_type == 11, tree.lep_type == 13
    assert ak.all(events.Electron.pt == tree.lep_pt[electron] / np.float32(1000))
    assert ak.all(events.Muon.energy == tree.lep_E[muon] / np.float32(1000))
    assert ak.all(events.Lepton.eta == tree.lep_eta)
    assert ak.all(events.nElectron == ak.sum(electron, axis=1))
    assert ak.all(events.MET.pt == tree.met_et / np.float32(1000))
    assert ak.all(events.MET.phi == tree.met_phi)
    assert ak.all(tree.largeRjet_D2 == events.FatJet.D2)
    assert ak.all(events.FatJet.mass == tree.largeRjet_m / np.float32(1000))
    assert ak.all(events.Jet.MV2c10 == tree.jet_MV2c10)
    assert ak.all(tree.scaleFactor_ELE == events.scaleFactor.ELE)
    assert ak.all(events.genWeight == 0)
    assert ak.all(events.run == tree.runNumber)
    # energies are stored, so masses follow: those of muons, within the digits of a float32
    near = events.Muon.mass[events.Muon.pt < 20]
    assert ak.all(abs(near - 0.10566) < 0.05)


def test_a_list_that_does_not_match_its_objects_is_refused(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "atlas_open_data" / "data_D.4lep.root"))
    with pytest.raises(InputError, match=r"data_D.*lep_truthMatched has not one value per object of Electron"):
        read_events(source, 0, 100, ("Electron_pt", "Electron_truthMatched"), {})


@pytest.fixture(scope="module")
def physlite(shared_data: Path) -> tuple[SourceFile, Any]:
    path = str(shared_data / "physlite" / "PHYSLITE_example.root")
    return inspect_file(path), uproot.open(path)["CollectionTree"]


def test_physlite(physlite: tuple[SourceFile, Any]) -> None:
    source, tree = physlite
    assert (source.schema, source.tree, source.notes) == ("physlite", "CollectionTree", ())
    columns = ("genWeight", "Electron_pt", "Electron_charge", "Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass")
    events = read_events(source, 0, 100, (*columns, "Jet_mass", "event", "GenMuon_px"), {})
    assert ak.sum(events.genWeight < 0) == 22
    assert ak.all(events.genWeight == tree["EventInfoAuxDyn.mcEventWeights"].array()[:, 0])
    assert ak.all(events.Electron.pt == tree["AnalysisElectronsAuxDyn.pt"].array() / np.float32(1000))
    assert ak.all(events.Electron.charge == tree["AnalysisElectronsAuxDyn.charge"].array())
    assert ak.all(events.Jet.mass == tree["AnalysisJetsAuxDyn.m"].array() / np.float32(1000))
    assert ak.all(events.event == tree["EventInfoAuxDyn.eventNumber"].array())
    assert ak.all(events.GenMuon.px == tree["TruthMuonsAuxDyn.px"].array() / np.float32(1000))
    assert ak.all(events.Muon.mass == np.float32(0.1056583755))
    assert np.allclose(ak.flatten(events.Muon.energy), ak.flatten(np.hypot(events.Muon.p, 0.1056583755)), rtol=1e-5)


def test_nested_columns_can_be_read_lazily(physlite: tuple[SourceFile, Any]) -> None:
    source, tree = physlite
    lazy = read_events(source, 3, 9, None, {})
    eager = read_events(source, 3, 9, ("Jet_NumTrkPt500", "GenMET_name"), {})
    expected = tree["AnalysisJetsAuxDyn.NumTrkPt500"].array(entry_start=3, entry_stop=9)
    names = tree["MET_TruthAuxDyn.name"].array(entry_start=3, entry_stop=9)
    for events in (lazy, eager):
        assert events.Jet.NumTrkPt500.to_list() == expected.to_list()
        assert events.GenMET.name.to_list() == names.to_list()


def test_a_schema_can_be_chosen(made: str) -> None:
    assert inspect_file(made, schema="nanoaod").schema == "nanoaod"
    with pytest.raises(ConfigError, match=r"no schema 'nanoad' \(did you mean nanoaod\?\); known are"):
        inspect_file(made, schema="nanoad")


def test_each_schema_is_found_by_its_own_columns_only() -> None:
    for schema in SCHEMAS.values():
        if schema.signature:
            assert detect_schema(schema.signature) is schema
    assert detect_schema(["Muon_pt", "nMuon"]).name == "nanoaod"
