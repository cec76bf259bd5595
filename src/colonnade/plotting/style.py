"""How every figure looks: font, ticks, the words in the corner, and how it is saved."""

from __future__ import annotations

__all__ = ["canvas", "header", "height_in_points", "save", "styled", "ticks"]

import functools
import io
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, TICKRIGHT, TICKUP
from matplotlib.textpath import TextToPath
from matplotlib.ticker import (
    AutoMinorLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)
from PIL import Image

from colonnade.errors import ConfigError
from colonnade.output import replacing
from colonnade.plotting.contents import Caption
from colonnade.plotting.palette import literal

P = ParamSpec("P")
T = TypeVar("T")

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


class _QuietMath(logging.Filter):
    """The font has no big root sign and matplotlib, having found it in another font, says so each time."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "No TeX to Unicode mapping" not in str(record.msg)


@contextmanager
def _style() -> Iterator[None]:
    logger, quiet = logging.getLogger("matplotlib.mathtext"), _QuietMath()
    logger.addFilter(quiet)
    try:
        with mpl.rc_context(_STYLE):
            yield
    finally:
        logger.removeFilter(quiet)


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run a drawing function in the house style, leaving the caller's matplotlib settings as they were."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with _style():
            return function(*args, **kwargs)

    return wrapper


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
    figure = axes.get_figure(root=True)
    height = 0.0 if figure is None else float(figure.get_size_inches()[1])
    return float(axes.get_position().height) * height * 72


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


def save(figure: Figure, stem: Path, formats: Sequence[str] = ("png", "pdf"), resolution: int = 150) -> list[Path]:
    """Save a figure as STEM.png and STEM.pdf, each whole or not at all, without times, so that bytes repeat.

    The PNG has a palette of 128 colours: a third of the size, which the report is made of.

    Raises
    ------
    OutputError
        If a file can't be written.
    ConfigError
        If a label is not valid LaTeX (as far as matplotlib knows it).
    """
    paths = []
    with _style():
        for kind in formats:
            path = stem.with_name(f"{stem.name}.{kind}")
            content = _png(figure, resolution) if kind == "png" else _pdf(figure)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            paths.append(path)
    return paths


@functools.cache
def _formulas() -> TextToPath:
    """Return what lays out formulas, the same for all pictures, as it remembers those it has met.

    matplotlib makes one for each picture, and laying out a dozen formulas takes a third of a picture's time.
    """
    return TextToPath()


class _Pdf(RendererPdf):  # type: ignore[misc]  # matplotlib's back ends have no types
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._text2path = _formulas()


def _png(figure: Figure, resolution: int) -> bytes:
    figure.set_dpi(resolution)
    agg = FigureCanvasAgg(figure)
    agg.get_renderer().mathtext_parser = _formulas().mathtext_parser
    with _readable_errors():
        agg.draw()
    pixels = np.asarray(agg.buffer_rgba())
    picture = Image.fromarray(pixels).convert("RGB")
    palette = picture.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    palette.save(stream, "png", compress_level=6)
    return stream.getvalue()


def _pdf(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.set_dpi(72)  # a point
    width, height = (float(size) for size in figure.get_size_inches())
    with closing(PdfFile(stream, metadata={"Creator": None, "Producer": None, "CreationDate": None})) as file:
        file.newPage(width, height)
        renderer = MixedModeRenderer(figure, width, height, 150, _Pdf(file, 150, height, width))
        with _readable_errors():
            figure.draw(renderer)
        renderer.finalize()
        file.finalize()
    return stream.getvalue()


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "Parse" not in str(error):
            raise
        text = re.split(r"\n\s*\^", str(error).strip())[0].replace("\n", " ")
        msg = f"A label can't be drawn, as its LaTeX is wrong: {text!r}; correct the title or label."
        raise ConfigError(msg) from error
