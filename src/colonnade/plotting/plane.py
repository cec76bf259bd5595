"""Histograms in two dimensions."""

from __future__ import annotations

__all__ = ["PlanePlot"]

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from colonnade.plotting.plot import Floats, Plot
from colonnade.plotting.style import canvas, ticks


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
