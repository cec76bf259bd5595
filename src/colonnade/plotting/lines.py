"""Curves and overlaid histograms, fitted spectra, and histograms in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from colonnade.plotting.settings import BACKGROUND_COLOURS, SIGNAL_COLOURS
from colonnade.plotting.style import Floats, Plot, canvas, finish, ticks

_COLOURS = (
    SIGNAL_COLOURS[3], SIGNAL_COLOURS[0], SIGNAL_COLOURS[2], BACKGROUND_COLOURS[1], SIGNAL_COLOURS[1], "#717581",
)  # fmt: skip
_DASHES: dict[str, Any] = {"solid": "solid", "dashed": (0, (5, 2)), "dotted": (0, (1.4, 1.6))}
# of many lines every title would fill the figure
_MOST_TITLES = 9


@dataclass(frozen=True)
class Component:
    """One process in a figure.

    Attributes
    ----------
    title : str
        Its name in the legend; empty for none.
    values : numpy.ndarray
        Shape (n,): events in each bin.
    colour : str
        As matplotlib understands it.
    """

    title: str
    values: Floats
    colour: str


@dataclass(frozen=True)
class Line:
    """One curve, histogram or band.

    Attributes
    ----------
    title : str
        Its name in the legend; empty for none.
    x : numpy.ndarray
        Shape (points,); of a histogram the edges of its bins, shape (points + 1,).
    y : numpy.ndarray, optional
        Shape (points,); without it there is the band alone, opaque and named in the legend.
    low, high : numpy.ndarray, optional
        A band, shape (points,).
    colour : str
        As matplotlib understands it; empty for the next of the palette.
    dash : str
        solid, dashed, dotted or none, or as matplotlib understands it.
    marker : str
        Drawn at each point, white where there is no line.
    filled : bool
        Whether the area below a histogram is shaded, instead of its outline drawn.
    """

    title: str
    x: Floats
    y: Floats | None
    low: Floats | None = None
    high: Floats | None = None
    colour: str = ""
    dash: Any = "solid"
    marker: str = ""
    filled: bool = False


@dataclass(frozen=True)
class LinePlot(Plot):
    """Curves with their bands, and histograms over each other.

    Attributes
    ----------
    lines : tuple of Line
    label, quantity : str
        Of the axes, with units.
    marks : tuple of float
        Heights of thin horizontal lines.
    scale : str
        Of the vertical axis, linear or log.
    """

    lines: tuple[Line, ...]
    label: str
    quantity: str
    marks: tuple[float, ...] = ()
    scale: Literal["linear", "log"] = "linear"

    def draw(self, axes: Axes) -> None:
        """Draw bands, curves, histograms and marks."""
        handles = _draw_curves(axes, self.lines)
        finish(axes, self.caption, handles, logarithmic=self.scale == "log")
        low, high = axes.get_ylim()
        for level in self.marks:
            if low < level < high:
                axes.axhline(level, color="#777777", linewidth=0.8, linestyle=_DASHES["dotted"], zorder=0)
        x = np.concatenate([line.x for line in self.lines])
        beside = 0.03 * (np.ptp(x) or abs(x[0]) or 1.0) if any(line.marker for line in self.lines) else 0.0
        axes.set_xlim(x.min() - beside, x.max() + beside)
        axes.set_xlabel(self.label)
        axes.set_ylabel(self.quantity)
        ticks(axes)


@dataclass(frozen=True)
class FitPlot(Plot):
    """A spectrum of n bins, what was fitted to it, and the pulls below.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,).
    values, errors : numpy.ndarray
        Shape (n,): contents and their errors.
    curves : tuple of Line
        Events in a bin, at the bins' centres.
    pulls : numpy.ndarray
        Shape (n,), of the first curve; NaN where there is none.
    label, unit : str
        Of the horizontal axis.
    shaded : tuple of float, optional
        A mass window to shade.
    points : str
        What the points are.
    """

    edges: Floats
    values: Floats
    errors: Floats
    curves: tuple[Line, ...]
    pulls: Floats
    label: str
    unit: str = "GeV"
    shaded: tuple[float, float] | None = None
    points: str = "Simulation"

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """Leave room for the pulls."""
        return canvas(panel=True)

    def draw(self, axes: Axes) -> None:
        """Draw points and curves."""
        self._shade(axes)
        points = axes.errorbar(
            0.5 * (self.edges[1:] + self.edges[:-1]), self.values, self.errors, fmt="o", color="black",
            markersize=3.5, linewidth=1, zorder=4, label=self.points,
        )  # fmt: skip
        handles = [points, *_draw_curves(axes, self.curves)]
        finish(axes, self.caption, handles)  # type: ignore[arg-type]  # matplotlib's stubs forget that containers are named
        axes.set_xlim(self.edges[0], self.edges[-1])
        widths = np.diff(self.edges)
        width = f" {widths[0]:g} {self.unit}".rstrip() if np.ptp(widths) <= 1e-6 * widths[0] else " bin"
        axes.set_ylabel(f"Events /{width}")
        ticks(axes, prune="lower")

    def draw_panel(self, axes: Axes) -> None:
        """Draw the pulls."""
        self._shade(axes)
        pulls = np.where(np.isfinite(self.pulls), self.pulls, 0.0)
        axes.stairs(pulls, self.edges, fill=True, color=BACKGROUND_COLOURS[2], linewidth=0)
        axes.axhline(0, color="black", linewidth=0.8)
        reach = max(3.5, 1.15 * float(np.abs(pulls).max(initial=0.0)))
        axes.set_ylim(-reach, reach)
        axes.set_ylabel("Pull")
        axes.set_xlabel(f"{self.label} [{self.unit}]" if self.unit else self.label)
        ticks(axes, count=5)

    def _shade(self, axes: Axes) -> None:
        if self.shaded is not None:
            axes.axvspan(*self.shaded, color="#eeeeee", linewidth=0, zorder=0)


def _draw_curves(axes: Axes, curves: Sequence[Line]) -> list[Artist]:
    """Draw curves with their bands, the first on top; of many, only the first and the last are named in the legend."""
    handles: list[Artist] = []
    look: dict[str, Any]
    for index, line in enumerate(curves):
        colour = line.colour or _COLOURS[index % len(_COLOURS)]
        below = 0.01 * index
        if line.low is not None and line.high is not None:
            look = {"color": colour, "linewidth": 0, "zorder": 1 - below, "label": line.title}
            band = axes.fill_between(line.x, line.low, line.high, alpha=1 if line.y is None else 0.2, **look)
            handles += [band] if line.y is None else []
        if line.y is None:
            continue
        look = {"color": colour, "label": line.title}
        drawn: Sequence[Artist]
        if len(line.x) > len(line.y):
            look |= {"fill": True, "alpha": 0.35, "linewidth": 0} if line.filled else {"linewidth": 1.5}
            drawn = [axes.stairs(line.y, line.x, **look)]
        else:
            look |= {"linestyle": _DASHES.get(line.dash, line.dash), "marker": line.marker or None, "linewidth": 1.6}
            look |= {"markerfacecolor": "white"} if line.dash == "none" else {}
            drawn = axes.plot(line.x, line.y, markersize=5.5, zorder=2.5 - below, **look)
        if line.title and (line.marker or len(curves) <= _MOST_TITLES or index in (0, len(curves) - 1)):
            handles += drawn
    return handles


@dataclass(frozen=True)
class PlanePlot(Plot):
    """A histogram in two dimensions; bins without events stay white.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (n, m): events.
    x_edges, y_edges : numpy.ndarray
        Shapes (n + 1,) and (m + 1,).
    x_label, y_label : str
        Of the axes, with units.
    """

    values: Floats
    x_edges: Floats
    y_edges: Floats
    x_label: str
    y_label: str

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """Leave room at the right for the scale of colours."""
        figure, axes, panel = canvas(5.2)
        axes.set_position((0.125, 0.125, 0.70, 0.775))
        return figure, axes, panel

    def draw(self, axes: Axes) -> None:
        """Draw the bins and their logarithmic scale of colours."""
        shown = np.where(self.values > 0, self.values, np.nan)
        # mplhep.hist2dplot would make its figure pyplot's current one
        mesh = axes.pcolormesh(
            self.x_edges, self.y_edges, shown.T, cmap="cividis", rasterized=True,
            norm=LogNorm() if np.isfinite(shown).any() else None,
        )  # fmt: skip
        figure = axes.figure
        figure.colorbar(mesh, cax=figure.add_axes((0.84, 0.125, 0.03, 0.775)), label="Events / bin")
        axes.set_xlim(self.x_edges[0], self.x_edges[-1])
        axes.set_ylim(self.y_edges[0], self.y_edges[-1])
        axes.set_xlabel(self.x_label)
        axes.set_ylabel(self.y_label)
        words = [self.caption.experiment, self.caption.status, *self.caption.text()]
        axes.set_title("   ".join(word for word in words if word), loc="left", fontsize=10)
        ticks(axes)
