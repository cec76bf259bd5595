"""A comparison of models as Markdown tables."""

from __future__ import annotations

__all__ = ["markdown"]

import math
from collections.abc import Iterator
from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """Write a comparison's result as tables: a line a model, a line a signal point, and a line a rule for cuts.

    Parameters
    ----------
    result
        From `compare_models`.
    """
    return "\n".join([*_models(result), "", *_points(result), "", _how(result), "", *_bounds(result), ""])


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
        ratios, areas = _ratios(result, points)
        area = sum(areas) / max(len(areas), 1)
        yield f"| {name} | {len(ratios)} | {_summary(ratios)} | {area:.4f} |"


def _ratios(result: dict[str, Any], points: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Give each point's and channel's significance over that of cut and count, and area under the curve."""
    ratios, areas = [], []
    for point in points:
        for channel, entry in point["channels"].items():
            counted = result["counting"][point["signal"]][channel]["z"]
            areas.append(entry["auc"])
            if counted:
                ratios.append((entry["z"] or 0.0) / counted)
    return ratios, areas


def _summary(ratios: list[float]) -> str:
    beaten = sum(ratio > 1 for ratio in ratios)
    least = min(ratios, default=math.nan)
    mean = math.exp(sum(math.log(max(ratio, 1e-3)) for ratio in ratios) / max(len(ratios), 1))
    return f"{beaten} | {least:.2f} | {mean:.2f}"


def _bounds(result: dict[str, Any]) -> Iterator[str]:
    """Show what the first model would reach by other rules for the choice of the cut."""
    name = next(iter(result["models"]))
    yield f"The cuts of {name} by other rules: how large a statistical error the background above a cut may have,"
    yield "in all events, for the cut to be chosen. The first rule is that of the tables above."
    yield ""
    yield "| error at most | beaten | least Z / Z(cut and count) | geometric mean |"
    yield "|---|---|---|---|"
    for rule in result["bounds"]:
        bound = "any" if rule["bound"] is None else f"{100 * rule['bound']:.0f} %"
        yield f"| {bound} | {_summary(_ratios(result, rule['points'])[0])} |"


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
