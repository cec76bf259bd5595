"""A comparison of models as Markdown tables."""

from __future__ import annotations

__all__ = ["markdown"]

import math
from collections.abc import Iterator
from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """Write a comparison's result as two tables: a line a model, then a line a signal point.

    Parameters
    ----------
    result
        From `compare_models`.
    """
    return "\n".join([*_models(result), "", *_points(result), "", _how(result), ""])


def _how(result: dict[str, Any]) -> str:
    events = result["events"]
    return (
        f"{result['luminosity']:g} fb^-1; {events['signal']:,} signal and {events['background']:,} background events; "
        "each is judged by a network that did not see it, with a cut chosen on others. The background is known to "
        f"{100 * result['background_error']:g} % and to its statistical error, for cut and count as for the models."
    )


def _models(result: dict[str, Any]) -> Iterator[str]:
    """Compare each model with cut and count over its signal points and channels."""
    yield "| model | points | beaten | least Z / Z(cut and count) | geometric mean | mean AUC |"
    yield "|---|---|---|---|---|---|"
    for name, points in result["models"].items():
        ratios, areas = [], []
        for point in points:
            for channel, entry in point["channels"].items():
                counted = result["counting"][point["signal"]][channel]["z"]
                areas.append(entry["auc"])
                if counted:
                    ratios.append((entry["z"] or 0.0) / counted)
        beaten = sum(ratio > 1 for ratio in ratios)
        least = min(ratios, default=math.nan)
        mean = math.exp(sum(math.log(max(ratio, 1e-3)) for ratio in ratios) / max(len(ratios), 1))
        area = sum(areas) / max(len(areas), 1)
        yield f"| {name} | {len(ratios)} | {beaten} | {least:.2f} | {mean:.2f} | {area:.4f} |"


def _points(result: dict[str, Any]) -> Iterator[str]:
    """Show the first model beside cut and count, point by point."""
    name, points = next(iter(result["models"].items()))
    yield f"| signal | channel | cut and count: s, b, Z | {name}: s, b, Z | ratio |"
    yield "|---|---|---|---|---|"
    for point in points:
        for channel, entry in point["channels"].items():
            counted = result["counting"][point["signal"]][channel]
            ratio = f"{(entry['z'] or 0.0) / counted['z']:.2f}" if counted["z"] else "-"
            yield f"| {point['signal']} | {channel} | {_yields(counted)} | {_yields(entry)} | {ratio} |"


def _yields(entry: dict[str, Any]) -> str:
    z = "-" if entry["z"] is None else f"{entry['z']:.3g}"
    background = f"{entry['background']:.3g} ± {entry['background_statistical']:.2g}"
    return f"{entry['signal']:.3g}, {background}, {z}"
