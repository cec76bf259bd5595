"""Sections about what was found: significances and limits, and the classifiers behind them."""

from __future__ import annotations

__all__ = ["classifiers", "results"]

from collections.abc import Mapping
from typing import Any

from colonnade.report.content import Content
from colonnade.report.latex import from_latex
from colonnade.report.numbers import fixed, measured, significant
from colonnade.statistics.results import CountingResult, Parameter, Point
from colonnade.training.results import PolicyReport, SignalEvaluation


def results(content: Content) -> Mapping[str, Any] | None:
    """Return the tables of fit.json and its pictures."""
    fit = content.run.fit
    if fit is None or not (fit.points or fit.counting or fit.parameters):
        return None
    observed = not fit.blinded and any(point.limit.observed is not None for point in fit.points)
    return {
        "level": f"{100 * fit.level:g}",
        "blinded": fit.blinded,
        "has_data": "data" in content.run.kinds.values(),
        "observed": observed,
        "toys": max((point.limit.toys.toys for point in fit.points if point.limit.toys is not None), default=0),
        "cross_section": any(point.cross_section_pb is not None for point in fit.points),
        "points": [_point(content, each) for each in fit.points],
        "counting": [_counting(content, each) for each in fit.counting],
        "parameters": [_parameter(each) for each in fit.parameters],
        "decisions": fit.decisions,
        "images": [*content.pictures("significance"), *content.pictures("limit")],
    }


def _point(content: Content, point: Point) -> dict[str, Any]:
    band = point.limit.expected
    observed = None if point.mu_hat is None else " ± ".join(measured(point.mu_hat.value, point.mu_hat.error))
    return {
        "title": content.process_title(point.signal),
        "cross_section": significant(point.cross_section_pb),
        "z": fixed(point.significance.expected),
        "z_observed": fixed(point.significance.observed),
        "limit": _limit(point, 2) or significant(point.limit.median),
        "formulas": _by_formulas(point, observed=False),
        "one": f"{significant(band[1])} – {significant(band[3])}",
        "two": f"{significant(band[0])} – {significant(band[4])}",
        "limit_observed": _limit(point, None) or significant(point.limit.observed),
        "formulas_observed": _by_formulas(point, observed=True),
        "mu_hat": observed or "–",
        "excluded": point.limit.median < 1,
    }


def _limit(point: Point, place: int | None) -> str:
    """Return a limit by pseudo-experiments with its Monte Carlo error: an expected one, or the observed."""
    toys = point.limit.toys
    if toys is None:
        return ""
    value = toys.observed if place is None else toys.expected[place]
    error = toys.observed_error if place is None else toys.expected_errors[place]
    return "" if value is None or error is None else " ± ".join(each for each in measured(value, error) if each)


def _by_formulas(point: Point, *, observed: bool) -> str:
    """Return the asymptotic limit where pseudo-experiments gave another."""
    formulas = point.limit.asymptotic
    if formulas is None:
        return "–"
    return significant(formulas.observed if observed else formulas.median)


def _counting(content: Content, each: CountingResult) -> dict[str, Any]:
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
    value, error = measured(each.bestfit, each.error)
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
                "error": f"{100 * evaluation.background_error:g}",
                "luminosity": f"{evaluation.luminosity:g}",
                "cut": f"{evaluation.cut:g}",
                "points": [_classified(content, point) for point in evaluation.points],
                "policies": [_policy(content, row) for row in evaluation.negative_weights],
            }
            for name, evaluation in found.items()
        ],
        "images": content.pictures("classifier"),
    }


def _classified(content: Content, point: SignalEvaluation) -> dict[str, Any]:
    best = point.best
    return {
        "title": content.process_title(point.signal),
        "auc": f"{point.auc:.4f}",
        "auc_training": f"{point.auc_training:.4f}",
        "accuracy": f"{100 * point.accuracy:.1f} %",
        "cut": significant(best.cut),
        "signal": significant(best.signal),
        "background": significant(best.background),
        "z": fixed(best.z, 3),
        "z_at_cut": fixed(point.at_cut.z, 3),
    }


def _policy(content: Content, row: PolicyReport) -> dict[str, Any]:
    worst = max(row.bias.items(), key=lambda item: abs(item[1]), default=("–", 0.0))
    return {
        "process": content.process_title(row.process),
        "policy": row.policy,
        "negative": f"{100 * row.negative:.1f} %",
        "effective": significant(row.effective),
        "bias": f"{worst[1]:+.2f} ({worst[0]})",
    }
