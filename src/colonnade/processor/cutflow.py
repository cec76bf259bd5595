"""How many events each cut leaves, raw and weighted, in order and with all other cuts applied (N-1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from colonnade.kinematics.loops import compiled
from colonnade.processor.pieces import Floats, Mask

ALL = "all events"
"""The first row of each cutflow."""


def blinded(counts: Mapping[str, Mapping[str, Floats]], lasts: Mapping[str, str]) -> dict[str, dict[str, Floats]]:
    """Return of blinded data what can't tell a signal region's yield.

    Differences of rows would give it: between a region's rows, and between regions that share all cuts but one. The
    last row of an open region is what its histograms show anyway.

    Parameters
    ----------
    counts
        Region, then cut, then the sums of `row` or `region_counts`.
    lasts
        Last cut of each open region that has cuts.
    """
    kept = {}
    for name, rows in counts.items():
        kept[name] = {ALL: rows[ALL]}
        if name in lasts:
            kept[name][lasts[name]] = np.concatenate([rows[lasts[name]][:3], np.full(3, np.nan)])
    return kept


def row(weights: Floats, passed: Mask | None = None) -> Floats:
    """Return the sums of one row that has no N-1: of all events, or of those that passed."""
    sums = np.full(6, np.nan)
    if passed is None:
        sums[:3] = len(weights), weights.sum(), np.square(weights).sum()
    else:
        sums[:3] = _sum_passed(np.ascontiguousarray(weights), np.ascontiguousarray(passed))
    return sums


@compiled
def _sum_passed(weights: Any, passed: Any) -> Any:
    # one row alone: three times as fast as counting regions
    count, total, squares = 0, 0.0, 0.0
    for i in range(len(weights)):
        if passed[i]:
            count += 1
            total += weights[i]
            squares += weights[i] * weights[i]
    return float(count), total, squares


def region_counts(cuts: Mapping[str, Mask], regions: Sequence[Sequence[str]], weights: Floats) -> list[Floats]:
    """Count the events of all regions in one pass.

    Parameters
    ----------
    cuts
        Cut to boolean array, shape (events,).
    regions
        For each region its cuts, in order.
    weights
        Shape (events,).

    Returns
    -------
    list
        For each region an array of shape (cuts, 6): raw, weighted and squared sums after each cut, and the same
        with all cuts but this one.
    """
    starts = np.cumsum([0, *(len(names) for names in regions)]).astype(np.int64)
    order = {cut: place for place, cut in enumerate(cuts)}
    places = np.array([order[cut] for names in regions for cut in names], dtype=np.int64)
    sums = np.zeros((len(places), 6))
    if len(places):
        _count(np.column_stack(list(cuts.values())), starts, places, np.ascontiguousarray(weights), sums)
    return [sums[starts[i] : starts[i + 1]] for i in range(len(regions))]


@compiled
def _count(passed: Any, starts: Any, places: Any, weights: Any, sums: Any) -> None:
    for event in range(len(passed)):
        weight = weights[event]
        square = weight * weight
        for region in range(len(starts) - 1):
            failed, culprit = 0, -1
            for place in range(starts[region], starts[region + 1]):
                if passed[event, places[place]]:
                    if failed == 0:
                        sums[place, 0] += 1.0
                        sums[place, 1] += weight
                        sums[place, 2] += square
                else:
                    failed += 1
                    culprit = place
                    if failed == 2:
                        break
            if failed == 0:
                for place in range(starts[region], starts[region + 1]):
                    sums[place, 3] += 1.0
                    sums[place, 4] += weight
                    sums[place, 5] += square
            elif failed == 1:
                sums[culprit, 3] += 1.0
                sums[culprit, 4] += weight
                sums[culprit, 5] += square
