"""Histograms in two dimensions, from plain arrays."""

from __future__ import annotations

__all__ = ["plane"]

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from colonnade.plotting.contents import Caption, Plane
from colonnade.plotting.style import canvas, styled, ticks


@styled
def plane(content: Plane, caption: Caption, *, x_label: str, y_label: str) -> Figure:
    """Draw a two-dimensional histogram; bins without events stay white.

    Parameters
    ----------
    content
        The arrays.
    caption
        The words above the frame.
    x_label, y_label
        Of the axes, with units.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes, _ = canvas(5.2)
    axes.set_position((0.125, 0.125, 0.70, 0.775))
    side = figure.add_axes((0.84, 0.125, 0.03, 0.775))
    shown = np.where(content.values > 0, content.values, np.nan)
    some = shown[np.isfinite(shown)]
    wide = some.size > 1 and float(some.max() / some.min()) > 100
    # mplhep.hist2dplot would make its figure pyplot's current one
    mesh = axes.pcolormesh(
        content.x_edges, content.y_edges, shown.T, cmap="cividis", rasterized=True,
        norm=LogNorm(float(some.min()), float(some.max())) if wide else None,
    )  # fmt: skip
    bar = figure.colorbar(mesh, cax=side)
    bar.set_label("Events / bin")
    axes.set_xlim(content.x_edges[0], content.x_edges[-1])
    axes.set_ylim(content.y_edges[0], content.y_edges[-1])
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    words = [caption.experiment, caption.status, *caption.text()]
    axes.set_title("   ".join(word for word in words if word), loc="left", fontsize=10)
    ticks(axes)
    return figure
