"""Sections about what was found: significances and limits, the fit and its uncertainties, classifiers, bump fits.

Their templates show the typed results themselves; here stands what is chosen of them.
"""

from __future__ import annotations

__all__ = ["bumps", "classifiers", "fit", "results", "systematics"]

from collections.abc import Mapping, Sequence
from typing import Any

from colonnade.report.content import Content
from colonnade.report.numbers import plus_minus, significant
from colonnade.statistics.results import Effect, Limit

# a table of all would be longer than anyone reads; `colonnade fit DIR --ranking` has them
_MOST_IMPACTS = 30


def results(content: Content) -> Mapping[str, Any] | None:
    """Say what there is of significances and limits, counting experiments and fitted parameters."""
    found = content.run.fit
    if found is None or not (found.points or found.counting or found.parameters):
        return None
    return {
        "observed": not found.blinded and any(point.limit.observed is not None for point in found.points),
        "toys": max((point.limit.toys.toys for point in found.points if point.limit.toys is not None), default=0),
        "cross_section": any(point.cross_section_pb is not None for point in found.points),
        "limit": _limit,
    }


def _limit(limit: Limit, place: int | None) -> str:
    """Write an expected limit or the observed one, with its Monte Carlo error where it is by pseudo-experiments."""
    toys = limit.toys
    value, error = None, None
    if toys is not None and place is not None:
        value, error = toys.expected[place], toys.expected_errors[place]
    elif toys is not None:
        value, error = toys.observed, toys.observed_error
    if value is None or error is None:
        return significant(limit.observed if place is None else limit.expected[place])
    return plus_minus(value, error)


def fit(content: Content) -> Mapping[str, Any] | None:
    """Choose the impacts to show of the fit of the reference point."""
    found = content.run.fit
    if found is None or not found.diagnostics.yields:
        return None
    return {"ranking": found.diagnostics.ranking[:_MOST_IMPACTS]}


def systematics(content: Content) -> Mapping[str, Any] | None:
    """Return for each region a table of uncertainties by process, the largest first, and what was done to them."""
    effects = () if content.run.fit is None else content.run.fit.systematics
    if not effects:
        return None
    regions = dict.fromkeys(each.channel for each in effects)
    return {"regions": [_uncertainties(name, [each for each in effects if each.channel == name]) for name in regions]}


def _uncertainties(region: str, effects: Sequence[Effect]) -> dict[str, Any]:
    processes = list(dict.fromkeys(each.process for each in effects))
    cells = {(each.parameter, each.process): each for each in effects}
    largest: dict[str, float] = {}
    for each in effects:
        largest[each.parameter] = max(largest.get(each.parameter, 0.0), each.size)
    names = sorted(largest, key=lambda name: -largest[name])
    groups = {each.parameter: each.group for each in effects}
    return {
        "name": region,
        "processes": processes,
        "rows": [(name, groups[name], [cells.get((name, process)) for process in processes]) for name in names],
        "remarks": [each for each in effects if each.notes],
    }


def classifiers(content: Content) -> Mapping[str, Any] | None:
    """Leave the section out where the run has no classifiers."""
    return {} if content.run.classifiers else None


def bumps(content: Content) -> Mapping[str, Any] | None:
    """Choose the bump fits that were checked by toys."""
    found = content.run.bumps
    if found is None:
        return None
    checked = {name: each for name, each in found.fits.items() if each.closure is not None and each.wilks is not None}
    return {"checked": checked}
