"""Bands, significances and planes; and what all figures share."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection, QuadMesh

from colonnade.errors import ConfigError, OutputError
from colonnade.plotting.draw import save
from colonnade.plotting.lines import Component, Line, LinePlot, PlanePlot
from colonnade.plotting.settings import Caption
from colonnade.plotting.stack import StackPlot

X = np.array([130.0, 400, 1000])


def heights(collection):
    points = collection.get_paths()[0].vertices
    return sorted({round(float(y), 9) for y in points[:, 1]})


def test_a_band_alone_is_opaque_and_in_the_legend():
    band = Line("band", X, None, np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), "#85d1fb")
    wider = Line("wider", X, None, np.array([0.5, 1, 2]), np.array([7.0, 8, 9]), "#ffdf7f")
    axes = LinePlot((band, wider), "m", "y", scale="log").figure().axes[0]
    inner, outer = axes.findobj(FillBetweenPolyCollection)
    assert heights(inner) == [1, 2, 3, 4, 5, 6]
    assert heights(outer) == [0.5, 1, 2, 7, 8, 9]
    assert inner.get_zorder() > outer.get_zorder()
    assert inner.get_alpha() == 1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["band", "wider"]


def test_lines_with_points():
    lines = (
        Line("DH", X, np.array([6.0, 3, 1]), marker="o"),
        Line("DH, observed", X, np.full(3, 2.0), dash="none", marker="o"),
    )
    axes = LinePlot(lines, "m", "Z", (3, 50)).figure().axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["DH", "DH, observed"]
    assert axes.lines[1].get_linestyle() == "None"
    assert axes.get_xlim()[0] < X[0]
    assert axes.get_xlim()[1] > X[-1]
    levels = {float(line.get_ydata()[0]) for line in axes.lines if list(line.get_xdata()) == [0, 1]}
    assert 3 in levels
    assert 50 not in levels


def test_plane():
    values = np.array([[1.0, 0], [1000, 5]])
    edges = np.array([0.0, 1, 2]), np.array([0.0, 1, 3])
    figure = PlanePlot(values, *edges, "x", "y [GeV]", caption=Caption("c")).figure()
    (mesh,) = figure.axes[0].findobj(QuadMesh)
    shown = np.ma.filled(np.ma.masked_invalid(mesh.get_array().reshape(2, 2)), -1)
    np.testing.assert_allclose(shown.T, [[1, -1], [1000, 5]])
    assert figure.axes[0].get_ylabel() == "y [GeV]"


def small(title="ZZ"):
    part = Component(title, np.array([1.0, 2]), "#3f90da")
    caption = Caption("colonnade", "Simulation", 13, 139)
    return StackPlot(np.array([0.0, 1, 2]), (part,), np.zeros(2), np.zeros(2), caption=caption).figure()


def test_same_bytes_and_no_time(tmp_path):
    first = save(small(), tmp_path / "a")
    second = save(small(), tmp_path / "b")
    assert [path.name for path in first] == ["a.png", "a.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert b"CreationDate" not in first[1].read_bytes()
    assert b"tEXt" not in first[0].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png", "b.pdf", "b.png"]


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(mpl.rcParams)
    save(small(), tmp_path / "a", ["png"], 60)
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_wrong_latex_is_one_sentence(tmp_path, kind):
    with pytest.raises(ConfigError, match="LaTeX is wrong") as caught:
        save(small(r"$\nonsense{$"), tmp_path / "a", [kind])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        save(small(), tmp_path / "file" / "a", ["png"], 60)
