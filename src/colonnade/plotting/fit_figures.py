"""Figures of a fit, drawn by cabinetry from plain arrays: pulls, ranking, correlations, likelihood scans."""

from __future__ import annotations

__all__ = ["FitContent", "fit_figure"]

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from colonnade.plotting.contents import Caption
from colonnade.plotting.fit_contents import CorrelationPlot, ImpactPlot, PullPlot, ScanPlot
from colonnade.plotting.palette import literal
from colonnade.plotting.style import styled

FitContent = PullPlot | ImpactPlot | CorrelationPlot | ScanPlot


# cabinetry sets sizes for matplotlib's own defaults
_SIZES = {"lines.markersize": 5, "legend.borderpad": 0.4, "legend.borderaxespad": 0.5, "axes.labelsize": 12}


@styled
def fit_figure(content: FitContent, caption: Caption) -> Figure:
    """Draw one of the figures of a fit.

    Parameters
    ----------
    content
        What it shows.
    caption
        The words above the frame.

    Returns
    -------
    matplotlib.figure.Figure
    """
    # cabinetry brings pyhf, and draws with pyplot, which keeps every figure until it is closed
    import matplotlib.pyplot as plt

    with plt.ioff(), mpl.rc_context(_SIZES):
        figure = _drawn(content)
    plt.close(figure)
    _write_caption(figure, caption, above=isinstance(content, ImpactPlot))
    return figure


def _drawn(content: FitContent) -> Figure:
    from cabinetry.visualize import plot_result

    figure: Figure
    if isinstance(content, PullPlot):
        figure = plot_result.pulls(content.pulls, content.constraints, _names(content.names))
    elif isinstance(content, ImpactPlot):
        impacts = np.nan_to_num(content.impacts)
        figure = plot_result.ranking(content.pulls, content.constraints, _names(content.names), *impacts)
        # cabinetry's range is that of the prior impacts, which a free parameter has none of
        widest = 1.1 * float(np.abs(impacts).max()) or 1.0
        figure.axes[1].set_xlim(-widest, widest)
    elif isinstance(content, CorrelationPlot):
        figure = plot_result.correlation_matrix(content.matrix, _names(content.names))
    else:
        name = literal(content.name)
        figure = plot_result.scan(name, content.best, content.error, content.values, content.delta)
    return figure


def _names(names: tuple[str, ...]) -> list[str]:
    return [literal(name) for name in names]


def _write_caption(figure: Figure, caption: Caption, *, above: bool) -> None:
    """Write the caption over the frame; a ranking has its legend there, so the words go below."""
    words = ", ".join([*caption.text()])
    text = literal(f"{caption.experiment} {caption.status}".strip()) + (f"   {words}" if words else "")
    if above:
        figure.text(0.01, 0.004, text, fontsize=9, ha="left", va="bottom", color="#333333")
    else:
        figure.axes[0].set_title(text, fontsize=10, loc="left")
