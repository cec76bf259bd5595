"""Titles, colours and choices."""

from __future__ import annotations

from dataclasses import replace

import hist
import pytest
from helpers.made_run import empty_run

from colonnade.execution import Ledger, Result
from colonnade.plotting.settings import (
    BACKGROUND_COLOURS,
    PlotSettings,
    ProcessStyle,
    literal,
    parameter_label,
    region_title,
)
from colonnade.workflow.folder import load_run


def test_titles_and_colours(blinded_run):
    titled = {"ww": ProcessStyle(title=r"$WW$", colour="#123456")}
    run = load_run(blinded_run).with_plots(processes=titled)
    found = run.processes
    assert found["ttbar"].title == "ttbar"
    assert (found["ww"].title, found["ww"].colour) == (r"$WW$", "#123456")
    assert found["DH_mZp130"].title == "DH, $m_{Z'}$ = 130 GeV"
    backgrounds = [found[name].colour for name in run.of_kind("background") if name != "ww"]
    assert len(set(backgrounds)) == len(backgrounds)
    assert set(backgrounds) <= set(BACKGROUND_COLOURS)
    # models are told apart by colour
    assert len({found[f"{model}_mZp400"].colour for model in ("DH", "LV", "EFT")}) == 3


def test_a_process_that_the_run_lacks_is_passed_over(blinded_run):
    changes = {"processes": {"wgamma": ProcessStyle(title="x")}, "order": ("wgamma",)}
    run = load_run(blinded_run).with_plots(**changes)
    assert "wgamma" not in run.processes
    assert "wgamma" not in run.backgrounds
    assert run.process("wgamma").title == "wgamma"


def test_signals_by_model(blinded_run):
    groups = load_run(blinded_run).models
    assert list(groups) == ["DH", "LV", "EFT"]
    assert [signal.parameters["m_Zprime"] for signal in groups["DH"]] == [130, 400, 700, 1000]
    assert groups["DH"][0].model_title == "Dark Higgs"


def test_signals_to_overlay(blinded_run, own_run):
    assert load_run(blinded_run).signals == ["DH_mZp130", "LV_mZp130", "EFT_mZp130"]
    (own_run / "fit.json").unlink()
    assert load_run(own_run).signals == ["DH_mZp700", "LV_mZp700", "EFT_mZp700"]


def signals(**parameters):
    return empty_run(dict.fromkeys(parameters, "signal"), parameters=parameters)


def test_a_model_is_its_text_or_the_name_without_its_number():
    run = signals(a_1={"g": 0.25, "model": "vector"}, x_m85={"m_X": 85.0}, x_m100={"m_X": 100.0}, alone={})
    assert list(run.models) == ["vector", "x", "alone"]
    assert run.models["vector"][0].parameters == {"g": 0.25}
    assert [signal.name for signal in run.models["x"]] == ["x_m85", "x_m100"]
    assert run.processes["x_m85"].title == "x, $m_{X}$ = 85 GeV"
    assert run.processes["alone"].title == "alone"


def test_titles_hold_what_tells_points_apart():
    masses = {f"DH_{mass}": {"model": "DH", "m_chi": 5, "m_Zprime": mass, "m_higgs": mass} for mass in (130, 400)}
    assert signals(**masses).processes["DH_130"].title == "DH, $m_{Z'}$ = 130 GeV"
    grid = {
        f"DH_{number}": {"model": "DH", "m_chi": chi, "m_Zprime": mass}
        for number, (chi, mass) in enumerate([(1, 100), (5, 100), (1, 900), (5, 900)])
    }
    assert signals(**grid).processes["DH_1"].title == r"DH, $m_{\chi}$ = 5 GeV, $m_{Z'}$ = 100 GeV"


def test_one_model_shows_its_ends_and_its_middle():
    points = {f"DH_{mass}": {"m_Zprime": mass} for mass in (130, 400, 700, 1000)}
    assert signals(**points).signals == ["DH_130", "DH_700", "DH_1000"]


def test_the_least_is_at_the_bottom_everywhere():
    def filled(events):
        axes = (hist.axis.StrCategory(["SR"], name="region"), hist.axis.StrCategory(["nominal"], name="variation"))
        histogram = hist.Hist(*axes, hist.axis.Regular(1, 0, 1, name="x"), storage=hist.storage.Weight())
        return histogram.fill("SR", "nominal", [0.5] * events)

    result = Result({"h": {"a": filled(9), "b": filled(1)}}, {}, Ledger(0.0, {}))
    run = replace(empty_run({"a": "background", "b": "background"}), result=result)
    assert run.backgrounds == ["b", "a"]
    assert run.with_plots(order=("b",)).backgrounds == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("m_Zprime", ("$m_{Z'}$", "GeV")),
        ("mZp", ("$m_{Z'}$", "GeV")),
        ("m_H", ("$m_{H}$", "GeV")),
        ("m_chi1", (r"$m_{\chi_1}$", "GeV")),
        ("m_higgs", (r"$m_{\mathrm{higgs}}$", "GeV")),
        ("coupling", ("coupling", "")),
        ("g$", (r"g\$", "")),
    ],
)
def test_parameter_labels(key, label):
    assert parameter_label(key) == label


def test_region_titles():
    assert region_title("SR1_mm", PlotSettings()) == "SR1 μμ"
    assert region_title("SR1_mm", PlotSettings(region_titles={"SR1_mm": "best"})) == "best"
    assert region_title("a$b", PlotSettings()) == r"a\$b"


def test_titles_have_nothing_that_can_t_be_seen():
    assert literal("\x1b[31mred\x1b[0m [bold]") == "[31mred[0m [bold]"
    assert region_title("a", PlotSettings(region_titles={"a": "\x1b[31mred"})) == "[31mred"
    run = empty_run({"a": "background"}, plots=PlotSettings(processes={"a": ProcessStyle(title="\ttop\n")}))
    assert run.processes["a"].title == "top"


def test_captions(blinded_run):
    run = load_run(blinded_run)
    assert run.caption("SR", data=False).status == "Simulation"
    assert run.caption(data=True).status == ""
    assert run.caption(data=True).luminosity == 139
    assert run.with_plots(status="Internal").caption(data=False).status == "Internal"
