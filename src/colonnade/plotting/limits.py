"""Limits and significances against a signal's parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from colonnade.plotting.labels import SIGNAL_COLOURS, SIGNAL_DASHES
from colonnade.plotting.plot import Floats, Plot
from colonnade.plotting.style import finish, ticks

# told apart by every kind of colour vision, and under black lines
INNER, OUTER = "#85d1fb", "#ffdf7f"
MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class LimitPlot(Plot):
    """Upper limits of one model against one parameter, at n points in increasing order.

    Drawn are the expected limits with their bands of one and two standard deviations, and the observed ones.

    Attributes
    ----------
    x : numpy.ndarray
        Shape (n,): the parameter.
    expected : numpy.ndarray
        Shape (n, 5): the expected limit at -2, -1, 0, +1 and +2 standard deviations.
    label : str
        Of the parameter, with its unit.
    observed : numpy.ndarray, optional
        Shape (n,): the observed limit; NaN where there is none.
    theory : numpy.ndarray, optional
        Shape (n,): what the model predicts, in the limit's unit.
    theory_title : str
        Its name in the legend.
    quantity : str
        What is limited, with its unit.
    """

    x: Floats
    expected: Floats
    label: str
    observed: Floats | None = None
    theory: Floats | None = None
    theory_title: str = "Prediction"
    quantity: str = "95 % CL upper limit on $\\mu$"

    def draw(self, axes: Axes) -> None:
        """Draw bands, limits and prediction on a logarithmic axis."""
        x, expected, theory = self.x, self.expected, self.theory
        if len(x) == 1:  # a single point gets a short bar: a band without width can't be seen
            reach = 0.02 * abs(float(x[0])) or 0.02
            x, expected = np.asarray([x[0] - reach, x[0] + reach]), np.repeat(expected, 2, axis=0)
            theory = None if theory is None else np.repeat(theory, 2)
        axes.plot(x, expected[:, 2], color="black", linestyle=(0, (4, 2)), zorder=3)
        open_points: dict[str, Any] = {"color": "black", "markerfacecolor": "white", "markersize": 4.5}
        handles: list[Artist] = []
        if self.observed is not None and np.isfinite(self.observed).any():
            handles += axes.plot(self.x, self.observed, "o-", color="black", markersize=5, zorder=4, label="Observed")
        axes.plot(self.x, self.expected[:, 2], "o", zorder=3, **open_points)
        handles += axes.plot([], [], marker="o", linestyle=(0, (4, 2)), label="Expected", **open_points)
        for low, high, colour, words in ((1, 3, INNER, "± 1 std. deviation"), (0, 4, OUTER, "± 2 std. deviations")):
            handles.append(
                axes.fill_between(
                    x, expected[:, low], expected[:, high], color=colour, linewidth=0, zorder=1 + 0.1 * low, label=words
                )
            )
        if theory is not None:
            handles += axes.plot(x, theory, color=SIGNAL_COLOURS[0], linewidth=2, zorder=2, label=self.theory_title)
        _finish(axes, self, handles, logarithmic=True)


@dataclass(frozen=True)
class Curve:
    """A quantity against a parameter, at n points in increasing order.

    Attributes
    ----------
    title : str
        Its name in the legend.
    x, y : numpy.ndarray
        Shape (n,).
    observed : numpy.ndarray, optional
        Shape (n,): the observed value; NaN where there is none.
    """

    title: str
    x: Floats
    y: Floats
    observed: Floats | None = None


@dataclass(frozen=True)
class SignificancePlot(Plot):
    """The significance of each model against a parameter; the lines at 3 and 5 are evidence and discovery.

    Attributes
    ----------
    curves : tuple of Curve
        One for each model.
    label : str
        Of the parameter, with its unit.
    quantity : str
        What is drawn.
    """

    curves: tuple[Curve, ...]
    label: str
    quantity: str = "Expected significance"

    def draw(self, axes: Axes) -> None:
        """Draw the curves, on a logarithmic axis where they span a factor of more than 30."""
        handles: list[Artist] = []
        for index, curve in enumerate(self.curves):
            look: dict[str, Any] = {
                "color": SIGNAL_COLOURS[index % len(SIGNAL_COLOURS)],
                "marker": MARKERS[index % len(MARKERS)],
                "linestyle": SIGNAL_DASHES[index % len(SIGNAL_DASHES)],
                "markersize": 5.5,
            }
            handles += axes.plot(curve.x, curve.y, label=curve.title, **look)
            if curve.observed is not None and np.isfinite(curve.observed).any():
                look |= {"linestyle": "none", "markerfacecolor": "white"}
                handles += axes.plot(curve.x, curve.observed, label=f"{curve.title}, observed", **look)
        values = np.concatenate([np.zeros(0), *(curve.y for curve in self.curves)])
        positive = values[values > 0]
        logarithmic = positive.size > 1 and float(positive.max() / positive.min()) > 30
        _finish(axes, self, handles, logarithmic)
        low, high = axes.get_ylim()
        for level in (3, 5):
            if low < level < high:
                axes.axhline(level, color="#777777", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)


def _finish(axes: Axes, plot: LimitPlot | SignificancePlot, handles: list[Artist], logarithmic: bool) -> None:
    axes.margins(x=0)
    x0, x1 = axes.dataLim.x0, axes.dataLim.x1
    margin = 0.03 * (x1 - x0 or abs(x0) or 1)
    axes.set_xlim(x0 - margin, x1 + margin)
    finish(axes, plot.caption, handles, logarithmic=logarithmic)
    axes.set_xlabel(plot.label)
    axes.set_ylabel(plot.quantity)
    ticks(axes)


def crossings(x: Floats, limits: Floats, theory: Floats) -> tuple[float, ...]:
    """Return where limits cross a prediction, by straight lines in their logarithm between n points.

    Parameters
    ----------
    x, limits, theory
        Shape (n,) each, x increasing.
    """
    distance = np.log(limits) - np.log(theory)
    places = np.flatnonzero(np.signbit(distance[:-1]) != np.signbit(distance[1:]))
    step = distance[places] / (distance[places] - distance[places + 1])
    return tuple(float(each) for each in x[places] + step * (x[places + 1] - x[places]))
