"""Sections about what was found: significances and limits, and the classifiers behind them."""

from __future__ import annotations

__all__ = ["classifiers", "results"]

from collections.abc import Mapping
from typing import Any

from colonnade.plotting.views import Counting, Parameter, Point, median
from colonnade.report.content import Content
from colonnade.report.latex import from_latex
from colonnade.report.numbers import fixed, measured, significant


def results(content: Content) -> Mapping[str, Any] | None:
    """Return the tables of fit.json and its pictures."""
    fit = content.run.fit
    if fit is None or not (fit.points or fit.counting or fit.parameters):
        return None
    observed = not fit.blinded and any(p.limit is not None and p.limit.observed is not None for p in fit.points)
    return {
        "level": f"{100 * fit.level:g}",
        "blinded": fit.blinded,
        "has_data": "data" in content.run.kinds.values(),
        "observed": observed,
        "toys": max((p.limit.toys.toys for p in fit.points if p.limit is not None and p.limit.toys), default=0),
        "cross_section": any(p.cross_section_pb is not None for p in fit.points),
        "points": [_point(content, each) for each in fit.points],
        "counting": [_counting(content, each) for each in fit.counting],
        "parameters": [_parameter(each) for each in fit.parameters],
        "decisions": [each.model_dump() for each in fit.decisions],
        "images": [*content.pictures("significance"), *content.pictures("limit")],
    }


def _point(content: Content, point: Point) -> dict[str, Any]:
    band = point.limit.expected if point.limit is not None and isinstance(point.limit.expected, tuple) else ()
    full = len(band) == 5
    return {
        "title": content.process_title(point.signal),
        "cross_section": significant(point.cross_section_pb),
        "z": fixed(median(point.significance)),
        "z_observed": fixed(point.significance.observed if point.significance else None),
        "limit": _limit(point, 2) or significant(median(point.limit)),
        "formulas": _by_formulas(point, observed=False),
        "one": f"{significant(band[1])} – {significant(band[3])}" if full else "–",
        "two": f"{significant(band[0])} – {significant(band[4])}" if full else "–",
        "limit_observed": _limit(point, None) or significant(point.limit.observed if point.limit else None),
        "formulas_observed": _by_formulas(point, observed=True),
        "mu_hat": _mu_hat(point.mu_hat),
        "excluded": (median(point.limit) or 2.0) < 1,
    }


def _limit(point: Point, place: int | None) -> str:
    """Return a limit by pseudo-experiments with its Monte Carlo error: an expected one, or the observed."""
    toys = None if point.limit is None else point.limit.toys
    if toys is None or not isinstance(toys.expected, tuple):
        return ""
    value = toys.observed if place is None else toys.expected[place]
    error = toys.observed_error if place is None else toys.expected_errors[place]
    return "" if value is None or error is None else " ± ".join(each for each in measured(value, error) if each)


def _by_formulas(point: Point, *, observed: bool) -> str:
    """Return the asymptotic limit where pseudo-experiments gave another."""
    formulas = None if point.limit is None else point.limit.asymptotic
    if formulas is None:
        return "–"
    return significant(formulas.observed if observed else median(formulas))


def _mu_hat(found: Any) -> str:
    if isinstance(found, dict) and isinstance(found.get("value"), int | float):
        error = found.get("error")
        if isinstance(error, int | float):
            return " ± ".join(measured(float(found["value"]), float(error)))
        return significant(float(found["value"]))
    return significant(float(found)) if isinstance(found, int | float) else "–"


def _counting(content: Content, each: Counting) -> dict[str, Any]:
    background, error = measured(each.b, each.sigma_b)
    return {
        "region": content.region_title(each.region),
        "signal": content.process_title(each.signal),
        "s": significant(each.s),
        "b": background,
        "sigma_b": error,
        "z": fixed(each.z, 3),
        "z_with_uncertainty": fixed(each.z_with_uncertainty, 3),
    }


def _parameter(each: Parameter) -> dict[str, Any]:
    value, error = measured(each.bestfit, each.error or 0.0)
    return {"name": from_latex(each.name.replace("$", r"\$")), "value": value, "error": error}


def classifiers(content: Content) -> Mapping[str, Any] | None:
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
                "points": [_classified(content, point) for point in evaluation["points"]],
                "policies": [_policy(content, row) for row in evaluation["negative_weights"]],
            }
            for name, evaluation in found.items()
        ],
        "images": content.pictures("classifier"),
    }


def _classified(content: Content, point: Mapping[str, Any]) -> dict[str, Any]:
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
