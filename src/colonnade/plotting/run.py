"""From a run's folder to its pictures: what to draw, drawn in several processes, and an index of it."""

from __future__ import annotations

__all__ = ["draw_run", "read_index", "workflow_settings"]

import gc
import importlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from colonnade.config import parse_settings
from colonnade.errors import InputError, OutputError
from colonnade.output import write_json
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.plot import Picture
from colonnade.plotting.settings import PlotSettings

_FOLDER = "plots"
_INDEX = "index.json"


def draw_run(
    directory: Path | str,
    settings: PlotSettings | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw what a run left in its folder, into plots/ below it.

    Drawn are: each histogram of one or two axes in each region, all yields, the cutflow and N-1 of each region,
    significances and limits. plots/index.json says which is which. Pictures of an earlier drawing that are not drawn
    now are removed.

    Parameters
    ----------
    directory
        The output folder of a run.
    settings
        What to draw and how; without them, those of the workflow, as provenance.json has it.
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
    InputError
        If the folder is not a run's, or a file in it can't be read.
    ConfigError
        If the settings name something that the run does not have, or a label is not valid LaTeX.
    OutputError
        If a file can't be written.
    """
    from colonnade.plotting.choice import pictures_of

    folder = RunFolder.open(directory)
    settings = workflow_settings(folder) if settings is None else settings
    pictures = list(pictures_of(folder, settings))
    if not pictures:
        msg = f"{folder.path} holds nothing to draw: no filled histogram, no cutflow and no fit."
        raise InputError(msg)
    target = folder.path / _FOLDER
    written: list[Path] = []
    for number, paths in enumerate(_draw_all(pictures, target, settings, workers), start=1):
        written += paths
        if progress is not None:
            progress(number, len(pictures))
    _remove_stale(target, written)
    write_json(target / _INDEX, {"pictures": [_entry(picture, settings) for picture in pictures]})
    return written


def workflow_settings(folder: RunFolder) -> PlotSettings:
    """Return the plot settings of the workflow that made a run.

    Raises
    ------
    ConfigError
        If they are not valid.
    """
    content = folder.config.get("plots")
    if not isinstance(content, dict):
        return PlotSettings()
    return parse_settings(PlotSettings, content, f"{folder.path / 'provenance.json'}: config.plots")


def read_index(directory: Path) -> list[dict[str, Any]]:
    """Return what plots/index.json lists, less what is no longer there.

    Returns
    -------
    list of dict
        With ``path`` (of the PNG), ``kind``, ``alt``, ``region`` and ``histogram``.
    """
    try:
        content = json.loads((directory / _FOLDER / _INDEX).read_text(encoding="utf-8"))
        entries = [
            {**entry, "path": directory / _FOLDER / f"{entry['stem']}.png"}
            for entry in content["pictures"]
            if _is_safe(entry["stem"])
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if entry["path"].is_file()]


def _is_safe(stem: str) -> bool:
    return not Path(stem).is_absolute() and ".." not in Path(stem).parts


def _draw_all(pictures: list[Picture], target: Path, settings: PlotSettings, workers: int) -> Iterator[list[Path]]:
    from colonnade.plotting.save import save_picture

    draw = partial(save_picture, folder=target, settings=settings)
    # a worker takes a second to start, the time of two or three figures
    workers = min(workers, len(pictures) // 6)
    if workers < 2:
        yield from map(draw, pictures)
        return
    # forking would copy the threads' locks of a running cluster
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start) as pool:
        try:
            yield from pool.map(draw, pictures, chunksize=4)
        except BrokenProcessPool as error:
            msg = f"A process that draws pictures in {target} was killed, perhaps for memory; try fewer workers."
            raise OutputError(msg) from error


def _start() -> None:
    """Prepare a worker: what is loaded now stays, and need not be searched for garbage again and again."""
    importlib.import_module("colonnade.plotting.stack")
    gc.freeze()
    gc.set_threshold(20_000)


def _entry(picture: Picture, settings: PlotSettings) -> dict[str, Any]:
    return {
        "stem": picture.stem,
        "kind": picture.kind,
        "region": picture.region,
        "histogram": picture.histogram,
        "alt": picture.alt,
        "formats": list(settings.formats),
    }


def _remove_stale(target: Path, written: Iterable[Path]) -> None:
    """Remove the pictures that an earlier drawing listed and this one did not make; nothing else."""
    keep = set(written)
    try:
        earlier = json.loads((target / _INDEX).read_text(encoding="utf-8"))["pictures"]
        for entry in earlier:
            for kind in entry["formats"]:
                path = target / f"{entry['stem']}.{kind}"
                if _is_safe(entry["stem"]) and path not in keep and kind in ("png", "pdf"):
                    path.unlink(missing_ok=True)
    except (OSError, ValueError, KeyError, TypeError):  # no index, or not one of ours
        return
