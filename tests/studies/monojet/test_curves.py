"""Curves of trainings: a panel for each compression, training dashed, validation solid."""

from __future__ import annotations

import numpy as np
from studies.monojet.curves import draw_curves, training_curves


def entry(compression, down):
    history = [{"step": step, "training": 0.5 + step / 100, "validation": 0.5 + step / 200} for step in (10, 20, 30)]
    return {"compression": compression, "down": down, "history": history}


def test_curves_are_those_given() -> None:
    steps = np.array([10.0, 20.0])
    networks = [("strides", steps, steps / 40, steps / 50), ("max_pool", steps, steps / 60, steps / 70)]
    figure = training_curves({"cell": networks, "none": networks, "row_column": networks})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["cell", "none", "row_column"]
    lines = shown[0].lines
    assert [line.get_ydata().tolist() for line in lines] == [
        curve.tolist() for network in networks for curve in network[2:]
    ]
    assert [line.is_dashed() for line in lines] == [True, False, True, False]
    assert [text.get_text() for text in shown[0].get_legend().get_texts()] == ["strides", "max_pool"]


def test_a_picture_is_saved(tmp_path, monkeypatch) -> None:
    models = {f"{c}_{d}": entry(c, d) for c in ("cell", "none") for d in ("strides", "max_pool")}
    models["cell_strides_turned"] = entry("cell", "strides")
    drawn = []
    monkeypatch.setattr(
        "studies.monojet.curves.training_curves",
        lambda panels: (drawn.append(panels), training_curves(panels))[1],
    )
    draw_curves(models, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    labels = {title: [name for name, *_ in networks] for title, networks in drawn[0].items()}
    assert labels == {
        "compression: cell": ["strides", "max pool", "strides turned"],
        "compression: none": ["strides", "max pool"],
    }
