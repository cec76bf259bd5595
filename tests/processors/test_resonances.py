"""Selections of the resonance searches, on events made by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import vector

from colonnade.errors import ConfigError
from colonnade.events import inspect_file, read_events

PROJECT = Path(__file__).parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from processors.heavy_higgs import HeavyHiggs
from processors.zgamma import ZGamma

vector.register_awkward()


class Events(ak.Array):
    """Events with metadata, as the events room makes them."""

    @property
    def metadata(self):
        return self.attrs["metadata"]


def lepton(pt, eta, phi, charge, iso=0.0, mass=0.0):
    return {"pt": pt, "eta": eta, "phi": phi, "charge": charge, "mass": mass, "pfRelIso03_all": iso}


def photon(pt, eta, phi, iso=0.0):
    return {"pt": pt, "eta": eta, "phi": phi, "mass": 0.0, "pfRelIso03_all": iso}


def jet(pt, eta, phi, **more):
    return {"pt": pt, "eta": eta, "phi": phi, "mass": 0.0, **more}


def make_events(rows, kind="background", **collections):
    """One record an event; every collection typed, so that empty ones are too."""
    template = {
        "Electron": lepton(1.0, 0.0, 0.0, 1),
        "Muon": lepton(1.0, 0.0, 0.0, 1),
        "Photon": photon(1.0, 0.0, 0.0),
        "Jet": jet(1.0, 0.0, 0.0),
        "FatJet": jet(1.0, 0.0, 0.0, D2=1.0),
    }
    columns = {}
    for name, example in template.items():
        lists = ak.Array([[example], *[row.get(name, []) for row in rows]])[1:]
        columns[name] = ak.with_name(lists, "Momentum4D")
    met = ak.Array([row.get("MET", {"pt": 20.0, "phi": 1.0}) for row in rows])
    columns["MET"] = ak.with_name(met, "Momentum2D")
    columns["genWeight"] = np.ones(len(rows))
    for name in ("run", "luminosityBlock", "event"):
        columns[name] = np.arange(len(rows))
    return ak.Array(
        ak.zip(columns, depth_limit=1).layout,
        with_name="Events",
        behavior={("*", "Events"): Events},
        attrs={"metadata": {"dataset": "made", "kind": kind}},
    )


def z_pair(flavour, pt1=45.6, pt2=45.6, **changes):
    """Two leptons back to back at eta 0: their mass is 2 sqrt(pt1 pt2)."""
    return {flavour: [lepton(pt1, 0.0, 0.0, 1, **changes), lepton(pt2, 0.0, np.pi, -1)]}


def test_zgamma_mass_by_hand():
    """Both leptons and the photon in one plane at eta 0: m^2 is the sum of the three pairs' 2 p p (1 - cos dphi)."""
    events = make_events([{**z_pair("Muon"), "Photon": [photon(50.0, 0.0, np.pi / 2)]}])
    columns = ZGamma().columns(events)["observables"]
    pairs = 2 * 45.6**2 * 2 + 2 * (2 * 45.6 * 50.0)
    assert columns["mllg"][0] == pytest.approx(np.sqrt(pairs), rel=1e-5)
    assert columns["mll"][0] == pytest.approx(91.2, rel=1e-5)
    assert columns["dr_lg"][0] == pytest.approx(np.pi / 2, rel=1e-5)
    assert columns["dr_ll"][0] == pytest.approx(np.pi, rel=1e-5)
    assert columns["pt_zg"][0] == pytest.approx(50.0, rel=1e-5)
    assert columns["n_jets"][0] == 0


def test_zgamma_selection():
    good = {**z_pair("Muon"), "Photon": [photon(40.0, 0.5, np.pi / 2)]}
    rows = {
        "good": good,
        "electrons": {**z_pair("Electron"), "Photon": [photon(40.0, 0.5, np.pi / 2)]},
        "no photon": z_pair("Muon"),
        "soft photon": {**z_pair("Muon"), "Photon": [photon(14.0, 0.5, np.pi / 2)]},
        "photon on a lepton": {**z_pair("Muon"), "Photon": [photon(40.0, 0.1, 0.1)]},
        "photon not isolated": {**z_pair("Muon"), "Photon": [photon(40.0, 0.5, np.pi / 2, iso=0.3)]},
        "lepton not isolated": {**z_pair("Muon", iso=0.3), "Photon": [photon(40.0, 0.5, np.pi / 2)]},
        "same sign": {
            "Muon": [lepton(45.6, 0.0, 0.0, 1), lepton(45.6, 0.0, np.pi, 1)],
            "Photon": [photon(40.0, 0.5, np.pi / 2)],
        },
        "two flavours": {
            "Muon": [lepton(45.6, 0.0, 0.0, 1)],
            "Electron": [lepton(45.6, 0.0, np.pi, -1)],
            "Photon": [photon(40.0, 0.5, np.pi / 2)],
        },
        "not a Z": {**z_pair("Muon", 30.0, 30.0), "Photon": [photon(40.0, 0.5, np.pi / 2)]},
        "three leptons": {**good, "Electron": [lepton(30.0, 1.0, 1.0, 1)]},
    }
    kept = ZGamma().columns(make_events(list(rows.values())))["event"]
    assert [list(rows)[index] for index in kept] == ["good", "electrons"]


def test_zgamma_regions_part_the_mass_range():
    """Sidebands and window share the range out; the window is blinded, and so is the whole range."""
    rows = [{**z_pair("Muon"), "Photon": [photon(pt, 0.0, np.pi / 2)]} for pt in np.linspace(20, 100, 60)]
    columns = ZGamma().columns(make_events(rows))
    mass, regions = columns["observables"]["mllg"], columns["regions"]
    assert np.array_equal(regions["ZG"], (mass >= 132) & (mass <= 168))
    assert np.array_equal(regions["WIN"], (mass >= 144) & (mass <= 156))
    assert np.array_equal(regions["SB"] ^ regions["WIN"], regions["ZG"])
    assert regions["SB"].sum() > 3
    assert regions["WIN"].sum() > 3
    data = ZGamma().process(make_events(rows, kind="data"))["made"]["histograms"]["mllg"]
    assert data[{"region": "WIN"}].sum().value == 0
    assert data[{"region": "ZG"}].sum().value == 0
    assert data[{"region": "SB"}].sum().value == regions["SB"].sum()


def fat(pt, eta=0.0, phi=np.pi / 2, d2=1.0):
    return jet(pt, eta, phi, D2=d2)


def test_heavy_higgs_mass_and_cuts():
    boosted = {"Muon": [lepton(300.0, 0.0, 0.15, 1), lepton(300.0, 0.0, -0.15, -1)]}
    rows = [
        {**boosted, "FatJet": [fat(500.0, phi=np.pi)]},
        {**boosted, "FatJet": [fat(500.0, phi=np.pi, d2=2.0)]},  # not two-pronged
        {**boosted, "FatJet": [fat(230.0, phi=np.pi)]},  # soft
        {**boosted, "FatJet": [fat(500.0, phi=0.2)]},  # on the leptons
        {**boosted, "FatJet": [fat(500.0, phi=np.pi)], "MET": {"pt": 150.0, "phi": 0.0}},
    ]
    columns = HeavyHiggs().columns(make_events(rows))
    assert columns["event"].tolist() == [0, 1, 2, 4]
    mll2 = 2 * 300**2 * (1 - np.cos(0.3))
    cross = 2 * 300 * 500 * (1 - np.cos(np.pi - 0.15)) * 2
    observables = columns["observables"]
    assert observables["Zll_mass"][0] == pytest.approx(np.sqrt(mll2), rel=1e-5)
    assert observables["reco_zv_mass"][0] == pytest.approx(np.sqrt(mll2 + cross), rel=1e-5)
    assert observables["Zll_pt"][0] == pytest.approx(600 * np.cos(0.15), rel=1e-5)
    assert columns["regions"]["all"].tolist() == [True] * 4
    assert columns["regions"]["cuts"].tolist() == [True, False, False, False]
    # without its network the region is empty
    assert not columns["regions"]["network"].any()


def test_networks_open_their_regions():
    class Half:
        """Gives the first event 0.9, the others 0.1."""

        def score_variations(self, _variations, identities):
            return [np.where(np.arange(len(ids)) == 0, 0.9, 0.1) for ids in identities]

    boosted = {"Muon": [lepton(300.0, 0.0, 0.15, 1), lepton(300.0, 0.0, -0.15, -1)]}
    events = make_events([{**boosted, "FatJet": [fat(500.0, phi=np.pi)]}] * 3)
    regions = HeavyHiggs(scorers={"score": Half()}).columns(events)["regions"]
    assert regions["network"].tolist() == [True, False, False]
    assert not regions["network_mass"].any()


@pytest.mark.parametrize("unit", ["MeV", "GeV"])
def test_a_table_is_read_as_the_course_gives_it(tmp_path, unit):
    """The course's columns, in MeV by declaration, with the course's weights."""
    rng = np.random.default_rng(2)
    count = 200
    energies = {
        name: rng.uniform(80, 1500, count)
        for name in ("lep1_pt", "lep2_pt", "fatjet_pt", "Zll_mass", "Zll_pt", "MET", "reco_zv_mass")
    }
    table = {name: values * (1000 if unit == "MeV" else 1) for name, values in energies.items()}
    table |= {"fatjet_eta": rng.uniform(-2, 2, count), "fatjet_D2": rng.uniform(0, 4, count)}
    table |= {"isSignal": np.zeros(count), "FullEventWeight": rng.uniform(0, 0.1, count)}
    path = tmp_path / "background.parquet"
    pq.write_table(pa.table(table), path)
    source = inspect_file(str(path))
    events = read_events(source, 0, count, None, {"dataset": "table", "kind": "background"})
    columns = HeavyHiggs(table_unit=unit).columns(events)
    for name, values in energies.items():
        assert columns["observables"][name] == pytest.approx(values)
    assert columns["weight"] == pytest.approx(table["FullEventWeight"])
    expected = (energies["Zll_mass"] > 70) & (energies["Zll_mass"] < 110)
    assert np.array_equal(columns["regions"]["all"], expected)
    with pytest.raises(ConfigError, match="choose GeV or MeV"):
        HeavyHiggs(table_unit="TeV")
