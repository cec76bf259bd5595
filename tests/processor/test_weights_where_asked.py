"""Weights of regions, of objects and of data; shifts and variations where they are asked for."""

import awkward as ak
import numpy as np
import pytest
from hist.axis import Regular

from colonnade.errors import ConfigError, EventError
from colonnade.histograms import Histogram, combine
from colonnade.processor import Region, Shift, Source
from colonnade.processor.weights import Weights
from colonnade.serialisation import decode, encode


def contents(result, name, region, variation="nominal", dataset="toy"):
    return result[dataset]["histograms"][name][region, variation, :].values(flow=True)


def brute_force(analysis, events, region, observable, weight, bins):
    """Sum weights bin by bin, in a loop over events and objects."""
    columns = analysis.columns(events)
    total = np.zeros(len(bins) + 1)
    for i, chosen in enumerate(columns["regions"][region]):
        if chosen:
            values = columns["observables"][observable][i]
            for k, value in enumerate(np.atleast_1d(np.asarray(values))):
                total[np.searchsorted(bins, value, side="right")] += columns["weight"][i] * weight(columns, i, k)
    return total


class TestRegions:
    @pytest.fixture
    def regional(self, toy):
        class Regional(toy):
            def weights(self, events, objects, weights):
                super().weights(events, objects, weights)
                first = ak.firsts(objects.jets.pt)[ak.num(objects.jets) >= 2]
                trigger = np.full(len(events), np.nan)  # known for two jets alone
                trigger[ak.num(objects.jets) >= 2] = 0.5 + first.to_numpy() / 1000
                weights.add("trigger", trigger, trigger * 1.1, trigger * 0.8, regions=("two", "soft"))
                weights.add("soft_only", np.full(len(events), 0.7), np.full(len(events), 0.9), regions=("soft",))

        return Regional

    def test_against_a_loop_over_events(self, regional, make_events):
        events = make_events()
        analysis = regional(unblind=True)
        made = analysis.process(events)

        def trigger(columns, i, _):
            return 0.5 + columns["observables"]["jet_pt"][i][0] / 1000

        bins = np.linspace(0, 400, 21)
        for region, weight in (
            ("two", trigger),
            ("soft", lambda *at: 0.7 * trigger(*at)),
            ("all", lambda *_: 1.0),
            ("signal", lambda *_: 1.0),
        ):
            expected = brute_force(analysis, events, region, "ht", weight, bins)
            assert np.allclose(contents(made, "ht", region), expected, rtol=1e-12), region
            rows = made["toy"]["cutflow"][region]
            if analysis.regions[region].cuts:
                assert rows[analysis.regions[region].cuts[-1]][1] == pytest.approx(expected.sum(), rel=1e-12)

    def test_variations_stay_in_their_regions(self, regional, make_events):
        made = regional().process(make_events())
        for region, factor in (("two", 1.1), ("soft", 1.1), ("all", 1.0), ("signal", 1.0)):
            nominal = contents(made, "ht", region)
            assert np.allclose(contents(made, "ht", region, "trigger_up"), factor * nominal), region
        assert np.allclose(contents(made, "ht", "soft", "soft_only_up"), contents(made, "ht", "soft") * 9 / 7)
        assert (contents(made, "ht", "two", "soft_only_up") == contents(made, "ht", "two")).all()
        shifted = contents(made, "ht", "two", "jet_energy_scale_up")
        assert shifted.any()
        assert (shifted != contents(made, "ht", "two")).any()

    def test_others_keep_their_bits(self, regional, toy, make_events):
        events = make_events()
        plain, made = toy().process(events), regional().process(events)
        for variation in ("nominal", "jet_id_up", "pileup_down", "jet_loss_down"):
            assert (contents(plain, "ht", "all", variation) == contents(made, "ht", "all", variation)).all()

    def test_mistakes(self, toy, make_events):
        class Wrong(toy):
            where = ("sof",)
            values = 1.0

            def weights(self, events, objects, weights):
                weights.add("t", np.full(len(events), self.values), regions=self.where)

        with pytest.raises(ConfigError, match=r"'t' is for the region 'sof', which there is not \(did you mean soft\?"):
            Wrong().process(make_events())
        Wrong.where, Wrong.values = ("two",), np.nan
        with pytest.raises(EventError, match=r"'t' is missing.* events of the region 'two' in dataset 'toy'.*1000"):
            Wrong().process(make_events())
        Wrong.where, Wrong.values = ("signal",), np.nan
        data = make_events(kind="data")  # nothing of blinded events is told
        assert Wrong().process(data)["toy"]["histograms"]


class TestAtHand:
    def test_partial(self):
        weights = Weights(2)
        for name, value in (("a", 2.0), ("b", 3.0), ("c", 5.0)):
            weights.add(name, np.full(2, value))
        assert weights.partial(exclude=("b",)).tolist() == [10.0, 10.0]
        assert weights.partial(include=("b", "c")).tolist() == [15.0, 15.0]
        with pytest.raises(ConfigError, match=r"no weight 'bb'.*added: a, b, c"):
            weights.partial(exclude=("bb",))
        for given in ({}, {"include": ("a",), "exclude": ("b",)}, {"include": "a"}):
            with pytest.raises(ConfigError, match="takes a tuple of names"):
                weights.partial(**given)

    def test_one_sided(self):
        weights = Weights(2)
        weights.add("top", np.full(2, 2.0), np.array([3.0, 0.0]), one_sided=True)
        weights.add("down", np.full(2, 2.0), None, np.array([3.0, 0.0]))
        assert weights.variations == ("top_up", "down_down")
        assert weights.weight("top_up").tolist() == [6.0, 0.0]

    def test_shift_and_observables(self, toy, make_events):
        class Follows(toy):
            def weights(self, events, objects, weights):
                up = weights.shift["jet_energy_scale"]
                weights.add("follows", (2.0 + up) * np.asarray(weights.observables["n"]))

        made = Follows().process(make_events())
        columns = Follows().columns(make_events(), "jet_energy_scale_up")
        assert contents(made, "n", "all").sum() > 0
        generator = np.asarray(columns["weight"]) / 3.0 / columns["observables"]["n"].to_numpy()
        assert set(np.round(generator, 9)) == {2.0, -2.0}
        with pytest.raises(TypeError):
            Weights(1, observables={"x": 1}).observables["x"] = 2


class TestObjects:
    @pytest.fixture
    def by_object(self, toy):
        class ByObject(toy):
            histograms = (
                *toy.histograms,
                Histogram("weighted", Regular(20, 0, 400), observables=["jet_pt"], weight="jet_sf"),
                Histogram("by_event", Regular(20, 0, 400), observables=["ht"], weight="n"),
            )

            def observables(self, events, objects):
                made = super().observables(events, objects)
                return {**made, "jet_sf": 0.5 + made["jet_pt"] / 100}

        return ByObject

    def test_against_a_loop_over_objects(self, by_object, make_events):
        events = make_events()
        analysis = by_object(unblind=True)
        made = analysis.process(events)
        bins = np.linspace(0, 400, 21)
        for region in ("two", "soft", "all"):
            expected = brute_force(
                analysis, events, region, "jet_pt", lambda c, i, k: c["observables"]["jet_sf"][i][k], bins
            )
            assert np.allclose(contents(made, "weighted", region), expected, rtol=1e-12)
            expected = brute_force(analysis, events, region, "ht", lambda c, i, _: c["observables"]["n"][i], bins)
            assert np.allclose(contents(made, "by_event", region), expected, rtol=1e-12)
        up = contents(made, "weighted", "all", "pileup_up")
        assert np.allclose(up, 1.1 * contents(made, "weighted", "all"))
        assert "jet_loss_down" in made["toy"]["histograms"]["weighted"].axes["variation"]

    def test_pieces_give_the_same_bits(self, by_object, make_events, monkeypatch):
        events = make_events()
        whole = by_object().process(events)["toy"]["histograms"]
        monkeypatch.setattr("colonnade.histograms.filled._BLOCK", 4)
        assert by_object().process(events)["toy"]["histograms"] == whole

    def test_mistakes(self, by_object, make_events):
        class Wrong(by_object):
            wrong = np.nan

            def observables(self, events, objects):
                made = super().observables(events, objects)
                return {**made, "jet_sf": ak.where(made["jet_pt"] > 100, self.wrong, 1.0)}

        with pytest.raises(EventError, match=r"weight 'jet_sf' of histogram 'weighted' is missing.*region 'two' in d"):
            Wrong().process(make_events())

        class Jagged(by_object):
            histograms = (Histogram("ht", Regular(20, 0, 400), weight="jet_sf"),)

        with pytest.raises(ConfigError, match="'ht' has one entry an event, but its weight 'jet_sf' is jagged"):
            Jagged().process(make_events())

        class Other(by_object):
            histograms = (Histogram("jet_pt", Regular(20, 0, 400), weight="other"),)

            def observables(self, events, objects):
                return {**super().observables(events, objects), "other": events.Jet.pt}

        with pytest.raises(ConfigError, match="jagged with different numbers"):
            Other().process(make_events())


class TestData:
    def test_weights_and_shifts(self, toy, make_events):
        class Weighted(toy):
            shifts = ("jet_loss", Source("jet_energy_scale", data=True, sides="up"))

            def data_weights(self, events, objects, weights):
                weights.add("prescale", np.full(len(events), 3.0), np.full(len(events), 4.0))

        plain = toy().process(make_events(kind="data"))
        made = Weighted().process(make_events(kind="data"))
        names = list(made["toy"]["histograms"]["ht"].axes["variation"])
        assert names == ["nominal", "prescale_up", "prescale_down", "jet_energy_scale_up"]
        for region in ("two", "all"):
            assert (contents(made, "ht", region) == 3 * contents(plain, "ht", region)).all()
            assert (contents(made, "ht", region, "prescale_up") == 4 * contents(plain, "ht", region)).all()
        assert not contents(made, "ht", "signal", "jet_energy_scale_up").any()  # blind as ever
        assert (contents(made, "ht", "all", "jet_energy_scale_up") != contents(made, "ht", "all")).any()


class TestAsked:
    def test_processes(self, toy, make_events):
        class Some(toy):
            shifts = (Source("jet_loss", processes=("top*",)), "jet_energy_scale")

        for process, there in (("ttbar", False), ("top_pair", True)):
            made = Some().process(make_events(process=process))["toy"]["histograms"]
            assert ("jet_loss_up" in made.variations) == there

    def test_histograms(self, toy, make_events):
        class Some(toy):
            histograms = (
                Histogram("ht", Regular(20, 0, 400), variations=("jet_energy_scale", "pile*_up")),
                Histogram("n", Regular(5, 0, 5), variations=()),
                Histogram("n_hard", Regular(5, 0, 5), variations=("jet_id_down",)),
            )

            def objects(self, events, shift):
                assert shift.source != "jet_loss"  # nobody fills it
                return super().objects(events, shift)

        made = Some().process(make_events())["toy"]["histograms"]
        full = toy().process(make_events())["toy"]["histograms"]
        assert list(made["n"].axes["variation"]) == ["nominal"]
        assert list(made["n_hard"].axes["variation"]) == ["nominal", "jet_id_down"]
        names = ["nominal", "pileup_up", "jet_energy_scale_up", "jet_energy_scale_down"]
        assert list(made["ht"].axes["variation"]) == names
        for name in names:
            for part in ("value", "variance"):
                one, other = (each["ht"]["all", name, :].view(flow=True)[part] for each in (made, full))
                assert (one == other).all(), name
        up = contents({"toy": {"histograms": made}}, "ht", "all", "pileup_up")
        assert sum(array.size for array in made.arrays) < sum(array.size for array in full.arrays)
        part = Some(variations=False).process(make_events())["toy"]["histograms"]
        both = combine([made, part])  # what lacks a variation counts with its nominal contents
        assert list(both["n"].axes["variation"]) == ["nominal"]
        assert np.allclose(contents({"toy": {"histograms": both}}, "ht", "all", "pileup_up"), 2.1 / 1.1 * up)
        other = made.varied("alternative_up", made * 2.0)  # which no histogram asks for
        assert [list(one.axes["variation"]) for one in other.values()] == [
            list(one.axes["variation"]) for one in made.values()
        ]
        assert all((other[name].values() == made[name].values()).all() for name in made)
        assert decode(encode(made), Some.histograms) == made
        with pytest.raises(ConfigError, match="variations are a text"):
            Histogram("x", Regular(1, 0, 1), variations="jes")

    def test_coupled_sources(self, toy, make_events):
        class Both(toy):
            shifts = (Source("all_jets", moves=("jet_energy_scale", "jet_loss")),)

        class Apart(toy):
            def objects(self, events, shift):
                both = shift.direction if shift.source == "jet_loss" else 0
                return super().objects(events, {"jet_energy_scale": both, "jet_loss": both})

        made, apart = Both().process(make_events()), Apart().process(make_events())
        assert made["toy"]["histograms"].variations[-2:] == ("all_jets_up", "all_jets_down")
        for side in ("up", "down"):
            expected = contents(apart, "ht", "all", f"jet_loss_{side}")
            assert (contents(made, "ht", "all", f"all_jets_{side}") == expected).all()

    def test_declarations(self, toy):
        assert [one.variation for one in Shift.every((Source("a", sides="down"), "b_up"))] == [
            "nominal",
            "a_down",
            "b_up",
        ]
        with pytest.raises(ConfigError, match="sides both, up or down"):
            Source("a", sides="left")
        with pytest.raises(ConfigError, match="processes is a text"):
            Source("a", processes="ttbar")

        class Twice(toy):
            shifts = ("a", Source("a"))
            regions = {"all": Region()}
            histograms = ()

        with pytest.raises(ConfigError, match="different names"):
            Twice()
