"""From a trained network on images to its ONNX file, compared with torch before it is used."""

from __future__ import annotations

__all__ = ["export_images"]

from pathlib import Path
from typing import Any

import numpy as np
import torch

from colonnade.inference import Card, Classifier, Inputs
from colonnade.training.export import module_graph, require_equal, write_model
from processors.event_images import ImageScorer, settings_of
from studies.monojet.fit import image_scores, make_sparse


class _Score(torch.nn.Module):  # type: ignore[misc]  # torch is not analysed
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Any) -> Any:
        return self.network.score(image)


def export_images(path: Path, network: Any, card: Card, size: tuple[int, int], held_out: Inputs) -> Classifier:
    """Write a network on images: one input `image` [N, rows, columns, 10], not scaled, and one score.

    Parameters
    ----------
    path
        The .onnx file; its card goes beside it.
    network
        An `ImageClassifier`, trained.
    card
        Says how images are made.
    size
        Rows and columns of the images.
    held_out
        Events never trained on, on which the file is compared with the network before it is written.

    Raises
    ------
    FitError
        If both differ.
    """
    graph = module_graph(_Score(network), [torch.zeros(3, *size, 10)], ["image"], ({0: torch.export.Dim("events")},))
    draft = write_model(path.with_name(f".{path.name}.draft.onnx"), [graph], card, ImageScorer)
    try:
        scores = draft.run(held_out)
        trained = image_scores(network, settings_of(card), make_sparse(card, held_out))
        difference = require_equal("Trained and exported model", np.asarray(scores), trained)
    finally:
        draft.path.unlink()
        draft.path.with_suffix(".card.json").unlink(missing_ok=True)
    return write_model(
        path,
        [graph],
        card.model_copy(update={"metrics": {**card.metrics, "difference_onnx": difference}}),
        ImageScorer,
    )
