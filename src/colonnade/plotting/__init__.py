"""Figures of a run: its typed results drawn with mplhep and saved.

A figure is a frozen `Plot` that draws itself into matplotlib axes (`stack`, `lines`, `fit_pictures`),
without pyplot and without any state. `Run` holds the results of one run; `draw_run` chooses what to draw of them and
saves it. matplotlib is imported when something is drawn, not before.
"""

from __future__ import annotations

__all__ = ["PlotSettings", "ProcessStyle", "Run", "draw_run"]

from typing import TYPE_CHECKING

from colonnade.lazy import lazy
from colonnade.plotting.settings import PlotSettings, ProcessStyle

if TYPE_CHECKING:
    from colonnade.plotting.draw import draw_run
    from colonnade.plotting.run import Run

__getattr__ = lazy(
    __name__,
    draw=("draw_run",),
    run=("Run",),
)
