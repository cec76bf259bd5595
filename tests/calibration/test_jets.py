"""Jet energies and missing momentum against coffea's factories, on real simulated NanoAOD."""

import json
import sys
from collections import Counter

import awkward as ak
import correctionlib
import numpy as np
import pytest
from coffea.jetmet_tools import CorrectedJetsFactory, CorrectedMETFactory
from coffea.jetmet_tools import correctionlib_adapters as adapters
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from colonnade.calibration import Jets
from colonnade.calibration.evaluation import Uncertainties
from colonnade.errors import ConfigError, EventError
from colonnade.kinematics import event_sum, normal, propagate
from colonnade.processor import Shift
from colonnade.processor.corrections import OUTSIDE

JEC, JER, ALGORITHM = "Summer22_22Sep2023_V3_MC", "Summer22_22Sep2023_JRV1_MC", "AK4PFPuppi"
REGROUPED = ("Regrouped_Absolute", "Regrouped_Absolute_2022", "Regrouped_FlavorQCD", "Regrouped_Total")
SOURCES = ("AbsoluteScale", "FlavorQCD", "PileUpPtHF", "RelativeFSR", "Total", *REGROUPED)
KNOWN = ("jer", *SOURCES)
NAMES = {
    "JetPt": "pt", "JetMass": "mass", "JetEta": "eta", "JetPhi": "phi", "JetA": "area", "Rho": "density",
    "ptRaw": "pt_raw", "massRaw": "mass_raw", "ptGenJet": "pt_gen", "METpt": "pt", "METphi": "phi",
    "RawMETpt": "pt", "RawMETphi": "phi", "JetMuonSubtrFactor": "muonSubtrFactor",
    "JetMuonSubtrDeltaPhi": "muonSubtrDeltaPhi", "JetChEmEF": "chEmEF", "JetNeEmEF": "neEmEF",
    "UnClusteredEnergyDeltaX": "dx", "UnClusteredEnergyDeltaY": "dy", "CorrT1JetPt": "rawPt", "CorrT1JetPhi": "phi",
    "CorrT1JetEta": "eta", "CorrT1JetArea": "area", "CorrT1JetMuonSubtrFactor": "muonSubtrFactor",
    "CorrT1JetMuonSubtrDeltaPhi": "muonSubtrDeltaPhi", "CorrT1JetEmEF": "EmEF",
}  # fmt: skip


@pytest.fixture(scope="module")
def corrections(shared_data):
    return correctionlib.CorrectionSet.from_file(str(shared_data / "corrections" / "jet_jerc_Summer22_V3.json.gz"))


@pytest.fixture(scope="module")
def events(shared_data):
    path = shared_data / "nanoaod" / "nano_tt_v15.root"
    return NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema, mode="virtual").events()


@pytest.fixture(scope="module")
def calibrate(corrections):
    return Jets(corrections, jec=JEC, jer=JER, algorithm=ALGORITHM, sources=SOURCES)


def stack(corrections):
    """What coffea's factories take, made of the same file."""

    class Stack:
        jec = adapters.CorrectionLibJEC(corrections.compound[f"{JEC}_L1L2L3Res_{ALGORITHM}"])
        jer = adapters.CorrectionLibJER(corrections[f"{JER}_PtResolution_{ALGORITHM}"])
        jersf = adapters.CorrectionLibJERSF(corrections[f"{JER}_ScaleFactor_{ALGORITHM}"])
        junc = adapters.CorrectionLibJUNC([(name, corrections[f"{JEC}_{name}_{ALGORITHM}"]) for name in SOURCES])

    return Stack


def generated(events, pt, resolution):
    """Match by brute force: the nearest generated jet within 0.2 and three sigma."""
    found = []
    columns = (events.Jet.eta, events.Jet.phi, pt, resolution, events.GenJet.eta, events.GenJet.phi, events.GenJet.pt)
    for *jets, eta, phi, made in zip(*(ak.to_list(column) for column in columns), strict=True):
        row = []
        for jet_eta, jet_phi, jet_pt, width in zip(*jets, strict=True):
            distances = np.hypot(np.array(eta) - jet_eta, np.angle(np.exp(1j * (np.array(phi) - jet_phi))))
            near = (distances < 0.2) & (abs(np.array(made) - jet_pt) < 3 * width * jet_pt)
            row.append(made[np.argmin(np.where(near, distances, np.inf))] if near.any() else 0.0)
        found.append(row)
    return ak.values_astype(ak.Array(found), np.float32)


@pytest.fixture(scope="module")
def theirs(corrections, events):
    """The jets of coffea's factory, with the same random numbers."""
    jets = events.Jet
    jets["pt_raw"] = (1 - jets.rawFactor) * jets.pt
    jets["mass_raw"] = (1 - jets.rawFactor) * jets.mass
    jets["density"] = ak.broadcast_arrays(events.Rho.fixedGridRhoFastjetAll, jets.pt)[0]
    parts = stack(corrections)
    pt = jets.pt_raw * parts.jec.getCorrection(JetA=jets.area, JetEta=jets.eta, JetPt=jets.pt_raw, Rho=jets.density)
    jets["pt_gen"] = generated(events, pt, parts.jer.getResolution(JetEta=jets.eta, JetPt=pt, Rho=jets.density))
    numbers = ak.flatten(normal(events, events.Jet, f"jer {ALGORITHM}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[CorrectedJetsFactory.__module__], "rand_gauss", lambda _: numbers)
        return CorrectedJetsFactory(NAMES, parts).build(jets)


def close(one, other, shift):
    flat = (ak.to_numpy(ak.flatten(values, axis=None)) for values in (one, other))
    np.testing.assert_allclose(*flat, rtol=1e-6, err_msg=shift.variation)


SHIFTS = list(Shift.every(KNOWN))


def of(made, shift):
    """Return what coffea made for a shift."""
    if not shift.direction:
        return made
    name = "JER" if shift.source == "jer" else f"JES_{shift.source}"
    return getattr(made[name], "up" if shift.direction > 0 else "down")


def test_jets_are_those_of_coffea(calibrate, events, theirs):
    for shift in SHIFTS:
        jets = calibrate(events.Jet, events, shift)
        close(jets.pt, of(theirs, shift).pt, shift)
        close(jets.mass, of(theirs, shift).mass, shift)


def test_some_jets_are_matched_and_some_are_not(theirs):
    matched = ak.mean(theirs.pt_gen > 0, axis=None)
    assert 0.3 < matched < 0.95


def met_of(events):
    """Return the stored missing momentum with an unclustered energy that coffea's factory asks for."""
    none = 0.0 * events.PuppiMET.pt
    return ak.with_field(ak.with_field(events.PuppiMET, none, "dx"), none, "dy")


def close_vectors(ours, other, shift, events):
    """Compare to a millionth of the momenta that are summed: coffea's factory adds some of them in 32 bits."""
    summed = ak.to_numpy(ak.sum(events.Jet.pt, axis=1) + events.PuppiMET.pt)
    for function in (np.cos, np.sin):
        one, two = (ak.to_numpy(met.pt * function(met.phi)) for met in (ours, other))
        np.testing.assert_allclose(one / summed, two / summed, rtol=0, atol=1e-6, err_msg=shift.variation)


def test_missing_momentum_follows_all_jets_as_in_coffea(calibrate, events, theirs):
    made = CorrectedMETFactory(NAMES).build(met_of(events), theirs)
    for shift in SHIFTS:
        ours = propagate(events.PuppiMET, events.Jet, calibrate(events.Jet, events, shift))
        close_vectors(ours, of(made, shift), shift, events)


@pytest.mark.parametrize("smeared", [False, True])
def test_type_1_missing_momentum_is_that_of_coffea(calibrate, corrections, events, theirs, smeared):
    low = events.CorrT1METJet
    low["density"] = ak.broadcast_arrays(events.Rho.fixedGridRhoFastjetAll, low.rawPt)[0]
    factory = CorrectedMETFactory(
        NAMES | {"JetJERSmearFactor": "jet_energy_resolution_correction"},
        adapters.CorrectionLibJEC(corrections.compound[f"{JEC}_L1L2L3Res_{ALGORITHM}"]),
        adapters.CorrectionLibJEC(corrections[f"{JEC}_L1FastJet_{ALGORITHM}"]),
        {f"JES_{name}": adapters.CorrectionLibJEC(corrections[f"{JEC}_{name}_{ALGORITHM}"]) for name in SOURCES},
        is_t1_smeared_met=smeared,
    )
    made = factory.build(met_of(events), theirs, events.RawPuppiMET, low)
    for shift in SHIFTS:
        close_vectors(calibrate.missing(events.Jet, events, shift, smeared=smeared), of(made, shift), shift, events)


def test_missing_momentum_moves_by_minus_the_sum_of_the_jets(calibrate, events):
    before = calibrate(events.Jet, events)
    one = propagate(events.PuppiMET, events.Jet, before)
    for source in KNOWN:
        after = calibrate(events.Jet, events, Shift(source, +1, KNOWN))
        two = propagate(events.PuppiMET, events.Jet, after)
        for function in (np.cos, np.sin):
            moved = two.pt * function(two.phi) - one.pt * function(one.phi)
            jets = event_sum((after.pt - before.pt) * function(before.phi))
            np.testing.assert_allclose(moved, -jets, atol=1e-4)
            assert np.abs(jets).max() > 0.01


def test_smearing_is_the_same_in_chunks(calibrate, events, corrections):
    whole = calibrate(events.Jet, events)
    again = Jets(corrections, jec=JEC, jer=JER, algorithm=ALGORITHM)
    parts = [again(some.Jet, some).pt for some in (events[:70], events[70:])]
    assert ak.to_list(ak.concatenate(parts)) == ak.to_list(whole.pt)


def test_jets_outside_the_range_are_counted(corrections, events):
    OUTSIDE.set(counted := Counter())
    calibrate = Jets(corrections, jec=JEC, jer=JER, algorithm=ALGORITHM, sources=["Total"])
    jets = ak.with_field(events.Jet, ak.full_like(events.Jet.eta, 5.3), "eta")
    calibrate(jets, events, Shift("Total", +1, ("Total",)))
    assert counted[f"{JEC}_L1L2L3Res_{ALGORITHM}"] == ak.count(jets.pt)
    assert counted[f"{JEC}_Total_{ALGORITHM}"] == ak.count_nonzero(calibrate(jets, events).pt < 9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jec": "Summer22_22Sep2023_V2_MC"}, f"did you mean.*{JEC}"),
        ({"sources": ["Totl"]}, "Total"),
        ({"algorithm": "PF"}, "AK4"),
    ],
)
def test_names_that_are_not_in_the_file(corrections, change, words):
    given = {"jec": JEC, "algorithm": ALGORITHM, **change}
    with pytest.raises(ConfigError, match=words):
        Jets(corrections, **given)


def test_a_source_of_another_form_is_left_to_correctionlib():
    """One that is no table of linear functions, here another formula in the same bins."""
    formula = {"nodetype": "formularef", "index": 0, "parameters": [0.1, 0.2, 10.0, 1000.0]}
    in_pt = {"nodetype": "binning", "input": "JetPt", "edges": [10.0, 1000.0], "content": [formula], "flow": "clamp"}
    in_eta = {"nodetype": "binning", "input": "JetEta", "edges": [-5.0, 5.0], "content": [in_pt], "flow": 0.0}
    made = {"parser": "TFormula", "nodetype": "formula", "variables": ["JetPt"]}
    values = {}
    for expression in ("[0]*max(min(x,[3]),[2])+[1]", "[0]*sqrt(max(min(x,[3]),[2]))+[1]"):
        correction = {
            "name": "source", "version": 1, "data": in_eta, "output": {"name": "share", "type": "real"},
            "inputs": [{"name": name, "type": "real"} for name in ("JetEta", "JetPt")],
            "generic_formulas": [{**made, "expression": expression}],
        }  # fmt: skip
        text = json.dumps({"schema_version": 2, "corrections": [correction]})
        sources = Uncertainties(correctionlib.CorrectionSet.from_string(text), {"source": "source"})
        inputs = {"JetEta": np.array([0.0, 6.0]), "JetPt": np.array([100.0, 100.0])}
        values[expression] = sources("source", "here", **inputs).tolist()
    assert list(values.values()) == [pytest.approx([10.2, 0.0]), pytest.approx([1.2, 0.0])]


def test_a_raw_factor_of_one_is_refused(calibrate, events):
    jets = ak.with_field(events.Jet, ak.ones_like(events.Jet.pt), "rawFactor")
    with pytest.raises(EventError, match="raw factor"):
        calibrate(jets, events)


def test_smearing_without_generated_jets_is_refused(calibrate, events):
    fewer = events[[name for name in events.fields if name != "GenJet"]]
    with pytest.raises(ConfigError, match="GenJet"):
        calibrate(fewer.Jet, fewer)


def test_jets_without_resolutions_are_not_smeared(corrections, events):
    jets = Jets(corrections, jec=JEC, algorithm=ALGORITHM)
    given, rho = ak.flatten(events.Jet), events.Rho.fixedGridRhoFastjetAll
    raw = np.asarray((1 - given.rawFactor) * given.pt, dtype=np.float64)
    inputs = {
        "JetPt": raw, "JetEta": given.eta, "JetPhi": given.phi, "JetA": given.area,
        "Rho": np.repeat(np.asarray(rho), ak.num(events.Jet)),
    }  # fmt: skip
    correction = corrections.compound[f"{JEC}_L1L2L3Res_{ALGORITHM}"]
    factor = correction.evaluate(*(np.asarray(inputs[one.name], dtype=np.float64) for one in correction.inputs))
    np.testing.assert_allclose(ak.flatten(jets(events.Jet, events).pt), raw * factor, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"the shift 'jer' needs the tag of the resolutions .*give jer="):
        jets(events.Jet, events, Shift("jer", 1, KNOWN))
