"""One figure to draw: what it shows, where it is saved, what it is called."""

from __future__ import annotations

__all__ = ["Picture", "path_part"]

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from colonnade.plotting.contents import Band, Bars, Caption, Curve, Kept, Plane, Stack


@dataclass(frozen=True)
class Picture:
    """One figure to draw.

    Attributes
    ----------
    stem : str
        Its path below plots/, without suffix.
    kind : str
        histogram, yields, cutflow, n_minus_one, limit, significance, classifier, ...
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
    content: Stack | Plane | Band | Bars | tuple[Curve, ...] | tuple[tuple[str, ...], tuple[Kept, ...]]
    caption: Caption
    options: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""
    histogram: str = ""


def path_part(name: str) -> str:
    """Return a name as part of a path: letters, digits and a few signs only."""
    return re.sub(r"[^\w+=.-]", "_", name).lstrip(".") or "_"
