import cloudpickle
import numpy as np

import awkward as ak
import hist
import vector
from hist.axis import Regular

from colonnade.histograms import Histogram
from colonnade.processor import Objects, Processor, Region, cutflow_table

vector.register_awkward()


class Toy(Processor):
    histograms = [
        Histogram("ht", Regular(20, 0, 400), label="HT", unit="GeV"),
        Histogram("jet_pt", Regular(20, 0, 400), label="jet pt", unit="GeV", regions=["two"]),
    ]
    shifts = ("jet_energy_scale",)
    regions = {"two": Region("njet2"), "signal": Region("njet2", "ht200", signal=True)}

    def __init__(self, *, jet_pt=30.0, **others):
        super().__init__(**others)
        self.jet_pt = jet_pt

    def objects(self, events, shift):
        jets = ak.with_field(events.Jet, events.Jet.pt * (1 + 0.05 * shift["jet_energy_scale"]), "pt")
        return Objects(jets=jets[jets.pt > self.jet_pt])

    def preselection(self, objects):
        return {"njet1": ak.num(objects.jets) >= 1}

    def observables(self, events, objects):
        return {"jet_pt": objects.jets.pt, "ht": ak.sum(objects.jets.pt, axis=1)}

    def cuts(self, events, objects, observables):
        return {"njet2": ak.num(objects.jets) >= 2, "ht200": observables["ht"] > 200}

    def weights(self, events, objects, weights):
        nominal = np.full(len(events), 0.9)
        weights.add("jet_id", nominal, nominal * 1.1, nominal * 0.95)


def make_events(n=1000, seed=1, kind="background", **more):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2, n)
    jets = ak.zip(
        {
            "pt": ak.unflatten(rng.exponential(60, counts.sum()) + 20, counts),
            "eta": ak.unflatten(rng.normal(0, 2, counts.sum()), counts),
            "phi": ak.unflatten(rng.uniform(-np.pi, np.pi, counts.sum()), counts),
            "mass": ak.unflatten(rng.exponential(5, counts.sum()), counts),
        },
        with_name="Momentum4D",
    )
    columns = {"Jet": jets, "run": np.ones(n, int), "luminosityBlock": np.arange(n) // 100, "event": np.arange(n)}
    if kind != "data":
        columns["genWeight"] = rng.choice([1.0, -1.0], n, p=[0.9, 0.1]).astype(np.float32)
    events = ak.zip(columns, depth_limit=1)
    meta = {"dataset": "toy", "kind": kind, "filename": "f.root", "entrystart": 0, "entrystop": n, **more}

    return ak.Array(events.layout, with_name="Events", behavior={("*", "Events"): Events}, attrs={"metadata": meta})


class Events(ak.Array):
    @property
    def metadata(self):
        return self.attrs["metadata"]


def test_fills():
    processor = cloudpickle.loads(cloudpickle.dumps(Toy()))
    events = make_events()
    out = processor.process(events)["toy"]
    print(out, cutflow_table(out["cutflow"]))
    h = out["histograms"]["ht"]
    jets = events.Jet[events.Jet.pt > 30]
    ht = ak.sum(jets.pt, axis=1)
    mask = ak.num(jets) >= 2
    ref = hist.Hist(Regular(20, 0, 400), storage="weight").fill(
        ht[mask], weight=np.asarray(events.genWeight[mask], dtype=float) * 0.9
    )
    assert np.array_equal(h["two", "nominal", :].view(flow=True), ref.view(flow=True))
    assert list(h.axes["variation"]) == [
        "nominal",
        "jet_id_up",
        "jet_id_down",
        "jet_energy_scale_up",
        "jet_energy_scale_down",
    ]


def test_blind_and_empty():
    out = Toy().process(make_events(kind="data"))["toy"]
    print(cutflow_table(out["cutflow"]))
    assert out["histograms"]["ht"]["signal", ...].sum(flow=True).value == 0
    out = Toy().process(make_events(0))["toy"]
    print(out)
