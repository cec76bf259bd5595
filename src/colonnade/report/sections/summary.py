"""What a reader wants to know first."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from colonnade.plotting.limits import crossings
from colonnade.plotting.looks import parameter_label
from colonnade.plotting.summaries import points_by_model
from colonnade.plotting.views import median
from colonnade.report.latex import from_latex
from colonnade.report.numbers import fixed, grouped, percent, significant
from colonnade.report.run import Run


@dataclass(frozen=True)
class _Fact:
    """A number with its name: `state` is good, bad, or empty."""

    name: str | Markup
    value: str | Markup
    detail: str | Markup = ""
    state: str = ""


def context(run: Run) -> Mapping[str, Any]:
    """Return the headline numbers; this section is always there."""
    folder = run.folder
    facts = []
    if folder.luminosity is not None:
        facts.append(_Fact("Luminosity", f"{folder.luminosity:g} fb⁻¹", _energy(run)))
    facts += _account(run)
    facts += _headlines(run)
    return {
        "facts": facts,
        "config": folder.config,
        "processor": str(folder.config.get("processor", "")),
        "blinded": folder.blinded,
        "has_data": "data" in folder.kinds.values(),
        "signal_regions": folder.signal_regions or (),
        "finished": str(folder.provenance.get("finished") or ""),
    }


def _energy(run: Run) -> Markup:
    energy = run.settings.energy
    return Markup("") if energy is None else from_latex(rf"$\sqrt{{}}s$ = {energy:g} TeV")


def _account(run: Run) -> list[_Fact]:
    ledger = run.folder.ledger
    if ledger is None:
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
    """Return the most significant point, and how far each model is expected to be excluded."""
    fit = run.folder.fit
    if fit is None or not fit.points:
        return []
    facts = []
    best = max(fit.points, key=lambda point: median(point.significance) or 0.0)
    z = median(best.significance)
    if z is not None:
        facts.append(_Fact("Highest expected Z", fixed(z), run.process_title(best.signal)))
    for model, points in points_by_model(run.drawing).items():
        good = [(x, key, p.limit.expected) for x, key, p in points if p.limit and isinstance(p.limit.expected, tuple)]
        good = [each for each in good if len(each[2]) == 5]
        if good:
            facts.append(_exclusion(model, good))
    return facts


def _exclusion(model: str, points: list[tuple[float, str, tuple[float, ...]]]) -> _Fact:
    """Say where the expected limit on the signal strength crosses 1."""
    x = np.asarray([each[0] for each in points])
    limits = np.asarray([each[2][2] for each in points])
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
