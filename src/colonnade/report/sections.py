"""The sections of the page, in order: what a reader wants to know first, what was found, what became of every event.

To add one: a function that returns what its template shows beside the run and its pictures, or None when the run has
nothing of it; a template of the section's name in templates/sections; and a line in `SECTIONS`. The templates show the
typed results themselves; here stands what is chosen of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from markupsafe import Markup

from colonnade.plotting.pictures import points_by_model
from colonnade.plotting.run import Expected, Run, merged_cutflow
from colonnade.plotting.settings import parameter_label
from colonnade.report.text import fixed, from_latex, grouped, measured, percent, plus_minus, significant
from colonnade.statistics.results import Effect, FitSummary, Limit, Point

# a table of all impacts would be longer than anyone reads; `colonnade fit DIR --ranking` has them
_MOST_IMPACTS = 30
# lost ranges of a dataset: a page is read, a ledger is searched, so beyond this the page refers to the file
_MOST_RANGES = 200
# standard deviations by which a signal counts as seen
_SEEN = 5.0
# what the section on provenance shows in a way of its own
_SHOWN = {"command", "config", "steps", "title"}


@dataclass(frozen=True)
class Image:
    """A picture inside the page.

    Attributes
    ----------
    uri : str
        The whole picture as a data: address.
    width, height : int
        In pixels.
    alt : str
        What it shows.
    kind, region, histogram : str
        What it belongs to.
    """

    uri: str
    width: int
    height: int
    alt: str
    kind: str
    region: str
    histogram: str


@dataclass(frozen=True)
class _Fact:
    """A number with its name: `state` is good, bad, or empty."""

    name: str | Markup
    value: str | Markup
    detail: str | Markup = ""
    state: str = ""


def summary(run: Run) -> Mapping[str, Any]:
    """Return the headline numbers; this section is always there."""
    config = run.provenance.get("config") or {}
    processor = config.get("processor", "")
    facts = []
    if run.luminosity is not None:
        energy = "" if run.plots.energy is None else from_latex(rf"$\sqrt{{}}s$ = {run.plots.energy:g} TeV")
        facts.append(_Fact("Luminosity", f"{run.luminosity:g} fb⁻¹", energy))
    facts += _account(run)
    facts += _headlines(run)
    return {
        "facts": facts,
        "processor": processor["coffea"] if isinstance(processor, dict) else str(processor),
        "finished": str(run.provenance.get("finished") or ""),
    }


def _account(run: Run) -> list[_Fact]:
    ledger = run.result.ledger
    if not ledger.datasets:
        return []
    files = sum(len(entry.files) for entry in ledger.datasets.values())
    events = sum(entry.events_processed for entry in ledger.datasets.values())
    lost = sum(entry.events_expected - entry.events_processed for entry in ledger.datasets.values())
    ranges = sum(len(entry.lost) for entry in ledger.datasets.values())
    facts = [
        _Fact("Datasets", grouped(len(ledger.datasets)), f"{files} files" if files != 1 else "1 file"),
        _Fact("Events processed", grouped(events)),
    ]
    if not ranges:
        facts.append(_Fact("Events lost", "none", "every expected event is in the result", "good"))
    else:
        allowed = f"{percent(ledger.lost_fraction)}, allowed: {percent(ledger.allow_loss)}"
        facts.append(_Fact("Events lost", grouped(lost), allowed, "bad" if ledger.too_much_lost else "warn"))
    return facts


def _headlines(run: Run) -> list[_Fact]:
    """Return the measured signal strength; else the most significant point, and how far each model is excluded."""
    fit = run.fit
    if fit is None or not fit.points:
        return []
    seen = _seen_point(fit)
    if seen is not None and seen.mu_hat is not None:
        strength = plus_minus(seen.mu_hat.value, seen.mu_hat.error)
        title = from_latex(run.process(seen.signal).title)
        return [
            _Fact("Signal strength μ", strength, title),
            _Fact("Observed Z", fixed(seen.significance.observed), title),
        ]
    best = max(fit.points, key=lambda point: point.significance.expected)
    highest = _Fact("Highest expected Z", fixed(best.significance.expected), from_latex(run.process(best.signal).title))
    return [highest, *(_exclusion(model, points) for model, points in points_by_model(run).items())]


def _seen_point(fit: FitSummary) -> Point | None:
    """Return the point that is seen most clearly, by at least five standard deviations; None where none is.

    Then the run is a measurement: its fitted strength comes first, and no point is called excluded.
    """
    seen = [each for each in fit.points if each.mu_hat is not None and (each.significance.observed or 0.0) >= _SEEN]
    return max(seen, key=lambda each: each.significance.observed or 0.0, default=None)


def _exclusion(model: str, points: Sequence[tuple[float, str, Point]]) -> _Fact:
    """Say which points have an expected limit on the signal strength below 1."""
    limits = [point.limit.median for *_, point in points]
    excluded = [x for (x, *_), limit in zip(points, limits, strict=True) if limit < 1]
    name = from_latex(f"{model}, expected")
    if not excluded:
        return _Fact(name, from_latex(rf"$\mu$ < {significant(min(limits))}"), "best limit; no point excluded")
    symbol, unit = parameter_label(points[0][1]) if points[0][1] else ("point", "")
    span = f"{excluded[0]:g} to {excluded[-1]:g}" if len(excluded) > 1 else f"{excluded[0]:g}"
    shown = "excluded" if len(excluded) == len(points) else f"{len(excluded)} of {len(points)} points excluded"
    return _Fact(name, shown, from_latex(f"{symbol} = {span} {unit}"))


def provenance(run: Run) -> Mapping[str, Any] | None:
    """Return the command, the time of each step, and as YAML the workflow and all else that provenance.json holds."""
    origin = run.provenance
    if not origin:
        return None
    steps = origin.get("steps") or {}
    rest = {key: value for key, value in origin.items() if key not in _SHOWN}
    return {
        "command": str(origin.get("command") or ""),
        "steps": [(name, f"{fixed(step['seconds'], 1)} s") for name, step in steps.items() if "seconds" in step],
        "texts": {"Workflow, resolved": _yaml(origin.get("config")), "Versions, inputs and all else": _yaml(rest)},
    }


def _yaml(value: Any) -> str:
    if not value:
        return ""
    plain = json.loads(json.dumps(value, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))


def results(run: Run) -> Mapping[str, Any] | None:
    """Say what there is of significances and limits, counting experiments and fitted parameters."""
    found = run.fit
    if found is None or not (found.points or found.counting or found.parameters):
        return None
    return {
        "observed": not found.blinded and any(point.limit.observed is not None for point in found.points),
        "toys": max((point.limit.toys.toys for point in found.points if point.limit.toys is not None), default=0),
        "cross_section": any(point.cross_section_pb is not None for point in found.points),
        "limit": _limit,
        "search": _seen_point(found) is None,
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


def fit(run: Run) -> Mapping[str, Any] | None:
    """Choose the impacts to show of the fit of the reference point."""
    found = run.fit
    if found is None or not found.diagnostics.yields:
        return None
    return {"ranking": found.diagnostics.ranking[:_MOST_IMPACTS]}


def systematics(run: Run) -> Mapping[str, Any] | None:
    """Return for each region a table of uncertainties by process, the largest first, and what was done to them."""
    effects = () if run.fit is None else run.fit.systematics
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


def classifiers(run: Run) -> Mapping[str, Any] | None:
    """Leave the section out where the run has no classifiers."""
    return {} if run.classifiers else None


def bumps(run: Run) -> Mapping[str, Any] | None:
    """Choose the bump fits that were checked by toys."""
    found = run.bumps
    if found is None:
        return None
    checked = {name: each for name, each in found.fits.items() if each.closure is not None and each.wilks is not None}
    return {"checked": checked}


def yields(run: Run) -> Mapping[str, Any] | None:
    """Return a row for each region, and which processes are in any of them."""
    tables = list(run.yields.values())
    if not tables:
        return None
    present = {name for table in tables for name in table.processes}
    return {
        "backgrounds": [name for name in reversed(run.backgrounds) if name in present],
        "signals": [name for name in run.signals if name in present],
        "systematic": any(_uncertainty(table.total) for table in tables),
        "uncertainty": _uncertainty,
        "rows": tables,
        "eras": [run.with_plots(era=era) for era in run.result.eras],
    }


def _uncertainty(total: Expected | None) -> str:
    """Write the systematic uncertainty to the place of the statistical one, or its own when that is coarser."""
    if total is None or not (total.up or total.down):
        return ""
    _, _, up, down = measured(total.value, total.error or max(total.up, total.down), total.up, total.down)
    return f"± {up}" if up == down else f"+{up} −{down}"


def histograms(run: Run) -> Mapping[str, Any] | None:
    """Leave the section out where the run has no histograms."""
    return {} if run.histograms else None


def cutflow(run: Run) -> Mapping[str, Any] | None:
    """Return a table for each region, and the processes that are parts of others."""
    if not run.result.cutflow:
        return None
    regions = [_region(run, name) for name in run.all_regions]
    split = {entry.process: entry.parts for entry in run.result.ledger.datasets.values() if entry.parts}
    return {"regions": [each for each in regions if each is not None], "split": split}


def _region(run: Run, region: str) -> dict[str, Any] | None:
    observed = [] if run.hides_data(region) else run.of_kind("data")
    backgrounds = run.backgrounds
    columns: list[tuple[str, list[str]]] = [("data", observed)] if observed else []
    if len(backgrounds) > 1:
        columns.append(("total", backgrounds))
    columns += [(name, [name]) for name in (*reversed(backgrounds), *run.signals)]
    tables = {name: merged_cutflow(run.result, members, region) for name, members in columns}
    tables = {name: rows for name, rows in tables.items() if rows}
    if not tables:
        return None
    # blinded data hold all events and, in open regions, the last row
    cuts = dict.fromkeys(row.cut for rows in sorted(tables.values(), key=len, reverse=True) for row in rows)
    by_cut = [{row.cut: row for row in rows} for rows in tables.values()]
    found = [(cut, [rows.get(cut) for rows in by_cut]) for cut in cuts]
    without = [(cut, [None if row is None else row.without for row in rows]) for cut, rows in found]
    return {
        "name": region,
        "columns": list(tables),
        "rows": found,
        "n_minus_one": [(cut, rows) for cut, rows in without if any(row is not None for row in rows)],
    }


def losses(run: Run) -> Mapping[str, Any] | None:
    """Say how many lost ranges are shown beside each dataset's account."""
    return {"most": _MOST_RANGES} if run.result.ledger.datasets else None


# title to a function of its template's name and anchor: it returns what the template is given beside `run` and
# `pictures` (see `write_report`); None leaves the section out
SECTIONS: dict[str, Callable[[Run], Mapping[str, Any] | None]] = {
    "Summary": summary,
    "Significances and limits": results,
    "The fit": fit,
    "Uncertainties": systematics,
    "Classifiers": classifiers,
    "Bump fits": bumps,
    "Yields": yields,
    "Histograms": histograms,
    "Cutflows": cutflow,
    "Losses": losses,
    "Provenance": provenance,
}
