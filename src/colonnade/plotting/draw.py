"""All pictures of a run: which there are, drawn in several processes, saved, and an index of them beside the files."""

from __future__ import annotations

import gc
import importlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from colonnade.errors import ConfigError, OutputError
from colonnade.output import replacing, write_json
from colonnade.plotting.fit_pictures import bump_pictures, fit_pictures
from colonnade.plotting.pictures import (
    classifier_pictures,
    cutflow_pictures,
    histogram_pictures,
    limit_pictures,
    significance_pictures,
    yields_picture,
)
from colonnade.plotting.run import Run
from colonnade.plotting.settings import PlotSettings
from colonnade.plotting.style import Picture, style
from colonnade.processes import processes_of, undisturbed
from colonnade.statistics.templates import matching

_INDEX = "index.json"


def draw_run(
    run: Run, folder: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Draw the results of a run into a folder.

    Drawn are: each histogram of one or two axes in each region, all yields, the cutflow and N-1 of each region,
    significances, limits, the fit, bumps and classifiers. The folder's index.json says which is which.
    Pictures of an earlier drawing that are not drawn now are removed.

    Parameters
    ----------
    run
        The results, and what is drawn of them.
    folder
        Where the pictures go.
    workers
        Processes that draw. More than one starts new Python processes, so a script that asks for them must keep its
        own work below ``if __name__ == "__main__":``.
    progress
        Called with the number of figures drawn and to draw.

    Returns
    -------
    list of pathlib.Path
        Every file written.

    Raises
    ------
    ConfigError
        If the settings name something that the run does not have, or a label is not valid LaTeX.
    OutputError
        If a file can't be written.
    """
    return draw_all(pictures_of(run), folder, run.plots, workers, progress)


def draw_all(
    pictures: Sequence[Picture],
    folder: Path,
    settings: PlotSettings,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    *,
    index: bool = True,
) -> list[Path]:
    """Draw pictures into a folder, in several processes, and return the files.

    With an index the folder is one of their own: its index.json lists them, and what an earlier one listed is removed.
    The other arguments and the errors are those of `draw_run`.
    """
    listed = [entry["path"].with_suffix(f".{kind}") for entry in read_index(folder) for kind in ("png", "pdf")]
    written: list[Path] = []
    for number, paths in enumerate(_draw_all(pictures, folder, settings, workers), start=1):
        written += paths
        if progress is not None:
            progress(number, len(pictures))
    if index:
        for path in set(listed) - set(written):
            path.unlink(missing_ok=True)
        keys = ("stem", "kind", "region", "histogram", "alt")
        entries = [{key: getattr(each, key) for key in keys} | {"era": settings.era} for each in pictures]
        write_json(folder / _INDEX, {"pictures": entries})
    return written


def pictures_of(run: Run) -> list[Picture]:
    """Return every picture of a run: histograms by region, then the summaries; no two of one path.

    Raises
    ------
    ConfigError
        If the settings name something that the run does not have.
    """
    taken: Counter[str] = Counter()
    pictures = []
    for picture in _chosen(run):
        # a file system may not tell cases apart
        stem = picture.stem.casefold()
        taken[stem] += 1
        number = taken[stem]
        pictures.append(picture if number == 1 else replace(picture, stem=f"{picture.stem}_({number})"))
    return pictures


def _chosen(run: Run) -> Iterator[Picture]:
    names = matching(run.plots.histograms, list(run.histograms), "plots.histograms")
    for region in run.regions:
        for name in names:
            yield from histogram_pictures(run, name, region)
    yield from yields_picture(run)
    for region in run.regions:
        yield from cutflow_pictures(run, region)
    yield from significance_pictures(run)
    yield from limit_pictures(run)
    if run.fit is not None:
        yield from fit_pictures(run.fit.diagnostics, run)
    yield from classifier_pictures(run)
    yield from bump_pictures(run)


def read_index(folder: Path) -> list[dict[str, Any]]:
    """Return what the index of a folder of pictures lists; nothing, where there is no index or it is not one of ours.

    Returns
    -------
    list of dict
        With ``path`` (of the PNG, which is below the folder, if it was drawn), ``kind``, ``alt``, ``region``,
        ``histogram`` and ``era``.
    """
    try:
        entries = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["pictures"]
        found = [{**entry, "path": folder / f"{entry['stem']}.png"} for entry in entries]
        return [each for each in found if each["path"].resolve().is_relative_to(folder.resolve())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _draw_all(pictures: Sequence[Picture], target: Path, settings: PlotSettings, workers: int) -> Iterator[list[Path]]:
    draw = partial(_save_picture, folder=target, settings=settings)
    # a worker takes a second to start, the time of two or three figures
    workers = min(workers, len(pictures) // 6)
    if workers < 2:
        yield from map(draw, pictures)
        return
    with processes_of(workers, _start) as pool:
        try:
            with undisturbed():
                drawn = pool.map(draw, pictures, chunksize=4)
            yield from drawn
        except BrokenProcessPool as error:
            msg = f"A process that draws pictures in {target} was killed, perhaps for memory; try fewer workers."
            raise OutputError(msg) from error


def _start() -> None:
    """Prepare a worker: what is loaded now stays, and need not be searched for garbage again and again."""
    importlib.import_module("colonnade.plotting.stack")
    gc.freeze()
    gc.set_threshold(20_000)


def _save_picture(picture: Picture, folder: Path, settings: PlotSettings) -> list[Path]:
    """Draw a picture and save it below a folder; this is what a worker process does."""
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
    try:
        with style():
            for kind in formats:
                path = stem.with_name(f"{stem.name}.{kind}")
                content = _png(figure, resolution) if kind == "png" else _pdf(figure)
                with replacing(path) as temporary:
                    temporary.write_bytes(content)
                paths.append(path)
    except ValueError as error:
        if "Parse" not in str(error):
            raise
        text = re.split(r"\n\s*\^", str(error).strip())[0].replace("\n", " ")
        msg = f"A label can't be drawn, as its LaTeX is wrong: {text!r}; correct the title or label."
        raise ConfigError(msg) from error
    return paths


def _png(figure: Figure, resolution: int) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=resolution, pil_kwargs={"compress_level": 0})
    picture = Image.open(stream).convert("RGB")
    palette = picture.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    palette.save(stream, "png", compress_level=6)
    return stream.getvalue()


def _pdf(figure: Figure) -> bytes:
    stream = io.BytesIO()
    nameless = {"Creator": None, "Producer": None, "CreationDate": None}
    figure.savefig(stream, format="pdf", dpi=150, metadata=nameless)
    return stream.getvalue()
