"""A run's folder to pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import hist
import numpy as np
import pytest
from helpers import made_run
from helpers.made_run import drawn, empty_run
from PIL import Image

from colonnade.cli import main
from colonnade.errors import ConfigError
from colonnade.execution import Ledger, Result
from colonnade.plotting import PlotSettings, draw_run
from colonnade.plotting.draw import pictures_of, read_index
from colonnade.plotting.lines import LinePlot
from colonnade.plotting.pictures import limit_pictures, significance_pictures
from colonnade.plotting.stack import StackPlot
from colonnade.plotting.style import path_part
from colonnade.workflow.folder import load_run

FEW = PlotSettings(regions=("SR1_mm",), histograms=("mll",), formats=("png",), resolution=60)


FEW_DOTS = PlotSettings(formats=("png",), resolution=50)


@pytest.fixture(scope="module")
def pictures(blinded_run):
    return {picture.stem: picture for picture in pictures_of(load_run(blinded_run))}


@pytest.fixture(scope="module")
def open_pictures(open_run):
    return {picture.stem: picture for picture in pictures_of(load_run(open_run))}


def test_what_is_drawn(pictures):
    regions = made_run.region_names(("mm",))
    wanted = {f"{region}/{name}" for region in regions for name in ("mll", "met", "njets", "mll_met")}
    wanted |= {f"cutflow/{region}" for region in regions}
    wanted |= {
        "yields",
        "significance",
        *(path_part(f"limit_{m}") for m in ("Dark Higgs", "Light vector", "Effective theory")),
    }
    assert set(pictures) == wanted


def test_blinded_data_reach_no_picture(pictures):
    for picture in pictures.values():
        if isinstance(picture.plot, StackPlot) and picture.region:
            assert (picture.plot.data is None) == (made_run.is_signal(picture.region) or picture.kind == "cutflow")
    hidden = [made_run.is_signal(name) for name in made_run.region_names(("mm",))]
    assert np.isnan(pictures["yields"].plot.data).tolist() == hidden


def test_unblinded_data_and_observed_results(open_pictures):
    assert open_pictures["SR1_mm/mll"].plot.data is not None
    assert open_pictures["SR1_mm/mll"].plot.panel == "ratio"
    assert open_pictures["limit_Dark_Higgs"].plot.lines[0].title == "Observed"
    assert np.isfinite(open_pictures["yields"].plot.data).all()


def test_data_that_slipped_into_a_signal_region_stay_hidden(own_run):
    """The folder says which regions are blinded; a picture does not rely on the histogram being empty."""
    histograms, _ = made_run.make_histograms(1, ("mm",), unblind=True, plane=False)
    made_run.write_zip(histograms, own_run / "histograms.zip")
    provenance = json.loads((own_run / "provenance.json").read_text())
    provenance["signal_regions"] = ["SR1_mm"]
    (own_run / "provenance.json").write_text(json.dumps(provenance))
    found = {picture.stem: picture for picture in pictures_of(load_run(own_run))}
    assert found["SR1_mm/mll"].plot.data is None
    assert found["CR_mm/mll"].plot.data is not None
    assert np.isnan(found["yields"].plot.data[1])


def test_yields_are_those_of_the_cutflow(pictures, blinded_run):
    cutflow = json.loads((blinded_run / "cutflow.json").read_text())
    stack = pictures["yields"].plot
    for place, region in enumerate(made_run.region_names(("mm",))):
        last = sum(cutflow[f"{name}_2018"][region][-1]["weighted"] for name in made_run.BACKGROUNDS)
        assert stack.total[place] == pytest.approx(last)


def test_the_model_s_normalisation_is_in_the_band(pictures, blinded_run):
    run = load_run(blinded_run)
    stack = pictures["SR1_mm/njets"].plot
    found = run.histograms["njets"]
    place = found["zll"].regions.index("SR1_mm")

    def nominal(name, variation="nominal"):
        return found[name].values[place, found[name].variations.index(variation), 1:-1]

    names = ("zll", "ttbar", "ww", "wz", "zz", "wjets")
    total = sum(nominal(name) for name in names)
    variance = sum(found[name].variances[place, 0, 1:-1] for name in names)
    muon = sum(nominal(name, "muon_id_up") - nominal(name) for name in names)
    up = np.sqrt(variance + muon**2 + (0.017 * total) ** 2 + (0.2 * nominal("ttbar")) ** 2)
    np.testing.assert_allclose(stack.up, up)


def test_limits_are_on_the_cross_section(pictures, blinded_run):
    plot = pictures["limit_Dark_Higgs"].plot
    points = [
        p for p in json.loads((blinded_run / "fit.json").read_text())["points"] if p["parameters"]["model"] == "DH"
    ]
    assert isinstance(plot, LinePlot)
    assert plot.scale == "log"
    expected, inner, outer, theory = plot.lines
    sizes = np.array([p["cross_section_pb"] for p in points])
    bands = np.array([p["limit"]["expected"] for p in points]) * sizes[:, None]
    for line in plot.lines:
        assert line.x.tolist() == [130, 400, 700, 1000]
    np.testing.assert_allclose(expected.y, bands[:, 2])
    np.testing.assert_allclose([inner.low, inner.high], bands[:, [1, 3]].T)
    np.testing.assert_allclose([outer.low, outer.high], bands[:, [0, 4]].T)
    np.testing.assert_allclose(theory.y, sizes)


def test_the_limit_of_a_single_point_is_a_short_bar(open_run):
    run = load_run(open_run)
    point = next(each for each in run.fit.points if each.signal == "DH_mZp130")
    (picture,) = limit_pictures(replace(run, fit=replace(run.fit, points=(point,))))
    observed, expected, *_ = picture.plot.lines
    assert observed.x.tolist() == [130]
    assert observed.y == pytest.approx([point.limit.observed * point.cross_section_pb])
    assert expected.x[0] < 130 < expected.x[1]
    axes = picture.plot.figure().axes[0]
    assert axes.get_xlim()[0] < expected.x[0]
    assert axes.get_legend().get_texts()[0].get_text() == "Observed"


def test_limits_without_a_cross_section_are_on_mu(own_run):
    fit = json.loads((own_run / "fit.json").read_text())
    for point in fit["points"]:
        point["cross_section_pb"] = None
    (own_run / "fit.json").write_text(json.dumps(fit))
    found = {picture.stem: picture for picture in pictures_of(load_run(own_run))}
    assert found["limit_Dark_Higgs"].plot.lines[-1].y.tolist() == [1, 1, 1, 1]
    assert r"\mu" in found["limit_Dark_Higgs"].plot.quantity


def test_a_grid_of_two_parameters_is_a_curve_for_each_row(blinded_run):
    run = load_run(blinded_run)
    grid = [(mass, chi) for mass in (130.0, 700.0) for chi in (1.0, 5.0)]
    names = run.of_kind("signal")
    points = {
        name: {"model": name.partition("_")[0], "m_Zprime": mass, "m_chi": chi}
        for name, (mass, chi) in zip(names, grid * 3, strict=True)
    }
    (picture,) = significance_pictures(replace(run, parameters=points))
    curves = [line for line in picture.plot.lines if line.dash != "none"]
    assert [curve.title for curve in curves[:2]] == [
        "Dark Higgs, $m_{\\chi}$ = 1 GeV",
        "Dark Higgs, $m_{\\chi}$ = 5 GeV",
    ]
    assert [curve.x.tolist() for curve in curves[:2]] == [[130, 700], [130, 700]]


def test_what_lies_outside_is_said(pictures):
    assert pictures["SR3_mm/met"].plot.note == ""
    assert pictures["CR_em/mll"].plot.note == ""


@pytest.fixture
def short_run(own_run):
    """Without fit, which is four pictures less."""
    (own_run / "fit.json").unlink()
    return own_run


def test_files_index_and_stale_pictures(short_run):
    own_run = short_run
    written = drawn(own_run, FEW)
    names = sorted(str(path.relative_to(own_run / "plots")) for path in written)
    assert "SR1_mm/mll.png" in names
    assert "yields.png" in names
    index = read_index(own_run / "plots")
    assert {str(entry["path"].relative_to(own_run / "plots")) for entry in index} == set(names)
    with Image.open(own_run / "plots/SR1_mm/mll.png") as picture:
        assert picture.width == round(6.4 * 60)
    (own_run / "plots/mine.png").write_bytes(b"kept")
    again = drawn(own_run, FEW.model_copy(update={"histograms": ("njets",)}))
    assert own_run / "plots/SR1_mm/njets.png" in again
    assert not (own_run / "plots/SR1_mm/mll.png").exists()
    assert (own_run / "plots/mine.png").exists()


def test_a_title_that_can_not_be_drawn_costs_no_picture(short_run):
    before = {path: path.read_bytes() for path in drawn(short_run, FEW)}
    wrong = FEW.model_copy(update={"histograms": ("njets",), "region_titles": {"SR1_mm": r"$\nonsense{$"}})
    with pytest.raises(ConfigError, match="LaTeX is wrong"):
        drawn(short_run, wrong)
    assert {path: path.read_bytes() for path in before} == before
    assert {entry["path"] for entry in read_index(short_run / "plots")} == set(before)


def test_workers_draw_the_same_bytes(short_run):
    own_run = short_run
    settings = PlotSettings(regions=("SR?_mm",), histograms=("mll", "njets"), formats=("png",), resolution=60)
    counts = []
    alone = {path: path.read_bytes() for path in drawn(own_run, settings)}
    together = drawn(own_run, settings, workers=2, progress=lambda done, total: counts.append((done, total)))
    assert {path: path.read_bytes() for path in together} == alone
    assert counts == [(number, len(counts)) for number in range(1, len(counts) + 1)]


def test_an_index_can_t_reach_out_of_the_folder(short_run):
    own_run = short_run
    (own_run / "plots").mkdir()
    index = {"pictures": [{"stem": "../../secret", "kind": "yields", "alt": "", "formats": ["png"]}]}
    (own_run / "plots/index.json").write_text(json.dumps(index))
    (own_run.parent.parent / "secret.png").write_bytes(b"x")
    assert read_index(own_run / "plots") == []
    drawn(own_run, FEW)
    assert (own_run.parent.parent / "secret.png").exists()


def test_no_two_pictures_have_one_path(tmp_path):
    regions = ["MET<100", "MET>100", "met gt 100", "MET/100", "x" * 3000, "x" * 2999]
    axes = hist.axis.StrCategory(regions, name="region"), hist.axis.StrCategory(["nominal"], name="variation")
    filled = hist.Hist(*axes, hist.axis.Regular(1, 0, 1, name="x"), storage=hist.storage.Weight())
    for region in regions:
        filled.fill(region, "nominal", [0.5])
    result = Result({"x": {"top": filled}}, {}, Ledger(0.0, {}))
    run = replace(empty_run({"top": "background"}, plots=FEW_DOTS), result=result)
    stems = {picture.stem.casefold() for picture in pictures_of(run)}
    assert len(stems) == len(regions) + 1
    assert len({path.stat().st_ino for path in draw_run(run, tmp_path)}) == len(regions) + 1


def test_names_become_paths():
    assert path_part("../a b/<script>") == "_a_b_lt_script_gt"
    assert path_part("MET<100") != path_part("MET>100")
    assert len(path_part("ü" * 3000).encode()) == 100
    assert path_part("...") == "_"


def test_command(short_run, capsys):
    own_run = short_run
    with pytest.raises(SystemExit) as caught:
        main(
            ["plot", str(own_run), "--regions", "CR_em", "--histograms", "njets", "--formats", "png", "--workers", "1"]
        )
    assert caught.value.code == 0
    assert "plots" in capsys.readouterr().out
    assert (own_run / "plots/CR_em/njets.png").is_file()
    assert not list((own_run / "plots").rglob("*.pdf"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: None, None),
        (lambda run: [path.unlink() for path in run.iterdir()], "give the output folder of a run"),
        (lambda run: (run / "fit.json").write_text("{"), "not valid JSON"),
        (lambda run: (run / "fit.json").write_text('{"points": [{}]}'), "fit.json: luminosity: this key is required"),
        (lambda run: (run / "cutflow.json").write_text("[1]"), "cutflow.json"),
        (lambda run: (run / "ledger.json").write_text('{"allow_loss": 0, "datasets": 3}'), "datasets"),
        (lambda run: (run / "histograms.zip").write_bytes(b"PK no"), "can't be read as histograms"),
        (lambda run: (run / "provenance.json").write_text("{'a'}"), "provenance.json"),
    ],
)
def test_a_broken_folder_is_one_sentence(own_run, capsys, change, words):
    change(own_run)
    arguments = ["--regions", "CR_em", "--histograms", "njets", "--formats", "png", "--workers", "1"]
    if words is None:
        own_run, words = own_run / "nowhere", "is not a folder"
    with pytest.raises(SystemExit) as caught:
        main(["plot", str(own_run), *arguments])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert words in told
    assert told.count("\n") == 1
    assert "Traceback" not in told


def test_a_folder_with_nothing_to_draw(own_run):
    for name in ("histograms.zip", "cutflow.json", "fit.json"):
        (own_run / name).unlink()
    assert drawn(own_run, PlotSettings()) == []


def test_unknown_names(own_run):
    with pytest.raises(ConfigError, match=r"did you mean SR1_mm"):
        drawn(own_run, PlotSettings(regions=("SR1_mn",)))
    with pytest.raises(ConfigError, match=r"plots\.signals"):
        drawn(own_run, PlotSettings(signals=("nothing",), histograms=("mll",)))


def test_settings_cost_nothing():
    code = "import sys, colonnade.plotting; print(sorted({'matplotlib', 'numpy', 'hist', 'mplhep'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
