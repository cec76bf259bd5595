"""Numbers in rows and planes: what each cut keeps, bars with names, histograms in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from colonnade.plotting.limits import INNER, MARKERS
from colonnade.plotting.plot import Floats, Plot
from colonnade.plotting.style import canvas, rows_with_names, ticks


@dataclass(frozen=True)
class BarPlot(Plot):
    """Numbers with names as horizontal bars, from the top of the figure down.

    Attributes
    ----------
    names : tuple of str
    values : numpy.ndarray
        Shape (names,).
    label : str
        Of the numbers.
    """

    names: tuple[str, ...]
    values: Floats
    label: str

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """As high as the rows need."""
        return canvas(1.9 + 0.24 * len(self.names))

    def draw(self, axes: Axes) -> None:
        """Draw the bars."""
        axes.barh(range(len(self.names)), self.values, color=INNER, edgecolor="black", linewidth=0.6, height=0.7)
        axes.axvline(0, color="black", linewidth=0.8)
        low, high = min(0.0, float(self.values.min(initial=0))), max(float(self.values.max(initial=0)), 1e-6)
        axes.set_xlim(1.05 * low, 1.08 * high)
        axes.set_xlabel(self.label)
        rows_with_names(axes, self.caption, self.names)
        ticks(axes, y=False)


@dataclass(frozen=True)
class Kept:
    """What one process keeps of its events at each of n cuts, all the other cuts being applied.

    Attributes
    ----------
    title : str
        Its name in the legend.
    fraction : numpy.ndarray
        Shape (n,), between 0 and 1; NaN where nothing reaches the cut.
    colour : str
        As matplotlib understands it.
    """

    title: str
    fraction: Floats
    colour: str


@dataclass(frozen=True)
class CutPlot(Plot):
    """What each cut keeps of the events that pass all the others (N-1).

    A useful cut keeps the signal, at the right, and not the background, at the left.

    Attributes
    ----------
    cuts : tuple of str
        Names, in their order.
    processes : tuple of Kept
        The total background first, then signals.
    """

    cuts: tuple[str, ...]
    processes: tuple[Kept, ...]

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """As high as the rows need."""
        return canvas(1.9 + 0.34 * len(self.cuts))

    def draw(self, axes: Axes) -> None:
        """Draw a row of points for each cut, the first on top."""
        rows = np.arange(len(self.cuts))
        for row in rows:
            values = [each.fraction[row] for each in self.processes if np.isfinite(each.fraction[row])]
            if values:
                axes.plot((min(values), max(values)), (row, row), color="#bbbbbb", linewidth=2.5, zorder=1)
        handles: list[Artist] = []
        for index, each in enumerate(self.processes):
            look: dict[str, Any] = {"color": each.colour, "marker": MARKERS[index % len(MARKERS)], "label": each.title}
            handles += axes.plot(
                each.fraction, rows, markersize=7, linestyle="none", zorder=2 + index, clip_on=False, **look
            )
        axes.set_xlim(0, 1)
        axes.set_xlabel("Kept of the events that pass all other cuts")
        rows_with_names(axes, self.caption, self.cuts, handles)
        ticks(axes, y=False)


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
        """Draw the bins, on a logarithmic scale where they span a factor of more than 100, and that scale."""
        shown = np.where(self.values > 0, self.values, np.nan)
        some = shown[np.isfinite(shown)]
        wide = some.size > 1 and float(some.max() / some.min()) > 100
        # mplhep.hist2dplot would make its figure pyplot's current one
        mesh = axes.pcolormesh(
            self.x_edges, self.y_edges, shown.T, cmap="cividis", rasterized=True,
            norm=LogNorm(float(some.min()), float(some.max())) if wide else None,
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
