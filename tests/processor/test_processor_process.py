"""The base class against the same analysis written out with plain hist, coffea's Weights and PackedSelection."""

import itertools
import pickle

import awkward as ak
import cloudpickle
import hist
import numpy as np
import pytest
from coffea.analysis_tools import PackedSelection, Weights
from coffea.processor import ProcessorABC, accumulate
from hist.axis import Regular

from colonnade.errors import ConfigError
from colonnade.execution.result import cutflow_table
from colonnade.histograms import Histogram
from colonnade.processor import Objects, Processor, Region, Shift
from colonnade.processor.chunk_run import Passing


def by_hand(events, scale=1.0, jet_pt=30.0, lose=False):
    """The toy analysis, straight."""
    events = events[events.trigger]
    jets = ak.with_field(events.Jet, events.Jet.pt * scale, "pt")
    jets = jets[jets.pt > jet_pt]
    jets = jets[:, 1:] if lose else jets
    keep = ak.num(jets) >= 1
    events, jets = events[keep], jets[keep]
    number = ak.num(jets).to_numpy()
    generator = events.genWeight.to_numpy().astype(float) if "genWeight" in events.fields else np.ones(len(events))
    weights = Weights(len(events))
    weights.add("generator", generator)
    pileup = events.pileup.to_numpy()
    weights.add("jet_id", 0.9**number, 0.95**number, 0.8**number)
    weights.add("pileup", pileup, pileup * 1.1)
    selection = PackedSelection()
    ht = ak.sum(jets.pt, axis=1)
    selection.add("two jets", number >= 2)
    selection.add("HT < 200", (ht < 200).to_numpy())
    selection.add("HT > 200", (ht > 200).to_numpy())
    selection.add("central", ak.all(abs(jets.eta) < 2.5, axis=1).to_numpy())
    return jets, ht.to_numpy(), weights, selection


CUTS = {"two": ["two jets"], "soft": ["two jets", "HT < 200", "central"], "signal": ["two jets", "HT > 200", "central"]}
WEIGHTED = {
    "nominal": None,
    "jet_id_up": "jet_idUp",
    "jet_id_down": "jet_idDown",
    "pileup_up": "pileupUp",
    "pileup_down": "pileupDown",
}
SHIFTED = {
    "jet_energy_scale_up": {"scale": 1.05},
    "jet_energy_scale_down": {"scale": 0.95},
    "jet_loss_up": {},
    "jet_loss_down": {"lose": True},
}


def same(made, expected):
    a, b = made.view(flow=True), expected.view(flow=True)
    return np.allclose(a.value, b.value, rtol=1e-13) and np.allclose(a.variance, b.variance, rtol=1e-13)


class TestHistograms:
    def test_all_regions_and_variations(self, toy, make_events):
        events = make_events()
        made = toy().process(events)["toy"]["histograms"]
        assert list(made["ht"].axes["region"]) == ["two", "soft", "signal", "all"]
        assert list(made["ht"].axes["variation"]) == [*WEIGHTED, *SHIFTED]
        for region, variation in itertools.product([*CUTS, "all"], [*WEIGHTED, *SHIFTED]):
            jets, ht, weights, selection = by_hand(events, **SHIFTED.get(variation, {}))
            mask = selection.all(*CUTS[region]) if region in CUTS else np.ones(len(ht), dtype=bool)
            weight = weights.weight(WEIGHTED.get(variation))[mask]
            expected = hist.Hist(Regular(20, 0, 400), storage="weight").fill(ht[mask], weight=weight)
            assert same(made["ht"][region, variation, :], expected), (region, variation)
            if region == "two":
                owner = np.repeat(np.arange(mask.sum()), ak.num(jets[mask]))
                expected = hist.Hist(Regular(20, 0, 400), storage="weight").fill(
                    ak.flatten(jets.pt[mask]), weight=weight[owner]
                )
                assert same(made["jet_pt"][region, variation, :], expected)
        assert list(made["jet_pt"].axes["region"]) == ["two"]

    def test_the_nominal_result_alone(self, toy, make_events):
        made = toy(variations=False).process(make_events())["toy"]["histograms"]
        assert made.variations == ("nominal",)
        full = toy().process(make_events())["toy"]["histograms"]
        assert made["ht"][:, "nominal", :] == full["ht"][:, "nominal", :]

    def test_bookkeeping(self, toy, make_events):
        events = make_events()
        made = toy().process(events)
        assert list(made) == ["toy"]
        assert made["toy"]["events"] == 1000
        assert made["toy"]["sumw"] == ak.sum(events.genWeight)

    def test_parameters(self, toy, make_events):
        events = make_events()
        made = toy(jet_pt=50.0).process(events)["toy"]["histograms"]["ht"]
        _, ht, weights, _ = by_hand(events, jet_pt=50.0)
        expected = hist.Hist(Regular(20, 0, 400), storage="weight").fill(ht, weight=weights.weight())
        assert same(made["all", "nominal", :], expected)
        assert toy.parameters() == ("jet_pt", "unblind", "corrections", "scorers", "files", "variations")
        with pytest.raises(ConfigError, match=r"Toy has no parameter 'jetpt' \(did you mean jet_pt\?\)"):
            toy(jetpt=3)

    def test_chunks_add_up(self, toy, make_events):
        events = make_events()
        whole = toy().process(events)
        parts = [toy().process(events[start : start + 300]) for start in range(0, 1000, 300)]
        for total in (accumulate(parts), accumulate(parts[::-1])):
            assert total["toy"]["events"] == whole["toy"]["events"]
            assert total["toy"]["sumw"] == whole["toy"]["sumw"]
            for name in whole["toy"]["histograms"]:
                assert same(total["toy"]["histograms"][name], whole["toy"]["histograms"][name])
            for region, cuts in whole["toy"]["cutflow"].items():
                assert list(total["toy"]["cutflow"][region]) == list(cuts)
                for cut, sums in cuts.items():
                    assert np.allclose(total["toy"]["cutflow"][region][cut], sums, equal_nan=True)
        left, right = accumulate([accumulate(parts[:2]), parts[2]]), accumulate([parts[0], accumulate(parts[1:3])])
        assert np.allclose(left["toy"]["histograms"]["ht"].values(), right["toy"]["histograms"]["ht"].values())

    def test_the_same_events_give_the_same_bits(self, toy, make_events):
        one, other = (toy().process(make_events())["toy"] for _ in range(2))
        assert one["histograms"] == other["histograms"]

    def test_no_events(self, toy, make_events):
        none = toy().process(make_events(0))["toy"]
        some = toy().process(make_events())["toy"]
        assert none["events"] == 0
        assert none["sumw"] == 0
        total = accumulate([{"toy": none}, {"toy": some}])["toy"]
        assert total["histograms"] == some["histograms"]
        rows = cutflow_table(none["cutflow"])
        assert [row["cut"] for row in rows["soft"]] == ["all events", "trigger", "a jet", *CUTS["soft"]]
        assert {row["raw"] for row in rows["soft"]} == {0}

    def test_no_event_passes(self, toy, make_events, with_column):
        events = with_column(make_events(), "trigger", np.zeros(1000, dtype=bool))
        made = toy().process(events)["toy"]
        assert made["histograms"]["ht"].sum(flow=True).value == 0
        assert [row["raw"] for row in cutflow_table(made["cutflow"])["two"]] == [1000, 0, 0, 0]

    def test_events_are_left_alone(self, toy, make_events):
        events = make_events()
        kind, before = type(events), ak.to_list(events[:20])
        toy().process(events)
        assert type(events) is kind
        assert ak.to_list(events[:20]) == before

    def test_simulation_without_generator_weights_counts(self, toy, make_events):
        events = make_events()
        plain = ak.without_field(events, "genWeight")
        plain = ak.Array(plain.layout, with_name="Events", behavior=events.behavior, attrs=dict(events.attrs))
        assert toy().process(plain)["toy"]["sumw"] == 1000

    def test_it_is_a_coffea_processor_and_travels(self, toy, make_events):
        processor = toy(jet_pt=40.0, unblind=True)
        assert isinstance(processor, ProcessorABC)
        events = make_events(50)
        again = cloudpickle.loads(cloudpickle.dumps(processor))
        made, expected = again.process(events)["toy"], processor.process(events)["toy"]
        assert again.jet_pt == 40.0
        assert made["histograms"] == expected["histograms"]
        assert pickle.loads(pickle.dumps(made))["histograms"] == made["histograms"]  # noqa: S301 - just made
        state = dict(vars(processor))
        processor.process(make_events(100))
        assert vars(processor) == state
        assert processor.postprocess(made) is made

    def test_by_value(self, make_events):
        """An analysis that a worker can't import, as cloudpickle sends it."""

        class Local(Processor):
            histograms = (Histogram("n", Regular(3, 0, 3)),)
            regions = {"all": Region()}

            def objects(self, events, shift):
                return Objects(jets=events.Jet)

            def observables(self, events, objects):
                return {"n": ak.num(objects.jets)}

            def cuts(self, events, objects, observables):
                return {}

        made = cloudpickle.loads(cloudpickle.dumps(Local())).process(make_events(10))["toy"]
        assert made["histograms"]["n"].sum(flow=True).value == Local().process(make_events(10))["toy"]["sumw"]


class TestCutflow:
    def test_against_coffea(self, toy, make_events):
        events = make_events()
        made = toy().process(events)["toy"]
        rows = cutflow_table(made["cutflow"], scale=3.0)
        _, _, weights, selection = by_hand(events)
        weight = weights.weight()
        for region, cuts in CUTS.items():
            first, trigger, jet, *last = rows[region]
            assert (first["cut"], first["raw"]) == ("all events", 1000)
            assert first["weighted"] == pytest.approx(3 * ak.sum(events.genWeight))
            assert first["error"] == pytest.approx(3 * np.sqrt(4 * 1000))
            assert (trigger["cut"], trigger["raw"]) == ("trigger", ak.sum(events.trigger))
            assert (jet["cut"], jet["raw"]) == ("a jet", len(weight))
            assert first["n_minus_one"] is trigger["n_minus_one"] is jet["n_minus_one"] is None
            flow = selection.cutflow(*cuts).result()
            without = selection.nminusone(*cuts).result()
            for place, row in enumerate(last):
                assert row["cut"] == cuts[place]
                assert row["raw"] == flow.nevcutflow[place + 1]
                mask = flow.maskscutflow[place]
                assert row["weighted"] == pytest.approx(3 * weight[mask].sum())
                assert row["error"] == pytest.approx(3 * np.sqrt((weight[mask] ** 2).sum()))
                others = without.masks[place] if len(cuts) > 1 else np.ones(len(weight), dtype=bool)
                assert row["n_minus_one"]["raw"] == others.sum()
                assert row["n_minus_one"]["weighted"] == pytest.approx(3 * weight[others].sum())
                assert row["n_minus_one"]["error"] == pytest.approx(3 * np.sqrt((weight[others] ** 2).sum()))

    def test_a_region_without_cuts(self, toy, make_events):
        rows = cutflow_table(toy().process(make_events())["toy"]["cutflow"])
        assert [row["cut"] for row in rows["all"]] == ["all events", "trigger", "a jet"]


class TestOrderedCuts:
    """Cuts may be arrays, or functions that only see what is left."""

    def passing(self, size=10):
        objects = Objects(number=np.arange(size), half=lambda those: those.number / 2)
        return Passing(ak.Array({"n": np.arange(size)}), objects, np.full(size, 2.0), np.arange(size), {})

    def test_arrays_and_functions_in_any_order(self):
        number = np.arange(10)
        seen = []

        def even(objects):
            seen.append(objects.number.tolist())
            return objects.number % 2 == 0

        def small(objects):
            seen.append(objects.half.tolist())
            return objects.half < 4

        passing = self.passing()
        passing.apply({"array": number > 1, "even": even, "late array": number != 4, "small": small})
        assert seen == [list(range(2, 10)), [1.0, 3.0, 4.0]]
        assert passing.events.n.tolist() == passing.objects.number.tolist() == [2, 6]
        assert passing.generator.tolist() == [2.0, 2.0]
        assert {name: row[:3].tolist() for name, row in passing.rows.items()} == {
            "array": [8, 16, 32],
            "even": [4, 8, 16],
            "late array": [3, 6, 12],
            "small": [2, 4, 8],
        }

    def test_nothing_left(self):
        passing = self.passing()
        passing.apply({"none": np.zeros(10, dtype=bool), "function": lambda objects: objects.half > 0})
        assert passing.rows["function"][0] == 0
        with pytest.raises(ConfigError, match="'wrong' must have one truth value for each of 0 events"):
            passing.apply({"wrong": lambda objects: np.ones(3, dtype=bool)})  # noqa: ARG005

    def test_common_objects_join_those_of_a_shift(self, toy, make_events):
        calls = []

        class Common(toy):
            def common(self, events):
                calls.append(len(events))
                return Objects(trigger=events.trigger, jets=events.Jet, doubled=lambda objects: objects.number * 2)

            def objects(self, events, shift):
                made = super().objects(events, shift)
                return Objects(jets=made.jets, hard=lambda objects: objects.jets, number=ak.num(made.jets))

            def observables(self, events, objects):
                assert ak.all(objects.doubled == 2 * ak.num(objects.jets))
                assert ak.all(objects.trigger)
                return super().observables(events, objects)

        made = Common().process(make_events())["toy"]["histograms"]
        assert made["ht"] == toy().process(make_events())["toy"]["histograms"]["ht"]
        assert calls == [1000]
        wrong = type("Wrong", (toy,), {"common": lambda self, events: events.Jet})  # noqa: ARG005
        with pytest.raises(ConfigError, match=r"Wrong\.common returns a"):
            wrong().process(make_events())


class TestBlinding:
    def data(self, make_events, **more):
        return make_events(kind="data", **more)

    def test_data_have_no_weights_and_no_variations(self, toy, make_events):
        made = toy().process(self.data(make_events))["toy"]
        assert made["sumw"] == 1000.0
        assert list(made["histograms"]["ht"].axes["variation"]) == ["nominal"]
        _, ht, _, selection = by_hand(self.data(make_events))
        expected = hist.Hist(Regular(20, 0, 400), storage="weight").fill(ht[selection.all("two jets")], weight=1.0)
        assert same(made["histograms"]["ht"]["two", "nominal", :], expected)

    def test_signal_regions_stay_empty(self, toy, make_events):
        made = toy().process(self.data(make_events))["toy"]["histograms"]
        for name in ("ht", "n"):
            assert made[name]["signal", ...].sum(flow=True).value == 0
            assert made[name]["soft", ...].sum(flow=True).value > 0
        shown = toy(unblind=True).process(self.data(make_events))["toy"]["histograms"]
        assert shown["ht"]["signal", ...].sum(flow=True).value > 0

    def test_simulation_is_never_blinded(self, toy, make_events):
        for kind in ("background", "signal"):
            made = toy().process(make_events(kind=kind))["toy"]["histograms"]
            assert made["ht"]["signal", ...].sum(flow=True).value != 0

    def test_the_cutflow_does_not_tell(self, toy, make_events):
        """Two data sets that differ in the signal region alone have the same cutflow."""
        events = self.data(make_events)
        shown = cutflow_table(toy(unblind=True).process(events)["toy"]["cutflow"])
        assert shown["signal"][-1]["raw"] > 0
        assert len(shown["signal"]) == 6
        rows = cutflow_table(toy().process(events)["toy"]["cutflow"])
        assert [row["cut"] for row in rows["signal"]] == ["all events"]
        assert [(row["cut"], row["n_minus_one"]) for row in rows["soft"]] == [("all events", None), ("central", None)]
        assert rows["soft"][-1]["raw"] == shown["soft"][-1]["raw"]
        assert rows["signal"][0]["raw"] == 1000

    def test_all_is_shown_where_nothing_is_blinded(self, toy, make_events):
        class Open(toy):
            regions = {"two": Region("two jets")}

        rows = cutflow_table(Open().process(self.data(make_events))["toy"]["cutflow"])
        assert len(rows["two"]) == 4

    def test_columns_leave_blinded_events_out(self, toy, make_events):
        events = self.data(make_events)
        blind, shown = toy().columns(events), toy(unblind=True).columns(events)
        hidden = shown["regions"]["signal"]
        assert hidden.any()
        assert blind["event"].tolist() == shown["event"][~hidden].tolist()
        assert not blind["regions"]["signal"].any()
        assert len(blind["observables"]["jet_pt"]) == len(blind["weight"]) == (~hidden).sum()

    def test_events_without_a_kind(self, toy, make_events):
        events = make_events(kind="data")
        del events.attrs["metadata"]["kind"]
        assert list(toy().process(events)["toy"]["histograms"].variations) == ["nominal"]
        events = make_events()
        del events.attrs["metadata"]["kind"]
        assert len(toy().process(events)["toy"]["histograms"].variations) == 9
        events.attrs["metadata"]["kind"] = "mc"
        with pytest.raises(ConfigError, match=r"'toy': its kind is 'mc'; allowed: data"):
            toy().process(events)


class TestColumns:
    def test_they_are_what_histograms_are_made_of(self, toy, make_events):
        events = make_events()
        for shift in ("nominal", "jet_energy_scale_up"):
            columns = toy().columns(events, shift)
            jets, ht, weights, selection = by_hand(events, **SHIFTED.get(shift, {}))
            assert np.allclose(columns["weight"], weights.weight())
            assert np.allclose(columns["observables"]["ht"], ht)
            assert ak.almost_equal(columns["observables"]["jet_pt"], jets.pt)
            for region, cuts in CUTS.items():
                assert np.array_equal(columns["regions"][region], selection.all(*cuts))
        columns = toy().columns(events)
        chosen = events[np.isin(events.event.to_numpy(), columns["event"])]
        assert columns["run"].tolist() == chosen.run.to_list()
        assert columns["luminosityBlock"].tolist() == chosen.luminosityBlock.to_list()
        with pytest.raises(ConfigError, match=r"no shift 'jet_energy_up'.*did you mean jet_energy_scale_up"):
            toy().columns(events, "jet_energy_up")


class TestScorers:
    def test_a_score_is_an_observable(self, toy, make_events):
        class Scorer:
            def __init__(self):
                self.calls = []

            def score_variations(self, variations, identities):
                self.calls.append([len(events.event) for events in identities])
                return [np.asarray(one["ht"]) / 1000 for one in variations]

        class Scored(toy):
            histograms = (Histogram("score", Regular(10, 0, 1)), Histogram("ht", Regular(10, 0, 1000)))
            regions = {"high": Region("score > 0.2")}

            def cuts(self, events, objects, observables):
                return {"score > 0.2": observables["score"] > 0.2}

        scorer, events = Scorer(), make_events()
        processor = Scored(scorers={"score": scorer})
        made = processor.process(events)["toy"]["histograms"]
        assert [len(call) for call in scorer.calls] == [1, 3]  # the nominal events, then the shifts that change ht
        assert np.allclose(made["score"].values(), made["ht"].values())
        assert made["score"].sum().value != 0
        assert "score" in processor.columns(events)["observables"]


class TestPieces:
    def test_region(self):
        with pytest.raises(ConfigError, match="twice"):
            Region("a", "a")
        with pytest.raises(ConfigError, match="names of cuts"):
            Region("a", 3)
        assert Region("a", "b") == Region("a", "b")
        assert pickle.loads(pickle.dumps(Region("a", signal=True))).signal  # noqa: S301 - what was just made

    def test_objects(self):
        calls = []

        def hard(objects):
            calls.append(len(objects.jets))
            return objects.jets[objects.jets.pt > 25]

        jets = ak.Array([[{"pt": 20.0}, {"pt": 30.0}], [], [{"pt": 40.0}]])
        objects = Objects(jets=jets, met=np.array([1.0, 2.0, 3.0]), hard=hard)
        assert list(objects) == ["jets", "met", "hard"]
        assert "met" in objects
        some = objects[np.array([True, False, True])][np.array([False, True])]
        assert some.hard.pt.to_list() == [[40.0]]
        assert some.hard is some.hard
        assert calls == [1]  # for the events that are left alone
        assert some.met.tolist() == [3.0]
        assert objects.hard.pt.to_list() == [[30.0], [], [40.0]]
        assert objects[np.array([True, False, True])].hard.pt.to_list() == [[30.0], [40.0]]
        assert calls == [1, 3]  # what is known already is only selected
        with pytest.raises(
            AttributeError, match=r"no objects 'jet' \(did you mean jets.*\); there are: jets, met, hard"
        ):
            some.jet  # noqa: B018
        with pytest.raises(ConfigError, match="jets 3, met 2"):
            Objects(jets=jets, met=np.zeros(2))

    def test_joined_objects(self):
        common = Objects(
            number=np.array([1.0, 2.0, 3.0]),
            met=np.array([10.0, 20.0, 30.0]),
            double=lambda objects: 2 * objects.met,
        )
        some = common[np.array([False, True, True])]
        shifted = some.joined(Objects(met=np.array([21.0, 31.0]), jets=np.array([0, 4])))
        assert list(shifted) == ["number", "met", "double", "jets"]
        assert shifted.number.tolist() == [2.0, 3.0]
        assert shifted.double.tolist() == [42.0, 62.0]  # of these objects, not of the common ones
        assert some.double.tolist() == [40.0, 60.0]
        assert shifted[np.array([1])].number.tolist() == [3.0]
        assert shifted[np.array([False, True])].double.tolist() == [62.0]
        with pytest.raises(ConfigError, match="number 2, met 3"):
            some.joined(Objects(met=np.zeros(3)))

    def test_shift(self):
        shifts = list(Shift.every(("a", "b")))
        assert [shift.variation for shift in shifts] == ["nominal", "a_up", "a_down", "b_up", "b_down"]
        assert [shift["a"] for shift in shifts] == [0, 1, -1, 0, 0]
        assert Shift.of("b_down", ("a", "b")) == shifts[-1]

    def test_a_shift_of_one_side(self):
        shifts = list(Shift.every(("a", "hem_up", "x_down")))
        assert [shift.variation for shift in shifts] == ["nominal", "a_up", "a_down", "hem_up", "x_down"]
        assert [shift["hem"] for shift in shifts] == [0, 0, 0, 1, 0]
        assert [shift["x"] for shift in shifts] == [0, 0, 0, 0, -1]
