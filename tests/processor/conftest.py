"""A small analysis and made events for it."""

import awkward as ak
import numpy as np
import pytest
import vector
from hist.axis import Integer, Regular

from colonnade.histograms import Histogram
from colonnade.processor import Objects, Processor, Region

vector.register_awkward()


class Events(ak.Array):
    """Events with metadata, as the events room makes them."""

    @property
    def metadata(self):
        return self.attrs["metadata"]


class Toy(Processor):
    """At least one jet; two regions, one blinded."""

    histograms = (
        Histogram("ht", Regular(20, 0, 400), label="HT", unit="GeV"),
        Histogram("jet_pt", Regular(20, 0, 400), label="jet pt", unit="GeV", regions=["two"]),
        Histogram("n", Integer(0, 5), label="jets"),
    )
    shifts = ("jet_energy_scale", "jet_loss")
    regions = {
        "two": Region("two jets"),
        "soft": Region("two jets", "HT < 200", "central"),
        "signal": Region("two jets", "HT > 200", "central", signal=True),
        "all": Region(),
    }

    def __init__(self, *, jet_pt=30.0, **others):
        super().__init__(**others)
        self.jet_pt = jet_pt

    def common(self, events):
        return Objects(trigger=events.trigger, weight=lambda objects: objects.trigger * 2)

    def skim(self, events):
        return {"trigger": lambda objects: objects.trigger}

    def objects(self, events, shift):
        jets = events.Jet
        pt = jets.pt * (1 + 0.05 * shift["jet_energy_scale"])
        jets = ak.with_field(jets, pt, "pt")[pt > self.jet_pt]
        if shift["jet_loss"] < 0:
            jets = jets[:, 1:]
        return Objects(jets=jets, hard=lambda objects: objects.jets[objects.jets.pt > 50])

    def preselection(self, objects):
        return {"a jet": ak.num(objects.jets) >= 1}

    def observables(self, events, objects):
        return {
            "jet_pt": objects.jets.pt,
            "ht": ak.sum(objects.jets.pt, axis=1),
            "n": ak.num(objects.jets),
            "n_hard": ak.num(objects.hard),
        }

    def cuts(self, events, objects, observables):
        return {
            "two jets": observables["n"] >= 2,
            "HT < 200": observables["ht"] < 200,
            "HT > 200": observables["ht"] > 200,
            "central": ak.all(abs(objects.jets.eta) < 2.5, axis=1),
        }

    def weights(self, events, objects, weights):
        jets = ak.num(objects.jets).to_numpy()
        weights.add("jet_id", 0.9**jets, 0.95**jets, 0.8**jets)
        weights.add("pileup", events.pileup, events.pileup * 1.1)


def _make_events(size=1000, seed=1, kind="background", dataset="toy", **more):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2, size)
    number = int(counts.sum())
    columns = {
        "pt": rng.exponential(60, number) + 20,
        "eta": rng.normal(0, 2, number),
        "phi": rng.uniform(-np.pi, np.pi, number),
        "mass": rng.exponential(5, number),
    }
    jets = ak.zip({name: ak.unflatten(one, counts) for name, one in columns.items()}, with_name="Momentum4D")
    events = {
        "Jet": jets,
        "run": np.ones(size, dtype=np.uint32),
        "luminosityBlock": np.arange(size, dtype=np.uint32) // 100 + 1,
        "event": np.arange(size, dtype=np.uint64),
        "trigger": rng.random(size) < 0.9,
        "pileup": rng.uniform(0.5, 1.5, size),
    }
    if kind != "data":
        events["genWeight"] = rng.choice([2.0, -2.0], size, p=[0.9, 0.1]).astype(np.float32)
    metadata = {"dataset": dataset, "kind": kind, "filename": "file.root", "entrystart": 0, "entrystop": size, **more}
    return ak.Array(
        ak.zip(events, depth_limit=1).layout,
        with_name="Events",
        behavior={("*", "Events"): Events},
        attrs={"metadata": metadata},
    )


@pytest.fixture
def make_events():
    """A function that draws events."""
    return _make_events


@pytest.fixture
def with_column():
    """A function that replaces a column of events."""

    def replace(events, name, values):
        changed = ak.with_field(events, values, name)
        return ak.Array(changed.layout, with_name="Events", behavior=events.behavior, attrs=dict(events.attrs))

    return replace


@pytest.fixture
def toy():
    """The analysis's class; derive from it."""
    return Toy
