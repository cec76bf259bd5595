"""What figures show, as plain arrays: one container for each kind of figure."""

from __future__ import annotations

__all__ = ["Band", "Bars", "Caption", "Component", "Curve", "Kept", "Plane", "Stack"]

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Caption:
    """The words in a figure's corner.

    Attributes
    ----------
    experiment : str
        The bold word.
    status : str
        Beside it, such as Simulation.
    energy : float, optional
        Centre-of-mass energy in TeV.
    luminosity : float, optional
        In fb^-1.
    lines : tuple of str
        Below them, such as the region.
    """

    experiment: str = "colonnade"
    status: str = ""
    energy: float | None = None
    luminosity: float | None = None
    lines: tuple[str, ...] = ()

    def text(self) -> list[str]:
        """Return the lines below the first."""
        parts = []
        if self.energy is not None:
            parts.append(rf"$\sqrt{{s}}$ = {self.energy:g} TeV")
        if self.luminosity is not None:
            parts.append(f"{self.luminosity:.4g} fb$^{{-1}}$")
        return [*([", ".join(parts)] if parts else []), *self.lines]


@dataclass(frozen=True)
class Component:
    """One process in a figure.

    Attributes
    ----------
    title : str
        Its name in the legend.
    values : numpy.ndarray
        Shape (bins,): events.
    colour : str
        As matplotlib understands it.
    """

    title: str
    values: Floats
    colour: str


@dataclass(frozen=True)
class Stack:
    """What one stacked figure shows, as arrays over n bins.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,), increasing.
    backgrounds : tuple of Component
        From the bottom of the stack to its top.
    down, up : numpy.ndarray
        Shape (n,): how far the total may be below and above its value (one standard deviation), in events.
    signals : tuple of Component
        Drawn as lines, not added to the stack.
    data : numpy.ndarray, optional
        Shape (n,): observed events; NaN in a bin that is blinded.
    data_variances : numpy.ndarray, optional
        Shape (n,): sum of squared weights, where data are weighted; else data are counts.
    significances : tuple of numpy.ndarray
        For each signal, shape (n,): expected significance of each bin; NaN where it is not defined.
    bins : tuple of str
        Names of the bins, where the axis has no scale.
    before, before_error : numpy.ndarray, optional
        Shape (n,): the total before a fit, drawn as a dashed line, and its uncertainty.
    """

    edges: Floats
    backgrounds: tuple[Component, ...]
    down: Floats
    up: Floats
    signals: tuple[Component, ...] = ()
    data: Floats | None = None
    data_variances: Floats | None = None
    significances: tuple[Floats, ...] = ()
    bins: tuple[str, ...] = field(default=())
    before: Floats | None = None
    before_error: Floats | None = None

    @property
    def total(self) -> Floats:
        """Shape (n,): the sum of the backgrounds."""
        return np.asarray(np.sum([each.values for each in self.backgrounds] or [np.zeros(len(self.edges) - 1)], axis=0))

    @property
    def centres(self) -> Floats:
        """Shape (n,): the middle of each bin."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)


@dataclass(frozen=True)
class Band:
    """Upper limits of one model against one parameter, at n points in increasing order.

    Attributes
    ----------
    x : numpy.ndarray
        Shape (n,): the parameter.
    expected : numpy.ndarray
        Shape (n, 5): the expected limit at -2, -1, 0, +1 and +2 standard deviations.
    observed : numpy.ndarray, optional
        Shape (n,): the observed limit; NaN where there is none.
    theory : numpy.ndarray, optional
        Shape (n,): what the model predicts, in the limit's unit.
    theory_title : str
        Its name in the legend.
    """

    x: Floats
    expected: Floats
    observed: Floats | None = None
    theory: Floats | None = None
    theory_title: str = "Prediction"

    def crossings(self) -> tuple[float, ...]:
        """Return where the expected limit crosses the prediction, by straight lines in the limit's logarithm."""
        if self.theory is None or len(self.x) < 2:
            return ()
        distance = np.log(self.expected[:, 2]) - np.log(self.theory)
        places = np.flatnonzero(np.signbit(distance[:-1]) != np.signbit(distance[1:]))
        step = distance[places] / (distance[places] - distance[places + 1])
        return tuple(float(x) for x in self.x[places] + step * (self.x[places + 1] - self.x[places]))


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
class Bars:
    """Numbers with names, from the top of the figure down.

    Attributes
    ----------
    names : tuple of str
    values : numpy.ndarray
        Shape (names,).
    """

    names: tuple[str, ...]
    values: Floats


@dataclass(frozen=True)
class Kept:
    """What one process keeps of its events at each of n cuts, all the other cuts being applied.

    Attributes
    ----------
    title : str
        Its name in the legend.
    fraction : numpy.ndarray
        Shape (n,), between 0 and 1; NaN where nothing reaches the cut.
    colour : str
        As matplotlib understands it.
    """

    title: str
    fraction: Floats
    colour: str


@dataclass(frozen=True)
class Plane:
    """A histogram in two dimensions.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (n, m): events.
    x_edges, y_edges : numpy.ndarray
        Shapes (n + 1,) and (m + 1,).
    """

    values: Floats
    x_edges: Floats
    y_edges: Floats
