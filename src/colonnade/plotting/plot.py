"""What every figure is: a frozen object that holds what it shows and draws itself."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Caption:
    """The words in the upper left corner of a figure.

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


@dataclass(frozen=True, kw_only=True)
class Plot(ABC):
    """A figure: what it shows are its fields, and `draw` draws them into a frame.

    A plot holds plain arrays, so that it can be sent to another process and drawn there.

    Attributes
    ----------
    caption : Caption
        The words in its corner.
    """

    caption: Caption = Caption()

    @abstractmethod
    def draw(self, axes: Axes) -> None:
        """Draw into a frame, labels, legend and ticks included."""

    def draw_panel(self, axes: Axes) -> None:  # noqa: B027 - most figures have none
        """Draw into the panel below the frame, where `canvas` makes one."""

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """Make the empty figure, its frame, and the panel below it or None."""
        from colonnade.plotting.style import canvas

        return canvas(4.9)

    def figure(self) -> Figure:
        """Return the whole figure in the style of all figures; matplotlib's settings stay as they were."""
        from colonnade.plotting.style import style

        with style():
            figure, axes, panel = self.canvas()
            self.draw(axes)
            if panel is not None:
                self.draw_panel(panel)
        return figure


@dataclass(frozen=True)
class Picture:
    """A figure to save, and what it is called.

    Attributes
    ----------
    stem : str
        Its path below the folder of pictures, without suffix.
    kind : str
        histogram, yields, cutflow, n_minus_one, limit, significance, classifier, fit_pulls, ...
    alt : str
        What it shows, for those who can't see it.
    plot : Plot
        The figure.
    region, histogram : str
        What it belongs to, where it does.
    """

    stem: str
    kind: str
    alt: str
    plot: Plot
    region: str = ""
    histogram: str = ""


def path_part(name: str) -> str:
    """Return a name as part of a path: letters, digits and a few signs only, at most 100 bytes of them.

    Examples
    --------
    >>> path_part("MET > 100 GeV")
    'MET_gt_100_GeV'
    """
    words = re.sub(r"[^\w+=.-]+", "_", name.replace("<", " lt ").replace(">", " gt "))
    return words.strip("_").lstrip(".").encode()[:100].decode(errors="ignore") or "_"
