"""What every figure is, and how it looks: font, frame, ticks, legend, and the words in the corner."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, TICKRIGHT, TICKUP
from matplotlib.ticker import (
    AutoMinorLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)
from numpy.typing import NDArray

from colonnade.plotting.settings import Caption, literal

Floats = NDArray[np.float64]

_STYLE = {
    **mplhep.style.ATLAS1,
    # the first font lacks a few glyphs, such as superscript digits
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "font.size": 11,
    "figure.dpi": 100,
    "savefig.dpi": "figure",
    "axes.autolimit_mode": "data",
    "axes.axisbelow": False,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": False,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "axes.labelpad": 4,
    "axes.labelsize": 13,
    "axes.titlesize": 12,
    "axes.unicode_minus": True,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "xtick.major.size": 6,
    "ytick.major.size": 6,
    "ytick.minor.size": 3,
    "lines.linewidth": 1.5,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "legend.handlelength": 1.7,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "hatch.linewidth": 0.6,
    "pdf.compression": 6,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of all figures, leaving the caller's matplotlib settings as they were."""
    # the font has no big root sign and matplotlib, having found it in another font, warns each time
    logger = logging.getLogger("matplotlib.mathtext")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with mpl.rc_context(_STYLE):
            yield
    finally:
        logger.setLevel(before)


def canvas(
    height: float = 5.4, panel: bool = False, width: float = 6.4, bottom: float = 0.62
) -> tuple[Figure, Axes, Axes | None]:
    """Make a figure with one frame, and a lower panel that shares its axis when asked.

    The margins are fixed in inches: an automatic layout would draw each figure twice.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    left, right, bottom, top = 0.82 / width, 1 - 0.2 / width, bottom / height, 1 - 0.24 / height
    if not panel:
        return figure, figure.add_axes((left, bottom, right - left, top - bottom)), None
    lower = 1.15 / height
    gap = 0.07 / height
    main = figure.add_axes((left, bottom + lower + gap, right - left, top - bottom - lower - gap))
    below = figure.add_axes((left, bottom, right - left, lower), sharex=main)
    main.tick_params(labelbottom=False)
    return figure, main, below


def height_in_points(axes: Axes) -> float:
    """Return the height of a frame in points, the unit of font sizes."""
    return float(72 * axes.bbox.height / axes.figure.dpi)


def header(axes: Axes, caption: Caption, size: float = 11) -> float:
    """Write the caption into the upper left corner; return the fraction of the frame's height it takes."""
    points = height_in_points(axes)
    step = 1.42 * size / points
    top = 1 - 10 / points
    first = axes.text(
        0.03, top, literal(caption.experiment), transform=axes.transAxes, va="top", ha="left",
        fontsize=1.25 * size, fontweight="bold",
    )  # fmt: skip
    if caption.status:
        # placed beside the word when drawn, without drawing it first to learn its width
        axes.annotate(
            literal(caption.status), xy=(1, 0), xycoords=first, xytext=(5, 0), textcoords="offset points",
            va="bottom", ha="left", fontsize=1.1 * size, fontstyle="italic",
        )  # fmt: skip
    below = top - 1.75 * size / points
    lines = caption.text()
    for index, line in enumerate(lines):
        axes.text(0.03, below - index * step, line, transform=axes.transAxes, va="top", ha="left", fontsize=size)
    return float(1 - (below - len(lines) * step))


def place_legend(axes: Axes, caption: Caption, handles: Sequence[Artist], size: float = 10, columns: int = 1) -> float:
    """Write caption and legend into the upper corners; return the fraction of the frame's height they take.

    Parameters
    ----------
    axes
        The frame.
    caption
        The words at the left.
    handles
        What the legend names by its label, in order.
    size
        Of its letters, in points.
    columns
        Of the legend.
    """
    points = height_in_points(axes)
    taken = max(header(axes, caption), (10 + 1.45 * size * -(-len(handles) // columns)) / points)
    if handles:
        axes.legend(
            handles=handles, loc="upper right", ncols=columns, fontsize=size, bbox_to_anchor=(0.985, 1 - 10 / points)
        )
    return taken


def finish(
    axes: Axes,
    caption: Caption,
    handles: Sequence[Artist],
    *,
    logarithmic: bool = False,
    size: float = 10,
    columns: int = 1,
) -> None:
    """Place caption and legend, and set the vertical range so that they have room above what is drawn.

    Parameters
    ----------
    axes
        The frame, with everything drawn.
    caption, handles, size, columns
        As for `place_legend`.
    logarithmic
        Whether the vertical axis is, seven decades at most; a linear one begins at 0 or below.
    """
    free = 1 - min(place_legend(axes, caption, handles, size, columns) + 0.05, 0.6)
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if logarithmic and high > 0:
        # what is 0, such as an empty bin, has no place on a logarithmic axis
        low, high = max(min(axes.dataLim.minposy, high), high * 1e-7) / 1.6, high * 1.1
        # fewer than two labelled decades would leave the axis without a number
        middle = (low * high) ** 0.5
        low, high = min(low, middle / 4), max(high, middle * 4)
        axes.set_yscale("log")
        axes.set_ylim(low, low * (high / low) ** (1 / free))
        return
    low = min(low, 0.0)
    axes.set_ylim(low, low + ((high - low) or 1.0) * 1.05 / free)


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class _Plain(ScalarFormatter):
    """Numbers as text: formulas take ten times longer to draw."""

    def get_offset(self) -> str:
        offset = super().get_offset()
        power = re.fullmatch(r"1e([-−]?\d+)", offset)
        return "×10" + power[1].replace("−", "-").translate(_SUPERSCRIPT) if power else str(offset)


def _decade(value: float, _position: int | None) -> str:
    """Name a power of ten: 0.1, 1, 10, 100, 10³ ...; nothing for other numbers."""
    exponent = round(float(np.log10(value))) if value > 0 else 0
    if value <= 0 or not np.isclose(value, 10.0**exponent):
        return ""
    return f"{value:g}" if -1 <= exponent <= 2 else "10" + str(exponent).translate(_SUPERSCRIPT)


def ticks(axes: Axes, x: bool = True, y: bool = True, count: int = 7, prune: str | None = None) -> None:
    """Set the ticks of a frame whose ranges are final; minor ones are drawn in four strokes.

    matplotlib makes an object with two lines and a text for each minor tick, which took half of a figure's time.

    Parameters
    ----------
    axes
        The frame.
    x, y
        Which directions have a scale (the other one has names).
    count
        Most major ticks on the vertical axis.
    prune
        Leave out the `lower` or `upper` one of the vertical axis, where it would touch another frame's.
    """
    for wanted, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        axis.set_minor_locator(NullLocator())
        if wanted:
            is_x = axis is axes.xaxis
            _draw_minor(axes, _set_major(axis, 8 if is_x else count, None if is_x else prune), is_x)


def _set_major(axis: Any, count: int, prune: str | None) -> Any:
    """Set the major ticks of an axis and return where the minor ones are."""
    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(base=10, numticks=8))
        axis.set_major_formatter(FuncFormatter(_decade))
        axis.set_minor_formatter(NullFormatter())
        places = np.asarray(LogLocator(base=10, subs=tuple(range(2, 10)), numticks=50).tick_values(low, high))
    else:
        axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], prune=prune))
        axis.set_major_formatter(_Plain(useMathText=False))
        minor = AutoMinorLocator()
        minor.set_axis(axis)
        places = np.asarray(minor())
    return places[(places > low) & (places < high)]


def _draw_minor(axes: Axes, places: Any, is_x: bool) -> None:
    for edge, marker in zip((0.0, 1.0), (TICKUP, TICKDOWN) if is_x else (TICKRIGHT, TICKLEFT), strict=True):
        ends = np.full(len(places), edge)
        axes.add_line(
            Line2D(
                places if is_x else ends, ends if is_x else places, marker=marker, markersize=3, color="black",
                linestyle="none", markeredgewidth=0.7, clip_on=False,
                transform=axes.get_xaxis_transform() if is_x else axes.get_yaxis_transform(),
            )
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plot(ABC):
    """A figure: what it shows are its fields, and `draw` draws them into a frame.

    A plot holds plain arrays, so that it can be sent to another process and drawn there.

    Attributes
    ----------
    caption : Caption
        The words in its corner.
    """

    caption: Caption = field(default_factory=Caption)

    @abstractmethod
    def draw(self, axes: Axes) -> None:
        """Draw into a frame, labels, legend and ticks included."""

    def draw_panel(self, axes: Axes) -> None:  # noqa: B027 - most figures have none
        """Draw into the panel below the frame, where `canvas` makes one."""

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """Make the empty figure, its frame, and the panel below it or None."""
        return canvas(4.9)

    def figure(self) -> Figure:
        """Return the whole figure in the style of all figures; matplotlib's settings stay as they were."""
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
