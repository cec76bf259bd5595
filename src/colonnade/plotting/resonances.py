"""Figures of fits and pseudo-experiments, from plain arrays."""

from __future__ import annotations

__all__ = ["figure_of", "fitted_spectrum", "lines", "overlaid", "ranked"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from colonnade.plotting.contents import Caption
from colonnade.plotting.palette import BACKGROUND_COLOURS, SIGNAL_COLOURS
from colonnade.plotting.resonance_contents import FitPlot, Line, LinePlot, RankPlot, StepPlot
from colonnade.plotting.style import canvas, header, height_in_points, styled, ticks

_COLOURS = (
    SIGNAL_COLOURS[3],
    SIGNAL_COLOURS[0],
    SIGNAL_COLOURS[2],
    BACKGROUND_COLOURS[1],
    SIGNAL_COLOURS[1],
    "#717581",
)
_DASHES: dict[str, Any] = {"solid": "solid", "dashed": (0, (5, 2)), "dotted": (0, (1.4, 1.6))}
_GREY = "#777777"
# of many lines every title would fill the figure
_MOST_TITLES = 9


def figure_of(content: FitPlot | StepPlot | LinePlot | RankPlot, caption: Caption, **options: Any) -> Figure:
    """Draw any of this module's figures by what it shows; options as of its function."""
    if isinstance(content, FitPlot):
        return fitted_spectrum(content, caption, **options)
    if isinstance(content, StepPlot):
        return overlaid(content, caption, **options)
    if isinstance(content, LinePlot):
        return lines(content, caption, **options)
    return ranked(content, caption, **options)


@styled
def fitted_spectrum(plot: FitPlot, caption: Caption, *, label: str, unit: str = "GeV", scale: str = "linear") -> Figure:
    """Draw a spectrum, what was fitted to it, and the pulls below.

    Parameters
    ----------
    plot
        The arrays.
    caption
        The words in the corner.
    label, unit
        Of the horizontal axis.
    scale
        linear or log.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes, below = canvas(panel=True)
    assert below is not None  # noqa: S101 - asked for
    centers = 0.5 * (plot.edges[1:] + plot.edges[:-1])
    if plot.shaded is not None:
        for frame in (axes, below):
            frame.axvspan(*plot.shaded, color="#eeeeee", linewidth=0, zorder=0)
    axes.errorbar(centers, plot.values, plot.errors, fmt="o", color="black", markersize=3.5, linewidth=1, zorder=4)
    handles: list[Any] = [Line2D([], [], marker="o", color="black", markersize=3.5, linestyle="none")]
    titles = [plot.points]
    _curves(axes, plot.curves, handles, titles)
    pulls = np.where(np.isfinite(plot.pulls), plot.pulls, 0.0)
    below.stairs(pulls, plot.edges, fill=True, color=BACKGROUND_COLOURS[2], linewidth=0)
    below.axhline(0, color="black", linewidth=0.8)
    reach = max(3.5, 1.15 * float(np.abs(pulls).max(initial=0.0)))
    below.set_ylim(-reach, reach)
    below.set_ylabel("Pull")
    _frame(axes, caption, handles, titles, scale)
    axes.set_xlim(plot.edges[0], plot.edges[-1])
    axes.set_ylabel(_per_bin(plot.edges, unit))
    below.set_xlabel(f"{label} [{unit}]" if unit else label)
    ticks(axes, prune="lower")
    ticks(below, count=5)
    return figure


@styled
def overlaid(
    plot: StepPlot, caption: Caption, *, label: str, quantity: str = "Fraction of events", scale: str = "linear"
) -> Figure:
    """Draw histograms over each other, with curves, and a difference below where there is one.

    Parameters
    ----------
    plot
        The arrays.
    caption
        The words in the corner.
    label, quantity
        Of the axes.
    scale
        linear or log.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes, below = canvas(panel=plot.difference is not None)
    handles: list[Any] = []
    titles: list[str] = []
    for index, step in enumerate(plot.steps):
        colour = step.colour or _COLOURS[index % len(_COLOURS)]
        if step.filled:
            axes.stairs(step.values, plot.edges, fill=True, color=colour, alpha=0.35, linewidth=0)
            handles.append(Patch(color=colour, alpha=0.35))
        else:
            axes.stairs(step.values, plot.edges, color=colour, linewidth=1.5)
            handles.append(Line2D([], [], color=colour))
        titles.append(step.title)
        if step.errors is not None:
            centers = 0.5 * (plot.edges[1:] + plot.edges[:-1])
            axes.errorbar(centers, step.values, step.errors, fmt="none", ecolor=colour, elinewidth=0.8)
    _curves(axes, plot.curves, handles, titles)
    _frame(axes, caption, handles, titles, scale)
    axes.set_xlim(plot.edges[0], plot.edges[-1])
    axes.set_ylabel(quantity)
    lowest = axes
    if plot.difference is not None and below is not None:
        lowest = below
        below.stairs(plot.difference, plot.edges, fill=True, color=BACKGROUND_COLOURS[2], linewidth=0)
        if plot.difference_error is not None:
            below.stairs(plot.difference_error, plot.edges, color="black", linewidth=0.9, linestyle=_DASHES["dotted"])
        below.set_ylim(0, 1.3 * float(np.max([plot.difference.max(), 1e-12])))
        below.set_ylabel("|Diff.| [%]", fontsize=10)
        ticks(below, count=4)
    lowest.set_xlabel(label)
    ticks(axes, prune="lower" if below is not None else None)
    return figure


@styled
def lines(
    plot: LinePlot, caption: Caption, *, label: str, quantity: str, scale: str = "linear", from_zero: bool = False
) -> Figure:
    """Draw curves with their bands.

    Parameters
    ----------
    plot
        The arrays.
    caption
        The words in the corner.
    label, quantity
        Of the axes.
    scale
        linear or log.
    from_zero
        Begin the vertical axis at 0.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes, _ = canvas(4.9)
    handles: list[Any] = []
    titles: list[str] = []
    _curves(axes, plot.lines, handles, titles)
    x = np.concatenate([line.x for line in plot.lines])
    _frame(axes, caption, handles, titles, scale, from_zero=from_zero)
    low, high = axes.get_ylim()
    for level in plot.marks:
        if low < level < high:
            axes.axhline(level, color=_GREY, linewidth=0.8, linestyle=_DASHES["dotted"], zorder=0)
    axes.set_xlim(float(x.min()), float(x.max()))
    axes.set_xlabel(label)
    axes.set_ylabel(quantity)
    ticks(axes)
    return figure


@styled
def ranked(plot: RankPlot, caption: Caption, *, label: str = "Shapley value (change of the response)") -> Figure:
    """Draw what each feature adds to the response of each event, the most important feature on top.

    Parameters
    ----------
    plot
        The arrays.
    caption
        The words in the corner.
    label
        Of the horizontal axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    count = len(plot.names)
    figure, axes, _ = canvas(1.9 + 0.36 * count)
    left = min(0.08 + 0.014 * max(len(name) for name in plot.names), 0.4)
    box = axes.get_position()
    axes.set_position((left, box.y0, box.x1 - left, box.height))
    # events are spread over a row by a fixed pattern, so that the picture repeats
    spread = (np.arange(len(plot.values)) * 0.618 % 1 - 0.5) * 0.55
    for row in range(count):
        axes.axhline(row, color="#dddddd", linewidth=0.8, zorder=0)
        axes.scatter(
            plot.values[:, row], row + spread, c=plot.levels[:, row], cmap="viridis", vmin=0, vmax=1, s=7, linewidths=0
        )
    points = height_in_points(axes)
    taken = header(axes, caption)
    axes.text(
        0.97, 1 - 12 / points, "dark: low, bright: high value of the feature", transform=axes.transAxes, va="top",
        ha="right", fontsize=9,
    )  # fmt: skip
    axes.set_ylim(count - 0.4, -0.6 - (count + 0.2) * taken / (1 - min(taken, 0.8)))
    axes.set_yticks(
        range(count),
        [f"{name} ({value:.3f})" for name, value in zip(plot.names, plot.importance, strict=True)],
        fontsize=10,
    )
    axes.tick_params(axis="y", which="both", length=0)
    axes.margins(x=0.05)
    axes.set_xlabel(label)
    ticks(axes, y=False)
    return figure


def _curves(axes: Axes, curves: Sequence[Line], handles: list[Any], titles: list[str]) -> None:
    few = len(curves) <= _MOST_TITLES
    for index, line in enumerate(curves):
        colour = line.colour or _COLOURS[index % len(_COLOURS)]
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.2, linewidth=0, zorder=1)
        axes.plot(line.x, line.y, color=colour, linestyle=_DASHES[line.dash], linewidth=1.6, zorder=2.5)
        if line.title and (few or index in (0, len(curves) - 1)):
            handles.append(Line2D([], [], color=colour, linestyle=_DASHES[line.dash], linewidth=1.6))
            titles.append(line.title)


def _frame(
    axes: Axes, caption: Caption, handles: list[Any], titles: list[str], scale: str, *, from_zero: bool = True
) -> None:
    """Place caption and legend, and leave them room above what is drawn."""
    points = height_in_points(axes)
    taken = max(header(axes, caption), (10 + 1.45 * 10 * len(titles)) / points)
    axes.legend(handles, titles, loc="upper right", fontsize=10, bbox_to_anchor=(0.985, 1 - 10 / points))
    free = 1 - min(taken + 0.04, 0.6)
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if scale == "log":
        low = max(low, high * 1e-7) if high > 0 else 1e-7
        axes.set_yscale("log")
        axes.set_ylim(low / 1.5, low / 1.5 * (max(high, low * 10) / low * 1.5) ** (1 / free))
        return
    low = min(low, 0.0) if from_zero else low
    axes.set_ylim(low, low + ((high - low) or 1.0) * 1.04 / free)


def _per_bin(edges: np.ndarray[Any, Any], unit: str) -> str:
    widths = np.diff(edges)
    if np.ptp(widths) > 1e-6 * widths[0]:
        return "Events / bin"
    return f"Events / {widths[0]:g} {unit}".rstrip()
