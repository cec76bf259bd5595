"""Electrons and muons against the formulas, object by object, with numbers that correctionlib gives one at a time."""

import awkward as ak
import correctionlib
import correctionlib.schemav2 as schema
import numpy as np
import pytest

from colonnade.calibration import Electrons, Muons
from colonnade.errors import ConfigError
from colonnade.kinematics import normal
from colonnade.processor import Shift

KNOWN = ("electron_scale", "electron_smearing", "muon_scale", "muon_resolution")


def binned(name, edges, content):
    return schema.Binning(nodetype="binning", input=name, edges=edges, content=content, flow="clamp")


def by_word(name, items):
    content = [schema.CategoryItem(key=key, value=value) for key, value in items.items()]
    return schema.Category(nodetype="category", input=name, content=content)


def correction(name, inputs, data):
    variables = [schema.Variable(name=each, type=kind) for each, kind in inputs.items()]
    return schema.Correction(
        name=name, version=1, inputs=variables, output=schema.Variable(name="out", type="real"), data=data
    )


def muon_correction(name, words):
    """Two bins of one axis for each word: of absolute eta for k, of phi for the others."""
    axis, edges = ("abseta", [0.0, 1.2, 2.4]) if name.startswith("k") else ("phi", [-4.0, 0.0, 4.0])
    axes = ("abseta",) if name.startswith("k") else ("eta", "phi")
    data = by_word("var", {word: binned(axis, edges, list(values)) for word, values in words.items()})
    return correction(name, {**dict.fromkeys(axes, "real"), "var": "string"}, data)


@pytest.fixture(scope="module")
def corrections():
    real = "real"
    scale = by_word("valtype", {
        word: binned("r9", [0.0, 0.9, 2.0], [binned("run", [1.0, 50.0, 100.0], [one, one * 1.01]) for one in values])
        for word, values in (("total_correction", (0.99, 1.02)), ("total_uncertainty", (0.004, 0.002)))
    })  # fmt: skip
    smearing = by_word("valtype", {
        word: binned("eta", [-3.0, 0.0, 3.0], list(values))
        for word, values in (("rho", (0.02, 0.03)), ("err_rho", (0.005, 0.004)))
    })  # fmt: skip
    shapes = {
        **{f"a_{each}": {"nom": (3e-5, -5e-5), "stat": (1e-5, 2e-5)} for each in ("data", "mc")},
        "m_data": {"nom": (1.002, 0.998), "stat": (1e-3, 2e-3), "rho_stat": (0.1, -0.2)},
        "m_mc": {"nom": (1.001, 0.999), "stat": (1e-3, 2e-3), "rho_stat": (0.1, -0.2)},
        "k_data": {"nom": (1.1, 0.9), "stat": (0.02, 0.03)},
        "k_mc": {"nom": (1.0, 1.0), "stat": (0.01, 0.01)},
    }
    muons = [muon_correction(name, words) for name, words in shapes.items()]
    polynomial = schema.Category(nodetype="category", input="index", content=[
        schema.CategoryItem(key=key, value=value) for key, value in enumerate((0.01, 1e-4, 1e-7))
    ])  # fmt: skip
    muons.append(correction("poly_params", {"abseta": real, "nL": real, "index": "int"}, polynomial))
    inputs = {"valtype": "string", "gain": "int", "run": real, "eta": real, "r9": real, "et": real}
    made = [
        correction("scale", inputs, scale),
        correction("smear", {"valtype": "string", "eta": real, "r9": real}, smearing),
    ]
    whole = schema.CorrectionSet(schema_version=2, corrections=[*made, *muons])
    return correctionlib.CorrectionSet.from_string(whole.model_dump_json(exclude_unset=True))


def made_events(kind):
    rng = np.random.default_rng(6)
    counts = rng.integers(0, 4, 60)
    total = counts.sum()
    columns = {
        "pt": rng.uniform(15, 120, total),
        "eta": rng.uniform(-2.3, 2.3, total),
        "phi": rng.uniform(-3, 3, total),
        "charge": rng.choice([-1, 1], total),
        "deltaEtaSC": rng.normal(0, 0.05, total),
        "r9": rng.uniform(0.5, 1.0, total),
        "seedGain": rng.choice([1, 6, 12], total).astype(np.uint8),
        "nTrackerLayers": rng.integers(6, 17, total).astype(np.uint8),
    }
    objects = ak.unflatten(ak.zip(columns), counts)
    flat = {"run": rng.integers(1, 99, 60), "luminosityBlock": np.ones(60, dtype=int), "event": np.arange(60)}
    events = ak.zip({**flat, "Electron": objects, "Muon": objects}, depth_limit=1)
    if kind == "simulation":
        events = ak.with_field(events, np.ones(60), "genWeight")
    return events


def each(objects, *others):
    """Go through all objects with the values that belong to them."""
    return zip(*(ak.flatten(one).to_list() for one in (objects, *others)), strict=True)


def shifts(*sources):
    return [Shift("", 0, KNOWN), *(Shift(source, sign, KNOWN) for source in sources for sign in (1, -1))]


def test_electrons_of_data_are_scaled(corrections):
    events = made_events("data")
    found = Electrons(corrections, scale="scale", smearing="smear")(events.Electron, events)
    run = ak.broadcast_arrays(events.run, events.Electron.pt)[0]
    expected = [
        one["pt"] * corrections["scale"].evaluate(
            "total_correction", one["seedGain"], float(number), one["eta"] + one["deltaEtaSC"], one["r9"], one["pt"]
        )
        for one, number in each(events.Electron, run)
    ]  # fmt: skip
    np.testing.assert_allclose(ak.flatten(found.pt), expected)


@pytest.mark.parametrize("shift", shifts("electron_scale", "electron_smearing", "muon_scale"), ids=str)
def test_simulated_electrons_are_smeared(corrections, shift):
    events = made_events("simulation")
    found = Electrons(corrections, scale="scale", smearing="smear")(events.Electron, events, shift)
    run = ak.broadcast_arrays(events.run, events.Electron.pt)[0]
    expected = []
    for one, number, x in each(events.Electron, run, normal(events, events.Electron, "electron")):
        eta = one["eta"] + one["deltaEtaSC"]
        width = corrections["smear"].evaluate("rho", eta, one["r9"])
        width += shift["electron_smearing"] * corrections["smear"].evaluate("err_rho", eta, one["r9"])
        where = (one["seedGain"], float(number), eta, one["r9"], one["pt"])
        error = corrections["scale"].evaluate("total_uncertainty", *where)
        expected.append(one["pt"] * (1 + width * x) * (1 + shift["electron_scale"] * error))
    np.testing.assert_allclose(ak.flatten(found.pt), expected)


def test_muons_of_data_have_another_curvature(corrections):
    events = made_events("data")
    found = Muons(corrections)(events.Muon, events)
    expected = []
    for (one,) in each(events.Muon):
        m, a = (corrections[name].evaluate(one["eta"], one["phi"], "nom") for name in ("m_data", "a_data"))
        expected.append(1 / (m / one["pt"] + one["charge"] * a))
    np.testing.assert_allclose(ak.flatten(found.pt), expected)


@pytest.mark.parametrize("shift", shifts("muon_scale", "muon_resolution", "electron_scale"), ids=str)
def test_simulated_muons_are_as_wide_as_data(corrections, shift):
    events = made_events("simulation")
    found = Muons(corrections)(events.Muon, events, shift)
    expected, widened = [], 0
    for one, x in each(events.Muon, normal(events, events.Muon, "muon")):
        eta, phi, charge = one["eta"], one["phi"], one["charge"]
        m, a = (corrections[name].evaluate(eta, phi, "nom") for name in ("m_mc", "a_mc"))
        pt = 1 / (m / one["pt"] + charge * a)
        k = corrections["k_data"].evaluate(abs(eta), "nom")
        k += shift["muon_resolution"] * corrections["k_data"].evaluate(abs(eta), "stat")
        wider = np.sqrt(max(k**2 - corrections["k_mc"].evaluate(abs(eta), "nom") ** 2, 0))
        widened += wider > 0
        smeared = pt * (1 + wider * x * (0.01 + 1e-4 * pt + 1e-7 * pt**2))
        m, a = (corrections[name].evaluate(eta, phi, "stat") for name in ("m_mc", "a_mc"))
        rho = corrections["m_mc"].evaluate(eta, phi, "rho_stat")
        # the derivative of pt = 1 / (m / pt + q a): dpt = pt (dm + q pt da), correlated
        error = np.sqrt(m**2 + (pt * a) ** 2 + 2 * charge * rho * m * pt * a)
        expected.append(smeared * (1 + shift["muon_scale"] * error))
    np.testing.assert_allclose(ak.flatten(found.pt), expected)
    assert 0 < widened < len(expected)


def test_chunks_do_not_matter(corrections):
    events = made_events("simulation")
    electrons = Electrons(corrections, scale="scale", smearing="smear")
    parts = [electrons(some.Electron, some).pt for some in (events[:20], events[20:])]
    assert ak.concatenate(parts).to_list() == electrons(events.Electron, events).pt.to_list()


def test_a_name_that_is_not_in_the_file(corrections):
    with pytest.raises(ConfigError, match=r"no correction 'scales'.*scale"):
        Electrons(corrections, scale="scales", smearing="smear")
