"""What every section of the page is made of: the run's results, its titles as HTML, its pictures."""

from __future__ import annotations

__all__ = ["Content", "Image", "read_images"]

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from colonnade.plotting.draw import read_index
from colonnade.plotting.labels import region_title
from colonnade.plotting.run import Run
from colonnade.report.latex import from_latex

# of all pictures together, in the page (base64 takes a third more than the bytes)
_BUDGET = 9e6


@dataclass(frozen=True)
class Image:
    """A picture inside the page.

    Attributes
    ----------
    uri : str
        The whole picture as a data: address.
    width, height : int
        In pixels.
    alt : str
        What it shows.
    kind, region, histogram : str
        What it belongs to.
    """

    uri: str
    width: int
    height: int
    alt: str
    kind: str
    region: str
    histogram: str


@dataclass(frozen=True)
class Content:
    """A run as the sections of its report see it: all regions and signals.

    Attributes
    ----------
    run : Run
        The results.
    images : tuple of Image
        The pictures that were drawn.
    """

    run: Run
    images: tuple[Image, ...]

    def process_title(self, name: str) -> Markup:
        """Return a process's title as HTML."""
        return from_latex(self.run.process(name).title)

    def region_title(self, name: str) -> Markup:
        """Return a region's title as HTML."""
        return from_latex(region_title(name, self.run.plots))

    def pictures(self, *kinds: str, region: str | None = None) -> list[Image]:
        """Return the pictures of some kinds, one kind after the other, of one region or of all."""
        chosen = [each for each in self.images if region in (None, each.region)]
        return [each for kind in kinds for each in chosen if each.kind == kind]


def read_images(plots: Path, era: str | None = None) -> tuple[Image, ...]:
    """Read the pictures of one era, or of the sum, that the index of a folder lists, made smaller where too much."""
    entries = [entry for entry in read_index(plots) if entry.get("era") == era]
    sizes = sum(entry["path"].stat().st_size for entry in entries)
    scale = min(1.0, math.sqrt(_BUDGET / sizes)) if sizes else 1.0
    images = []
    for entry in entries:
        content, width, height = _shrunk(entry["path"], scale)
        uri = "data:image/png;base64," + base64.b64encode(content).decode()
        images.append(Image(uri, width, height, entry["alt"], entry["kind"], entry["region"], entry["histogram"]))
    return tuple(images)


def _shrunk(path: Path, scale: float) -> tuple[bytes, int, int]:
    """Read a PNG, made smaller where all of them would make the page too large."""
    from PIL import Image as Pillow

    content = path.read_bytes()
    with Pillow.open(io.BytesIO(content)) as picture:
        if scale > 0.95:
            return content, picture.width, picture.height
        size = (round(picture.width * scale), round(picture.height * scale))
        small = picture.convert("RGB").resize(size, Pillow.Resampling.LANCZOS)
        stream = io.BytesIO()
        small.quantize(48, method=Pillow.Quantize.FASTOCTREE, dither=Pillow.Dither.NONE).save(stream, "png")
        return stream.getvalue(), *size
