"""Backgrounds from data, closed: fake factors and the matrix method against pseudo-experiments with known truth."""

from __future__ import annotations

import awkward as ak
import hist
import numpy as np
import pytest
from hist.axis import Regular, Variable

from colonnade import Histogram, Objects, Processor, Region
from colonnade.errors import ConfigError, EventError
from colonnade.histograms import HistogramSet
from colonnade.processor import matrix_weight, measure_transfer
from colonnade.processor.corrections import Corrections
from colonnade.processor.transfers import TransferFactor, Transfers

TOYS = 1000
EDGES = np.array([10.0, 20.0, 30.0, 60.0])
FACTORS = np.array([0.5, 0.3, 0.2])


def counts(pt):
    filled = hist.Hist(Variable(EDGES, name="pt"), storage=hist.storage.Weight())
    return filled.fill(pt)


def toys(contents, variances=None):
    """Return a histogram of all pseudo-experiments at once: of each a row."""
    axes = (Regular(TOYS, 0, TOYS, name="toy"), Variable(EDGES, name="pt"))
    filled = hist.Hist(*axes, storage=hist.storage.Weight())
    filled.view()["value"] = contents
    filled.view()["variance"] = contents if variances is None else variances
    return filled


def test_fake_factors_close_with_the_right_coverage():
    """The factor is measured where it is known to be a ratio, less simulated contamination, and applied elsewhere."""
    rng = np.random.default_rng(3)
    failing, application, prompt = np.array([400.0, 300.0, 250.0]), np.array([80.0, 60.0, 40.0]), 30.0
    truth = float((application * FACTORS).sum())
    passed, failed = (rng.poisson(each, (TOYS, 3)) for each in (failing * FACTORS + prompt, failing + prompt))
    # ten times the luminosity of data
    simulated = [toys(rng.poisson(10 * prompt, (TOYS, 3)) / 10, prompt / 10) for _ in range(2)]
    factor = measure_transfer("ff", toys(passed), toys(failed), ([simulated[0]], [simulated[1]]))
    applied = rng.poisson(application, (TOYS, 3))
    toy = np.repeat(np.arange(TOYS), applied.sum(axis=1))
    place = np.repeat(np.tile(np.arange(3), TOYS), applied.ravel())
    transfers = Transfers(len(toy))
    transfers.add("ff", factor.values[toy, place])
    for number in range(3):  # each bin of the factor moves all events that it was applied to
        moved = factor.values[toy, place] + np.where(place == number, factor.errors[toy, place], 0.0)
        transfers.vary("ff", f"bin{number}", moved)
    filled = HistogramSet([Histogram("toy", Regular(TOYS, 0, TOYS))], ["AR"], ("nominal", *transfers.variations))
    everything = {"AR": np.ones(len(toy), dtype=bool)}
    for weights, masks in transfers.spread(np.ones((len(toy), 1)), everything, {"AR": Region(transfer="ff")}):
        filled.fill({"toy": toy}, masks, weights)
    view = filled["toy"].view()[0]
    shifts = view["value"][1:] - view["value"][0]
    pulls = (view["value"][0] - truth) / np.sqrt(view["variance"][0] + np.square(shifts).sum(axis=0))
    assert abs(np.mean(np.abs(pulls) < 1) - 0.683) < 0.03
    assert abs(pulls.mean()) < 0.15


def test_a_written_factor_gives_back_values_and_the_errors_of_bins(tmp_path):
    axes = (("pt", (10.0, 20.0, 40.0)), ("eta", (0.0, 1.0, 2.5)))
    factor = TransferFactor("ff", axes, np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.01, 0.02], [0.03, 0.04]]))
    factor.write(tmp_path / "ff.json")
    correction = Corrections({"ff": tmp_path / "ff.json"})["ff"]["ff"]
    pt, eta = np.array([15.0, 500.0, 12.0, 30.0]), np.array([0.5, 2.0, 1.5, 0.5])  # one beyond the bins
    transfers = Transfers(4)
    transfers.apply("ff", correction, pt, eta)
    assert transfers.variations == tuple(f"ff_bin{i}_{word}" for i in range(4) for word in ("up", "down"))
    weights, masks = next(
        iter(transfers.spread(np.full((4, 1), 2.0), {"AR": np.ones(4, bool)}, {"AR": Region(transfer="ff")}))
    )
    assert weights[:, 0].tolist() == [0.2, 0.8, 0.4, 0.6]
    assert weights[:, 1 + 2 * 3] == pytest.approx([0.2, 0.88, 0.4, 0.6])  # the fourth bin, up
    assert list(masks) == ["AR"]


def test_what_is_unusual_of_a_measurement_is_said():
    passed, failed = counts([15, 25, 25, 40]), counts([15, 15, 25, 40])
    many = counts([15] * 3)
    factor = measure_transfer("ff", passed, failed, ([many], []))
    assert factor.values.tolist() == [-1.0, 2.0, 1.0]
    assert factor.notes == ("The transfer factor ff is negative (-1) in pt 10 to 20; it is kept.",)
    assert factor.errors[0] == pytest.approx(np.sqrt(4 + 1 * 2) / 2)
    with pytest.raises(ConfigError, match=r"ff can't be measured: 0 failing events are left in pt 20 to 30"):
        measure_transfer("ff", passed, counts([15, 40]))


@pytest.mark.parametrize("leptons", [1, 2])
def test_the_matrix_method_finds_the_fakes(leptons):
    """Many events of known origin: the sum of weights is the number of tight events with a fake."""
    rng = np.random.default_rng(leptons)
    events = 400_000
    real = rng.random((leptons, events)) < 0.6
    r, f = rng.uniform(0.8, 0.95, (leptons, events)), rng.uniform(0.1, 0.4, (leptons, events))
    tight = rng.random((leptons, events)) < np.where(real, r, f)
    weights = matrix_weight(list(tight), list(r), list(f))
    expected = (tight.all(axis=0) & ~real.all(axis=0)).sum()
    assert abs(weights.sum() - expected) < 4 * np.sqrt(np.square(weights).sum())
    # by the inverse of the matrix, for one event
    inverse = np.array([[1.0]])
    for i in range(leptons):
        inverse = np.kron(inverse, np.linalg.inv(np.array([[r[i, 0], f[i, 0]], [1 - r[i, 0], 1 - f[i, 0]]])))
    observed = np.zeros(2**leptons)
    observed[int("".join("0" if passes else "1" for passes in tight[:, 0]), 2)] = 1.0
    truth = inverse @ observed
    rates = [
        np.prod([r[i, 0] if not k >> (leptons - 1 - i) & 1 else f[i, 0] for i in range(leptons)])
        for k in range(2**leptons)
    ]
    assert weights[0] == pytest.approx(sum(truth[k] * rates[k] for k in range(1, 2**leptons)))


def test_efficiencies_the_wrong_way_round_are_refused():
    with pytest.raises(EventError, match="1 are not"):
        matrix_weight([np.array([True, True])], [np.array([0.9, 0.2])], [np.array([0.2, 0.3])])


class Fakes(Processor):
    regions = {
        "SR": Region("tight", signal=True),
        "AR": Region("loose", transfer="ff"),
        "plain": Region("loose"),
    }
    histograms = (Histogram("x", Regular(4, 0, 4)),)
    broken = False

    def objects(self, events, shift):
        return Objects(x=events.x)

    def observables(self, events, objects):
        return {"x": objects.x}

    def cuts(self, events, objects, observables):
        return {"tight": events.tight, "loose": events.tight if self.broken else ~events.tight}

    def weights(self, events, objects, weights):
        weights.add("sf", np.full(len(objects.x), 2.0), np.full(len(objects.x), 3.0), np.full(len(objects.x), 1.0))

    def transfers(self, events, objects, transfers):
        factor = np.where(objects.x < 2, 0.5, -0.25)
        transfers.add("ff", factor, 2 * factor, 0 * factor)


class Events(ak.Array):
    metadata = property(lambda self: self.attrs["metadata"])


def chunk(kind):
    events = ak.zip({"x": [0.5, 1.5, 2.5, 3.5], "tight": [True, False, False, True], "genWeight": [1.0] * 4})
    about = {"metadata": {"dataset": "set", "kind": kind}}
    return ak.Array(events, with_name="Events", behavior={("*", "Events"): Events}, attrs=about)


def test_a_region_counts_by_its_factor_and_others_do_not():
    filled = Fakes().process(chunk("background"))["set"]
    x = filled["histograms"]["x"]
    assert list(x.axes["variation"]) == ["nominal", "sf_up", "sf_down", "ff_up", "ff_down"]
    content = {name: x["AR", name, :].values().tolist() for name in x.axes["variation"]}
    assert content["nominal"] == [0, 1.0, -0.5, 0]
    assert content["sf_up"] == [0, 1.5, -0.75, 0]
    assert content["ff_up"] == [0, 2.0, -1.0, 0]
    assert content["ff_down"] == [0, 0, 0, 0]
    assert x["plain", "ff_up", :].values().tolist() == x["plain", "nominal", :].values().tolist() == [0, 2, 2, 0]
    assert filled["transfers"]["AR"].tolist() == [2, 1]


def test_data_count_by_the_factor_and_stay_blind():
    x = Fakes().process(chunk("data"))["set"]["histograms"]["x"]
    assert list(x.axes["variation"]) == ["nominal", "ff_up", "ff_down"]
    assert x["AR", "nominal", :].values().tolist() == [0, 0.5, -0.25, 0]
    assert x["AR", "nominal", :].variances().tolist() == [0, 0.25, 0.0625, 0]
    assert x["SR", :, :].values().sum() == 0
    broken = Fakes()
    broken.broken = True
    with pytest.raises(EventError, match=r"the region 'AR'.* holds data of the blinded region 'SR' in dataset 'set'"):
        broken.process(chunk("data"))


def test_a_wrong_factor_is_one_sentence():
    class Missing(Fakes):
        def transfers(self, events, objects, transfers):
            transfers.add("fff", np.ones(len(objects.x)))

    with pytest.raises(ConfigError, match=r"region 'AR' needs the transfer factor 'ff'.*did you mean fff"):
        Missing().process(chunk("data"))

    class Nan(Fakes):
        def transfers(self, events, objects, transfers):
            transfers.add("ff", np.full(len(objects.x), np.nan))

    with pytest.raises(EventError, match="'transfer factor ff' is missing, infinite or not a number in 4 of 4 events"):
        Nan().process(chunk("data"))

    transfers = Transfers(1)
    transfers.add("ff", np.ones(1))
    with pytest.raises(ConfigError, match="transfer factor 'ff' is given twice"):
        transfers.add("ff", np.ones(1))


def test_only_a_measured_factor_is_applied(shared_data):
    other = Corrections({"jerc": shared_data / "corrections" / "jet_jerc_Summer22_V3.json.gz"})["jerc"]
    name = next(iter(other))
    with pytest.raises(ConfigError, match=f"correction {name} is no transfer factor that measure_transfer made"):
        Transfers(1).apply("ff", other[name], np.ones(1))
