"""Backgrounds that are made of data: what is subtracted, what is said, and ABCD against pseudo-experiments."""

from __future__ import annotations

import hist
import numpy as np
import pytest
from hist.axis import Regular, StrCategory

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, EventError
from colonnade.execution.data_driven import DataDrivenSettings, check_data_driven, with_data_driven
from colonnade.execution.ledger import Ledger
from colonnade.execution.result import Result

REGIONS = ("A", "B", "C", "D")
KINDS = {"data": "data", "tt": "background", "zz": "background", "S": "signal"}


def filled(contents, variances=None, variations=("nominal",), bins=2):
    """contents[variation][region] of bins."""
    axes = (
        StrCategory(REGIONS, name="region", overflow=False),
        StrCategory(variations, name="variation", overflow=False),
        Regular(bins, 0, bins, name="x", underflow=False, overflow=False),
    )
    made = hist.Hist(*axes, storage=hist.storage.Weight())
    made.view()["value"] = np.moveaxis(np.array(contents, dtype=float), 0, 1)
    made.view()["variance"] = made.view()["value"] if variances is None else variances
    return made


def made(histograms, blinded=(), **settings):
    settings = parse_settings(DataDrivenSettings, settings, "test")
    said = []
    result = Result({"x": histograms}, {}, Ledger(0.0, {}))
    return with_data_driven(result, {"qcd": settings}, KINDS, blinded, said.append).histograms["x"].get("qcd"), said


DATA = [[[7, 7], [100, 50], [60, 60], [30, 10]]]
TT = [[[1, 2], [10, 10], [10, 10], [5, 5]], [[2, 4], [20, 20], [20, 20], [10, 10]]]


def test_what_is_left_after_subtraction_varies_with_what_is_subtracted():
    histograms = {"data": filled(DATA), "tt": filled(TT, variances=0.25, variations=("nominal", "jes_up"))}
    qcd, said = made(histograms, minus=["t*"], regions={"A": "B"})
    assert list(qcd.axes["variation"]) == ["nominal", "jes_up"]
    assert qcd["A", "nominal", :].values().tolist() == [90, 40]
    assert qcd["A", "nominal", :].variances().tolist() == [100.25, 50.25]
    assert qcd["A", "jes_up", :].values().tolist() == [80, 30]
    assert qcd["B", "nominal", :].values().tolist() == [0, 0]
    assert said == []


def test_abcd_is_b_c_over_d_with_its_error():
    histograms = {"data": filled(DATA), "tt": filled(TT, variances=0.25, variations=("nominal", "jes_up"))}
    qcd, _ = made(histograms, method="abcd", minus=["tt"], regions={"A": ["B", "C", "D"]})
    assert qcd["A", "nominal", :].values() == pytest.approx(np.array([90, 40]) * 100 / 30)
    assert qcd["A", "jes_up", :].values() == pytest.approx(np.array([80, 30]) * 80 / 20)
    error = np.sqrt((120.5) / 100**2 + (40.5) / 30**2) * 100 / 30
    assert qcd["A", "qcd_transfer_up", :].values() == pytest.approx(np.array([90, 40]) * (100 / 30 + error))
    assert qcd["A", "qcd_transfer_down", :].values() == pytest.approx(np.array([90, 40]) * (100 / 30 - error))
    assert qcd["A", "nominal", :].variances() == pytest.approx(np.array([100.25, 50.25]) * (100 / 30) ** 2)
    assert qcd["D", "nominal", :].values().tolist() == [25, 5]


def test_abcd_covers_the_truth_in_68_per_cent_of_pseudo_experiments():
    rng = np.random.default_rng(8)
    b, c, d, contamination = 150.0, 120.0, 60.0, 15.0
    truth, inside, pulls = b * c / d, 0, []
    settings = {"method": "abcd", "minus": ["tt"], "regions": {"A": ["B", "C", "D"]}}
    for _ in range(1000):
        data = filled([[[0], *([rng.poisson(each + contamination)] for each in (b, c, d))]], bins=1)
        simulated = [[[0], *([rng.poisson(10 * contamination) / 10] for _ in "BCD")]]
        tt = filled(simulated, variances=contamination / 10, bins=1)
        qcd, _ = made({"data": data, "tt": tt}, **settings)
        view = qcd.view()[0, :, 0]
        error = np.hypot(np.sqrt(view["variance"][0]), view["value"][1] - view["value"][0])
        pulls.append((view["value"][0] - truth) / error)
    inside = np.mean(np.abs(pulls) < 1)
    assert abs(inside - 0.683) < 0.03
    assert abs(np.mean(pulls)) < 0.2  # of a ratio of small numbers


def test_what_is_unusual_is_kept_and_said():
    histograms = {
        "data": filled([[[7, 7], [3, 2], [60, 60], [30, 10]]]),
        "tt": filled(TT[:1]),
        "zz": filled([np.ones((4, 2))]),
        "S": filled([np.ones((4, 2))]),
    }
    qcd, said = made(histograms, minus=["tt"], regions={"A": "B"})
    assert qcd["A", "nominal", :].values().tolist() == [-7, -8]
    negative, missing = said
    assert negative == "data_driven.qcd: the yield in B is negative (-15); it is kept."
    assert missing.startswith("data_driven.qcd: the process zz is in B, too (2 expected), and is not subtracted")


def test_nothing_is_made_of_blinded_data():
    qcd, said = made({"data": filled(DATA)}, blinded=("B",), regions={"A": "B", "C": "D"})
    assert qcd["A", "nominal", :].values().tolist() == [0, 0]
    assert qcd["C", "nominal", :].values().tolist() == [30, 10]
    assert said == ["data_driven.qcd is not made in A, as the data of B are blinded."]
    # simulation may be tried
    other, said = made({"tt": filled(TT[:1])}, blinded=("B",), **{"from": "t*", "regions": {"A": "B"}})
    assert other["A", "nominal", :].values().tolist() == [10, 10]
    assert said == []


def test_an_era_is_named():
    settings = parse_settings(DataDrivenSettings, {"method": "abcd", "regions": {"A": ["B", "C", "D"]}}, "test")
    full, empty = filled(DATA), filled([[[7, 7], [-100, 50], [60, 60], [30, 10]]])
    said = []
    result = Result({"x": {"data": full}}, {}, Ledger(0.0, {}), eras={"2022": {"x": {"data": empty}}})
    made = with_data_driven(result, {"qcd": settings}, KINDS, (), said.append)
    assert made.eras["2022"]["x"]["qcd"]["A", "nominal", :].values() == pytest.approx(np.array([-100, 50]) * 3)
    assert said == ["data_driven.qcd: the yield in B is negative (-50); it is kept (the era 2022)."]
    none = filled([[[7, 7], [100, 50], [60, 60], [0, 0]]])
    result = Result({"x": {"data": full}}, {}, Ledger(0.0, {}), eras={"2022": {"x": {"data": none}}})
    with pytest.raises(EventError, match="the region D of the histogram x in the era 2022"):
        with_data_driven(result, {"qcd": settings}, KINDS, (), said.append)


def test_an_empty_d_is_one_sentence():
    data = filled([[[7, 7], [100, 50], [60, 60], [0, 0]]])
    with pytest.raises(EventError, match=r"data_driven.qcd: 0 events are left in the region D of the histogram x"):
        made({"data": data}, method="abcd", regions={"A": ["B", "C", "D"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regions": {"A": ["B", "C", "D"]}}, "A: the method transfer makes it of one region"),
        ({"method": "abcd", "regions": {"A": "B"}}, r"A: the method abcd makes it of three regions \[B, C, D\]"),
        ({"regions": {"A": "E"}}, "data_driven.qcd: the processor has no region 'E'"),
        ({"minus": ["ttt"], "regions": {"A": "B"}}, r"no process matches 'ttt' \(did you mean tt"),
    ],
)
def test_wrong_settings_are_one_sentence(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data_driven({"qcd": parse_settings(DataDrivenSettings, settings, "test")}, REGIONS, KINDS)


def test_a_background_needs_data_and_a_name_of_its_own():
    settings = parse_settings(DataDrivenSettings, {"regions": {"A": "B"}}, "test")
    with pytest.raises(ConfigError, match="there is a process of that name in the manifest"):
        check_data_driven({"tt": settings}, REGIONS, KINDS)
    with pytest.raises(ConfigError, match="made of data, but the manifest has none"):
        check_data_driven({"qcd": settings}, REGIONS, {"tt": "background"})
