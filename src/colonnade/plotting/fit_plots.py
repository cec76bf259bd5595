"""Figures of a fit, drawn by cabinetry: pulls, ranking, correlations, likelihood scans."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colonnade.plotting.labels import literal
from colonnade.plotting.plot import Floats, Plot
from colonnade.plotting.style import style

# cabinetry sets sizes for matplotlib's own defaults
_SIZES = {"lines.markersize": 5, "legend.borderpad": 0.4, "legend.borderaxespad": 0.5, "axes.labelsize": 12}


@dataclass(frozen=True)
class _CabinetryPlot(Plot):
    """A figure that cabinetry makes as a whole, with the caption above its frame."""

    def figure(self) -> Figure:
        """Return cabinetry's figure in the style of all figures, with the caption."""
        # cabinetry brings pyhf, and draws with pyplot, which keeps every figure until it is closed
        import matplotlib.pyplot as plt
        from cabinetry.visualize import plot_result

        with style(), plt.ioff(), mpl.rc_context(_SIZES):
            figure: Figure = self.made(plot_result)
            plt.close(figure)
            self.draw(figure.axes[0])
        return figure

    def draw(self, axes: Axes) -> None:
        """Write the caption over the frame."""
        axes.set_title(self._words(), fontsize=10, loc="left")

    @abstractmethod
    def made(self, cabinetry: Any) -> Any:
        """Return the figure that `cabinetry.visualize.plot_result` makes."""

    def _words(self) -> str:
        words = ", ".join(self.caption.text())
        name = literal(f"{self.caption.experiment} {self.caption.status}".strip())
        return f"{name}   {words}" if words else name


@dataclass(frozen=True)
class PullPlot(_CabinetryPlot):
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

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's figure of pulls."""
        return cabinetry.pulls(self.pulls, self.constraints, _literal(self.names))


@dataclass(frozen=True)
class ImpactPlot(_CabinetryPlot):
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

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's ranking."""
        impacts = np.nan_to_num(self.impacts)
        figure = cabinetry.ranking(self.pulls, self.constraints, _literal(self.names), *impacts)
        # cabinetry's range is that of the prior impacts, which a free parameter has none of
        widest = 1.1 * float(np.abs(impacts).max()) or 1.0
        figure.axes[1].set_xlim(-widest, widest)
        return figure

    def draw(self, axes: Axes) -> None:
        """Write the caption below the frame, as the legend is above it."""
        axes.figure.text(0.01, 0.004, self._words(), fontsize=9, ha="left", va="bottom", color="#333333")


@dataclass(frozen=True)
class CorrelationPlot(_CabinetryPlot):
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

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's matrix."""
        return cabinetry.correlation_matrix(self.matrix, _literal(self.names))


@dataclass(frozen=True)
class ScanPlot(_CabinetryPlot):
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

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's scan."""
        return cabinetry.scan(literal(self.name), self.best, self.error, self.values, self.delta)


def _literal(names: tuple[str, ...]) -> list[str]:
    return [literal(name) for name in names]
