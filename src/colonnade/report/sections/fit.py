"""Understanding the fit of the reference point: yields before and after, pulls, ranking, correlations, goodness."""

from __future__ import annotations

__all__ = ["context", "systematics"]

from collections.abc import Mapping, Sequence
from typing import Any

from colonnade.report.content import Content
from colonnade.report.numbers import fixed, grouped, measured
from colonnade.statistics.results import ChannelYields, Effect, Goodness, Impact, Yields

# a table of all would be longer than anyone reads; `colonnade fit DIR --ranking` has them
_MOST = 30


def context(content: Content) -> Mapping[str, Any] | None:
    """Return the diagnostics of fit.json and their pictures."""
    fit = content.run.fit
    if fit is None or not fit.diagnostics.yields:
        return None
    found = fit.diagnostics
    pulls = {each.name: each for each in found.pulls}
    return {
        "signal": content.process_title(fit.reference),
        "observed": [content.region_title(name) for name in fit.observed_channels],
        "blinded": fit.blinded,
        "strength": None if found.strength is None else f"{found.strength:g}",
        "goodness": _goodness(found.goodness),
        "yields": [_region(content, name, each) for name, each in found.yields.items()],
        "pulls": [
            {"name": each.name, "pull": _signed(each.pull), "constraint": fixed(each.constraint, 3)}
            for each in found.pulls
        ],
        "ranking": [_impact(each, each.name in pulls) for each in found.ranking[:_MOST]],
        "regions": content.pictures("fit_yields"),
        "images": [
            image
            for kind in ("fit_ranking", "fit_pulls", "fit_correlations", "fit_scan")
            for image in content.pictures(kind)
        ],
    }


def _goodness(found: Goodness | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {
        "statistic": fixed(found.statistic),
        "degrees": str(found.degrees),
        "p_value": fixed(found.p_value, 3),
    }


def _region(content: Content, name: str, each: ChannelYields) -> dict[str, Any]:
    samples = list(dict.fromkeys([*each.prefit.samples, *each.postfit.samples]))
    return {
        "title": content.region_title(name),
        "observed": None if each.observed is None else grouped(sum(each.observed)),
        "before": measured(each.prefit.total, each.prefit.total_error),
        "after": measured(each.postfit.total, each.postfit.total_error),
        "samples": [
            {"title": content.process_title(sample), "before": _sample(each.prefit, sample)}
            | {"after": _sample(each.postfit, sample)}
            for sample in samples
        ],
    }


def _sample(prediction: Yields, sample: str) -> tuple[str, ...]:
    value, error = prediction.sample_totals.get(sample, (0.0, 0.0))
    return measured(value, error)


def _impact(each: Impact, held: bool) -> dict[str, str]:
    return {
        "name": each.name,
        "prefit_up": _signed(each.prefit_up) if held else "–",
        "prefit_down": _signed(each.prefit_down) if held else "–",
        "postfit_up": _signed(each.postfit_up),
        "postfit_down": _signed(each.postfit_down),
    }


def _signed(value: float) -> str:
    text = fixed(value, 3)
    return f"+{text}" if value > 0 and text[0].isdigit() else text


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
        "remarks": [(each.parameter, each.process, "; ".join(each.notes)) for each in effects if each.notes],
    }
