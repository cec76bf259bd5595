"""One figure to draw: what it shows, where it is saved, what it is called."""

from __future__ import annotations

__all__ = ["Picture", "path_part"]

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from colonnade.plotting.contents import Band, Bars, Caption, Curve, Kept, Plane, Stack
from colonnade.plotting.fit_contents import CorrelationPlot, ImpactPlot, PullPlot, ScanPlot
from colonnade.plotting.resonance_contents import FitPlot, LinePlot, RankPlot, StepPlot

Content = (
    Stack
    | Plane
    | Band
    | Bars
    | FitPlot
    | StepPlot
    | LinePlot
    | RankPlot
    | CorrelationPlot
    | ImpactPlot
    | PullPlot
    | ScanPlot
    | tuple[Curve, ...]
    | tuple[tuple[str, ...], tuple[Kept, ...]]
)


@dataclass(frozen=True)
class Picture:
    """One figure to draw.

    Attributes
    ----------
    stem : str
        Its path below plots/, without suffix.
    kind : str
        histogram, yields, cutflow, n_minus_one, limit, significance, classifier, fit_pulls, ...
    alt : str
        What it shows, for those who can't see it.
    content
        The arrays.
    caption : Caption
        The words in the corner.
    options : mapping
        Further arguments of the drawing function.
    region, histogram : str
        What it belongs to, where it does.
    """

    stem: str
    kind: str
    alt: str
    content: Content
    caption: Caption
    options: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""
    histogram: str = ""


def path_part(name: str) -> str:
    """Return a name as part of a path: letters, digits and a few signs only."""
    return re.sub(r"[^\w+=.-]", "_", name).lstrip(".") or "_"
