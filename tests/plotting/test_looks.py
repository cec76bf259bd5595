"""Titles, colours and choices."""

from __future__ import annotations

import json

import pytest

from colonnade.errors import ConfigError
from colonnade.plotting.drawing import Drawing, default_signals
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.looks import choose, parameter_label, processes, region_title, signals_by_model
from colonnade.plotting.palette import BACKGROUND_COLOURS
from colonnade.plotting.settings import PlotSettings, ProcessStyle


def test_titles_and_colours(blinded_run):
    settings = PlotSettings(processes={"ww": ProcessStyle(title="Diboson", colour="#123456")})
    looks = processes(RunFolder.open(blinded_run), settings)
    assert looks["ttbar"].title == r"$t\bar{t}$"
    assert (looks["ww"].title, looks["ww"].colour) == ("Diboson", "#123456")
    assert looks["DH_mZp130"].title == "DH, $m_{Z'}$ = 130 GeV"
    assert looks["data"].kind == "data"
    backgrounds = [look.colour for look in looks.values() if look.kind == "background" and look.name != "ww"]
    assert len(set(backgrounds)) == len(backgrounds)
    assert set(backgrounds) <= set(BACKGROUND_COLOURS)
    # models are told apart by colour
    assert len({looks[f"{model}_mZp400"].colour for model in ("DH", "LV", "EFT")}) == 3


def test_a_process_that_the_run_lacks_is_passed_over(blinded_run):
    settings = PlotSettings(processes={"wgamma": ProcessStyle(title="x")}, order=("wgamma",))
    assert "wgamma" not in processes(RunFolder.open(blinded_run), settings)


def test_signals_by_model(blinded_run):
    groups = signals_by_model(RunFolder.open(blinded_run))
    assert list(groups) == ["DH", "LV", "EFT"]
    assert [signal.parameters["m_Zprime"] for signal in groups["DH"]] == [130, 400, 700, 1000]


def test_signals_to_overlay(blinded_run, own_run):
    assert default_signals(RunFolder.open(blinded_run)) == ["DH_mZp130", "LV_mZp130", "EFT_mZp130"]
    (own_run / "fit.json").unlink()
    assert default_signals(RunFolder.open(own_run)) == ["DH_mZp700", "LV_mZp700", "EFT_mZp700"]


def test_signals_of_the_manifest_and_of_names(own_run):
    (own_run / "fit.json").unlink()
    groups = signals_by_model(RunFolder.open(own_run))
    assert [signal.name for signal in groups["LV"]] == ["LV_mZp130", "LV_mZp400", "LV_mZp700", "LV_mZp1000"]
    provenance = json.loads((own_run / "provenance.json").read_text())
    provenance["inputs"] = {"datasets": {"a": {"process": "LV_mZp130", "signal": {"model": "vector", "g": 0.25}}}}
    (own_run / "provenance.json").write_text(json.dumps(provenance))
    groups = signals_by_model(RunFolder.open(own_run))
    assert groups["vector"][0].parameters == {"g": 0.25}


def test_titles_hold_what_tells_points_apart(own_run):
    def points(own):
        fit = json.loads((own / "fit.json").read_text())
        fit["points"] = [point for point in fit["points"] if point["parameters"]["model"] == "DH"]
        return fit

    fit = points(own_run)
    for point in fit["points"]:
        mass = point["parameters"]["m_Zprime"]
        point["parameters"] = {"model": "DH", "m_chi": 5, "m_Zprime": mass, "m_higgs": mass}
    (own_run / "fit.json").write_text(json.dumps(fit))
    looks = processes(RunFolder.open(own_run), PlotSettings())
    assert looks["DH_mZp130"].title == "DH, $m_{Z'}$ = 130 GeV"
    for point, chi in zip(fit["points"], (1, 5, 1, 5), strict=True):
        point["parameters"].update(m_Zprime=100 if point["signal"] in ("DH_mZp130", "DH_mZp400") else 900, m_chi=chi)
        del point["parameters"]["m_higgs"]
    (own_run / "fit.json").write_text(json.dumps(fit))
    looks = processes(RunFolder.open(own_run), PlotSettings())
    assert looks["DH_mZp400"].title == r"DH, $m_{\chi}$ = 5 GeV, $m_{Z'}$ = 100 GeV"


def test_one_model_shows_its_ends_and_its_middle(own_run):
    fit = json.loads((own_run / "fit.json").read_text())
    ledger = json.loads((own_run / "ledger.json").read_text())
    fit["points"] = [point for point in fit["points"] if point["parameters"]["model"] == "DH"]
    ledger["datasets"] = {
        name: entry
        for name, entry in ledger["datasets"].items()
        if entry["kind"] != "signal" or entry["process"].startswith("DH")
    }
    (own_run / "fit.json").write_text(json.dumps(fit))
    (own_run / "ledger.json").write_text(json.dumps(ledger))
    folder = RunFolder.open(own_run)
    (own_run / "histograms.zip").unlink()
    assert default_signals(folder) == ["DH_mZp130", "DH_mZp700", "DH_mZp1000"]


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


def test_choose():
    known = ["mll", "met", "mt2"]
    assert choose(("mt*", "mll"), known, "histograms") == ["mll", "mt2"]
    assert choose(("*",), [], "histograms") == []
    with pytest.raises(ConfigError, match=r"plots.histograms: nothing is called 'mlll' \(did you mean mll"):
        choose(("mlll",), known, "histograms")


def test_captions(blinded_run):
    drawing = Drawing(RunFolder.open(blinded_run), PlotSettings())
    assert drawing.caption("SR", data=False).status == "Simulation"
    assert drawing.caption(data=True).status == ""
    assert drawing.caption(data=True).luminosity == 139
    assert Drawing(drawing.folder, PlotSettings(status="Internal")).caption(data=False).status == "Internal"
