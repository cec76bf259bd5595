"""A search's results as heat maps: two axes of hyper-parameters a map, one map for each value of the others."""

from __future__ import annotations

__all__ = ["draw_search", "heat_maps"]

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from colonnade.plotting.draw import save
from colonnade.plotting.style import style
from colonnade.training.results import SearchResult

# what a trial reports -> how it is called
_METRICS = {
    "auc": "AUC",
    "accuracy": "Binary accuracy",
    "significance_at_cut": "Expected significance, score > {cut:g}",
    "significance_best": "Expected significance, best cut",
}
_NAMES = {
    "optimisation__learning_rate": "learning rate η",
    "optimisation__l2": "L2 penalty λ",
    "network__hidden": "hidden layers",
    "network__depth": "depth",
    "network__count": "trees",
    "network__learning_rate": "learning rate η",
}


def draw_search(result: SearchResult, folder: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Draw a search's metrics into a folder, one figure each.

    Parameters
    ----------
    result
        The trials.
    folder
        Where the figures go.
    formats
        Of the files.

    Returns
    -------
    list of pathlib.Path
        What was written; nothing where the search has fewer than two axes.
    """
    if len(result.axes) < 2:
        return []
    written: list[Path] = []
    for metric in _METRICS:
        written += save(heat_maps(result, metric), folder / metric, formats, 150)
    return written


@style()
def heat_maps(result: SearchResult, metric: str) -> Figure:
    """Draw one metric of a search; the first two axes span the maps, and combinations without a result stay white.

    Parameters
    ----------
    result
        The trials.
    metric
        `auc`, `accuracy`, `significance_at_cut` or `significance_best`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    axes = {name: [_key(value) for value in values] for name, values in result.axes.items()}
    down, across, *others = axes
    known = [trial for trial in result.trials if trial.points]  # the others diverged
    found = {tuple(_key(trial.changes[name]) for name in axes): float(getattr(trial, metric)) for trial in known}
    maps = list(itertools.product(*(axes[name] for name in others)))
    columns = min(len(maps), 2 if len(maps) < 9 else 4)
    rows = -(-len(maps) // columns)
    width, height = 0.9 + 0.72 * len(axes[across]), 0.85 + 0.46 * len(axes[down])
    figure = Figure(figsize=(columns * width + 0.5, rows * height + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    low, high = min(found.values(), default=0.0), max(found.values(), default=1.0)
    frames = figure.subplots(rows, columns, squeeze=False)
    for frame in frames.flat[len(maps) :]:
        frame.set_visible(False)
    for place, (frame, fixed) in enumerate(zip(frames.flat, maps, strict=False)):
        values = np.array([[found.get((a, b, *fixed), np.nan) for b in axes[across]] for a in axes[down]])
        frame.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = value < 0.5 * (low + high)
                frame.text(
                    column, row, f"{value:.3g}", ha="center", va="center", fontsize=9, color="w" if dark else "k"
                )
        frame.set_xticks(range(len(axes[across])), [_words(each) for each in axes[across]], fontsize=9)
        frame.set_yticks(range(len(axes[down])), [_words(each) for each in axes[down]], fontsize=9)
        frame.tick_params(which="both", length=0)
        frame.set_title(", ".join(f"{_name(name)} {_words(value)}" for name, value in zip(others, fixed, strict=True)))
        if place >= len(maps) - columns:
            frame.set_xlabel(_name(across), fontsize=11)
        if place % columns == 0:
            frame.set_ylabel(_name(down), fontsize=11)
    figure.suptitle(f"{_METRICS[metric].format(cut=result.cut)} (mean of {_points(result)} signal points)", fontsize=12)
    return figure


def _points(result: SearchResult) -> int:
    return max((len(trial.points) for trial in result.trials), default=0)


def _key(value: Any) -> str:
    return json.dumps(value)


def _words(key: str) -> str:
    """Show a value: layers of one width as 2 × 50, small numbers as powers of ten."""
    value = json.loads(key)
    if isinstance(value, list):
        alike = len(set(value)) == 1
        return f"{len(value)} × {value[0]}" if alike else "-".join(str(each) for each in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _name(axis: str) -> str:
    return _NAMES.get(axis, axis.rpartition("__")[2].replace("_", " "))
