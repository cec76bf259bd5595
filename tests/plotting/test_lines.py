"""Curves, overlaid histograms, fitted spectra and rankings."""

from __future__ import annotations

import numpy as np
import pytest

from colonnade.plotting.draw import save
from colonnade.plotting.lines import FitPlot, Line, LinePlot
from colonnade.plotting.settings import Caption

EDGES = np.linspace(0.0, 4.0, 5)
CENTERS = EDGES[:-1] + 0.5
FLAT = np.ones(4)
CAPTION = Caption(lines=("one", "two"))


FIT_LINE = (Line("Fit", CENTERS, 8 * FLAT),)
BOTH_STEPS = (Line("a", EDGES, FLAT, filled=True), Line("b", EDGES, 2 * FLAT))
BAND = (Line("a", CENTERS, FLAT, 0.5 * FLAT, 2 * FLAT),)


@pytest.mark.parametrize(
    "plot",
    [
        FitPlot(
            EDGES, 9 * FLAT, 3 * FLAT, FIT_LINE, np.array([1, -1, np.nan, 5.0]), "m", shaded=(1, 2), caption=CAPTION
        ),
        LinePlot(BOTH_STEPS, "x", "y", caption=CAPTION),
        LinePlot((Line("a", EDGES, 10 * FLAT), Line("c", CENTERS, FLAT)), "x", "y", scale="log", caption=CAPTION),
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


def test_what_has_one_edge_more_than_values_is_a_histogram():
    axes = LinePlot((*BOTH_STEPS, Line("c", CENTERS, FLAT)), "x", "y").figure().axes[0]
    assert [patch.get_data().values.tolist() for patch in axes.patches[:2]] == [[1] * 4, [2] * 4]
    assert [patch.get_fill() for patch in axes.patches[:2]] == [True, False]
    assert axes.get_xlim() == (0, 4)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
