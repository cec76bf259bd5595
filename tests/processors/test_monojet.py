"""The monojet selection, slices and columns on events made by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import vector

PROJECT = Path(__file__).parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from processors.monojet import Monojet

vector.register_awkward()


class Events(ak.Array):
    """Events with metadata, as the events room makes them."""

    @property
    def metadata(self):
        return self.attrs["metadata"]


def jet(pt, eta=0.0, phi=np.pi):
    return {"pt": pt, "eta": eta, "phi": phi, "mass": 0.0}


def particle(pt, eta=0.0, phi=np.pi, pdg=211, charge=1):
    return {"pt": pt, "eta": eta, "phi": phi, "mass": 0.1, "charge": charge, "pdgId": pdg}


def made(rows, kind="background"):
    columns = {}
    for name, example in {"Jet": jet(1.0), "Particle": particle(1.0)}.items():
        lists = ak.Array([[example], *[row.get(name, []) for row in rows]])[1:]
        columns[name] = ak.with_name(lists, "Momentum4D")
    met = ak.Array([{"pt": row.get("met", 400.0), "phi": 0.0} for row in rows])
    columns["MET"] = ak.with_name(met, "Momentum2D")
    columns["GenBoson"] = ak.Array([{"pt": row.get("boson", 600.0)} for row in rows])
    columns["genWeight"] = np.ones(len(rows))
    for name in ("run", "luminosityBlock", "event"):
        columns[name] = np.arange(len(rows))
    return ak.Array(
        ak.zip(columns, depth_limit=1).layout,
        with_name="Events",
        behavior={("*", "Events"): Events},
        attrs={"metadata": {"dataset": "made", "kind": kind}},
    )


GOOD = {"Jet": [jet(300.0)], "Particle": [particle(290.0)]}
SELECTION = {
    "good": (GOOD, True),
    "no jet": ({**GOOD, "Jet": []}, False),
    "little missing momentum": ({**GOOD, "met": 249.0}, False),
    "soft leading jet": ({**GOOD, "Jet": [jet(249.0)]}, False),
    "leading jet forward": ({**GOOD, "Jet": [jet(300.0, eta=2.5)]}, False),
    "leading jet beyond those counted": ({**GOOD, "Jet": [jet(300.0, eta=-2.9)]}, False),
    "four jets": ({**GOOD, "Jet": [jet(300.0), *[jet(40.0, phi=2.0)] * 3]}, True),
    "five jets": ({**GOOD, "Jet": [jet(300.0), *[jet(40.0, phi=2.0)] * 4]}, False),
    "five jets, one soft": ({**GOOD, "Jet": [jet(300.0), *[jet(40.0, phi=2.0)] * 3, jet(29.0)]}, True),
    "five jets, one forward": ({**GOOD, "Jet": [jet(300.0), *[jet(40.0, phi=2.0)] * 3, jet(40.0, eta=2.9)]}, True),
    "a jet along the missing momentum": ({**GOOD, "Jet": [jet(300.0), jet(40.0, phi=0.39)]}, False),
    "a jet across the seam from it": ({**GOOD, "Jet": [jet(300.0), jet(40.0, phi=2 * np.pi - 0.39)]}, False),
    "a jet just off the missing momentum": ({**GOOD, "Jet": [jet(300.0), jet(40.0, phi=-0.41)]}, True),
}


def test_selection() -> None:
    columns = Monojet().columns(made([row for row, _ in SELECTION.values()]))
    kept = {name for name, passed in zip(SELECTION, columns["regions"]["monojet"], strict=True) if passed}
    assert kept == {name for name, (_, expected) in SELECTION.items() if expected}
    # no event is dropped, so that networks may learn from all
    assert columns["regions"]["all"].tolist() == [True] * len(SELECTION)


def test_slices_part_the_bosons_momentum() -> None:
    boson = [100.0, 280.0, 281.0, 500.0, 501.0, 1000.0, 1001.0]
    regions = Monojet().columns(made([{**GOOD, "boson": pt} for pt in boson]))["regions"]
    assert np.flatnonzero(regions["low"]).tolist() == [2, 3]
    assert np.flatnonzero(regions["medium"]).tolist() == [4, 5]
    assert np.flatnonzero(regions["high"]).tolist() == [6]


def test_columns_of_images_and_sets() -> None:
    rows = [
        {
            "Jet": [jet(300.0), jet(100.0, eta=2.7), jet(25.0, eta=1.0)],
            "Particle": [particle(200.0, 0.1), particle(50.0, pdg=-11, charge=-1), particle(2.0, phi=0.5, pdg=22)],
        },
        {},
        # beside the missing momentum, on both sides of it, and just beyond
        {"Particle": [particle(9.0, phi=0.21), particle(7.0, phi=-0.19), particle(5.0, phi=0.1)]},
    ]
    given = Monojet().columns(made(rows))["observables"]
    # jets of any pT that has them in the ntuple, within the grid
    assert given["jet_pt"].tolist() == [[300.0, 25.0], [], []]
    assert given["jet_width"].tolist()[0] == [pytest.approx(200 * 0.1 / 250), 0.0]
    assert given["particle_log_pt"].tolist()[0] == pytest.approx(np.log([200, 50, 2]))
    assert abs(given["particle_dphi"]).tolist()[0] == pytest.approx([np.pi, np.pi, 0.5])
    assert abs(given["jet_dphi"]).tolist()[0] == pytest.approx([np.pi, np.pi])
    assert given["pt_beside_met"].tolist() == [0.0, 0.0, 7.0]
    assert given["particle_is_electron"].tolist()[:2] == [[False, True, False], []]
    assert given["particle_is_photon"].tolist()[:2] == [[False, False, True], []]
    assert not given["particle_is_muon"].tolist()[0][0]
    assert given["dphi_jet_met"][1] == pytest.approx(np.pi)
    assert given["n_particles"].tolist() == [3, 0, 3]


def test_networks_open_their_regions() -> None:
    class First:
        """Gives the first event 0.9, the others 0.1."""

        def score_variations(self, _variations, identities):
            return [np.where(np.arange(len(ids)) == 0, 0.9, 0.1) for ids in identities]

    rows = made([GOOD, GOOD, {**GOOD, "met": 100.0}])
    regions = Monojet(scorers={"score": First()}).columns(rows)["regions"]
    assert regions["monojet_set"].tolist() == [True, False, False]
    assert not regions["monojet_image"].any()
    loose = Monojet(scorers={"score_image": First()}, image_threshold=0.05).columns(rows)["regions"]
    assert loose["monojet_image"].tolist() == [True, True, False]


def test_histograms_without_networks_hold_no_score() -> None:
    result = Monojet().process(made([GOOD, GOOD]))["made"]["histograms"]
    assert result["met"][{"region": "monojet", "met": sum}].sum().value == 2
    assert result["score"][{"region": "all"}].sum().value == 0
