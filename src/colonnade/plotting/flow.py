"""What each cut removes, from plain arrays."""

from __future__ import annotations

__all__ = ["kept_by_cut"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from colonnade.plotting.contents import Caption, Kept
from colonnade.plotting.style import canvas, header, height_in_points, styled, ticks

_MARKERS = ("o", "s", "^", "D", "v", "P")


@styled
def kept_by_cut(cuts: Sequence[str], processes: Sequence[Kept], caption: Caption) -> Figure:
    """Draw what each cut keeps of the events that pass all the others (N-1).

    A useful cut keeps the signal, at the right, and not the background, at the left.

    Parameters
    ----------
    cuts
        Names, in their order.
    processes
        The total background first, then signals.
    caption
        The words in the corner.

    Returns
    -------
    matplotlib.figure.Figure
    """
    count = len(cuts)
    figure, axes, _ = canvas(1.9 + 0.34 * count)
    left = min(0.06 + 0.0115 * max((len(cut) for cut in cuts), default=0), 0.45)
    box = axes.get_position()
    axes.set_position((left, box.y0, box.x1 - left, box.height))
    rows = np.arange(count)
    for row in rows:
        values = [each.fraction[row] for each in processes if np.isfinite(each.fraction[row])]
        if values:
            axes.plot((min(values), max(values)), (row, row), color="#bbbbbb", linewidth=2.5, zorder=1)
    handles = []
    for index, each in enumerate(processes):
        look: dict[str, Any] = {
            "color": each.colour, "marker": _MARKERS[index % len(_MARKERS)], "markersize": 7, "linestyle": "none",
        }  # fmt: skip
        axes.plot(each.fraction, rows, zorder=2 + index, clip_on=False, **look)
        handles.append(Line2D([], [], **look))
    points = height_in_points(axes)
    taken = max(header(axes, caption), (10 + 1.45 * 10 * len(processes)) / points)
    axes.legend(
        handles, [each.title for each in processes], loc="upper right", fontsize=10,
        bbox_to_anchor=(0.985, 1 - 10 / points),
    )  # fmt: skip
    axes.set_xlim(0, 1)
    # the first cut on top, below the words
    axes.set_ylim(count - 0.4, -0.6 - (count + 0.2) * taken / (1 - min(taken, 0.8)))
    axes.set_yticks(rows, cuts, fontsize=10)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_xlabel("Kept of the events that pass all other cuts")
    ticks(axes, y=False)
    return figure
