"""Checks of an analysis's declarations, made before any event is read."""

from __future__ import annotations

import re
from typing import Any

from colonnade.errors import ConfigError
from colonnade.histograms import Histogram
from colonnade.processor.pieces import Region, Source


def check_declarations(analysis: Any) -> None:
    """Find what is wrong with an analysis's regions, shifts and histograms.

    Parameters
    ----------
    analysis
        The class.

    Raises
    ------
    ConfigError
        Naming the first mistake.
    """
    for name, region in analysis.regions.items():
        if not isinstance(region, Region):
            msg = f"{analysis.__name__}.regions[{name!r}] is a {type(region).__name__}; use Region('cut', ...)."
            raise ConfigError(msg)
        if not name or "/" in name or "__" in name:
            msg = f"{analysis.__name__}: {name!r} can't be a region's name, as it is part of paths; avoid '/' and '__'."
            raise ConfigError(msg)
    sources = [] if isinstance(analysis.shifts, str) else [Source.of(one).name for one in analysis.shifts]
    if isinstance(analysis.shifts, str) or len(set(sources)) != len(sources):
        msg = f"{analysis.__name__}.shifts must be a tuple of different names, but is {analysis.shifts!r}."
        raise ConfigError(msg)
    for process, parts in analysis.parts.items():
        wrong = [part for part in parts if not re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", str(part))]
        if isinstance(parts, str) or wrong or len(set(parts)) != len(tuple(parts)):
            msg = (
                f"{analysis.__name__}.parts[{process!r}] = {parts!r}: give a tuple of different names of letters and "
                "digits, with single _ between them."
            )
            raise ConfigError(msg)
    for histogram in analysis.histograms:
        if not isinstance(histogram, Histogram):
            msg = f"{analysis.__name__}.histograms holds a {type(histogram).__name__}; use Histogram(name, axis)."
            raise ConfigError(msg)
        histogram.regions_among(list(analysis.regions))
    names = [histogram.name for histogram in analysis.histograms]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        msg = f"{analysis.__name__} declares the histogram {twice[0]!r} twice; give each its own name."
        raise ConfigError(msg)
