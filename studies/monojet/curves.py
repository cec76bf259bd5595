"""Accuracy against training step, a panel for each way of making images."""

from __future__ import annotations

__all__ = ["draw_curves", "training_curves"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from colonnade.plotting.draw import save
from colonnade.plotting.settings import SIGNAL_COLOURS
from colonnade.plotting.style import style

Floats = NDArray[np.float64]


@style()
def training_curves(panels: Mapping[str, Sequence[tuple[str, Floats, Floats, Floats]]]) -> Figure:
    """Draw accuracies in training (dashed) and validation (solid).

    Parameters
    ----------
    panels
        Title to its networks: name, steps, accuracy in training, accuracy in validation.

    Returns
    -------
    matplotlib.figure.Figure
    """
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(4.6 * across, 3.2 * down), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, networks) in zip(grid.flat, panels.items(), strict=False):
        for colour, (name, steps, training, validation) in zip(SIGNAL_COLOURS, networks, strict=False):
            axes.plot(steps, training, color=colour, linestyle=(0, (4, 2)), linewidth=1)
            axes.plot(steps, validation, color=colour, linewidth=1.5, label=name)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.legend(loc="best", borderaxespad=1.0)
    for row in grid:
        row[0].set_ylabel("accuracy")
    return figure


def draw_curves(models: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Save the curves of a study's networks, a panel for each compression.

    Parameters
    ----------
    models
        As `run_image_study` gives them.
    path
        The PNG.
    """
    panels: dict[str, list[tuple[str, Floats, Floats, Floats]]] = {}
    for name, entry in models.items():
        step, training, validation = (
            np.array([check[key] for check in entry["history"]], dtype=np.float64)
            for key in ("step", "training", "validation")
        )
        # what the key says beside the compression: the network, and how its images differ from the others'
        label = name.removeprefix(f"{entry['compression']}_").replace("_", " ")
        panels.setdefault(f"compression: {entry['compression'].replace('_', ' ')}", []).append(
            (label, step, training, validation)
        )
    save(training_curves(panels), path.with_suffix(""), ("png",), 100)
