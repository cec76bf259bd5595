"""Curves, overlaid histograms, fitted spectra and rankings."""

from __future__ import annotations

import numpy as np
import pytest

from colonnade.plotting.draw import save
from colonnade.plotting.lines import FitPlot, Line, LinePlot, Step, StepPlot
from colonnade.plotting.settings import Caption

EDGES = np.linspace(0.0, 4.0, 5)
CENTERS = EDGES[:-1] + 0.5
FLAT = np.ones(4)
CAPTION = Caption(lines=("one", "two"))


FIT_LINE = (Line("Fit", CENTERS, 8 * FLAT),)
BOTH_STEPS = (Step("a", FLAT, filled=True), Step("b", 2 * FLAT))
BAND = (Line("a", CENTERS, FLAT, 0.5 * FLAT, 2 * FLAT),)


@pytest.mark.parametrize(
    "plot",
    [
        FitPlot(
            EDGES, 9 * FLAT, 3 * FLAT, FIT_LINE, np.array([1, -1, np.nan, 5.0]), "m", shaded=(1, 2), caption=CAPTION
        ),
        StepPlot(EDGES, BOTH_STEPS, "x", caption=CAPTION),
        StepPlot(EDGES, (Step("a", 10 * FLAT),), "x", curves=(Line("c", CENTERS, FLAT),), scale="log", caption=CAPTION),
        LinePlot(BAND, "x", "y", (1.0,), caption=CAPTION),
    ],
    ids=["fit", "steps", "log", "lines"],
)
def test_each_kind_of_figure(tmp_path, plot):
    figure = plot.figure()
    paths = save(figure, tmp_path / "figure", ("png", "pdf"), 60)
    assert all(path.stat().st_size > 1000 for path in paths)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"one", "two"} <= set(words)


def test_pulls_are_drawn_to_scale():
    plot = FitPlot(EDGES, FLAT, FLAT, (Line("Fit", CENTERS, FLAT),), np.array([0.0, 6.0, -2.0, np.nan]), "m")
    below = plot.figure().axes[1]
    assert below.get_ylim()[1] > 6
    assert below.patches[0].get_data().values.tolist() == [0, 6, -2, 0]
