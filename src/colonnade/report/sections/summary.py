"""The first section and the last: what a reader wants to know first, and where the result comes from."""

from __future__ import annotations

__all__ = ["provenance", "summary"]

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from markupsafe import Markup

from colonnade.plotting.labels import parameter_label
from colonnade.plotting.limits import crossings
from colonnade.plotting.summaries import points_by_model
from colonnade.report.content import Content
from colonnade.report.latex import from_latex
from colonnade.report.numbers import fixed, grouped, percent, significant
from colonnade.statistics.results import Point


@dataclass(frozen=True)
class _Fact:
    """A number with its name: `state` is good, bad, or empty."""

    name: str | Markup
    value: str | Markup
    detail: str | Markup = ""
    state: str = ""


def summary(content: Content) -> Mapping[str, Any]:
    """Return the headline numbers; this section is always there."""
    run = content.run
    config = run.provenance.get("config") or {}
    processor = config.get("processor", "")
    facts = []
    if run.luminosity is not None:
        facts.append(_Fact("Luminosity", f"{run.luminosity:g} fb⁻¹", _energy(content)))
    facts += _account(content)
    facts += _headlines(content)
    return {
        "facts": facts,
        "config": config,
        "processor": processor["coffea"] if isinstance(processor, dict) else str(processor),
        "blinded": run.blinded,
        "has_data": "data" in run.kinds.values(),
        "signal_regions": run.signal_regions,
        "finished": str(run.provenance.get("finished") or ""),
    }


def _energy(content: Content) -> Markup:
    energy = content.run.plots.energy
    return Markup("") if energy is None else from_latex(rf"$\sqrt{{}}s$ = {energy:g} TeV")


def _account(content: Content) -> list[_Fact]:
    ledger = content.run.result.ledger
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


def _headlines(content: Content) -> list[_Fact]:
    """Return the most significant point, and how far each model is expected to be excluded."""
    fit = content.run.fit
    if fit is None or not fit.points:
        return []
    best = max(fit.points, key=lambda point: point.significance.expected)
    highest = _Fact("Highest expected Z", fixed(best.significance.expected), content.process_title(best.signal))
    return [highest, *(_exclusion(model, points) for model, points in points_by_model(content.run).items())]


def _exclusion(model: str, points: Sequence[tuple[float, str, Point]]) -> _Fact:
    """Say where the expected limit on the signal strength crosses 1."""
    x = np.asarray([place for place, *_ in points])
    limits = np.asarray([point.limit.median for *_, point in points])
    excluded = limits < 1
    symbol, unit = parameter_label(points[0][1]) if points[0][1] else ("point", "")
    name = from_latex(f"{model}, expected")
    masses = crossings(x, limits, np.ones(len(points)))
    if excluded.all():
        span = f"{x[0]:g} to {x[-1]:g}" if len(x) > 1 else f"{x[0]:g}"
        return _Fact(name, "excluded", from_latex(f"at every point: {symbol} = {span} {unit}"))
    if not excluded.any():
        strongest = float(limits.min())
        return _Fact(name, from_latex(rf"$\mu$ < {significant(strongest)}"), "best limit; no point excluded")
    if len(masses) == 1:
        sign = "<" if excluded[0] else ">"
        return _Fact(name, from_latex(f"{symbol} {sign} {significant(masses[0])} {unit}"), "not excluded beyond")
    return _Fact(name, f"{int(excluded.sum())} of {len(x)} points", "excluded")


_SHOWN = {"command", "config", "environment", "steps", "title"}


def provenance(content: Content) -> Mapping[str, Any] | None:
    """Return the command, versions, times, and everything else that provenance.json holds, as YAML."""
    origin = content.run.provenance
    if not origin:
        return None
    environment = origin.get("environment")
    environment = environment if isinstance(environment, dict) else {}
    packages = environment.get("packages")
    steps = origin.get("steps")
    simple = {
        key: value
        for key, value in origin.items()
        if key not in _SHOWN and isinstance(value, str | int | float | bool) and value != ""
    }
    rest = {key: value for key, value in origin.items() if key not in _SHOWN and key not in simple and value}
    return {
        "command": str(origin.get("command", "")),
        "simple": simple,
        "python": str(environment.get("python", "")),
        "platform": str(environment.get("platform", "")),
        "packages": {str(key): str(value) for key, value in packages.items()} if isinstance(packages, dict) else {},
        "steps": _steps(steps) if isinstance(steps, dict) else [],
        "config": _yaml(origin.get("config")),
        "rest": [(key, _yaml(value)) for key, value in rest.items()],
    }


def _steps(steps: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (str(name), f"{fixed(float(step['seconds']), 1)} s")
        for name, step in steps.items()
        if isinstance(step, dict) and isinstance(step.get("seconds"), int | float)
    ]


def _yaml(value: Any) -> str:
    if not value:
        return ""
    plain = json.loads(json.dumps(value, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
