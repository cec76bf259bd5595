"""The classifiers that scored the events: how well they do on events they were not trained on."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from typing import Any

from colonnade.report.content import Content
from colonnade.report.numbers import fixed, significant


def context(content: Content) -> Mapping[str, Any] | None:
    """Return the tables of classifiers.json and its pictures."""
    found = content.run.classifiers
    if not found:
        return None
    return {
        "models": [
            {
                "name": name,
                "error": f"{100 * evaluation['background_error']:g}",
                "luminosity": f"{evaluation['luminosity']:g}",
                "cut": f"{evaluation['cut']:g}",
                "points": [_point(content, point) for point in evaluation["points"]],
                "policies": [_policy(content, row) for row in evaluation["negative_weights"]],
            }
            for name, evaluation in found.items()
        ],
        "images": content.pictures("classifier"),
    }


def _point(content: Content, point: Mapping[str, Any]) -> dict[str, Any]:
    best = point["best"]
    return {
        "title": content.process_title(point["signal"]),
        "auc": f"{point['auc']:.4f}",
        "auc_training": f"{point['auc_training']:.4f}",
        "accuracy": f"{100 * point['accuracy']:.1f} %",
        "cut": significant(best["cut"]),
        "signal": significant(best["signal"]),
        "background": significant(best["background"]),
        "z": fixed(best["z"], 3),
        "z_at_cut": fixed(point["at_cut"]["z"], 3),
    }


def _policy(content: Content, row: Mapping[str, Any]) -> dict[str, Any]:
    worst = max(row["bias"].items(), key=lambda item: abs(item[1]), default=("–", 0.0))
    return {
        "process": content.process_title(row["process"]),
        "policy": row["policy"],
        "negative": f"{100 * row['negative']:.1f} %",
        "effective": significant(row["effective"]),
        "bias": f"{worst[1]:+.2f} ({worst[0]})",
    }
