"""NanoAOD: what is read equals what uproot reads, and the numbers that the files are known for."""

from __future__ import annotations

import pickle
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colonnade.events import SourceFile, inspect_file, read_events

FILES = ["cms_dimuon_100k", "cms_singlemu_2012b_1000", "nano_dy", "nano_dimuon", "nano_tt_v12"]
WIDE = ["nano_dy", "nano_dimuon", "nano_tt_v12"]


def whole(source: SourceFile, *columns: str) -> ak.Array:
    return read_events(source, 0, source.entries, columns or tuple(sorted(source.columns)), {})


def same(one: ak.Array, other: ak.Array) -> bool:
    return bool(ak.array_equal(ak.to_packed(one), ak.to_packed(other), equal_nan=True, check_parameters=False))


# of the widest files every twelfth branch, beside all of the muons
@pytest.mark.parametrize(("name", "every"), [(name, 12 if name in WIDE else 1) for name in FILES])
def test_every_branch_equals_what_uproot_reads(shared_data: Path, name: str, every: int) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / f"{name}.root"))
    tree = uproot.open(source.path)["Events"]
    names = [n for i, n in enumerate(tree.keys()) if not i % every or n.startswith("Muon_")]
    expected = tree.arrays(names)
    events = whole(source, *(n for n in names if n in source.columns))
    different = []
    for branch in names:
        group, _, field = branch.partition("_")
        nested = field and group in events.fields and field in events[group].layout.fields
        found = events[group][field] if nested else events[branch]
        if not same(found, expected[branch]):
            different.append(branch)
    assert different == []
    assert set(names) <= source.columns


def test_dimuon_numbers(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "cms_dimuon_100k.root"))
    muons = whole(source, "Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon_charge").Muon
    number = ak.num(muons)
    assert ak.sum(number == 1) == 13447
    assert ak.sum(number == 2) == 48976
    assert ak.sum(abs(muons.eta) < 2) == 204564
    pairs = muons[number == 2]
    opposite = pairs[pairs.charge[:, 0] != pairs.charge[:, 1]]
    assert len(opposite) == 37183
    mass = ak.to_numpy((opposite[:, 0] + opposite[:, 1]).mass)
    # in the file's single precision one pair more is lost beyond 3.3 GeV, as the energies cancel: 3627
    windows = {(60, 120): 8362, (81, 101): 6846, (2.9, 3.3): 3628, (9.2, 9.7): 511}
    for (low, high), expected in windows.items():
        assert np.sum((mass > low) & (mass < high)) == expected
    assert np.median(mass[(mass > 81) & (mass < 101)]) == pytest.approx(90.711, abs=5e-4)


def test_a_skim_without_event_numbers_is_read_and_that_is_said(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "cms_dimuon_100k.root"))
    assert source.notes
    assert all(name in source.notes[0] for name in ("run", "luminosityBlock", "event"))
    assert "run" not in source.columns


@pytest.mark.parametrize(("name", "muons", "pairs"), [("nano_dy", 18, 6), ("nano_dimuon", 84, 66)])
def test_muons_and_pairs_of_coffeas_own_tests(shared_data: Path, name: str, muons: int, pairs: int) -> None:
    events = whole(inspect_file(str(shared_data / "nanoaod" / f"{name}.root")), "nMuon", "Muon_pt")
    assert ak.sum(events.nMuon) == muons
    assert ak.sum(ak.num(ak.combinations(events.Muon, 2))) == pairs


@pytest.mark.parametrize(
    ("name", "total", "negative"), [("nano_dy", 578762.435546875, 9), ("nano_tt_v12", 66735.30541992188, None)]
)
def test_generator_weights(shared_data: Path, name: str, total: float, negative: int | None) -> None:
    weights = whole(inspect_file(str(shared_data / "nanoaod" / f"{name}.root")), "genWeight").genWeight
    assert np.sum(ak.to_numpy(weights).astype(np.float64)) == pytest.approx(total, rel=1e-12)
    if negative is not None:
        assert ak.sum(weights < 0) == negative


def test_what_is_known_of_a_file(made: str) -> None:
    source = inspect_file(made)
    assert (source.tree, source.schema, source.entries) == ("Events", "nanoaod", 2500)
    assert source.sumw == 3000.5
    assert source.size == Path(made).stat().st_size
    assert str(uproot.open(made).file.uuid) in source.identity
    assert {"Muon_pt", "nMuon", "genWeight", "Photon_mass"} <= source.columns
    travelled = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own bytes
    assert travelled == source
    # kept once, however many files of one structure a plan holds
    assert travelled.columns is source.columns


def test_events_hold_what_was_written(made: str, columns: dict[str, ak.Array]) -> None:
    events = whole(inspect_file(made))
    for name in ("run", "luminosityBlock", "event", "genWeight"):
        assert same(events[name], columns[name])
        assert events[name].type == columns[name].type
    for name in ("Muon", "Jet", "Photon"):
        for field in columns[name].fields:
            assert same(events[name][field], columns[name][field]), (name, field)
    assert same(events.MET.pt, columns["MET_pt"])
    assert same(events.HLT.IsoMu24, columns["HLT_IsoMu24"])
    assert same(events.nJet, ak.values_astype(ak.num(columns["Jet"]), events.nJet.type.content.primitive))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 2500), length=st.integers(0, 2500))
def test_any_range_is_that_slice_of_the_whole(made: str, columns: dict[str, ak.Array], start: int, length: int) -> None:
    stop = min(start + length, 2500)
    events = read_events(inspect_file(made), start, stop, ("Muon_pt", "Muon_tightId", "event", "nJet"), {})
    assert len(events) == stop - start
    assert same(events.Muon.pt, columns["Muon"].pt[start:stop])
    assert same(events.Muon.tightId, columns["Muon"].tightId[start:stop])
    assert same(events.event, columns["event"][start:stop])
    assert ak.all(events.nJet == ak.num(columns["Jet"])[start:stop])


def test_collections_are_vectors(made: str, columns: dict[str, ak.Array]) -> None:
    events = whole(inspect_file(made), "Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "MET_pt", "MET_phi")
    expected = columns["Muon"].pt * np.cos(columns["Muon"].phi)
    assert np.allclose(ak.flatten(events.Muon.px), ak.flatten(expected), rtol=1e-6)
    assert np.allclose(events.MET.py, columns["MET_pt"] * np.sin(columns["MET_phi"]), rtol=1e-6)
    two = events.Muon[ak.num(events.Muon) >= 2]
    pair = two[:, 0] + two[:, 1]
    x, y, z, energy = (ak.to_numpy(getattr(two, c)[:, :2]).astype(np.float64) for c in ("px", "py", "pz", "energy"))
    squared = energy.sum(1) ** 2 - x.sum(1) ** 2 - y.sum(1) ** 2 - z.sum(1) ** 2
    assert np.allclose(pair.mass, np.sqrt(squared), rtol=2e-3, atol=1e-2)


def test_only_what_was_asked_is_held_and_a_vector_stays_one(made: str, columns: dict[str, ak.Array]) -> None:
    events = whole(inspect_file(made), "Muon_eta", "Muon_phi", "Muon_charge")
    assert events.layout.fields == ["Muon"]
    # pt and mass are read after all when something needs them
    assert same(events.Muon.pt, columns["Muon"].pt)
    assert "tightId" not in events.Muon.layout.fields
    delta = ak.flatten(ak.combinations(events.Muon, 2, fields=["a", "b"]))
    expected = ak.flatten(ak.combinations(columns["Muon"], 2, fields=["a", "b"]))
    turn = np.mod(ak.to_numpy(expected.a.phi - expected.b.phi) + np.pi, 2 * np.pi) - np.pi
    by_hand = np.hypot(turn, ak.to_numpy(expected.a.eta - expected.b.eta))
    assert np.allclose(delta.a.deltaR(delta.b), by_hand, rtol=1e-4, atol=1e-5)


def test_photons_are_massless_where_the_file_leaves_that_out(made: str) -> None:
    photons = whole(inspect_file(made), "Photon_pt", "Photon_eta", "Photon_phi").Photon
    assert ak.all(photons.mass == 0)
    assert np.allclose(ak.flatten(photons.energy), ak.flatten(photons.p), rtol=1e-6)


def test_jets_have_no_charge_as_coffea_answers(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "cms_singlemu_2012b_1000.root"))
    jets = whole(source, "Jet_pt", "Jet_charge").Jet
    assert ak.all(jets.charge == 0)
    assert "charge" not in whole(source, "Jet_pt").Jet.layout.fields


def test_metadata_survives_slicing_and_pickling(made: str) -> None:
    source = inspect_file(made)
    events = read_events(source, 10, 40, ("Muon_pt", "genWeight"), {"dataset": "dy", "xsec_pb": 3.0})
    expected = {
        "dataset": "dy",
        "xsec_pb": 3.0,
        "filename": made,
        "treename": "Events",
        "fileuuid": str(uproot.open(made).file.uuid),
        "entrystart": 10,
        "entrystop": 40,
    }
    travelled = pickle.loads(pickle.dumps(events))  # noqa: S301 - our own bytes
    for array in (events, events[3:5], events[events.genWeight > 0], travelled):
        assert dict(array.metadata) == expected


def test_vertices_are_no_momenta(shared_data: Path) -> None:
    # pt, eta, phi and mass beside x, y, z: vector would take the position for the momentum
    source = inspect_file(str(shared_data / "nanoaod" / "nano_dy.root"))
    vertices = whole(source, "SV_pt", "SV_x", "SV_y", "SV_z").SV
    assert not hasattr(vertices, "px")
    assert vertices.layout.fields == ["pt", "x", "y", "z"]
