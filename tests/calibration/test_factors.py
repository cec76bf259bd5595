"""Weights against loops over objects that ask correctionlib for one number at a time, and against closed forms."""

import itertools
import json
import pickle
from collections import Counter

import awkward as ak
import correctionlib
import correctionlib.schemav2 as schema
import numpy as np
import pytest
import uproot

from colonnade.calibration import Correction, Factor, TagShape, WorkingPoint, any_fires, met_filters, vetoed
from colonnade.errors import ConfigError, EventError
from colonnade.processor import Shift
from colonnade.processor.corrections import OUTSIDE, Corrections

ETA, PT = [0.0, 1.0, 2.5], [20.0, 50.0, 100.0]


def table(inputs, content, flow="clamp"):
    """A table in absolute eta and pt."""
    names, edges = zip(*inputs.items(), strict=True)
    return schema.MultiBinning(nodetype="multibinning", inputs=names, edges=edges, content=content, flow=flow)


def category(name, items):
    content = [schema.CategoryItem(key=key, value=value) for key, value in items.items()]
    return schema.Category(nodetype="category", input=name, content=content)


def correction(name, inputs, data):
    kinds = {str: "string", int: "int", float: "real"}
    variables = [schema.Variable(name=each, type=kinds[kind]) for each, kind in inputs.items()]
    output = schema.Variable(name="weight", type="real")
    return schema.Correction(name=name, version=1, inputs=variables, output=output, data=data)


def written(*corrections):
    return correctionlib.CorrectionSet.from_string(
        schema.CorrectionSet(schema_version=2, corrections=corrections).model_dump_json(exclude_unset=True)
    )


def grid(start):
    """A table of four numbers."""
    return table({"abseta": ETA, "pt": PT}, [start, start + 0.1, start + 0.05, start - 0.07])


BY_PT = {"abseta": float, "pt": float}
TAG = {"systematic": str, "working_point": str, "flavor": int, **BY_PT}
SOURCES = ("central", "up_hf", "down_hf", "up_cferr1", "up_jes", "down_jes")


@pytest.fixture(scope="module")
def corrections():
    points = [
        correction(name, TAG, category("systematic", {
            word: category("working_point", {"M": category("flavor", {key: grid(start + 0.01 * key) for key in keys})})
            for word, start in (("central", 0.9), ("up", 1.0))
        }))
        for name, keys in (("comb", (4, 5)), ("incl", (0,)))
    ]  # fmt: skip
    efficiencies = category("flavor", {0: grid(0.15), 4: grid(0.3), 5: grid(0.7)})
    flavours = {word: (4,) if "cferr" in word else (0, 4, 5) if word == "central" else (0, 5) for word in SOURCES}
    shape = category("systematic", {
        word: category("flavor", {
            key: table({"discriminant": [0.0, 0.5, 1.0]}, [1 + 0.1 * place + 0.01 * key, 1 - 0.02 * place])
            for key in flavours[word]
        })
        for place, word in enumerate(SOURCES)
    })  # fmt: skip
    return written(
        correction("id", {"word": str, "point": str, **BY_PT}, category("word", {
            word: category("point", {"Medium": grid(start)})
            for word, start in (("sf", 0.95), ("up", 0.97), ("down", 0.92))
        })),
        correction("pileup", {"interactions": float, "weights": str}, category("weights", {
            word: table({"interactions": [0.0, 20.0, 60.0]}, [1.1 + shift, 0.9 - shift], flow="error")
            for word, shift in (("nominal", 0.0), ("up", 0.05), ("down", -0.05))
        })),
        *points,
        correction("efficiency", {"flavor": int, **BY_PT}, efficiencies),
        correction("shape", {"systematic": str, "flavor": int, **BY_PT, "discriminant": float}, shape),
        correction("map", {"type": str, "eta": float, "phi": float}, category("type", {
            "jetvetomap": table({"eta": [-5.0, 1.0, 5.0], "phi": [-np.pi, 0.0, np.pi]}, [0, 0, 0, 100], "error")
        })),
    )  # fmt: skip


@pytest.fixture(scope="module")
def jets():
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 5, 200)
    total = counts.sum()
    return ak.unflatten(
        ak.zip({
            "pt": rng.uniform(10, 120, total),
            "eta": rng.uniform(-2.4, 2.4, total),
            "phi": rng.uniform(-np.pi, np.pi, total),
            "hadronFlavour": rng.choice([0, 4, 5], total).astype(np.uint8),
            "tag": rng.uniform(0, 1, total),
        }),
        counts,
    )  # fmt: skip


@pytest.fixture(scope="module")
def events(jets):
    return ak.Array({"run": np.ones(len(jets), dtype=int), "interactions": np.linspace(1, 59, len(jets))})


def by_loop(jets, function):
    """Multiply a function of one jet over each event's."""
    return [float(np.prod([function(jet) for jet in event])) for event in jets]


def test_factors_of_objects_are_multiplied(corrections, jets, events):
    OUTSIDE.set(counted := Counter())
    factor = Factor(corrections, "id", words=("word", "sf", "up", "down"), point="Medium")
    found = factor(events, abseta=abs(jets.eta), pt=jets.pt)
    for word, values in zip(("sf", "up", "down"), found, strict=True):
        expected = by_loop(
            jets, lambda jet, word=word: corrections["id"].evaluate(word, "Medium", abs(jet.eta), jet.pt)
        )
        np.testing.assert_allclose(values, expected)
    outside = ak.sum((jets.pt < 20) | (jets.pt >= 100))
    assert counted["id"] == 3 * outside > 0


def test_pile_up_is_one_number_an_event(corrections, events):
    factor = Factor(corrections, "pileup", words=("weights", "nominal", "up", "down"))
    found = factor(events, interactions=events.interactions)
    assert [values.shape for values in found] == [(200,)] * 3
    expected = [corrections["pileup"].evaluate(float(each), "up") for each in events.interactions]
    np.testing.assert_allclose(found[1], expected)
    with pytest.raises(EventError, match=r"pileup is not defined for 200 values, such as interactions = 101"):
        factor(events, interactions=events.interactions + 100)


def test_a_trigger_fires_with_any_of_the_objects(jets):
    data, simulation = jets.tag * 0.8, jets.tag * 0.9
    found = any_fires(data, simulation)
    for event, (one, other) in enumerate(zip(data.tolist(), simulation.tolist(), strict=True)):
        # sum over all outcomes in which at least one fires
        def chance(each):
            outcomes = itertools.product((0, 1), repeat=len(each))
            return sum(
                np.prod([p if hit else 1 - p for p, hit in zip(each, row, strict=True)]) for row in outcomes if any(row)
            )

        assert found[event] == pytest.approx(chance(one) / chance(other) if one else 1.0)
    with pytest.raises(EventError, match="1 events can fire the trigger"):
        any_fires(ak.Array([[0.5]]), ak.Array([[0.0]]))


@pytest.mark.parametrize(("heavy", "light"), [("central", "central"), ("up", "central"), ("central", "up")])
def test_a_working_point_weights_tagged_and_other_jets(corrections, jets, events, heavy, light):
    OUTSIDE.set(counted := Counter())
    tagger = WorkingPoint(
        corrections, heavy="comb", light="incl", point="M", efficiencies=Correction(corrections, "efficiency")
    )
    found = tagger(jets, jets.tag > 0.6, events, heavy=heavy, light=light)

    def weight(jet):
        flavour, where = int(jet.hadronFlavour), (abs(jet.eta), jet.pt)
        name, word = ("comb", heavy) if flavour else ("incl", light)
        factor = corrections[name].evaluate(word, "M", flavour, *where)
        efficiency = corrections["efficiency"].evaluate(flavour, *where)
        return factor if jet.tag > 0.6 else (1 - factor * efficiency) / (1 - efficiency)

    np.testing.assert_allclose(found, by_loop(jets, weight))
    assert set(counted) == {"comb", "incl", "efficiency"}


@pytest.mark.parametrize("variation", ["central", "up_hf", "down_hf", "up_cferr1"])
def test_the_shape_varies_the_flavours_of_its_source(corrections, jets, events, variation):
    found = TagShape(corrections, "shape")(jets, jets.tag, events, variation=variation)

    def weight(jet):
        flavour = int(jet.hadronFlavour)
        word = variation if variation == "central" or (flavour == 4) == ("cferr" in variation) else "central"
        return corrections["shape"].evaluate(word, flavour, abs(jet.eta), jet.pt, jet.tag)

    np.testing.assert_allclose(found, by_loop(jets, weight))


def test_the_shape_follows_the_jets(corrections, jets, events):
    shape = TagShape(corrections, "shape", follows={"Total": "jes"})
    known = ("Total", "jer")
    for direction, word in ((1, "up_jes"), (-1, "down_jes")):
        shifted = shape(jets, jets.tag, events, Shift("Total", direction, known))
        np.testing.assert_array_equal(shifted, shape(jets, jets.tag, events, variation=word))
    other = shape(jets, jets.tag, events, Shift("jer", 1, known))
    np.testing.assert_array_equal(other, shape(jets, jets.tag, events))
    with pytest.raises(ConfigError, match="up_hf of b-tagging is asked for under the shift Total_up"):
        shape(jets, jets.tag, events, Shift("Total", 1, known), variation="up_hf")


def test_jets_in_a_vetoed_region(corrections, jets, events):
    found = vetoed(Correction(corrections, "map"), jets, events)
    assert found.tolist() == ((jets.eta >= 1) & (jets.phi >= 0)).tolist()
    assert 0 < ak.sum(found) < ak.count(jets.pt)
    # what a file's 32 bits make of pi is inside
    edge = ak.Array([[{"eta": np.float32(2.0), "phi": np.float32(np.pi)}]])
    bounds = table({"eta": [-5.0, 5.0], "phi": [-np.pi, np.pi]}, [1], "error")
    whole = written(
        correction("map", {"type": str, "eta": float, "phi": float}, category("type", {"jetvetomap": bounds}))
    )
    assert vetoed(Correction(whole, "map"), edge, events).tolist() == [[True]]


def test_filters_of_missing_momentum():
    flags = ak.zip({"goodVertices": [True, True, False], "ecalBadCalibFilter": [True, False, True]})
    events = ak.Array({"Flag": flags})
    assert met_filters(events, ["goodVertices", "ecalBadCalibFilter"]).tolist() == [True, False, False]
    with pytest.raises(ConfigError, match=r"no filter Flag_goodVertex.*goodVertices"):
        met_filters(events, ["goodVertex"])


NONE = ak.Array([])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: Factor(file, "ids"), "no correction 'ids'.*id"),
        (lambda file: TagShape(file, "shapes"), "no correction 'shapes'.*shape"),
        (lambda file: Factor(file, "id", words=("word", "sf"), point="Tight")(NONE, abseta=np.ones(1), pt=np.ones(1)),
         "id can't be evaluated"),
        (lambda file: Factor(file, "id", words=("word", "sf"), point="Medium")(NONE, eta=np.ones(1), pt=np.ones(1)),
         "asks for the input 'abseta'"),
    ],
)  # fmt: skip
def test_names_that_are_not_in_the_file(corrections, make, words):
    with pytest.raises(ConfigError, match=words):
        make(corrections)


def test_histograms_of_a_root_file_are_corrections(shared_data):
    path = shared_data / "corrections" / "testSF2d.histo.root"
    files = Corrections({"electrons": path})
    with uproot.open(path) as file:
        values, (eta, pt) = (
            file["scalefactors_Tight_Electron"].values(),
            file["scalefactors_Tight_Electron"].to_numpy()[1:],
        )
        errors = file["scalefactors_Tight_Electron"].errors()
    x, y = (np.repeat((eta[1:] + eta[:-1]) / 2, len(pt) - 1), np.tile((pt[1:] + pt[:-1]) / 2, len(eta) - 1))
    for given in (files["electrons"], pickle.loads(pickle.dumps(files))["electrons"]):  # noqa: S301 - our own
        found = Correction(given, "scalefactors_Tight_Electron")(xaxis=x, yaxis=y)
        np.testing.assert_allclose(found, values.ravel())
        np.testing.assert_allclose(
            Correction(given, "scalefactors_Tight_Electron_error")(xaxis=x, yaxis=y), errors.ravel()
        )
    with pytest.raises(EventError, match="not defined for 1 values, such as yaxis = 100000"):
        Correction(files["electrons"], "scalefactors_Tight_Electron")(xaxis=np.array([0.1]), yaxis=np.array([1e5]))


def test_text_is_read_by_coffea(tmp_path):
    path = tmp_path / "Made_L2Relative_AK4PF.jec.txt"
    path.write_text(
        "{1 JetEta 1 JetPt [0]+[1]*x Correction L2Relative}\n-5 0 4 10 500 1.0 0.001\n0 5 4 10 500 1.1 0.002\n"
    )
    files = Corrections({"jec": path})
    eta, pt = np.array([-1.0, 2.0]), np.array([100.0, 50.0])
    for given in (files["jec"], pickle.loads(pickle.dumps(files))["jec"]):  # noqa: S301 - our own
        np.testing.assert_allclose(given["Made_L2Relative_AK4PF"](eta, pt), [1.1, 1.2])


# coffea's own way to use pandas
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_csv_is_read_by_coffea(tmp_path):
    head = (
        "OperatingPoint, measurementType, sysType, jetFlavor, etaMin, etaMax, ptMin, ptMax, discrMin, discrMax, formula"
    )
    lines = [
        f'1, {method}, {word}, {flavour}, -2.5, 2.5, 20, 1000, 0, 1, "{start + 0.1 * flavour}+0.001*x"'
        for flavour, method in ((0, "comb"), (1, "comb"), (2, "incl"))
        for word, start in (("central", 0.9), ("up", 1.0))
    ]
    path = tmp_path / "deep.csv"
    path.write_text("\n".join([f"DeepCSV;{head}", *lines]))
    files = Corrections({"btag": path})
    flavour, eta, pt = np.array([5, 4, 0]), np.array([0.3, -1.0, 2.0]), np.array([100.0, 50.0, 30.0])
    for given in (files["btag"], pickle.loads(pickle.dumps(files))["btag"]):  # noqa: S301 - our own
        assert list(given) == ["medium"]
        np.testing.assert_allclose(given["medium"].eval("up", flavour, eta, pt), [1.1, 1.15, 1.23])
    path.write_text("\n".join([f"DeepCSV;{head}", *(line.replace("1,", "M,", 1) for line in lines)]))
    with pytest.raises(ConfigError, match="no working point 0 to 3, but M"):
        Corrections({"btag": tmp_path / "other.csv"} if path.rename(tmp_path / "other.csv") else {})["btag"]


def test_a_file_that_is_none_of_these(tmp_path):
    for name in ("a.json", "a.root"):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(ConfigError, match=r"can't be read as a"):
            Corrections({"a": tmp_path / name})["a"]


def test_an_efficiency_of_one_gives_jets_that_are_not_tagged_no_weight(corrections, jets, events):
    content = {"nodetype": "formula", "expression": "1.0", "parser": "TFormula", "variables": ["pt"]}
    inputs = [{"name": "flavor", "type": "int"}, {"name": "abseta", "type": "real"}, {"name": "pt", "type": "real"}]
    one = {"name": "one", "version": 1, "inputs": inputs, "output": {"name": "x", "type": "real"}, "data": content}
    efficiency = Correction(
        correctionlib.CorrectionSet.from_string(json.dumps({"schema_version": 2, "corrections": [one]})), "one"
    )
    tagger = WorkingPoint(corrections, heavy="comb", light="incl", point="M", efficiencies=efficiency)
    with pytest.raises(EventError, match="the efficiency of b-tagging, one, is not between 0 and 1"):
        tagger(jets, jets.tag > 0.6, events)
