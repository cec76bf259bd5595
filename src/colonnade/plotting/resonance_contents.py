"""What the figures of fits and pseudo-experiments show, as plain arrays."""

from __future__ import annotations

__all__ = ["FitPlot", "Line", "LinePlot", "RankPlot", "Step", "StepPlot"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes
    ----------
    title : str
        Its name in the legend; empty for none.
    x, y : numpy.ndarray
        Shape (points,).
    low, high : numpy.ndarray, optional
        A band about it, shape (points,).
    colour : str
        As matplotlib understands it; empty for the next of the palette.
    dash : str
        solid, dashed or dotted.
    """

    title: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    colour: str = ""
    dash: str = "solid"


@dataclass(frozen=True)
class FitPlot:
    """A spectrum with fitted curves, over n bins.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,).
    values, errors : numpy.ndarray
        Shape (n,): contents and their errors.
    curves : tuple of Line
        Events in a bin, at the bins' centres.
    pulls : numpy.ndarray
        Shape (n,), of the first curve; NaN where there is none.
    shaded : tuple of float, optional
        A mass window to shade.
    points : str
        What the points are.
    """

    edges: Floats
    values: Floats
    errors: Floats
    curves: tuple[Line, ...]
    pulls: Floats
    shaded: tuple[float, float] | None = None
    points: str = "Simulation"


@dataclass(frozen=True)
class Step:
    """One histogram: a title and n values, with errors where they matter."""

    title: str
    values: Floats
    errors: Floats | None = None
    colour: str = ""
    filled: bool = False


@dataclass(frozen=True)
class StepPlot:
    """Histograms over each other.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,).
    steps : tuple of Step
    curves : tuple of Line
        Drawn over them.
    difference, difference_error : numpy.ndarray, optional
        Shape (n,), for a panel below.
    """

    edges: Floats
    steps: tuple[Step, ...]
    curves: tuple[Line, ...] = ()
    difference: Floats | None = None
    difference_error: Floats | None = None


@dataclass(frozen=True)
class LinePlot:
    """Curves, with bands.

    Attributes
    ----------
    lines : tuple of Line
    marks : tuple of float
        Heights of thin horizontal lines.
    """

    lines: tuple[Line, ...]
    marks: tuple[float, ...] = ()


@dataclass(frozen=True)
class RankPlot:
    """Features in the order of their importance, with the values of single events.

    Attributes
    ----------
    names : tuple of str
        Most important first.
    importance : numpy.ndarray
        Shape (features,).
    values : numpy.ndarray
        Shape (events, features): contribution of each feature to each event.
    levels : numpy.ndarray
        Shape (events, features): each feature's own value, 0 (lowest) to 1 (highest).
    """

    names: tuple[str, ...]
    importance: Floats
    values: Floats
    levels: Floats
