"""What every section is told: the run's folder, and how its processes and regions are called."""

from __future__ import annotations

__all__ = ["Image", "Run"]

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from colonnade.plotting.drawing import Drawing
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.looks import Process, region_title
from colonnade.plotting.run import read_index, workflow_settings
from colonnade.plotting.settings import PlotSettings
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
class Run:
    """A run as the sections of its report see it.

    Attributes
    ----------
    folder : RunFolder
        What the run left.
    """

    folder: RunFolder

    @cached_property
    def settings(self) -> PlotSettings:
        """How the workflow wants processes and regions to be called."""
        return workflow_settings(self.folder)

    @cached_property
    def drawing(self) -> Drawing:
        """Orders, yields and uncertainties, the same as in the pictures; all regions and signals."""
        return Drawing(self.folder, self.settings.model_copy(update={"regions": ("*",), "signals": ("*",)}))

    @cached_property
    def processes(self) -> Mapping[str, Process]:
        """By name."""
        return self.drawing.looks

    @property
    def title(self) -> str:
        """What the run is called."""
        found = self.folder.provenance.get("title") or self.folder.config.get("title")
        return str(found or self.folder.path.resolve().name)

    def process_title(self, name: str) -> Markup:
        """Return a process's title as HTML."""
        return from_latex(self.processes[name].title) if name in self.processes else Markup("{}").format(name)

    def region_title(self, name: str) -> Markup:
        """Return a region's title as HTML."""
        return from_latex(region_title(name, self.settings))

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """Every picture that plots/index.json lists."""
        entries = read_index(self.folder.path)
        sizes = sum(entry["path"].stat().st_size for entry in entries)
        scale = min(1.0, math.sqrt(_BUDGET / sizes)) if sizes else 1.0
        images = []
        for entry in entries:
            content, width, height = _shrunk(entry["path"], scale)
            images.append(
                Image(
                    "data:image/png;base64," + base64.b64encode(content).decode(), width, height, str(entry["alt"]),
                    str(entry["kind"]), str(entry.get("region", "")), str(entry.get("histogram", "")),
                )
            )  # fmt: skip
        return tuple(images)

    def pictures(self, kind: str, region: str | None = None) -> list[Image]:
        """Return the pictures of one kind."""
        return [each for each in self.images if each.kind == kind and region in (None, each.region)]


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
