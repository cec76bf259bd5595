"""The section about the fit, from what the statistics really write."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from helpers.made_run import reported
from matplotlib.patches import StepPatch

from colonnade.plotting import PlotSettings
from colonnade.plotting.draw import draw_all
from colonnade.plotting.fit_pictures import fit_pictures, run_of_model
from colonnade.statistics import Likelihood, fit, from_workspace
from colonnade.statistics.diagnostics import diagnose
from colonnade.statistics.fitting import signal_bounds
from colonnade.statistics.results import Correlations, Effect, Pull
from colonnade.workflow.folder import load_run


def workspace(observed):
    def sample(name, data, *modifiers):
        return {"name": name, "data": data, "modifiers": list(modifiers)}

    def normsys(name, up):
        return {"name": name, "type": "normsys", "data": {"hi": up, "lo": 1 / up}}

    mu = {"name": "mu", "type": "normfactor", "data": None}
    free = {"name": "norm_top", "type": "normfactor", "data": None}
    regions = {
        "SR": [
            sample("signal", [5.0, 20.0], mu),
            sample("top", [60.0, 20.0], free, normsys("scale", 1.1)),
            sample("zz", [30.0, 10.0], normsys("xsec_zz", 1.2)),
        ],
        "CR": [sample("top", [900.0], free, normsys("scale", 1.02)), sample("zz", [50.0], normsys("xsec_zz", 1.2))],
    }
    return {
        "channels": [{"name": name, "samples": samples} for name, samples in regions.items()],
        "observations": [{"name": name, "data": observed[name]} for name in regions],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def diagnosed(model, scans=()):
    likelihood = Likelihood(model)
    lower, upper = bounds = signal_bounds(likelihood)
    return diagnose(likelihood, fit(likelihood, lower=lower, upper=upper), bounds=bounds, scans=scans)


@pytest.fixture(scope="module")
def found():
    model = from_workspace(workspace({"SR": [95.0, 55.0], "CR": [1000.0]}))
    return diagnosed(model, scans=("xsec_zz",))


def test_every_picture_of_a_fit(found, tmp_path):
    run = run_of_model(["top", "zz"])
    pictures = {each.stem: each for each in fit_pictures(found, run)}
    kinds = {"pulls": "pulls", "ranking": "ranking", "correlations": "correlation_matrix", "scan_mu": "scan"}
    for name, kind in kinds.items():
        assert pictures[f"fit/{name}"].plot.kind == kind
    assert set(pictures) == {
        f"fit/{name}" for name in (*kinds, "scan_xsec_zz", "prefit_SR", "postfit_SR", "prefit_CR", "postfit_CR")
    }
    pulls, _, names, *_ = pictures["fit/ranking"].plot.arguments
    assert np.isnan(pulls[names.index("norm_top")])  # it is free: nothing to be pulled from
    stack = pictures["fit/postfit_SR"].plot
    assert stack.data.tolist() == [95.0, 55.0]
    np.testing.assert_allclose(stack.before, [90.0, 30.0])  # without signal
    assert [each.title for each in stack.backgrounds] == ["top", "zz", "signal, fitted"]
    np.testing.assert_allclose(stack.total.sum(), found.yields["SR"].postfit.total)
    assert not any("signal" in each.title for each in pictures["fit/postfit_CR"].plot.backgrounds)
    chosen = list(fit_pictures(found, run, {"pulls", "scan"}))
    written = draw_all(chosen, tmp_path, PlotSettings(formats=("png",), resolution=50), index=False)
    assert [each.name for each in written] == ["pulls.png", "scan_mu.png", "scan_xsec_zz.png"]
    assert all(each.stat().st_size > 1000 for each in written)


def test_a_negative_signal_and_a_free_normalisation_are_shown():
    model = from_workspace(workspace({"SR": [85.0, 22.0], "CR": [1000.0]}))
    found = diagnosed(model)
    pictures = {each.stem: each for each in fit_pictures(found, run_of_model(["top", "zz"]))}
    stack = pictures["fit/postfit_SR"].plot
    assert stack.backgrounds[-1].values.sum() < 0
    np.testing.assert_allclose(stack.total.sum(), found.yields["SR"].postfit.total)
    ranking = pictures["fit/ranking"]
    figure = ranking.plot.figure()
    _, _, names, *impacts = ranking.plot.arguments
    impacts = np.abs(impacts)
    free = names.index("norm_top")
    assert impacts[2:, free].max() < figure.axes[1].get_xlim()[1] < 1.2 * impacts.max()


def test_every_figure_can_be_drawn(found, tmp_path):
    settings = PlotSettings(formats=("png", "pdf"), resolution=50)
    written = draw_all(list(fit_pictures(found, run_of_model(["top", "zz"]))), tmp_path, settings, index=False)
    assert len(written) == 18
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []  # nothing is left open


def test_the_section(found, own_run):
    path = own_run / "fit.json"
    content = json.loads(path.read_text())
    content |= {
        "diagnostics": found.to_json(),
        "reference": "signal",
        "blinded": False,
        "observed_channels": ["SR", "CR"],
    }
    path.write_text(json.dumps(content))
    text = reported(own_run).read_text()
    section = text[text.index('<section id="fit"') : text.index("</section>", text.index('<section id="fit"'))]
    for words in ("fitted to the data of all its regions", "Goodness of fit", "Ranking", "xsec_zz", "norm_top"):
        assert words in section
    assert "<strong>150</strong>" in section  # observed in SR
    run = load_run(own_run)
    assert len(list(fit_pictures(found, run))) == 9


def test_what_is_blinded_is_said(found, own_run):
    hidden = json.loads(json.dumps(found.to_json()))
    hidden["strength"] = 1.0
    hidden["yields"]["SR"]["observed"] = None
    path = own_run / "fit.json"
    content = json.loads(path.read_text())
    content |= {"diagnostics": hidden, "reference": "signal", "blinded": True, "observed_channels": ["CR"]}
    path.write_text(json.dumps(content))
    text = reported(own_run).read_text()
    section = text[text.index('<section id="fit"') : text.index("</section>", text.index('<section id="fit"'))]
    assert "stands for the data of the other regions" in section
    assert "<strong>150</strong>" not in section
    assert "signal strength 1" in section


def test_limits_by_pseudo_experiments_stand_beside_those_of_the_formulas(own_run):
    path = own_run / "fit.json"
    content = json.loads(path.read_text())
    limit = content["points"][0]["limit"]
    formulas = {"expected": [1.1, 2.2, 3.3, 4.4, 5.5], "observed": None}
    toys = {"expected": [1.0, 2.0, 3.0, 4.0, 5.0], "expected_errors": [0.1] * 5, "observed": None}
    toys |= {"observed_error": None, "toys": 2000}
    limit |= {"method": "toys", "expected": toys["expected"], "asymptotic": formulas, "toys": toys}
    path.write_text(json.dumps(content))
    text = reported(own_run).read_text()
    assert "3.00 ± 0.10" in text
    assert '<td class="n">3.30</td>' in text
    assert "2000 pseudo-experiments" in text


def test_groups_of_uncertainties_are_drawn_when_asked_for(found):
    def grouped(yields):
        return replace(yields, groups={"jets": yields.errors, "theory": (0.0,) * len(yields.errors)})

    held = {
        name: replace(each, prefit=grouped(each.prefit), postfit=grouped(each.postfit))
        for name, each in found.yields.items()
    }
    summary = replace(found, yields=held)
    run = run_of_model(["top", "zz"])
    plain = {each.stem: each.plot for each in fit_pictures(summary, run, {"yields"})}
    assert plain["fit/prefit_SR"].groups == ()
    chosen = {each.stem: each.plot for each in fit_pictures(summary, run.with_plots(groups=("j*",)), {"yields"})}
    plot = chosen["fit/postfit_SR"]
    assert [each.title for each in plot.groups] == ["jets"]
    figure = plot.figure()
    drawn = [patch.get_data().values for patch in figure.axes[1].findobj(StepPatch)]
    assert any(np.allclose(values, 1 + plot.up / plot.total) for values in drawn)
    assert "jets" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_without_data_the_panel_shows_the_uncertainty(found):
    hidden = replace(found, yields={"SR": replace(found.yields["SR"], observed=None)})
    pictures = {each.stem: each.plot for each in fit_pictures(hidden, run_of_model(["top"]), {"yields"})}
    assert pictures["fit/prefit_SR"].figure().axes[1].get_ylabel() == "Uncertainty"


def test_the_section_of_uncertainties(own_run):
    path = own_run / "fit.json"
    content = json.loads(path.read_text())
    effects = [
        Effect("jets", "SR1_mm", "ww", "jets", "both", 0.031, -0.029, 0.12, "both", ("smoothed: twice",)),
        Effect("lumi", "SR1_mm", "ww", "luminosity", "normalisation", 0.017, -0.017),
        Effect("jets", "SR1_mm", "zz", "jets", "pruned", notes=("pruned: too small",)),
    ]
    content["systematics"] = [asdict(each) for each in effects]
    path.write_text(json.dumps(content))
    text = reported(own_run).read_text()
    section = text[text.index('<section id="systematics"') : text.index('<section id="yields"')]
    for words in ("+3.1 −2.9 %", "shape 12 %", "±1.7 %", "left out", "smoothed: twice", "pruned: too small"):
        assert words in section
    assert section.index("jets") < section.index("lumi")


def test_of_many_parameters_those_that_matter_are_drawn(found):
    pulls = tuple(Pull(f"p{place}", 0.01 * place, 1.0) for place in range(60))
    matrix = np.eye(20)
    matrix[3, 17] = matrix[17, 3] = 0.9
    correlations = Correlations(tuple(f"c{place}" for place in range(20)), tuple(map(tuple, matrix.tolist())))
    many = replace(found, pulls=pulls, correlations=correlations)
    pictures = {each.stem: each.plot for each in fit_pictures(many, run_of_model([]), ("pulls", "correlations"))}
    shown, _, names = pictures["fit/pulls"].arguments
    assert names == [f"p{place}" for place in range(20, 60)]
    assert shown[0] == pytest.approx(0.2)
    drawn, names = pictures["fit/correlations"].arguments
    assert drawn.shape == (14, 14)
    assert {"c3", "c17"} <= set(names)
    assert drawn[names.index("c3"), names.index("c17")] == 0.9
