"""What the figures of a fit show, as plain arrays."""

from __future__ import annotations

__all__ = ["CorrelationPlot", "ImpactPlot", "PullPlot", "ScanPlot"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PullPlot:
    """Pulls and constraints of n parameters.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    pulls, constraints : numpy.ndarray
        Shape (n,), in prior standard deviations.
    """

    names: tuple[str, ...]
    pulls: Floats
    constraints: Floats


@dataclass(frozen=True)
class ImpactPlot:
    """Impacts of n parameters on the signal strength, the largest first, with their pulls.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    pulls, constraints : numpy.ndarray
        Shape (n,), in prior standard deviations; NaN for a free parameter.
    impacts : numpy.ndarray
        Shape (4, n): prior up and down, fitted up and down; NaN where there is no prior.
    """

    names: tuple[str, ...]
    pulls: Floats
    constraints: Floats
    impacts: Floats


@dataclass(frozen=True)
class CorrelationPlot:
    """Correlations of n parameters.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    matrix : numpy.ndarray
        Shape (n, n).
    """

    names: tuple[str, ...]
    matrix: Floats


@dataclass(frozen=True)
class ScanPlot:
    """The likelihood profiled along a parameter, at n values.

    Attributes
    ----------
    name : str
        The parameter.
    best, error : float
        Its best fit and standard deviation.
    values, delta : numpy.ndarray
        Shape (n,): its values, and twice the increase of the negative log-likelihood.
    """

    name: str
    best: float
    error: float
    values: Floats
    delta: Floats
