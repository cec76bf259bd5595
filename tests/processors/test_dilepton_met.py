"""The dilepton analysis against the same selection written as a plain loop over events."""

import importlib.util
import math

import awkward as ak
import mt2
import numpy as np
import pytest
import vector

from colonnade.execution.result import cutflow_table

vector.register_awkward()


@pytest.fixture(scope="module")
def analysis(project):
    specification = importlib.util.spec_from_file_location("dilepton_met", project / "processors" / "dilepton_met.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.DileptonMET


class Events(ak.Array):
    @property
    def metadata(self):
        return self.attrs["metadata"]


def leptons(rng, size, mass):
    counts = rng.choice([0, 1, 2, 3], size, p=[0.35, 0.35, 0.28, 0.02])
    number = int(counts.sum())
    return counts, {
        "pt": rng.exponential(40, number) + 15,
        "eta": rng.normal(0, 1.2, number),
        "phi": rng.uniform(-math.pi, math.pi, number),
        "mass": np.full(number, mass),
        "charge": rng.choice([-1, 1], number),
        "dxy": rng.normal(0, 0.002, number),
        "dxyErr": np.full(number, 0.001),
        "dz": rng.normal(0, 0.03, number),
        "pfRelIso03_all": rng.exponential(0.05, number),
    }


def make_events(size, seed=1, kind="background"):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.5, size)
    number = int(counts.sum())
    collections = {
        "Electron": leptons(rng, size, 0.000511),
        "Muon": leptons(rng, size, 0.10566),
        "Jet": (
            counts,
            {
                "pt": rng.exponential(35, number) + 15,
                "eta": rng.normal(0, 2, number),
                "phi": rng.uniform(-math.pi, math.pi, number),
                "mass": rng.exponential(6, number),
                "btag": rng.random(number),
                "hadronFlavour": rng.choice([0, 4, 5], number),
            },
        ),
    }
    met = {"pt": rng.exponential(110, size), "phi": rng.uniform(-math.pi, math.pi, size)}
    met["significance"] = met["pt"] / rng.uniform(8, 16, size)
    columns = {
        name: ak.zip({key: ak.unflatten(values, counts) for key, values in parts.items()}, with_name="Momentum4D")
        for name, (counts, parts) in collections.items()
    }
    columns["MET"] = ak.zip(met, with_name="Momentum2D")
    columns |= {"run": np.ones(size, int), "luminosityBlock": np.ones(size, int), "event": np.arange(size)}
    if kind != "data":
        columns["genWeight"] = rng.choice([1.0, -0.5], size)
    return ak.Array(
        ak.zip(columns, depth_limit=1).layout,
        with_name="Events",
        behavior={("*", "Events"): Events},
        attrs={"metadata": {"dataset": "made", "kind": kind}},
    )


def wrapped(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def four(p):
    px, py, pz = p["pt"] * math.cos(p["phi"]), p["pt"] * math.sin(p["phi"]), p["pt"] * math.sinh(p["eta"])
    return np.array([px, py, pz, math.sqrt(px**2 + py**2 + pz**2 + p["mass"] ** 2)])


def mass(p):
    return math.sqrt(max(p[3] ** 2 - p[0] ** 2 - p[1] ** 2 - p[2] ** 2, 0))


def good_lepton(one, flavour):
    eta = abs(one["eta"])
    inside = eta < 2.47 and not 1.37 <= eta <= 1.52 if flavour == "e" else eta < 2.5
    return (
        one["pt"] > 20
        and inside
        and abs(one["dxy"]) < (5 if flavour == "e" else 3) * one["dxyErr"]
        and abs(one["dz"]) < 0.05 * math.cosh(one["eta"])
        and one["pfRelIso03_all"] < 0.15
    )


def by_hand(event, sigma):
    """One event's observables and regions; None if it is not selected."""
    chosen = [{**one, "flavour": "e"} for one in event["Electron"] if good_lepton(one, "e")]
    chosen += [{**one, "flavour": "m"} for one in event["Muon"] if good_lepton(one, "m")]
    if len(chosen) != 2:
        return None
    one, two = sorted(chosen, key=lambda lepton: -lepton["pt"])
    first_cut, second_cut = {"ee": (25, 25), "mm": (27, 20), "em": (25, 20), "me": (27, 25)}[
        one["flavour"] + two["flavour"]
    ]
    if one["pt"] <= first_cut or two["pt"] <= second_cut:
        return None
    pair = four(one) + four(two)
    mll = mass(pair)
    met = np.array([event["MET"]["pt"] * turn(event["MET"]["phi"]) for turn in (math.cos, math.sin)])
    jets = []
    for jet in event["Jet"]:
        scaled = {**jet, "pt": jet["pt"] * (1 + sigma * math.hypot(0.01, 0.9 / jet["pt"]))}
        met -= four(scaled)[:2] - four(jet)[:2]
        jets.append(scaled)
    size, phi = math.hypot(*met), math.atan2(met[1], met[0])
    if mll <= 10 or size <= 50:
        return None
    jets = [jet for jet in jets if jet["pt"] >= 30 and abs(jet["eta"]) < 4.5]
    jets = [
        jet
        for jet in jets
        if all(
            math.hypot(jet["eta"] - lepton["eta"], wrapped(jet["phi"] - lepton["phi"])) >= 0.4 for lepton in (one, two)
        )
    ]
    jets.sort(key=lambda jet: -jet["pt"])
    for jet in jets:
        jet["tagged"] = jet["btag"] > 0.5 and abs(jet["eta"]) < 2.5
    taggable = [jet for jet in jets if abs(jet["eta"]) < 2.5]
    jets = [jet for jet in jets if jet["tagged"] or jet["pt"] >= 40]
    light = [jet for jet in jets if not jet["tagged"]]
    et = math.sqrt(mll**2 + pair[0] ** 2 + pair[1] ** 2)
    ht = one["pt"] + two["pt"] + sum(jet["pt"] for jet in jets)
    mt = math.sqrt(max((et + size) ** 2 - (pair[0] + met[0]) ** 2 - (pair[1] + met[1]) ** 2, 0))
    dphi = [abs(wrapped(lepton["phi"] - phi)) for lepton in (one, two)]
    plane = four(one)[:2] + four(two)[:2] + sum((four(jet)[:2] for jet in jets), np.zeros(2))
    observables = {
        "mll": mll,
        "mt2": mt2.mt2(one["mass"], *four(one)[:2], two["mass"], *four(two)[:2], *met, 0, 0),
        "mt": mt,
        "mt_ll": math.sqrt(
            max(
                (math.hypot(one["pt"], one["mass"]) + math.hypot(two["pt"], two["mass"])) ** 2
                - pair[0] ** 2
                - pair[1] ** 2,
                0,
            )
        ),
        "et_ll": et,
        "pt_ll": math.hypot(pair[0], pair[1]),
        "met": size,
        "met_significance": event["MET"]["significance"] * size / event["MET"]["pt"],
        "ht": ht,
        "vector_ht": math.hypot(*plane),
        "rt": size / ht,
        "mjj": mass(four(jets[0]) + four(jets[1])) if len(jets) > 1 else None,
        "n_jets": len(jets),
        "n_bjets": len(jets) - len(light),
        "n_light_jets": len(light),
        "n_central_jets": sum(abs(jet["eta"]) < 2.5 for jet in light),
        "n_forward_jets": sum(abs(jet["eta"]) >= 2.5 for jet in light),
        **{f"jet_{name}": [jet[name] for jet in jets] for name in ("pt", "eta", "phi")},
        **{f"lep1_{name}": one[name] for name in ("pt", "eta", "phi")},
        **{f"lep2_{name}": two[name] for name in ("pt", "eta", "phi")},
        "opposite_sign": one["charge"] != two["charge"],
        "muons": (one["flavour"] == "m") + (two["flavour"] == "m"),
        "dphi_ll": abs(wrapped(one["phi"] - two["phi"])),
        "dphi_ll_met": abs(wrapped(math.atan2(pair[1], pair[0]) - phi)),
        "dphi_leading_met": dphi[0],
        "dphi_closest_met": min(dphi),
    }
    return observables, regions_of(observables), taggable


def regions_of(o):
    if not o["opposite_sign"]:
        return set()
    if o["muons"] == 1:
        return {"CR_em"}
    flavour = "mm" if o["muons"] else "ee"
    if o["n_bjets"]:
        return set()
    found = set()
    if o["mll"] < 110:
        found.add(f"CR_{flavour}")
    elif o["mll"] > 110:
        found |= {f"SR_{flavour}", f"SR{1 + (o['met'] >= 100) + (o['met'] >= 150)}_{flavour}"}
    if o["met_significance"] > 10 and o["mt"] > 160 and o["mll"] > 120 and o["mt2"] > 110:
        found.add(f"CC_{flavour}")
    return found


@pytest.mark.parametrize("shift", ["nominal", "jet_energy_scale_up", "jet_energy_scale_down"])
def test_every_observable_and_region_of_every_event(analysis, shift):
    events = make_events(12_000)
    columns = analysis().columns(events, shift)
    sigma = {"nominal": 0, "jet_energy_scale_up": 1, "jet_energy_scale_down": -1}[shift]
    expected = {}
    for event in events.to_list():
        made = by_hand(event, sigma)
        if made is not None:
            expected[event["event"]] = made
    assert 500 < len(expected) < 6000
    assert columns["event"].tolist() == list(expected)
    for name in columns["observables"]:
        found, wanted = columns["observables"][name], [made[0][name] for made in expected.values()]
        if name in ("jet_pt", "jet_eta", "jet_phi"):
            assert ak.num(found).to_list() == [len(values) for values in wanted], name
            assert np.allclose(ak.flatten(found), np.concatenate(wanted), rtol=1e-9), name
        elif name == "mjj":
            assert ak.is_none(found).to_list() == [value is None for value in wanted]
            assert np.allclose(ak.drop_none(found), [value for value in wanted if value is not None])
        elif name == "mt2":  # the analysis asks for fewer digits; the mt2 package has few near zero
            assert np.allclose(np.asarray(found), wanted, rtol=2e-6, atol=0.02)
        else:
            assert np.allclose(np.asarray(found, dtype=float), np.array(wanted, dtype=float), rtol=1e-7, atol=1e-3), (
                name
            )
    seen = set()
    for place, (_, regions, _) in enumerate(expected.values()):
        assert {name for name, mask in columns["regions"].items() if mask[place]} == regions
        seen |= regions
    assert seen == set(analysis.regions)  # each was tried


def test_what_the_thesis_lists_is_there(analysis):
    """The variables that the search declares; jets stay as many as there are."""
    observables = analysis().columns(make_events(300))["observables"]
    names = {"mll", "mjj", "met", "met_significance", "ht", "rt", "mt", "mt2", "et_ll", "opposite_sign"}
    names |= {"dphi_ll_met", "dphi_closest_met", "dphi_leading_met", "dphi_ll"}
    names |= {f"{lepton}_{name}" for lepton in ("lep1", "lep2", "jet") for name in ("pt", "eta", "phi")}
    names |= {"n_jets", "n_bjets", "n_central_jets", "n_forward_jets"}
    assert names <= set(observables)
    assert observables["jet_pt"].ndim == 2
    for histogram in analysis.histograms:
        assert histogram.axes[0].label


def test_weights(analysis):
    events = make_events(3000)
    made = analysis().process(events)["made"]["histograms"]
    assert made.variations == (
        "nominal",
        *(
            f"{name}_{way}"
            for name in (
                "electron_identification",
                "muon_identification",
                "b_tagging",
                "mistagging",
                "jet_energy_scale",
            )
            for way in ("up", "down")
        ),
    )
    expected = dict.fromkeys(made.variations, 0.0)
    for event in events.to_list():
        selected = by_hand(event, 0)
        if selected is None or selected[1] != {"CR_em"}:
            continue
        weight = event["genWeight"]
        expected["nominal"] += weight
        expected["electron_identification_up"] += weight * 1.01
        expected["muon_identification_down"] += weight * 0.995
        for name, way, sigma in (("b_tagging", "up", 0.03), ("mistagging", "down", -0.2)):
            factor = 1.0
            for jet in selected[2]:
                if (jet["hadronFlavour"] == 5) != (name == "b_tagging"):
                    continue
                chance = 0.8 * math.tanh(0.003 * jet["pt"]) * 30 / (1 + 0.086 * jet["pt"])
                chance = {5: chance, 4: 0.15, 0: 0.003}[jet["hadronFlavour"]]
                factor *= 1 + sigma if jet["tagged"] else (1 - (1 + sigma) * chance) / (1 - chance)
            expected[f"{name}_{way}"] += weight * factor
    for name in (
        "nominal",
        "electron_identification_up",
        "muon_identification_down",
        "b_tagging_up",
        "mistagging_down",
    ):
        assert made["mll"]["CR_em", name, :].sum(flow=True).value == pytest.approx(expected[name]), name
    assert expected["b_tagging_up"] != pytest.approx(expected["nominal"], rel=1e-4)


def test_cutflow(analysis):
    rows = cutflow_table(analysis().process(make_events(2000))["made"]["cutflow"])
    names = [row["cut"] for row in rows["SR1_ee"]]
    assert names[:6] == ["all events", "two leptons", "MET within reach", "lepton pT", "mll > 10", "MET"]
    for region in rows.values():
        raw = [row["raw"] for row in region]
        assert raw == sorted(raw, reverse=True)


def test_data_are_blind(analysis):
    data = make_events(12_000, kind="data")
    blind, shown = (analysis(unblind=flag).process(data)["made"]["histograms"]["mll"] for flag in (False, True))
    for region in analysis.regions:
        signal = region[:2] in ("SR", "CC")
        assert analysis.regions[region].signal == signal
        assert (blind[region, ...].sum(flow=True).value == 0) == signal
        assert shown[region, ...].sum(flow=True).value > 0


@pytest.mark.parametrize("kind", ["background", "data"])
def test_zero_events_and_none_selected(analysis, kind):
    for events in (make_events(0, kind=kind), make_events(3, kind=kind), make_events(200, kind=kind)[:1]):
        made = analysis().process(events)["made"]
        assert made["events"] == len(events)
        assert list(made["histograms"].regions) == list(analysis.regions)
        assert (
            made["histograms"].variations
            == analysis().process(make_events(500, kind=kind))["made"]["histograms"].variations
        )


def test_a_parameter(analysis):
    loose = analysis(min_met=0.0).columns(make_events(1000))["observables"]["met"]
    assert loose.min() < 50
    assert analysis.parameters()[0] == "min_met"
