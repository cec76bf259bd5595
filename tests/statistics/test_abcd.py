"""ABCD inside the likelihood: the fit finds B C / D with its error, and every format that can says so."""

from __future__ import annotations

import hist
import numpy as np
import pytest
from hist.axis import Regular, StrCategory

from colonnade.errors import ConfigError
from colonnade.statistics import Likelihood, fit
from colonnade.statistics.build import Builder
from colonnade.statistics.formats.exporting import FORMATS, export_model
from colonnade.statistics.formats.reading import read_model
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.templates import Inputs, Process

KINDS = {"data": "data", "qcd": "background", "tt": "background", "S": "signal"}
# data - tt is qcd; the first bins of A and B
DATA = {"A": [70.0, 30.0], "B": [40.0, 20.0], "C": [95.0, 0.0], "D": [55.0, 0.0]}
TT = {"A": [5.0, 5.0], "B": [2.0, 2.0], "C": [5.0, 0.0], "D": [5.0, 0.0]}
SIGNAL = {"A": [0.0, 20.0], "B": [0.0, 0.0], "C": [0.0, 0.0], "D": [0.0, 0.0]}


def inputs_of(data=DATA, bins=2, unblind=True):
    def filled(contents, variances=0.0):
        axes = (
            StrCategory(list("ABCD"), name="region", overflow=False),
            StrCategory(["nominal"], name="variation", overflow=False),
            Regular(bins, 0, bins, name="x", underflow=False, overflow=False),
        )
        made = hist.Hist(*axes, storage=hist.storage.Weight())
        made.view()["value"][:, 0] = [contents[region][:bins] for region in "ABCD"]
        made.view()["variance"] = variances
        return made

    qcd = {region: [a - b for a, b in zip(data[region], TT[region], strict=True)] for region in "BCD"}
    ratio = sum(qcd["C"]) / sum(qcd["D"])
    qcd["A"] = [each * ratio for each in qcd["B"]]
    histograms = {"x": {"data": filled(data), "qcd": filled(qcd, 9.0), "tt": filled(TT), "S": filled(SIGNAL)}}
    processes = {name: Process(kind, data_driven=name == "qcd") for name, kind in KINDS.items()}
    return Inputs(histograms, processes, 1.0, frozenset({"A"}), unblind)


def settings_of(**changes):
    channels = {name: {"histogram": "x"} for name in "AB"} | {
        name: {"histogram": "x", "edges": (0.0, 1.0), "flow": False} for name in "CD"
    }
    content = {
        "channels": channels,
        "luminosity_uncertainty": 0.02,
        "abcd": ({"process": "qcd", "channels": ("A", "B", "C", "D")},),
    }
    return ModelSettings.model_validate(content | changes)


def test_the_expectation_is_tied():
    model = Builder(inputs_of(), settings_of()).build("S").model
    names = [parameter.name for parameter in model.parameters]
    assert {"qcd_B", "qcd_D", "qcd_ratio"} <= set(names)
    qcd = {c.name: next(s for s in c.samples if s.name == "qcd") for c in model.channels}
    kinds = {name: [(m.kind, m.parameter) for m in each.modifiers] for name, each in qcd.items()}
    # neither luminosity nor statistical errors beside the data of the channels
    assert kinds["A"] == [("shapefactor", "qcd_B"), ("normfactor", "qcd_ratio")]
    assert kinds["D"] == [("normfactor", "qcd_D")]
    total = {name: each.yields.sum() for name, each in qcd.items()}
    assert total["A"] * total["D"] == pytest.approx(total["B"] * total["C"])


def test_the_fit_finds_b_c_over_d_and_its_error():
    """Without signal in B, C and D, the best fit of these is their data; the second bin of A holds the signal."""
    settings = settings_of(luminosity_uncertainty=0.0, statistical={"enabled": False})
    b, c, d = np.array([38.0, 18.0]), 90.0, 50.0
    alone = dict(DATA, A=[b[0] * c / d + 5.0, 60.0])
    exact = Likelihood(Builder(inputs_of(alone), settings).build("S").model)
    found = fit(exact)
    values = dict(zip(exact.model.labels, found.values, strict=True))
    errors = dict(zip(exact.model.labels, found.errors, strict=True))
    assert values["qcd_B[0]"] == pytest.approx(1, abs=1e-3)
    assert values["qcd_ratio"] == pytest.approx(1, abs=1e-3)
    assert values["mu"] == pytest.approx((60 - 5 - b[1] * c / d) / 20, abs=2e-3)
    assert errors["mu"] > np.sqrt(60) / 20


def test_one_bin_is_made_of_factors_alone_and_its_error_is_that_of_the_template(monkeypatch):
    settings = settings_of(
        luminosity_uncertainty=0.0,
        statistical={"enabled": False},
        channels={name: {"histogram": "x"} for name in "ABCD"},
    )
    data = dict(DATA, A=[90.0, 0.0])
    monkeypatch.setitem(SIGNAL, "A", [20.0, 0.0])
    likelihood = Likelihood(Builder(inputs_of(data, bins=1), settings).build("S").model)
    kinds = {m.kind for c in likelihood.model.channels for s in c.samples for m in s.modifiers}
    assert kinds == {"normfactor"}
    found = fit(likelihood)
    errors = dict(zip(likelihood.model.labels, found.errors, strict=True))
    values = dict(zip(likelihood.model.labels, found.values, strict=True))
    estimate = 38.0 * 90.0 / 50.0
    relative = 40 / 38**2 + 95 / 90**2 + 55 / 50**2
    assert values["mu"] == pytest.approx((90 - 5 - estimate) / 20, abs=1e-3)
    assert errors["mu"] == pytest.approx(np.sqrt(90 + estimate**2 * relative) / 20, rel=2e-3)


def test_formats_say_it_or_name_what_they_can_not(tmp_path, monkeypatch):
    settings = settings_of(channels={name: {"histogram": "x"} for name in "ABCD"})
    several = Builder(inputs_of(), settings_of()).build("S").model
    monkeypatch.setitem(SIGNAL, "A", [20.0, 0.0])
    model = Builder(inputs_of(dict(DATA, A=[90.0, 0.0]), bins=1), settings).build("S").model
    strength = fit(Likelihood(model)).values[model.labels.index("mu")]
    for form in FORMATS:
        export = export_model(model, tmp_path, "one", form)
        again = read_model(export.path)
        labels = again.labels
        place = labels.index("mu" if "mu" in labels else "r")
        assert fit(Likelihood(again)).values[place] == pytest.approx(strength, abs=1e-4), form
    for form in ("combine", "root"):
        with pytest.raises(ConfigError, match="can't say the shapefactor qcd_B of qcd in A"):
            export_model(several, tmp_path, "several", form)
    for form in ("pyhf", "hs3", "xml"):
        export_model(several, tmp_path, "several", form)


def test_a_blinded_region_is_predicted():
    built = Builder(inputs_of(unblind=False), settings_of()).build("S")
    assert "A" not in built.observed
    expected = [38.0 * 90 / 50 + 5, 18.0 * 90 / 50 + 5]
    assert built.model.observations["A"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"abcd": ({"process": "qqq", "channels": ("A", "B", "C", "D")},)}, "`data_driven` makes no such process"),
        ({"abcd": ({"process": "qcd", "channels": ("A", "B", "C", "E")},)}, "the model has no channel 'E'"),
        ({"abcd": ({"process": "qcd", "channels": ("A", "C", "B", "D")},)}, "A and C must have the same bins"),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes, message):
    with pytest.raises(ConfigError, match=message):
        Builder(inputs_of(), settings_of(**changes))


def test_an_empty_channel_is_one_sentence():
    data = dict(DATA, C=[5.0, 0.0])
    with pytest.raises(ConfigError, match="no events of it are left in the channel C, so A = B C / D says nothing"):
        Builder(inputs_of(data), settings_of())
