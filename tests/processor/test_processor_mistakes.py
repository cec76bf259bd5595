"""What an analysis can do wrong: values that are no numbers, and declarations that contradict each other."""

import awkward as ak
import numpy as np
import pytest
from hist.axis import Regular

from colonnade.errors import ConfigError, EventError
from colonnade.histograms import Histogram
from colonnade.processor import Region


class TestBadValues:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, None])
    def test_generator_weight(self, toy, make_events, with_column, bad):
        values = make_events().genWeight.to_list()
        values[17] = bad
        events = with_column(make_events(), "genWeight", values)
        with pytest.raises(EventError) as caught:
            toy().process(events)
        message = str(caught.value)
        for words in ("'genWeight'", "1 of 1000 events", "dataset 'toy'", "file.root", "entries 0 to 1000"):
            assert words in message

    def test_weights_of_the_analysis(self, toy, make_events):
        def bad(where):
            class Bad(toy):
                def weights(self, events, objects, weights):
                    values = {name: np.ones(len(events)) for name in ("nominal", "up", "down")}
                    values[where][3] = np.nan
                    weights.add("muon_id", values["nominal"], values["up"], values["down"])

            return Bad()

        for where, name in (("nominal", "'muon_id'"), ("up", "muon_id (up)"), ("down", "muon_id (down)")):
            with pytest.raises(EventError) as caught:
                bad(where).process(make_events())
            assert name in str(caught.value)
            assert "entries 0 to 1000" in str(caught.value)

    def test_observables(self, toy, make_events):
        class Bad(toy):
            def observables(self, events, objects):
                made = super().observables(events, objects)
                values = ak.to_numpy(made["ht"]).copy()
                values[np.flatnonzero(ak.num(objects.jets) >= 2)[0]] = np.nan
                return {**made, "ht": values}

            def cuts(self, events, objects, observables):
                return {**super().cuts(events, objects, observables), "HT > 200": observables["ht"] > 200}

        with pytest.raises(EventError, match=r"observable 'ht' of histogram 'ht' .*dataset 'toy', file file.root"):
            Bad().process(make_events())


class TestMistakes:
    """What the first call finds, before any worker starts."""

    def change(self, toy, **members):
        return type("Changed", (toy,), members)

    def test_a_cut_that_is_not_produced(self, toy, make_events):
        wrong = self.change(toy, regions={"a": Region("HT > 20")}, histograms=())
        with pytest.raises(ConfigError, match=r"region 'a' needs the cut 'HT > 20'.*did you mean HT > 200"):
            wrong().process(make_events())

    def test_a_cut_that_is_applied_before(self, toy, make_events):
        wrong = self.change(toy, regions={"a": Region("trigger")}, histograms=())
        with pytest.raises(ConfigError, match="repeats the cut 'trigger'"):
            wrong().process(make_events())
        twice = self.change(toy, preselection=lambda self, objects: {"trigger": ak.num(objects.jets) > 0})  # noqa: ARG005
        with pytest.raises(ConfigError, match="'trigger' is applied twice"):
            twice().process(make_events())

    def test_an_observable_that_is_not_produced(self, toy, make_events):
        wrong = self.change(toy, histograms=(Histogram("htt", Regular(1, 0, 1)),))
        for events in (make_events(), make_events(0)):
            with pytest.raises(ConfigError, match=r"'htt' needs the observable 'htt'.*did you mean ht\?"):
                wrong().process(events)

    def test_cuts_that_are_no_masks(self, toy, make_events):
        for values in (1.0, "yes"):
            wrong = self.change(toy, preselection=lambda self, objects, values=values: {"a jet": values})  # noqa: ARG005
            with pytest.raises(ConfigError, match="'a jet'"):
                wrong().process(make_events())
        wrong = self.change(toy, preselection=lambda self, objects: {"a jet": ak.num(objects.jets)})  # noqa: ARG005
        with pytest.raises(ConfigError, match="one truth value"):
            wrong().process(make_events())
        jagged = self.change(toy, preselection=lambda self, objects: {"a jet": objects.jets.pt > 3})  # noqa: ARG005
        with pytest.raises(ConfigError, match="one truth value"):
            jagged().process(make_events())

    def test_a_missing_truth_value_is_false(self, toy, make_events):
        missing = self.change(
            toy,
            preselection=lambda self, objects: {"a jet": ak.firsts(objects.jets.pt) > 0},  # noqa: ARG005
        )
        expected = toy().process(make_events())["toy"]["histograms"]
        assert missing().process(make_events())["toy"]["histograms"] == expected

    def test_objects_that_are_none(self, toy, make_events):
        wrong = self.change(toy, objects=lambda self, events, shift: events.Jet)  # noqa: ARG005
        with pytest.raises(ConfigError, match="return Objects"):
            wrong().process(make_events())

    def test_a_shift_that_is_not_declared(self, toy, make_events):
        wrong = self.change(toy, shifts=("jet_energy_scal", "jet_loss"))
        with pytest.raises(ConfigError, match=r"asks for the shift 'jet_energy_scale'.*did you mean jet_energy_scal"):
            wrong().process(make_events())

    def test_a_variation_of_two_sources(self, toy, make_events):
        wrong = self.change(
            toy,
            weights=lambda self, events, objects, weights: weights.add(  # noqa: ARG005
                "jet_energy_scale", np.ones(len(events)), np.ones(len(events))
            ),
        )
        with pytest.raises(ConfigError, match="'jet_energy_scale_up' comes from two"):
            wrong().process(make_events())

    def test_any_number_of_cuts(self, toy, make_events):
        names = [f"cut {i}" for i in range(65)]
        many = self.change(
            toy,
            regions={"a": Region(*names)},
            histograms=(),
            cuts=lambda self, events, objects, observables: {  # noqa: ARG005
                name: observables["n"] > (name == "cut 64") for name in names
            },
        )
        events = make_events()
        (result,) = many().process(events).values()
        rows = result["cutflow"]["a"]
        last, before = rows["cut 64"], rows["cut 63"]
        assert 0 < last[0] < before[0]
        assert last[3] == before[0]  # N-1: without the last cut

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({"regions": {"a": ("cut",)}}, "use Region"),
            ({"regions": {"a/b": Region("cut")}}, "can't be a region's name"),
            ({"regions": {"a__b": Region("cut")}}, "can't be a region's name"),
            ({"shifts": "jet"}, "must be a tuple"),
            ({"shifts": ("jet", "jet")}, "different names"),
            ({"histograms": ("ht",)}, "use Histogram"),
            ({"histograms": (Histogram("ht", Regular(1, 0, 1)),) * 2}, "twice"),
            ({"histograms": (Histogram("ht", Regular(1, 0, 1), regions=["tow"]),)}, "did you mean two"),
        ],
    )
    def test_declarations(self, toy, members, words):
        with pytest.raises(ConfigError, match=words):
            self.change(toy, **members)()
