"""Stacked figures through what they are made of: heights, bands, points, words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from colonnade.plotting.lines import Component
from colonnade.plotting.settings import Caption
from colonnade.plotting.stack import StackPlot

EDGES = np.array([0.0, 10, 20, 30])
LOW, HIGH = np.array([10.0, 20, 30]), np.array([100.0, 90, 80])


def stacked(plot, caption, **changes):
    return replace(plot, caption=caption, **changes).figure()


def make(data=None, signals=(), significances=(), **changes):
    words = {
        "edges": EDGES,
        "backgrounds": (Component("ZZ", LOW, "#111111"), Component(r"$t\bar{t}$", HIGH, "#222222")),
        "down": np.array([5.0, 6, 7]),
        "up": np.array([8.0, 9, 10]),
        "signals": signals,
        "data": data,
        "significances": significances,
    }
    return StackPlot(**{**words, **changes})


def signal(size=1.0, colour="#bd1f01"):
    return Component("signal", np.array([1.0, 2, 3]) * size, colour)


def steps(axes):
    return [patch for patch in axes.findobj(StepPatch) if patch.axes is axes]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_heights_and_band():
    figure = stacked(make(), Caption())
    found = [patch.get_data() for patch in steps(figure.axes[0])]
    fills = [step for step in found if np.array_equal(step.values, LOW + HIGH) or np.array_equal(step.values, LOW)]
    assert any(np.array_equal(step.values, LOW) for step in fills)
    assert any(np.array_equal(step.values, LOW + HIGH) for step in fills)
    (band,) = [step for step in found if np.array_equal(step.values, LOW + HIGH + make().up)]
    np.testing.assert_allclose(band.baseline, LOW + HIGH - make().down)
    np.testing.assert_allclose(band.edges, EDGES)


def test_words():
    caption = Caption("colonnade", "Internal", 13, 139, ("SR ee",))
    figure = stacked(make(), caption, label=r"$m_{\ell\ell}$ [GeV]", unit="GeV")
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert "colonnade" in texts
    assert "Internal" in texts
    assert any("13 TeV" in text and "139 fb" in text for text in texts)
    assert "SR ee" in texts
    assert axes.get_xlabel() == r"$m_{\ell\ell}$ [GeV]"
    assert axes.get_ylabel() == "Events / 10 GeV"
    assert legend(figure) == [r"$t\bar{t}$", "ZZ", "Uncertainty"]


@pytest.mark.parametrize(
    ("edges", "unit", "label"),
    [
        ([0, 10, 30, 60], "GeV", "Events / bin"),
        ([-0.5, 0.5, 1.5, 2.5], "", "Events"),
        ([0, 0.1, 0.2, 0.3], "", "Events / 0.1"),
        ([1, 2, 3, 4], "", "Events"),
        ([1, 2, 3, 4], "GeV", "Events / 1 GeV"),
    ],
)
def test_events_label(edges, unit, label):
    figure = stacked(make(edges=np.array(edges, dtype=float)), Caption(), unit=unit)
    assert figure.axes[0].get_ylabel() == label


def test_data_points_and_ratio():
    data = np.array([100.0, np.nan, 0])
    figure = stacked(make(data=data), Caption(), panel="ratio")
    main, below = figure.axes
    assert legend(figure)[0] == "Data"
    # a hidden bin has no point, nor has an empty one
    (points,) = [each for each in main.containers if hasattr(each, "has_yerr")]
    assert points.lines[0].get_xdata().tolist() == [5]
    assert points.lines[0].get_ydata().tolist() == [100]
    (ratios,) = [each for each in below.containers if hasattr(each, "has_yerr")]
    np.testing.assert_allclose(ratios.lines[0].get_ydata(), [100 / 110])
    band = steps(below)[0].get_data()
    np.testing.assert_allclose(band.values, 1 + make().up / (LOW + HIGH))
    np.testing.assert_allclose(band.baseline, 1 - make().down / (LOW + HIGH))


def test_ratios_outside_the_panel_are_marked():
    total = np.full(24, 100.0)
    data = total.copy()
    data[3], data[7] = 1000, 1
    stack = StackPlot(np.arange(25.0), (Component("b", total, "#111111"),), total * 0, total * 0, data=data)
    below = stacked(stack, Caption(), panel="ratio").axes[1]
    up = [line for line in below.lines if line.get_marker() == "^"]
    down = [line for line in below.lines if line.get_marker() == "v"]
    assert up[0].get_xdata().tolist() == [3.5]
    assert down[0].get_xdata().tolist() == [7.5]


def test_errors_of_data_are_garwood_intervals():
    down, up = make(data=np.array([1.0, 4, 0])).data_errors()
    # Particle Data Group, table of Poisson intervals: 1 is 0.173 to 3.300, 4 is 2.086 to 7.163
    np.testing.assert_allclose(down[:2], [1 - 0.173, 4 - 2.086], atol=1e-3)
    np.testing.assert_allclose(up[:2], [3.300 - 1, 7.163 - 4], atol=1e-3)
    down, up = make(data=np.zeros(3)).data_errors()
    np.testing.assert_allclose(up, 1.841, atol=1e-3)
    assert not down.any()


def test_small_signals_are_scaled_by_a_tenth_or_drawn_on_a_logarithm():
    near = stacked(make(signals=(signal(2),)), Caption())
    assert near.axes[0].get_yscale() == "linear"
    assert legend(near)[-1] == "signal ×10"
    line = [step.get_data().values for step in steps(near.axes[0])][-1]
    np.testing.assert_allclose(line, [20, 40, 60])
    far = stacked(make(signals=(signal(0.01),)), Caption())
    assert far.axes[0].get_yscale() == "log"
    assert legend(far)[-1] == "signal"
    wanted = stacked(make(signals=(signal(0.01),)), Caption(), scale="linear")
    assert legend(wanted)[-1] == "signal ×$10^{3}$"


def test_a_wide_range_takes_a_logarithm():
    wide = Component("b", np.array([1e5, 1e3, 1.0]), "#111111")
    figure = stacked(make(backgrounds=(wide,)), Caption())
    low, high = figure.axes[0].get_ylim()
    assert figure.axes[0].get_yscale() == "log"
    assert low < 1
    assert high > 1e5
    assert stacked(make(backgrounds=(wide,)), Caption(), scale="linear").axes[0].get_yscale() == "linear"


def test_data_alone():
    peak = make(backgrounds=(), down=np.zeros(3), up=np.zeros(3), data=np.array([1.0, 500, 3]))
    assert stacked(peak, Caption()).axes[0].get_yscale() == "linear"
    low, high = stacked(peak, Caption(), scale="log").axes[0].get_ylim()
    assert low < 1
    assert high > 500
    spectrum = make(backgrounds=(), down=np.zeros(3), up=np.zeros(3), data=np.array([1.0, 50000, 3]))
    assert stacked(spectrum, Caption()).axes[0].get_yscale() == "log"


def test_nothing_is_below_the_legend():
    for scale in ("linear", "log"):
        figure = stacked(make(data=np.array([120.0, 100, 90])), Caption("c", "s", 13, 139, ("r",)), scale=scale)
        axes = figure.axes[0]
        figure.canvas.draw()
        box = axes.get_legend().get_window_extent()
        highest = axes.transData.transform((0, 120 + 12))[1]
        assert highest < box.y0


def test_significance_panel():
    z = np.array([0.1, np.nan, 0.4])
    figure = stacked(make(signals=(signal(),), significances=(z,)), Caption(), panel="significance")
    np.testing.assert_array_equal(steps(figure.axes[1])[0].get_data().values, z)
    nothing = np.array([np.nan, 0, 0])
    assert len(stacked(make(signals=(signal(),), significances=(nothing,)), Caption(), panel="significance").axes) == 1


def test_panels_that_would_be_empty_are_left_out():
    assert len(stacked(make(), Caption(), panel="ratio").axes) == 1
    alone = make(backgrounds=(), data=np.array([3.0, 4, 5]))
    assert len(stacked(alone, Caption(), panel="ratio").axes) == 1


def test_negative_and_empty_bins_are_drawn():
    odd = Component("b", np.array([-3.0, 0, 5]), "#111111")
    assert stacked(make(backgrounds=(odd,)), Caption()).axes[0].get_ylim()[0] < -3
    figure = stacked(make(backgrounds=(odd,)), Caption(), scale="log")
    assert figure.axes[0].get_ylim()[0] > 0
    nothing = Component("b", np.zeros(3), "#111111")
    stacked(make(backgrounds=(nothing,), down=np.zeros(3), up=np.zeros(3)), Caption(), scale="log").canvas.draw()


def test_named_bins():
    figure = stacked(make(bins=("all", "two leptons", "b-veto")), Caption(), rotate=True)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["all", "two leptons", "b-veto"]
    assert figure.axes[0].get_ylabel() == "Events"
