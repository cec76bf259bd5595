"""The three-lepton selection on events made by hand, and jets taken for taus: drawn or weighted."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import vector
from processors.three_leptons import THREE_LEPTON_FEATURES

from colonnade.errors import ConfigError

PROJECT = Path(__file__).parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from processors.hnl_tau import CHANNELS, FAKE_RATE, HNLTau

vector.register_awkward()


class Events(ak.Array):
    """Events with metadata, as the events room makes them."""

    @property
    def metadata(self):
        return self.attrs["metadata"]


def lepton(pt, eta, phi, charge, iso=0.0, mass=0.0):
    return {"pt": pt, "eta": eta, "phi": phi, "charge": charge, "mass": mass, "pfRelIso03_all": iso}


def tau(pt, eta, phi, charge, flavour=5):
    return {"pt": pt, "eta": eta, "phi": phi, "charge": charge, "mass": 1.0, "genPartFlav": flavour}


def jet(pt, eta, phi, btag=0.1):
    return {"pt": pt, "eta": eta, "phi": phi, "mass": 8.0, "btag": btag}


def make_events(rows, simulated=True):
    taus = tau(1.0, 0.0, 0.0, 1)
    if not simulated:
        del taus["genPartFlav"]
    template = {"Electron": lepton(1, 0, 0, 1), "Muon": lepton(1, 0, 0, 1), "Tau": taus, "Jet": jet(1, 0, 0)}
    columns = {}
    for name, example in template.items():
        typed = {key: value if key in ("charge", "genPartFlav") else float(value) for key, value in example.items()}
        lists = ak.Array([[typed], *[[{k: one[k] for k in example} for one in row.get(name, [])] for row in rows]])[1:]
        columns[name] = ak.with_name(lists, "Momentum4D")
    met = ak.Array([row.get("MET", {"pt": 30.0, "phi": 1.0}) for row in rows])
    columns["MET"] = ak.with_name(met, "Momentum2D")
    if simulated:
        columns["genWeight"] = np.ones(len(rows))
    for name in ("run", "luminosityBlock", "event"):
        columns[name] = np.arange(len(rows))
    kind = "background" if simulated else "data"
    return ak.Array(
        ak.zip(columns, depth_limit=1).layout,
        with_name="Events",
        behavior={("*", "Events"): Events},
        attrs={"metadata": {"dataset": "made", "kind": kind}},
    )


def columns(rows, **parameters):
    return HNLTau(**parameters).columns(make_events(rows))


def three(**lists):
    """An event of the kinds given, spread in azimuth, of alternating charge."""
    kinds = [kind for kind, number in lists.items() for _ in range(number)]
    row = {}
    for place, kind in enumerate(kinds):
        make = tau if kind == "Tau" else lepton
        row.setdefault(kind, []).append(make(60.0 - 10 * place, 0.3 * place, -2 + 1.5 * place, 1 - 2 * (place % 2)))
    return row


@pytest.mark.parametrize(
    ("channel", "row"),
    [
        ("tee", three(Tau=1, Electron=2)),
        ("tem", three(Tau=1, Electron=1, Muon=1)),
        ("tmm", three(Tau=1, Muon=2)),
        ("tte", three(Tau=2, Electron=1)),
        ("ttm", three(Tau=2, Muon=1)),
    ],
)
def test_each_channel(channel, row):
    """One region an event, with every feature a number."""
    found = columns([row])
    assert {name: mask.tolist() for name, mask in found["regions"].items()} == {
        name: [name == channel] for name in CHANNELS
    }
    names = {feature.name for feature in THREE_LEPTON_FEATURES} - {"m_HNL"}
    assert names <= set(found["observables"])
    assert all(np.isfinite(found["observables"][name]).all() for name in names)
    assert found["weight"].tolist() == [1.0]


def test_order_of_leptons():
    """Taus first, then electrons, then muons, whatever their momenta."""
    row = {
        "Muon": [lepton(90.0, 0.0, 0.0, -1, mass=0.1)],
        "Electron": [lepton(50.0, 0.5, 2.0, 1)],
        "Tau": [tau(25.0, -0.5, -2.0, 1)],
    }
    seen = columns([row])["observables"]
    assert [seen[f"pt_{place}"][0] for place in (1, 2, 3)] == [25.0, 50.0, 90.0]
    assert [seen[f"charge_{place}"][0] for place in (1, 2, 3)] == [1.0, 1.0, -1.0]
    assert (seen["n_tauh"][0], seen["is_tem"][0]) == (1.0, 1.0)
    # a tau's mass would tell jets from taus by the simulation's cut-off
    assert seen["m_1"][0] == pytest.approx(1.777)
    assert seen["m_3"][0] == pytest.approx(0.1)
    # pairs of opposite charge: 13 and 23
    assert seen["hnl_mass_a"][0] == pytest.approx(seen["mass_13"][0])
    assert seen["hnl_mass_b"][0] == pytest.approx(seen["mass_23"][0])


@pytest.mark.parametrize(
    "change",
    [
        {"Electron": [lepton(50, 0, 0, 1), lepton(40, 0, 2, 1)]},  # total charge 3
        {"Electron": [lepton(50, 0, 0, 1), lepton(9, 0, 2, -1)]},  # too soft
        {"Electron": [lepton(50, 0, 0, 1), lepton(40, 2.6, 2, -1)]},  # outside
        {"Electron": [lepton(50, 0, 0, 1), lepton(40, 0, 2, -1, iso=0.2)]},  # not isolated
        {"Electron": [lepton(50, 0, 0, 1), lepton(40, 0, 2, -1)], "Muon": [lepton(20, 1, 1, 1)]},  # four
        {"Electron": [lepton(50, 0, 0, 1), lepton(40, 0.2, -1.8, -1)]},  # the tau is near the electron
        {"Electron": [lepton(50, 0, 0, 1), lepton(40, 0, 2, -1)], "Jet": [jet(40, 1, 1, btag=0.9)]},  # b-jet
    ],
)
def test_what_is_not_selected(change):
    row = {"Tau": [tau(30, 0, -2.0, 1)], **change}
    assert len(columns([row], tau_fakes="sampled")["weight"]) == 0


def test_three_taus_are_no_channel():
    assert len(columns([three(Tau=3)])["weight"]) == 0


def test_a_jet_that_is_the_tau_is_no_b_jet():
    row = {**three(Tau=1, Electron=2), "Jet": [jet(61, 0.0, -2.0, btag=0.9)]}
    assert len(columns([row], tau_fakes="sampled")["weight"]) == 1


class TestFakes:
    def test_the_weight_is_a_probability(self):
        """One tau missing and three jets: 3 p (1 - p)^2; none missing: (1 - p)^3; two missing: 3 p^2 (1 - p)."""
        jets = [jet(50, 1.5, 0.0), jet(40, -1.5, 0.5), jet(30, 2.0, 2.5)]
        pair = {"Electron": [lepton(50, 0, -1, 1)], "Muon": [lepton(40, 0.2, 2.0, -1)], "Jet": jets}
        complete = {**pair, "Tau": [tau(35, -0.5, -2.5, 1)]}
        alone = {"Muon": [lepton(40, 0.2, -2.0, -1)], "Jet": jets}
        p = FAKE_RATE
        expected = {"tem": {3 * p * (1 - p) ** 2, (1 - p) ** 3}, "ttm": {3 * p**2 * (1 - p)}}
        # many events, as the charge of a fake is drawn
        found = columns([pair, complete, alone] * 40)
        for channel, weights in expected.items():
            own = found["weight"][found["regions"][channel]]
            assert {round(each, 12) for each in own} == {round(each, 12) for each in weights}
        chosen = found["observables"]["pt_1"][found["regions"]["tem"]]
        assert {50.0, 40.0, 30.0, 35.0} == set(chosen.tolist())

    def test_drawn_and_weighted_expect_the_same(self):
        """The same number of events, from a detector that takes each jet for a tau with that probability."""
        rng = np.random.default_rng(5)
        rows, number = [], 4000
        for _ in range(number):
            jets = [
                jet(rng.uniform(21, 80), eta, phi) for eta, phi in ((1.5, 0.0), (-1.5, 0.5), (2.0, 2.5), (0.0, 3.0))
            ]
            fakes = [
                tau(each["pt"], each["eta"], each["phi"], rng.choice([-1, 1]), flavour=0)
                for each in jets
                if rng.random() < FAKE_RATE
            ]
            rows.append(
                {
                    "Electron": [lepton(50, 0, -1, 1), lepton(40, 0.2, -2.3, -1)],
                    "Jet": jets,
                    "Tau": fakes,
                }
            )
        drawn, weighted = (columns(rows, tau_fakes=mode) for mode in ("sampled", "weighted"))
        expected = number * 4 * FAKE_RATE * (1 - FAKE_RATE) ** 3
        assert weighted["weight"].sum() == pytest.approx(expected, rel=1e-9)
        assert drawn["weight"].sum() == pytest.approx(expected, abs=4 * math.sqrt(expected))
        assert len(weighted["weight"]) == number
        mean, other = drawn["observables"]["pt_1"].mean(), weighted["observables"]["pt_1"].mean()
        assert mean == pytest.approx(other, abs=4 * 17 / math.sqrt(len(drawn["weight"])))
        charges = weighted["observables"]["charge_1"]
        assert abs(charges.mean()) < 4 / math.sqrt(number)

    def test_data_are_as_they_are(self):
        row = {**three(Tau=1, Electron=2), "Jet": [jet(50, 1.5, 0.0)]}
        events = make_events([row], simulated=False)
        assert HNLTau(unblind=True).columns(events)["weight"].tolist() == [1.0]
        assert len(HNLTau().columns(events)["weight"]) == 0  # every region is blinded

    def test_unknown(self):
        with pytest.raises(ConfigError, match="tau_fakes = 'guessed' is unknown"):
            HNLTau(tau_fakes="guessed")


def test_scores_are_shown_where_there_is_a_model():
    class Half:
        def score_variations(self, variations, identities):
            return [np.full(len(one["met"]), 0.5) for one in variations]

    rows = [three(Tau=1, Electron=2)]
    plain = HNLTau()
    assert not any(histogram.name.startswith("score") for histogram in plain.histograms)
    scored = HNLTau(scorers={"score_300": Half()}).process(make_events(rows))["made"]["histograms"]
    assert scored["score_300"][{"region": "tee", "variation": "nominal"}].sum().value == 1.0
    assert "score_125" not in scored
