"""Figures: plain arrays drawn with mplhep, and what a run left turned into such arrays.

Two layers. `stack`, `curves`, `flow` and `plane` take arrays and return a `matplotlib.figure.Figure`, without
pyplot and without any state; `run` reads a run's folder, chooses what to draw and saves it. matplotlib is
imported when something is drawn, not before.
"""

from __future__ import annotations

__all__ = ["PlotSettings", "ProcessStyle", "draw_run"]

from typing import TYPE_CHECKING, Any

from colonnade.plotting.settings import PlotSettings, ProcessStyle

if TYPE_CHECKING:
    from colonnade.plotting.run import draw_run


def __getattr__(name: str) -> Any:
    if name != "draw_run":
        msg = f"module 'colonnade.plotting' has no attribute {name!r}"
        raise AttributeError(msg)
    from colonnade.plotting.run import draw_run

    return draw_run
