"""The AGC's selection and observables on real NanoAOD, event by event, against the benchmark's way to write them."""

import itertools

import awkward as ak
import numpy as np
import pytest
import vector
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from processors.agc_ttbar import FEATURES, MOST_JETS, TAGGED, AGCTtbar

from colonnade.events import inspect_file, read_events
from colonnade.inference import Classifier, scorers_of
from colonnade.kinematics import normal
from colonnade.manifest import load_manifest
from colonnade.workflow import load_workflow

SHIFTS = ("nominal", "pt_scale_up", "pt_res_up")
METADATA = {"dataset": "ttbar", "process": "ttbar", "kind": "signal"}


@pytest.fixture(scope="module")
def path(shared_data):
    return shared_data / "nanoaod" / "nano_tt_v12.root"


@pytest.fixture(scope="module")
def events(path):
    source = inspect_file(path)
    return read_events(source, 0, source.entries, None, METADATA)


@pytest.fixture(scope="module")
def coffea(path):
    """Coffea's events."""

    class Quiet(NanoAODSchema):
        warn_missing_crossrefs = False

    return NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=Quiet, mode="virtual").events()


def selected(events, shift):
    """Select events, jets and leptons with coffea and awkward alone, as the benchmark does."""
    jets = events.Jet
    jets = jets[jets.isTightLeptonVeto]
    factor = {"nominal": 1.0, "pt_scale_up": 1.03, "pt_res_up": 1 + 0.05 * normal(events, jets, "pt_res")}[shift]
    jets = ak.with_field(jets, jets.pt * factor, "pt")
    jets = jets[(jets.pt > 30) & (np.abs(jets.eta) < 2.4)]
    electrons, muons = events.Electron, events.Muon
    electrons = electrons[
        (electrons.pt > 30) & (np.abs(electrons.eta) < 2.1) & (electrons.cutBased == 4) & (electrons.sip3d < 4)
    ]
    isolated = muons.tightId & (muons.sip3d < 4) & (muons.pfRelIso04_all < 0.15)
    muons = muons[(muons.pt > 30) & (np.abs(muons.eta) < 2.1) & isolated]
    tagged = ak.sum(jets.btagDeepFlavB > TAGGED, axis=1)
    keep = (ak.num(electrons) + ak.num(muons) == 1) & (ak.num(jets) >= 4) & (tagged >= 1)
    leptons = ak.concatenate([electrons[["pt", "eta", "phi", "mass"]], muons[["pt", "eta", "phi", "mass"]]], axis=1)
    return events.event[keep], jets[keep], ak.firsts(leptons[keep]), tagged[keep]


def trijet_masses(jets):
    """The mass of the tagged triplet of jets with the largest momentum, with coffea and awkward alone."""
    triplets = ak.combinations(jets, 3, fields=["j1", "j2", "j3"])
    total = triplets.j1 + triplets.j2 + triplets.j3
    tag = np.maximum(triplets.j1.btagDeepFlavB, np.maximum(triplets.j2.btagDeepFlavB, triplets.j3.btagDeepFlavB))
    total = total[tag > TAGGED]
    return ak.flatten(total[ak.argmax(total.pt, axis=1, keepdims=True)].mass)


@pytest.mark.parametrize("shift", SHIFTS)
def test_events_and_observables_are_those_of_the_coffea_implementation(events, coffea, shift):
    found = AGCTtbar().columns(events, shift)
    numbers, jets, _, tagged = selected(coffea, shift)
    assert found["event"].tolist() == numbers.tolist()
    assert found["regions"]["4j2b"].tolist() == (tagged >= 2).tolist()
    assert found["regions"]["4j1b"].tolist() == (tagged == 1).tolist()
    assert 20 < found["regions"]["4j2b"].sum() < len(numbers)
    np.testing.assert_allclose(found["observables"]["trijet_mass"], trijet_masses(jets), rtol=1e-5)
    np.testing.assert_allclose(found["observables"]["ht"], ak.sum(jets.pt, axis=1), rtol=1e-6)


def momentum(one):
    return vector.obj(pt=one.pt, eta=one.eta, phi=one.phi, mass=one.mass)


def assignments(jets, lepton):
    """Describe each assignment of one event, with vector's objects in plain loops."""
    some = [momentum(jet) for jet in jets[:MOST_JETS]]
    lepton = momentum(lepton)
    for first, second in itertools.combinations(range(len(some)), 2):
        for hadronic, leptonic in itertools.permutations(set(range(len(some))) - {first, second}, 2):
            w1, w2, had, lep = (some[place] for place in (first, second, hadronic, leptonic))
            names = {"w1": first, "w2": second, "btophad": hadronic, "btoplep": leptonic}
            yield {
                "deltar_leptonbtoplep": lep.deltaR(lepton),
                "deltar_w1w2": w1.deltaR(w2),
                "deltar_w1btophad": w1.deltaR(had),
                "deltar_w2btophad": w2.deltaR(had),
                "mass_leptonbtoplep": (lep + lepton).mass,
                "mass_w1w2": (w1 + w2).mass,
                "mass_w1w2btophad": (w1 + w2 + had).mass,
                "pt_w1w2btophad": (w1 + w2 + had).pt,
                **{f"pt_{name}": some[place].pt for name, place in names.items()},
                **{f"btag_{name}": jets[place].btagDeepFlavB for name, place in names.items()},
                **{f"constituents_{name}": jets[place].nConstituents for name, place in names.items()},
            }


def test_every_assignment_is_described_as_in_a_loop(events, coffea):
    found = AGCTtbar().columns(events)["observables"]
    _, jets, leptons, tagged = selected(coffea, "nominal")
    for event in range(0, len(jets), 4):
        made = list(assignments(jets[event], leptons[event])) if tagged[event] >= 2 else []
        number = min(len(jets[event]), MOST_JETS)
        assert len(made) == (number * (number - 1) * (number - 2) * (number - 3) // 2 if tagged[event] >= 2 else 0)
        for name in FEATURES:
            one, other = sorted(found[name][event].tolist()), sorted(each[name] for each in made)
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-3, err_msg=name)


def role(jet, particles, charge):
    """Say what a jet comes from, by a loop over an event's particles, which are plain records."""
    near = []
    for one in particles:
        mother = one["genPartIdxMother"]
        parent = abs(particles[mother]["pdgId"]) if mother >= 0 else 0
        if abs(one["pdgId"]) < 6 and parent in (6, 24):
            angle = (jet.phi - one["phi"] + np.pi) % (2 * np.pi) - np.pi
            near.append((np.hypot(jet.eta - one["eta"], angle), parent, one["pdgId"]))
    if not near or min(near)[0] >= 0.4:
        return "none"
    _, parent, flavour = min(near)
    return "w" if parent == 24 else "leptonic" if flavour * charge > 0 else "hadronic"


def test_the_right_assignment_is_that_of_the_generator(events, coffea):
    observables = AGCTtbar().columns(events)["observables"]
    _, jets, _, tagged = selected(coffea, "nominal")
    # coffea's GenPart and leptons of the events that are left
    numbers = selected(coffea, "nominal")[0].tolist()
    chosen = [coffea.event.tolist().index(number) for number in numbers]
    particles = coffea.GenPart[["eta", "phi", "pdgId", "genPartIdxMother"]].to_list()
    known = 0
    for event, place in enumerate(chosen):
        if tagged[event] < 2:
            continue
        electrons = [one for one in coffea.Electron[place] if one.pt > 30 and one.cutBased == 4 and one.sip3d < 4]
        lepton = [*electrons, *(one for one in coffea.Muon[place] if one.pt > 30 and one.tightId and one.sip3d < 4)][0]
        roles = [role(jet, particles[place], lepton.charge) for jet in jets[event][:MOST_JETS]]
        number = len(roles)
        truth = [
            [roles[place] for place in (first, second, *rest)] == ["w", "w", "hadronic", "leptonic"]
            for first, second in itertools.combinations(range(number), 2)
            for rest in itertools.permutations(set(range(number)) - {first, second}, 2)
        ]
        found = observables["right"][event].tolist()
        assert len(found) == len(truth)
        if sum(truth) == 1:
            known += 1
            right = int(np.argmax(found))
            pt = [jets[event][roles.index(each)].pt for each in ("hadronic", "leptonic")]
            assert sum(found) == 1
            assert [observables[name][event][right] for name in ("pt_btophad", "pt_btoplep")] == pytest.approx(pt)
        else:
            assert np.isnan(found).all()
    assert known >= 3


def test_variations_are_the_benchmarks(events, coffea):
    result = AGCTtbar(unblind=True).process(events)["ttbar"]["histograms"]["ht"]
    _, jets, _, tagged = selected(coffea, "nominal")
    generator = ak.to_numpy(coffea.genWeight[np.isin(coffea.event, selected(coffea, "nominal")[0])])
    one = ak.to_numpy(tagged == 1)
    ht, pt = ak.to_numpy(ak.sum(jets.pt, axis=1))[one], ak.to_numpy(jets.pt[:, 2])[one]
    for sign, name in ((1, "up"), (-1, "down")):
        weight = generator[one] * (1 + sign * pt * 0.075 / 50)
        expected = np.histogram(ht, bins=np.linspace(50, 550, 26), weights=weight)[0]
        np.testing.assert_allclose(result["4j1b", f"btag_var_2_{name}", :].values(), expected, rtol=1e-5)
    nominal, up = (result["4j1b", name, :].values() for name in ("nominal", "scale_var_up"))
    np.testing.assert_allclose(up, 1.025 * nominal)


def test_the_trained_model_fills_the_best_assignment(events, project):
    classifier = Classifier.load(project / "models" / "agc_ttbar.onnx")
    analysis = AGCTtbar(unblind=True, scorers=scorers_of(classifier, "assignment"))
    observables = analysis.columns(events)["observables"]
    result = analysis.process(events)["ttbar"]["histograms"]
    plain = AGCTtbar().columns(events)
    two = plain["regions"]["4j2b"]
    best = observables["assignment_mass_w1w2btophad"]
    assert ak.num(best).tolist() == two.astype(int).tolist()
    candidates = plain["observables"]["mass_w1w2btophad"]
    assert ak.all(ak.any(abs(ak.flatten(best[two]) - candidates[two]) < 1e-2, axis=1))
    assert set(result) == {"ht", "trijet_mass", *(f"assignment_{name}" for name in FEATURES)}
    assert result["assignment_mass_w1w2btophad"]["4j2b", "nominal", sum].value > 0


def test_the_workflow_has_the_benchmarks_systematics_and_as_many_pseudo_data_as_expected(project):
    workflow = load_workflow(project / "workflows" / "agc_ttbar.yaml")
    names = {each.name for each in workflow.settings.model.systematics}
    btag = {f"btag_var_{place}" for place in range(4)}
    assert names == {"me_var", "ps_var", "tt_scale", "pt_scale", "pt_res", "scale_var", *btag}
    assert workflow.settings.model.luminosity_uncertainty == 0.03
    datasets = {
        each.name: each.metadata for each in load_manifest(workflow.manifest).select(workflow.settings.datasets)
    }
    varied = {each.varies for each in datasets.values()} - {None}
    assert varied == {"me_var_up", "ps_var_up", "tt_scale_up", "tt_scale_down"}
    seeds = [each.generate.seed for each in datasets.values()]
    assert len(set(seeds)) == len(seeds) == 14
    for name in ("tt", "single_top_t", "single_top_s", "single_top_tw", "wjets"):
        made, data = datasets[f"agc_{name}"], datasets[f"agc_data_{name}"]
        expected = 1000 * workflow.settings.luminosity * made.xsec_pb * made.k_factor * made.filter_efficiency
        assert data.generate.events == round(expected)
        assert data.generate.settings == made.generate.settings
