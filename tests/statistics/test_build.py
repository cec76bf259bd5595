"""Models built from histograms: templates, systematics, bins of each signal, and what is refused."""

import json

import hist
import numpy as np
import pyhf
import pytest

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, FitError
from colonnade.statistics import Likelihood
from colonnade.statistics.analysis import analyse
from colonnade.statistics.build import Builder
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.step import write_analysis
from colonnade.statistics.templates import Inputs, Process


def small_settings(**changes):
    settings = {
        "channels": {"SR": {"histogram": "x"}, "CR": {"histogram": "x", "rebin": 4}},
        "systematics": [],
        "statistical": {"enabled": False},
    }
    return parse_settings(ModelSettings, settings | changes, "settings")


def small_inputs(changes=None, variations=(), **meaning):
    """Two regions, four bins, one signal, one background; `changes` puts (process, region, variation) -> bins."""
    axes = [
        hist.axis.StrCategory(["SR", "CR"], name="region"),
        hist.axis.StrCategory(["nominal", *variations], name="variation"),
        hist.axis.Regular(4, 0, 4, name="x", label="x"),
    ]
    content = {
        "signal": {"SR": [1.0, 2.0, 3.0, 4.0], "CR": [0.0, 0.0, 0.0, 0.0]},
        "background": {"SR": [40.0, 30.0, 20.0, 10.0], "CR": [100.0, 90.0, 80.0, 70.0]},
    }
    filled = {}
    for process, by_region in content.items():
        filled[process] = hist.Hist(*axes, storage=hist.storage.Weight())
        view = filled[process].view()
        for index, region in enumerate(("SR", "CR")):
            view["value"][index] = by_region[region]
            view["variance"][index] = 1.0
    for (process, region, variation), values in (changes or {}).items():
        if process not in filled:
            filled[process] = hist.Hist(*axes, storage=hist.storage.Weight())
        place = (["SR", "CR"].index(region), ["nominal", *variations].index(variation))
        filled[process].view()["value"][place] = values
    kinds = {"signal": "signal", "background": "background", "other": "background", "data": "data"}
    processes = {name: Process(kinds[name]) for name in filled}
    return Inputs({"x": filled}, processes, 10.0, frozenset({"SR"}), **meaning)


def built(inputs, settings):
    return Builder(inputs, settings).build("signal")


def channel(model, name):
    return next(each for each in model.channels if each.name == name)


def modifiers(model, channel_name, sample):
    samples = {each.name: each for each in channel(model, channel_name).samples}
    return {(each.kind, each.parameter): each for each in samples[sample].modifiers}


def test_templates_are_cut_rebinned_and_keep_their_flow():
    inputs = small_inputs()
    filled = inputs.histograms["x"]["background"]
    filled.view(flow=True)["value"][0, 0, 0] = 5.0
    filled.view(flow=True)["value"][0, 0, -1] = 7.0
    settings = {
        "channels": {"SR": {"histogram": "x", "edges": [1, 2, 4], "flow": True}, "CR": {"histogram": "x", "rebin": 2}}
    }
    model = built(inputs, small_settings(**settings)).model
    signal, background = channel(model, "SR").samples
    # 40 lies below the first edge, and is kept with the underflow
    assert background.yields.tolist() == [30 + 40 + 5, 20 + 10 + 7]
    assert signal.yields.tolist() == [3, 7]
    assert channel(model, "SR").edges == (1.0, 2.0, 4.0)
    without = {"channels": {"SR": {"histogram": "x", "edges": [1, 2, 4], "flow": False}}}
    model = built(inputs, small_settings(**without)).model
    assert channel(model, "SR").samples[1].yields.tolist() == [30, 30]


def test_empty_bins_are_merged_and_told():
    changes = {("background", "SR", "nominal"): [0.0, 30.0, 0.0, 0.0]}
    result = built(small_inputs(changes), small_settings())
    sample = channel(result.model, "SR").samples[1]
    assert sample.yields.tolist() == [30.0]
    assert channel(result.model, "SR").edges == (0.0, 4.0)
    assert any(each.kind == "merged bins" and each.where == ("SR",) for each in result.decisions)
    changes = {("background", "SR", "nominal"): [10.0, 0.0, 0.0, 5.0]}
    result = built(small_inputs(changes), small_settings())
    assert channel(result.model, "SR").samples[1].yields.tolist() == [10.0, 5.0]
    assert channel(result.model, "SR").edges == (0.0, 3.0, 4.0)
    with pytest.raises(ConfigError, match="too few for a likelihood"):
        built(small_inputs({("background", "SR", "nominal"): [0.0] * 4}), small_settings())


def test_negative_bins_are_zero_and_told():
    changes = {
        ("other", "SR", "nominal"): [-1.0, 2.0, 3.0, -0.5],
        ("other", "CR", "nominal"): [1.0, 1.0, 1.0, 1.0],
    }
    result = built(small_inputs(changes), small_settings())
    assert channel(result.model, "SR").samples[2].yields.tolist() == [0.0, 2.0, 3.0, 0.0]
    (decision,) = (each for each in result.decisions if each.kind == "negative bin")
    assert "2 bins of 4" in decision.what
    assert "-1.5 events" in decision.what


def test_systematics_split_into_yield_and_shape():
    changes = {
        ("background", "SR", "shift_up"): [44.0, 36.0, 24.0, 16.0],
        ("background", "SR", "shift_down"): [36.0, 24.0, 16.0, 4.0],
        ("background", "CR", "shift_up"): [110.0, 99.0, 88.0, 77.0],
        ("background", "CR", "shift_down"): [90.0, 81.0, 72.0, 63.0],
    }
    systematics = [{"name": "s", "type": "histosys", "variation": "shift", "processes": ["background"]}]
    result = built(small_inputs(changes, ("shift_up", "shift_down")), small_settings(systematics=systematics))
    found = modifiers(result.model, "SR", "background")
    assert (float(found["normsys", "s"].up[0]), float(found["normsys", "s"].down[0])) == (1.2, 0.8)
    np.testing.assert_allclose(found["histosys", "s"].up, np.array([44, 36, 24, 16]) / 1.2)
    np.testing.assert_allclose(found["histosys", "s"].down, np.array([36, 24, 16, 4]) / 0.8)
    # the control region has one bin, so no shape
    assert set(modifiers(result.model, "CR", "background")) == {("normsys", "s")}
    # at +-1 yield times shape is the template
    likelihood = Likelihood(result.model)
    for value, expected in ((1.0, [44, 36, 24, 16]), (-1.0, [36, 24, 16, 4])):
        theta = likelihood.inits.copy()
        theta[likelihood.labels.index("s")] = value
        np.testing.assert_allclose(likelihood.expected_samples(theta)["SR"]["background"], expected)


def test_one_sided_variations_are_mirrored_and_told():
    changes = {
        ("background", "SR", "shift_up"): [44.0, 36.0, 24.0, 16.0],
        ("background", "CR", "shift_up"): [100.0, 90.0, 80.0, 70.0],
    }
    systematics = [{"name": "s", "type": "histosys", "variation": "shift", "processes": ["background"]}]
    result = built(small_inputs(changes, ("shift_up",)), small_settings(systematics=systematics))
    found = modifiers(result.model, "SR", "background")
    norm, shape = found["normsys", "s"], found["histosys", "s"]
    assert float(norm.down[0]) == pytest.approx(0.8)
    nominal = np.array([40.0, 30.0, 20.0, 10.0])
    np.testing.assert_allclose(shape.down - nominal, nominal - shape.up, atol=1e-9)
    assert {each.kind for each in result.decisions} >= {"symmetrised", "pruned"}


def test_the_mean_of_both_sides():
    changes = {
        ("background", "SR", "shift_up"): [44.0, 36.0, 24.0, 16.0],
        ("background", "SR", "shift_down"): [40.0, 30.0, 20.0, 10.0],
    }
    systematics = [
        {
            "name": "s",
            "type": "histosys",
            "variation": "shift",
            "processes": ["background"],
            "regions": ["SR"],
            "symmetrise": "mean",
        }
    ]
    result = built(small_inputs(changes, ("shift_up", "shift_down")), small_settings(systematics=systematics))
    found = modifiers(result.model, "SR", "background")
    norm, shape = found["normsys", "s"], found["histosys", "s"]
    assert float(norm.up[0]) == pytest.approx(np.sqrt(1.2))
    assert float(norm.up[0] * norm.down[0]) == pytest.approx(1.0)
    np.testing.assert_allclose((shape.up + shape.down) / 2, [40, 30, 20, 10])


def test_smoothing_removes_what_is_noise():
    rng = np.random.default_rng(3)
    axes = [
        hist.axis.StrCategory(["SR"], name="region"),
        hist.axis.StrCategory(["nominal", "s_up", "s_down"], name="variation"),
        hist.axis.Regular(20, 0, 1, name="x", label="x"),
    ]
    nominal = np.full(20, 100.0)
    truth = np.linspace(0.9, 1.1, 20)
    background = hist.Hist(*axes, storage=hist.storage.Weight())
    background.view()["value"][0, 0] = nominal
    background.view()["value"][0, 1] = nominal * truth * rng.normal(1, 0.05, 20)
    background.view()["value"][0, 2] = nominal / truth * rng.normal(1, 0.05, 20)
    signal = hist.Hist(*axes, storage=hist.storage.Weight())
    signal.view()["value"][0, 0] = 1.0
    inputs = Inputs(
        {"x": {"signal": signal, "background": background}},
        {"signal": Process("signal"), "background": Process("background")},
        1.0,
    )
    spread = {}
    for smooth in (False, True):
        settings = {
            "channels": {"SR": {"histogram": "x"}},
            "systematics": [
                {
                    "name": "s",
                    "type": "histosys",
                    "variation": "s",
                    "processes": ["background"],
                    "smooth": smooth,
                }
            ],
        }
        result = built(inputs, small_settings(**settings))
        shape = modifiers(result.model, "SR", "background")["histosys", "s"]
        assert shape.up.sum() == pytest.approx(2000.0)
        spread[smooth] = np.std(shape.up / nominal - truth)
        assert any(each.kind == "smoothed" for each in result.decisions) is smooth
    assert spread[True] < 0.6 * spread[False]


def test_luminosity_spares_what_the_fit_normalises():
    normalisations = [{"name": "k", "processes": ["background"], "control": ["CR"]}]
    settings = small_settings(luminosity_uncertainty=0.02, normalisations=normalisations)
    model = built(small_inputs(), settings).model
    assert set(modifiers(model, "SR", "background")) == {("normfactor", "k")}
    assert set(modifiers(model, "SR", "signal")) == {("normfactor", "mu"), ("lumi", "lumi")}
    assert model.parameter("lumi").widths == (0.02,)


def test_the_statistical_uncertainty_is_that_of_the_sum():
    changes = {
        ("other", "SR", "nominal"): [10.0, 10.0, 10.0, 10.0],
        ("other", "CR", "nominal"): [1.0, 1.0, 1.0, 1.0],
    }
    inputs = small_inputs(changes)
    inputs.histograms["x"]["other"].view()["variance"][0] = 3.0
    statistical = {"statistical": {"enabled": True, "threshold": 0.05}}
    model = built(inputs, small_settings(**statistical)).model
    parameter = model.parameter("staterror_SR")
    relative = np.sqrt(1.0 + 3.0) / np.array([50.0, 40.0, 30.0, 20.0])
    # the first bin's is below the threshold, and the second's at it
    np.testing.assert_allclose(np.array(parameter.widths)[2:], relative[2:])
    assert parameter.fixed[0]
    assert not any(parameter.fixed[2:])


def test_decorrelation_names_its_parameters():
    systematic = {"name": "s", "type": "normsys", "up": 1.1}
    for how, names in (("channel", {"s_SR", "s_CR"}), ("process", {"s_signal", "s_background"}), ("none", {"s"})):
        settings = small_settings(systematics=[systematic | {"decorrelate": how}])
        model = built(small_inputs(), settings).model
        found = {each.name for each in model.parameters} - {"mu"}
        assert found == names


def test_a_shapesys_is_relative_and_stated_factors_may_be_made_symmetric():
    systematics = [
        {"name": "f", "type": "shapesys", "size": 0.3, "processes": ["background"]},
        {"name": "n", "type": "normsys", "up": 1.2, "down": 0.9, "symmetrise": "mean", "processes": ["background"]},
    ]
    found = modifiers(built(small_inputs(), small_settings(systematics=systematics)).model, "SR", "background")
    np.testing.assert_allclose(found["shapesys", "f_SR_background"].errors, [12.0, 9.0, 6.0, 3.0])
    assert float(found["normsys", "n"].up[0]) == pytest.approx(np.sqrt(1.2 / 0.9))
    assert float(found["normsys", "n"].down[0]) == pytest.approx(np.sqrt(0.9 / 1.2))


# ---- what is wrong is said

BAD = [
    ({"channels": {"SR": {"histogram": "y"}}}, "asks for the histogram 'y'"),
    ({"channels": {"SSR": {"histogram": "x"}}}, r"not filled in the region 'SSR' \(did you mean SR"),
    ({"channels": {"SR": {"histogram": "x", "rebin": 3}}}, "can't be merged by 3"),
    ({"channels": {"SR": {"histogram": "x", "edges": [0, 1.5, 4]}}}, "1.5 is no bin edge"),
    (
        {"channels": {"SR": {"histogram": "x", "edges": [1, 2]}}},
        "SR: its edges, 1 to 2, are narrower .* 0 to 4; say `flow",
    ),
    ({"channels": {"SR": {"histogram": "x", "processes": ["backgroud"]}}}, r"did you mean background"),
    ({"signals": ["signall"]}, "did you mean signal"),
    (
        {"systematics": [{"name": "s", "type": "normsys", "up": 1.1, "processes": ["bg"]}]},
        "The systematic s: 'bg' is unknown",
    ),
    (
        {"systematics": [{"name": "s", "type": "normsys", "up": 1.1, "regions": ["SSR"]}]},
        "The systematic s: 'SSR' is unknown",
    ),
    ({"systematics": [{"name": "mu", "type": "normsys", "up": 1.1}]}, "name of another parameter"),
    (
        {"systematics": [{"name": "s", "type": "histosys", "variation": "sift"}]},
        r"the variation 'sift' of .* was not filled \(did you mean shift",
    ),
    (
        {"normalisations": [{"name": "k", "processes": ["background"], "control": ["RC"]}]},
        "The normalisation k, control: 'RC' is unknown",
    ),
    ({"counting": {"CC": 0.1}}, "The counting region 'CC' is in no histogram"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_a_model_that_does_not_fit_the_histograms(changes, message):
    inputs = small_inputs(variations=("shift_up", "shift_down"))
    with pytest.raises(ConfigError, match=message) as caught:
        analyse(inputs, small_settings(**changes))
    assert str(caught.value).count("\n") == 0


def test_what_no_model_can_be_made_of():
    filled = small_inputs().histograms["x"]
    processes = {"signal": Process("signal"), "background": Process("background")}
    with pytest.raises(ConfigError, match="no process of kind signal was filled"):
        Builder(Inputs({"x": {"background": filled["background"]}}, processes, 10.0), small_settings())
    with pytest.raises(ConfigError, match="SR has no background"):
        Builder(Inputs({"x": {"signal": filled["signal"]}}, processes, 10.0), small_settings())
    with pytest.raises(ConfigError, match="The signal signal has no events in any channel"):
        built(small_inputs({("signal", "SR", "nominal"): [0.0] * 4}), small_settings())
    normalisations = [{"name": "k", "processes": ["other"], "control": ["CR"]}]
    with pytest.raises(ConfigError, match="its control region CR holds no other"):
        built(small_inputs({("other", "SR", "nominal"): [1.0] * 4}), small_settings(normalisations=normalisations))
    with pytest.raises(ConfigError, match=r"no signal 'sgnal' \(did you mean signal"):
        analyse(small_inputs(), small_settings(), reference="sgnal")


BAD_SETTINGS = [
    ({"systematics": [{"name": "s", "type": "normsys", "up": 1.1, "size": 0.1}]}, "`size` belongs to a shapesys"),
    ({"channels": {}}, "channels"),
    ({"channels": {"SR": {"histogram": "x", "rebin": 2, "edges": [0, 1]}}}, "give one of rebin, edges and bins"),
    ({"systematics": [{"name": "s", "type": "histosys"}]}, "needs `variation`"),
    ({"systematics": [{"name": "s", "type": "normsys"}]}, "needs either `up`"),
    ({"systematics": [{"name": "s", "type": "shapesys"}]}, "needs `size`"),
    ({"systematics": [{"name": "s", "type": "nromsys", "up": 1.1}]}, "normsys"),
    ({"systematics": [{"name": "s", "type": "normsys", "upp": 1.1}]}, "did you mean up"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_SETTINGS)
def test_settings_that_are_wrong(changes, message):
    with pytest.raises(ConfigError, match=message):
        small_settings(**changes)


def test_numbers_that_are_not_finite_are_refused():
    inputs = small_inputs({("background", "SR", "nominal"): [1.0, np.nan, 1.0, 1.0]})
    with pytest.raises(ConfigError, match="not finite"):
        analyse(inputs, small_settings())


# ---- channels that depend on the signal point


def scored_inputs(events=4000):
    """Scores under two hypotheses: flat background, signals that rise towards 1."""
    rng = np.random.default_rng(5)
    axes = [
        hist.axis.StrCategory(["SR"], name="region"),
        hist.axis.StrCategory(["nominal"], name="variation"),
    ]
    histograms, processes = {}, {"background": Process("background")}
    for mass in (130, 400):
        name = f"score_{mass}"
        histograms[name] = {}
        for process, power, weight in (("background", 1.0, 0.1), ("S130", 5.0, 0.002), ("S400", 20.0, 0.001)):
            filled = hist.Hist(*axes, hist.axis.Regular(100, 0, 1, name=name), storage=hist.storage.Weight())
            scores = rng.uniform(size=events) ** (1 / power)
            filled.fill("SR", "nominal", scores, weight=weight)
            histograms[name][process] = filled
    processes |= {f"S{mass}": Process("signal", {"m_Zprime": float(mass)}) for mass in (130, 400)}
    return Inputs(histograms, processes, 10.0, frozenset({"SR"}))


def scored_settings(**bins):
    return small_settings(
        channels={"SR": {"histogram": "score_{m_Zprime}", "bins": bins or {"error": 0.1}}},
        statistical={"enabled": True},
    )


def test_each_signal_is_fitted_in_its_own_score_with_bins_of_bounded_error(tmp_path):
    inputs = scored_inputs()
    builder = Builder(inputs, scored_settings())
    edges = {}
    for signal in ("S130", "S400"):
        model = builder.build(signal).model
        (only,) = model.channels
        own = inputs.histograms[f"score_{signal[1:]}"]
        edges[signal] = only.edges
        for sample, process in zip(only.samples, (signal, "background"), strict=True):
            view = own[process].view()[0, 0]
            fine = own[process].axes[2].edges
            place = np.searchsorted(only.edges, fine[:-1] + 1e-9) - 1
            values = np.bincount(place, view["value"], minlength=len(only.edges) - 1)
            errors = np.sqrt(np.bincount(place, view["variance"], minlength=len(only.edges) - 1))
            assert sample.yields == pytest.approx(values)
            assert np.all(errors[1:] < 0.1 * values[1:])  # the lowest holds the rest
        # narrowing the uppermost bin by one fine bin would break the bound, or leave less signal
        assert only.samples[0].yields[-1] > 0
    assert edges["S130"] != edges["S400"]
    assert min(map(len, edges.values())) > 2
    result = analyse(inputs, scored_settings())
    write_analysis(result, tmp_path)
    whole = pyhf.Workspace(json.loads((tmp_path / "workspace.json").read_text()))
    patches = pyhf.PatchSet(json.loads((tmp_path / "patchset.json").read_text()))
    patched = pyhf.Workspace(patches["S400"].apply(whole))
    assert patched.model().config.channel_nbins["SR"] == len(edges["S400"]) - 1
    kinds = [each.kind for each in result.summary.decisions]
    assert kinds.count("chosen bins") == 2


def test_bins_that_no_number_of_events_allows_are_refused_in_one_sentence():
    with pytest.raises(FitError, match=r"channel SR, signal S130: no bin has relative statistical errors below 0.001"):
        Builder(scored_inputs(), scored_settings(error=0.001)).build("S130")


def test_a_histogram_named_by_a_parameter_that_the_signal_lacks():
    settings = small_settings(channels={"SR": {"histogram": "score_{m_chi}"}})
    with pytest.raises(
        ConfigError, match=r"'score_\{m_chi\}' can't be named for the signal S130; its parameters: m_Zprime"
    ):
        Builder(scored_inputs(), settings)
