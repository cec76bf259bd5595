import json
import re

import numpy as np
import pytest
from helpers.made_run import drawn, reported
from PIL import Image

from colonnade.plotting.pictures import classifier_pictures
from colonnade.plotting.settings import PlotSettings
from colonnade.workflow.folder import load_run


def made_evaluation(models=("DH", "LV"), masses=(130.0, 400.0)):
    """What training leaves beside a model, with numbers that follow from their place."""
    edges = np.linspace(0, 1, 21)
    rising, falling = np.arange(1.0, 21.0), np.arange(20.0, 0.0, -1.0)

    def scores():
        return {
            "edges": edges.tolist(),
            "signal": {"events": rising.astype(int).tolist(), "scaled": (0.1 * rising).tolist()},
            "background": {"events": falling.astype(int).tolist(), "scaled": (30 * falling).tolist()},
            "processes": {"zll": (20 * falling).tolist(), "ww": (10 * falling).tolist()},
        }

    cuts = np.linspace(0, 0.99, 30)
    best = {"cut": 0.9, "signal": 3.0, "background": 20.0, "background_statistical": 2.0, "z": 0.6}
    points = [
        {
            "signal": f"{model}_mZp{mass:g}",
            "parameters": {"m_Zprime": mass},
            "auc": 0.98,
            "auc_training": 0.985,
            "accuracy": 0.93,
            "roc": {"false": [0.0, 1e-4, 0.1, 1.0], "true": [0.0, 0.4, 0.9, 1.0]},
            "significance": [{**best, "cut": float(cut), "z": float(0.6 * cut)} for cut in cuts],
            "best": best,
            "at_cut": {**best, "z": None},
            "distributions": scores(),
            "distributions_training": scores(),
        }
        for model in models
        for mass in masses
    ]
    return {
        "luminosity": 139.0,
        "background_error": 0.2,
        "cut": 0.85,
        "points": points,
        "calibration": [{"score": 0.1 * i, "signal_share": 0.1 * i, "weight": 1.0} for i in range(10)],
        "importance": {"met": 0.05, "mll": 0.02, "n_jets": -0.001},
        "negative_weights": [
            {"process": "ww", "policy": "drop", "negative": 0.05, "effective": 900.0, "bias": {"mll": 1.5, "met": -2.0}}
        ],
        "effective_events": {"ww": 900.0},
        "differences": {"onnx": 1e-7},
    }


@pytest.fixture
def scored_run(own_run):
    (own_run / "classifiers.json").write_text(json.dumps({"score": made_evaluation()}))
    return own_run


def test_a_run_with_classifiers_gets_their_pictures_and_table(scored_run):
    drawn(scored_run, PlotSettings(histograms=(), regions=()))
    index = json.loads((scored_run / "plots" / "index.json").read_text())["pictures"]
    stems = {entry["stem"] for entry in index if entry["kind"] == "classifier"}
    kinds = {stem.removeprefix("classifiers/score_").partition("_")[0] for stem in stems}
    assert kinds == {"roc", "significance", "shape", "calibration"}
    assert len(stems) == 2 * 2 + 2 + 1  # two models, two masses, and one for all
    for stem in stems:
        with Image.open(scored_run / "plots" / f"{stem}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10
    page = reported(scored_run).read_text()
    assert 'id="classifiers"' in page
    assert "0.9800" in page
    assert "0.9850" in page
    assert re.search(r"n_jets</th><td class=\"n\">-0.0010<", page.replace("−", "-"))
    assert "-2.00 (met)" in page.replace("−", "-")  # the larger bias of the two


def test_what_is_drawn_is_what_the_file_says(scored_run):
    run = load_run(scored_run)
    pictures = {picture.stem.removeprefix("classifiers/score_"): picture for picture in classifier_pictures(run)}
    shape = pictures["shape_m_Zprime_=_400"].plot
    steps = [line for line in shape.lines if len(line.x) > len(line.y)]
    assert [len(step.y) for step in steps] == [20] * 3
    assert all(step.y.sum() == pytest.approx(1) for step in steps)
    roc = pictures["roc_Dark_Higgs"].plot.lines
    assert len(roc) == 2
    assert roc[0].y.min() == pytest.approx(1e-4)  # nothing is kept at the very beginning, which no log scale shows


def test_a_run_without_classifiers_has_none(own_run):
    assert list(classifier_pictures(load_run(own_run))) == []


def test_a_score_under_a_mass_is_shown_with_signals_of_that_mass(scored_run):
    drawing = load_run(scored_run)
    assert drawing.signals_of("score_400") == ["DH_mZp400", "LV_mZp400"]
    for name in ("mll", "score", "mll_400", "score_55"):
        assert drawing.signals_of(name) == drawing.signals
    named = load_run(scored_run).with_plots(signals=("DH_mZp130",))
    assert named.signals_of("score_400") == ["DH_mZp130"]
