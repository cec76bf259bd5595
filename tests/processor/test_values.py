"""What an analysis is handed are values: changing them in place changes nothing for another shift or chunk."""

import contextlib

import awkward as ak
import correctionlib.schemav2 as schema
import numpy as np
import pytest
from hist.axis import Integer, Regular
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.events import inspect_file, learn_columns, read_events
from colonnade.histograms import Histogram
from colonnade.kinematics import accelerate
from colonnade.processor import Objects, Processor, Region


def assign_field(array):
    if isinstance(array, ak.Array) and "pt" in ak.fields(array):
        array["pt"] = array.pt * 3


def assign_new(array):
    if isinstance(array, ak.Array) and ak.fields(array):
        array["mine"] = np.arange(len(array))


def multiply(array):
    array *= 3


def change_memory(array):
    ak.to_numpy(ak.flatten(array.pt))[:] = 1.0


def change_stored_memory(array):
    ak.to_numpy(ak.flatten(array["pt"], axis=None))[:] = 1.0


def change_numbers(array):
    np.asarray(array)[:] = 0


CHANGES = (assign_field, assign_new, multiply, change_memory, change_stored_memory, change_numbers)


def attempt(change, array):
    """Change an array in place as users do, where it can be."""
    with contextlib.suppress(TypeError, ValueError, AttributeError, IndexError):  # refused: as good as a copy
        change(array)


class Changing(Processor):
    """An analysis that changes what it is handed, under one shift only."""

    histograms = (
        Histogram("pt", Regular(50, 0, 300)),
        Histogram("n", Integer(0, 8)),
        Histogram("ht", Regular(9, 0, 900)),
    )
    shifts = ("jes", "other")
    regions = {"all": Region(), "some": Region("some")}

    def __init__(self, *, changes=(), where="jes_up", **others):
        super().__init__(**others)
        self.changes, self.where = changes, where

    def disturb(self, stage, shift, *arrays):
        if shift == self.where:
            for at, change in self.changes:
                if at == stage:
                    for array in arrays:
                        attempt(change, array)

    def common(self, events):
        return Objects(jets=events.Jet, weight=events.genWeight)

    def objects(self, events, shift):
        variation = Objects(variation=np.full(len(events), shift.variation))
        self.disturb("objects", shift.variation, events, events.Jet, events.genWeight, events.MET.pt)
        return variation

    def observables(self, events, objects):
        shift = objects.variation[0] if len(objects.variation) else ""
        self.disturb("observables", shift, events, events.Jet, objects.jets, objects.weight)
        jets = objects.jets
        return {"pt": jets.pt, "n": ak.num(jets), "ht": ak.sum(events.Jet.pt, axis=1)}

    def cuts(self, events, objects, observables):
        shift = objects.variation[0] if len(objects.variation) else ""
        mask = np.asarray(observables["n"]) > 1
        self.disturb("cuts", shift, events.Jet, objects.jets, observables["n"], observables["pt"])
        return {"some": mask}

    def weights(self, events, objects, weights):
        shift = objects.variation[0] if len(objects.variation) else ""
        self.disturb("weights", shift, events, events.Jet, events.genWeight, objects.weight)
        weights.add("jets", 1 + 0.1 * np.asarray(ak.num(objects.jets)))


@pytest.fixture(scope="module")
def source(shared_data):
    return inspect_file(str(shared_data / "nanoaod" / "nano_dy.root"))


ABOUT = {"dataset": "set", "kind": "background"}


@pytest.fixture(scope="module")
def columns(source):
    return learn_columns(source, Changing().process, ABOUT)


@pytest.fixture(scope="module")
def reads(source, columns):
    """Functions that read events: lazily, or learned columns."""
    return (
        lambda: read_events(source, 0, source.entries, None, ABOUT),
        lambda: read_events(source, 0, source.entries, columns, ABOUT),
    )


def others(result, where):
    """The histograms of all variations but one."""
    made = result["set"]["histograms"]
    names = [name for name in made["pt"].axes["variation"] if name != where]
    return {key: np.stack([made[key][:, name, :].view(flow=True) for name in names]) for key in made}


@settings(max_examples=12, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["objects", "observables", "cuts", "weights"]), st.sampled_from(CHANGES)),
        min_size=1,
        max_size=4,
    ),
    where=st.sampled_from(["nominal", "jes_up", "other_down"]),
    lazy=st.booleans(),
)
def test_changes_stay_where_they_are_made(reads, changes, where, lazy):
    read = reads[0 if lazy else 1]
    events = read()
    expected = Changing().process(read())
    disturbed = Changing(changes=changes, where=where).process(events)
    mine, theirs = others(disturbed, where), others(expected, where)
    for key, values in theirs.items():
        assert np.array_equal(mine[key], values), key
    again = Changing().process(events)
    assert again["set"]["histograms"] == expected["set"]["histograms"]


class Assigning(Processor):
    """Writes a calibration as most do."""

    histograms = (Histogram("sum", Regular(1, 0, 1e6)),)
    shifts = ("jes",)
    regions = {"all": Region()}

    def objects(self, events, shift):
        jets = events.Jet
        jets["pt"] = jets.pt * (1 + 0.1 * shift["jes"])
        return Objects(jets=jets)

    def observables(self, events, objects):
        return {"sum": ak.sum(objects.jets.pt, axis=1)}

    def cuts(self, events, objects, observables):
        return {}


def test_each_shift_starts_from_the_stored_momenta(source):
    events = read_events(source, 0, source.entries, None, ABOUT)
    nominal = np.asarray(ak.sum(events.Jet.pt, axis=1), dtype=float)
    for name, scale in (("nominal", 1.0), ("jes_up", 1.1), ("jes_down", 0.9)):
        made = Assigning().columns(read_events(source, 0, source.entries, None, ABOUT), name)
        assert np.asarray(made["observables"]["sum"]) == pytest.approx(scale * nominal, rel=1e-5)
    filled = []

    class Noting(Assigning):
        def observables(self, events, objects):
            made = super().observables(events, objects)
            filled.append(float(np.sum(made["sum"])))
            return made

    Noting().process(events)
    assert filled == pytest.approx([nominal.sum(), 1.1 * nominal.sum(), 0.9 * nominal.sum()], rel=1e-5)


def test_correctionlib_takes_jagged_columns(source):
    correction = schema.Correction(
        name="scale",
        version=1,
        inputs=[schema.Variable(name="pt", type="real"), schema.Variable(name="rho", type="real")],
        output=schema.Variable(name="factor", type="real"),
        data=schema.Formula(nodetype="formula", expression="1+x/1000", parser="TFormula", variables=["pt"]),
    ).to_evaluator()

    def use(events):
        jets = events.Jet
        jets = jets[jets.pt > 20]
        factors = correction.evaluate(jets.pt, 1.0)
        assert ak.num(factors).tolist() == ak.num(jets).tolist()
        assert np.allclose(ak.to_numpy(ak.flatten(factors)), 1 + ak.to_numpy(ak.flatten(jets.pt)) / 1000)

    use(accelerate(read_events(source, 0, source.entries, None, ABOUT)))


def test_fields_are_the_same_in_learning_and_in_the_run(source, columns):
    lazy = read_events(source, 0, 10, None, ABOUT)
    read = read_events(source, 0, 10, columns, ABOUT)
    assert "GenPart" in read.fields
    assert "GenPart" not in read.layout.fields
    assert read.fields == lazy.fields == ak.fields(lazy) == ak.fields(read)
    assert read.Jet.fields == ak.fields(lazy.Jet) == sorted(lazy.Jet.layout.fields)
    assert "NoSuch" not in read.fields


class OneSided(Assigning):
    shifts = ("jes_up",)


def test_a_shift_of_one_side_fills_no_other(source):
    made = OneSided().process(read_events(source, 0, source.entries, None, ABOUT))["set"]["histograms"]
    assert made.variations == ("nominal", "jes_up")
    both = Assigning().process(read_events(source, 0, source.entries, None, ABOUT))["set"]["histograms"]
    assert (
        made["sum"]["all", "jes_up", :].values(flow=True).tolist()
        == both["sum"]["all", "jes_up", :].values(flow=True).tolist()
    )


def test_numbers_of_events_answer_as_awkwards_do(source, columns):
    for events in (read_events(source, 0, 20, None, ABOUT), read_events(source, 0, 20, columns, ABOUT)):
        handed = accelerate(events)
        for numbers in (handed.genWeight, handed.MET.pt, handed.MET.pt > 20, 2 * handed.genWeight):
            assert numbers.to_list() == numbers.tolist()
            assert type(numbers.to_numpy()) is np.ndarray
            assert isinstance(numbers, np.ndarray)
        numbers = handed.genWeight
        numbers.to_numpy()[:] = 0
        assert not np.any(handed.genWeight == 0)
