"""The part of an evaluation that travels beside a model, for the reports of the runs that score with it."""

from __future__ import annotations

__all__ = ["SUFFIX", "portable"]

from collections.abc import Mapping
from typing import Any

import numpy as np

# NAME.onnx has NAME.evaluation.json beside it
SUFFIX = ".evaluation.json"
_DIGITS = 5
_MOST_CUTS, _MOST_RATES = 80, 100


def portable(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation with five digits, fewer points on each curve, and background as one in the scores.

    Parameters
    ----------
    evaluation
        What `train_model` writes to `evaluation.json`.
    """
    signals = {point["signal"] for point in evaluation["points"]}
    points = []
    for point in evaluation["points"]:
        roc = point["roc"]
        rates = _some(len(roc["true"]), _MOST_RATES)
        known = [entry for entry in point["significance"] if entry["z"] is not None]
        points.append(
            {
                **point,
                "roc": {name: [roc[name][place] for place in rates] for name in roc},
                "significance": [known[place] for place in _some(len(known), _MOST_CUTS)],
                "distributions": _merged(point["distributions"], signals),
                "distributions_training": _merged(point["distributions_training"], signals),
            }
        )
    rounded: dict[str, Any] = _rounded({**evaluation, "points": points})
    return rounded


def _some(count: int, most: int) -> list[int]:
    """Return at most so many places, evenly, with the first and the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))}) if count else []


def _merged(distributions: Mapping[str, Any], signals: set[str]) -> dict[str, Any]:
    """Add up the backgrounds of a score's histograms, which keep the single ones scaled to the luminosity."""
    merged: dict[str, Any] = {"signal": None, "background": None, "processes": {}}
    for name, counts in distributions["processes"].items():
        kind = "signal" if name in signals else "background"
        known = merged[kind]
        merged[kind] = counts if known is None else {key: np.add(known[key], counts[key]).tolist() for key in counts}
        if kind == "background":
            merged["processes"][name] = counts["scaled"]
    return {"edges": distributions["edges"], **merged}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
