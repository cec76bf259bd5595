"""Limits and significances against a signal's parameter, from plain arrays."""

from __future__ import annotations

__all__ = ["bars", "limit_band", "significance_curves"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from colonnade.plotting.contents import Band, Bars, Caption, Curve
from colonnade.plotting.palette import SIGNAL_COLOURS, SIGNAL_DASHES
from colonnade.plotting.style import canvas, header, height_in_points, styled, ticks

Floats = NDArray[np.float64]

# told apart by every kind of colour vision, and under black lines
INNER, OUTER = "#85d1fb", "#ffdf7f"
_MARKERS = ("o", "s", "^", "D", "v", "P")


@styled
def limit_band(band: Band, caption: Caption, *, label: str, quantity: str = "95 % CL upper limit on $\\mu$") -> Figure:
    """Draw expected limits with their bands of one and two standard deviations, and the observed one if there is one.

    Parameters
    ----------
    band
        The arrays.
    caption
        The words in the corner.
    label
        Of the parameter, with its unit.
    quantity
        What is limited, with its unit.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes, _ = canvas(4.9)
    x, expected = band.x, band.expected
    if len(x) == 1:  # a single point gets a short bar: a band without width can't be seen
        reach = 0.02 * abs(float(x[0])) or 0.02
        x, expected = np.asarray([x[0] - reach, x[0] + reach]), np.repeat(expected, 2, axis=0)
    axes.fill_between(x, expected[:, 0], expected[:, 4], color=OUTER, linewidth=0, zorder=1)
    axes.fill_between(x, expected[:, 1], expected[:, 3], color=INNER, linewidth=0, zorder=1.1)
    axes.plot(x, expected[:, 2], color="black", linestyle=(0, (4, 2)), zorder=3)
    axes.plot(band.x, band.expected[:, 2], "o", color="black", markerfacecolor="white", markersize=4.5, zorder=3)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color="black", linestyle=(0, (4, 2)), marker="o", markerfacecolor="white", markersize=4.5),
        Patch(color=INNER),
        Patch(color=OUTER),
    ]
    titles = ["Expected", "± 1 std. deviation", "± 2 std. deviations"]
    if band.observed is not None and np.isfinite(band.observed).any():
        axes.plot(band.x, band.observed, color="black", marker="o", markersize=5, zorder=4)
        handles.insert(0, Line2D([], [], color="black", marker="o", markersize=5))
        titles.insert(0, "Observed")
    if band.theory is not None:
        theory = np.repeat(band.theory, 2) if len(band.x) == 1 else band.theory
        axes.plot(x, theory, color=SIGNAL_COLOURS[0], linewidth=2, zorder=2)
        handles.append(Line2D([], [], color=SIGNAL_COLOURS[0], linewidth=2))
        titles.append(band.theory_title)
    _finish(axes, caption, handles, titles, logarithmic=True)
    axes.set_xlabel(label)
    axes.set_ylabel(quantity)
    ticks(axes)
    return figure


@styled
def significance_curves(
    curves: Sequence[Curve], caption: Caption, *, label: str, quantity: str = "Expected significance"
) -> Figure:
    """Draw the significance of each model against a parameter; the lines at 3 and 5 are evidence and discovery.

    Parameters
    ----------
    curves
        One for each model.
    caption
        The words in the corner.
    label
        Of the parameter, with its unit.
    quantity
        What is drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes, _ = canvas(4.9)
    handles: list[Line2D | Patch] = []
    titles = []
    values = np.concatenate([np.zeros(0), *(curve.y for curve in curves)])
    for index, curve in enumerate(curves):
        look: dict[str, Any] = {
            "color": SIGNAL_COLOURS[index % len(SIGNAL_COLOURS)],
            "marker": _MARKERS[index % len(_MARKERS)],
            "linestyle": SIGNAL_DASHES[index % len(SIGNAL_DASHES)],
            "markersize": 5.5,
        }
        axes.plot(curve.x, curve.y, **look)
        handles.append(Line2D([], [], **look))
        titles.append(curve.title)
        if curve.observed is not None and np.isfinite(curve.observed).any():
            axes.plot(curve.x, curve.observed, **{**look, "linestyle": "none", "markerfacecolor": "white"})
            handles.append(Line2D([], [], **{**look, "linestyle": "none", "markerfacecolor": "white"}))
            titles.append(f"{curve.title}, observed")
    positive = values[values > 0]
    logarithmic = positive.size > 1 and float(positive.max() / positive.min()) > 30
    _finish(axes, caption, handles, titles, logarithmic)
    low, high = axes.get_ylim()
    for level in (3, 5):
        if low < level < high:
            axes.axhline(level, color="#777777", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    axes.set_xlabel(label)
    axes.set_ylabel(quantity)
    ticks(axes)
    return figure


@styled
def bars(content: Bars, caption: Caption, *, label: str) -> Figure:
    """Draw named numbers as horizontal bars, the first on top.

    Parameters
    ----------
    content
        The numbers.
    caption
        The words in the corner.
    label
        Of the numbers.

    Returns
    -------
    matplotlib.figure.Figure
    """
    count = len(content.names)
    figure, axes, _ = canvas(1.9 + 0.24 * count)
    left = min(0.06 + 0.0125 * max((len(name) for name in content.names), default=0), 0.4)
    box = axes.get_position()
    axes.set_position((left, box.y0, box.x1 - left, box.height))
    axes.barh(range(count), content.values, color=INNER, edgecolor="black", linewidth=0.6, height=0.7)
    axes.axvline(0, color="black", linewidth=0.8)
    taken = header(axes, caption)
    axes.set_ylim(count - 0.4, -0.6 - (count + 0.2) * taken / (1 - min(taken, 0.8)))
    axes.set_yticks(range(count), content.names, fontsize=10)
    axes.tick_params(axis="y", which="both", length=0)
    low, high = min(0.0, float(content.values.min(initial=0))), max(float(content.values.max(initial=0)), 1e-6)
    axes.set_xlim(1.05 * low, 1.08 * high)
    axes.set_xlabel(label)
    ticks(axes, y=False)
    return figure


def _finish(axes: Axes, caption: Caption, handles: list[Line2D | Patch], titles: list[str], logarithmic: bool) -> None:
    """Place caption and legend, and leave them room above what is drawn."""
    points = height_in_points(axes)
    taken = max(header(axes, caption), (10 + 1.45 * 10 * len(titles)) / points)
    axes.legend(handles, titles, loc="upper right", fontsize=10, bbox_to_anchor=(0.985, 1 - 10 / points))
    free = 1 - min(taken + 0.05, 0.6)
    axes.margins(x=0)
    low, high = axes.dataLim.y0, axes.dataLim.y1
    x0, x1 = axes.dataLim.x0, axes.dataLim.x1
    axes.set_xlim(x0 - 0.03 * (x1 - x0 or abs(x0) or 1), x1 + 0.03 * (x1 - x0 or abs(x0) or 1))
    if logarithmic and low > 0:
        low, high = low / 1.6, high * 1.1
        # fewer than two labelled decades would leave the axis without a number
        middle = (low * high) ** 0.5
        low, high = min(low, middle / 4), max(high, middle * 4)
        axes.set_yscale("log")
        axes.set_ylim(low, low * (high / low) ** (1 / free))
    else:
        axes.set_ylim(0, (high or 1) * 1.05 / free)
