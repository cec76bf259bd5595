"""Figures as files: a PNG with few colours and a PDF, whole or not at all, the same bytes each time."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.figure import Figure
from matplotlib.textpath import TextToPath
from PIL import Image

from colonnade.errors import ConfigError
from colonnade.output import replacing
from colonnade.plotting.plot import Picture
from colonnade.plotting.settings import PlotSettings
from colonnade.plotting.style import style


def save_picture(picture: Picture, folder: Path, settings: PlotSettings) -> list[Path]:
    """Draw a picture and save it below a folder; this is what a worker process does.

    Raises
    ------
    OutputError
        If a file can't be written.
    ConfigError
        If a label is not valid LaTeX.
    """
    return save(picture.plot.figure(), folder / picture.stem, settings.formats, settings.resolution)


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
    with style():
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
