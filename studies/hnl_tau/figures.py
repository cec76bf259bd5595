"""Figures of a mass scan: significance of every estimator against the mass, and residuals of a regression."""

from __future__ import annotations

__all__ = ["Estimator", "Residuals", "mass_scan_figure", "residual_figure"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from colonnade.plotting.settings import BACKGROUND_COLOURS, SIGNAL_COLOURS, SIGNAL_DASHES
from colonnade.plotting.style import style

Floats = NDArray[np.float64]
_MARKERS = ("o", "s", "^", "D", "v", "P")
_THIN = (0, (1, 1.2))


@dataclass(frozen=True)
class Estimator:
    """One curve.

    Attributes
    ----------
    title
        For the legend.
    kind
        `reference`, `observable`, `model` or `held out`.
    mass, value, error
        [M] each.
    ratio, ratio_error
        [M], over the reference, and its error from the same drawn events.
    """

    title: str
    kind: str
    mass: Floats
    value: Floats
    error: Floats
    ratio: Floats
    ratio_error: Floats


@dataclass(frozen=True)
class Residuals:
    """Residuals of one target: differences [N] with and without drop-in, and what the axis says."""

    title: str
    with_drop_in: Floats
    without: Floats


@style()
def mass_scan_figure(curves: Sequence[Estimator], label: str, quantity: str, reference: str) -> Figure:
    """Draw the significance against the mass, and below it the ratio to the reference.

    Parameters
    ----------
    curves
        What to draw.
    label, quantity
        Of the axes.
    reference
        The name of what the ratio is to.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(7.4, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1.3))
    drawn = {"model": 0, "observable": 0}
    masses = np.unique(np.concatenate([curve.mass for curve in curves]))
    places = {mass: place for place, mass in enumerate(masses)}
    models = [curve for curve in curves if curve.kind == "model"]
    for curve in curves:
        look = _look(curve.kind, drawn)
        # side by side, so that errors of one mass can be told apart
        shift = 0.09 * (models.index(curve) - 0.5 * (len(models) - 1)) if curve.kind == "model" else 0.0
        x = np.array([places[mass] for mass in curve.mass]) + shift
        bars = curve.kind != "observable"
        above.errorbar(x, curve.value, yerr=curve.error if bars else None, label=curve.title, **look)
        if curve.kind in ("model", "held out"):
            below.errorbar(x, curve.ratio, yerr=curve.ratio_error, **look)
    above.set_yscale("log")
    # room for the legend below the curves
    above.set_ylim(bottom=0.05 * min(curve.value[curve.value > 0].min(initial=1.0) for curve in curves))
    above.set_ylabel(quantity)
    above.legend(loc="lower left", fontsize=9, ncols=2, borderaxespad=0.8)
    below.axhline(1, color="black", linewidth=1)
    below.set_ylabel(f"ratio to {reference}")
    below.set_xlabel(label)
    below.set_xticks(range(len(masses)), [f"{mass:g}" for mass in masses], rotation=45)
    for axes in (above, below):
        axes.set_xlim(-0.6, len(masses) - 0.4)
        axes.grid(axis="x", color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
    return figure


def _look(kind: str, drawn: dict[str, int]) -> dict[str, Any]:
    plain: dict[str, Any] = {"markersize": 4, "linewidth": 1.2, "capsize": 0, "elinewidth": 1}
    if kind == "reference":
        return {**plain, "color": "black", "linewidth": 2, "marker": "none"}
    if kind == "held out":
        return {
            **plain,
            "color": SIGNAL_COLOURS[0],
            "marker": "*",
            "markersize": 11,
            "linestyle": "none",
            "mfc": "none",
        }
    number = drawn[kind]
    drawn[kind] += 1
    if kind == "observable":
        return {**plain, "color": BACKGROUND_COLOURS[number % 8], "linestyle": _THIN, "marker": "none"}
    return {
        **plain,
        "color": (*SIGNAL_COLOURS, "#e76300", "#3f90da", "#a96b59", "#717581")[number % 8],
        "linestyle": SIGNAL_DASHES[number % len(SIGNAL_DASHES)],
        "marker": _MARKERS[number % len(_MARKERS)],
    }


@style()
def residual_figure(panels: Sequence[Residuals]) -> Figure:
    """Draw residuals of a regression, a panel for each target.

    Parameters
    ----------
    panels
        What to draw; the range of each is that of the wider ones' central 98 %.

    Returns
    -------
    matplotlib.figure.Figure
    """
    across = 3
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.4 * across, 2.9 * down), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        reach = float(max(np.abs(np.percentile(each, (1, 99))).max() for each in (panel.with_drop_in, panel.without)))
        edges = np.linspace(-reach, reach, 61)
        looks = (("without", panel.without, "#94a4a2"), ("with drop-in", panel.with_drop_in, SIGNAL_COLOURS[0]))
        for name, values, colour in looks:
            spread = 0.5 * float(np.subtract(*np.percentile(values, (84, 16))))
            density, _ = np.histogram(values.clip(-reach, reach), edges, density=True)
            axes.stairs(density, edges, color=colour, label=f"{name}: {spread:.3f}", linewidth=1.4)
        axes.set_xlabel(panel.title, fontsize=10)
        axes.set_yticks([])
        axes.set_ylim(0, axes.get_ylim()[1] * 1.35)
        axes.legend(loc="upper left", fontsize=8, borderaxespad=0.8)
    return figure
