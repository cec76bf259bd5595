"""What the statistics leave in a run's folder: workspace.json, patchset.json and fit.json."""

from __future__ import annotations

__all__ = ["diagnosis_summary", "fit_summary", "patchset", "write_analysis"]

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.output import write_json
from colonnade.statistics.analysis import AnalysisResult, PointResult
from colonnade.statistics.build import BuiltModel
from colonnade.statistics.diagnostics import Diagnosis
from colonnade.statistics.model import Model
from colonnade.statistics.prediction import Prediction
from colonnade.statistics.systematics import effects_of
from colonnade.statistics.templates import Decision
from colonnade.statistics.workspace import to_workspace

# a correlation below this is not worth a line in the table
_CORRELATED = 0.1


def write_analysis(result: AnalysisResult, folder: Path) -> None:
    """Write workspace.json (the reference point), patchset.json (all others) and fit.json.

    Raises
    ------
    OutputError
        If a file can't be written.
    """
    workspace = to_workspace(result.reference.model)
    write_json(folder / "workspace.json", workspace)
    others = {name: built for name, built in result.models.items() if name != result.reference.signal}
    if others:
        parameters = {point.signal: point.parameters for point in result.points}
        write_json(folder / "patchset.json", patchset(workspace, result.reference, others, parameters))
    write_json(folder / "fit.json", fit_summary(result))


def patchset(
    workspace: Mapping[str, Any],
    reference: BuiltModel,
    others: Mapping[str, BuiltModel],
    parameters: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return a pyhf patchset that turns the reference point's workspace into each other point's.

    Parameters
    ----------
    workspace
        The reference point's.
    reference, others
        The models. A channel that differs in more than its first sample, the signal, is replaced whole.
    parameters
        Signal -> its parameters, which become the patch's values.

    """
    labels = sorted({key for name in others for key in parameters[name]}) or ["signal"]
    text = json.dumps(workspace, sort_keys=True, ensure_ascii=False).encode()
    patches = []
    for name, built in others.items():
        spec = to_workspace(built.model)
        patch = []
        for index, (mine, theirs) in enumerate(zip(spec["channels"], workspace["channels"], strict=True)):
            if mine["samples"][1:] != theirs["samples"][1:]:
                # a channel of the point's own, such as one in the score under its hypothesis
                patch.append({"op": "replace", "path": f"/channels/{index}", "value": mine})
                continue
            patch.append({"op": "replace", "path": f"/channels/{index}/samples/0", "value": mine["samples"][0]})
        patch += [
            {"op": "replace", "path": f"/{key}", "value": spec[key]}
            for key in ("observations", "measurements")
            if spec[key] != workspace[key]
        ]
        values = [_plain(parameters[name].get(label, name)) for label in labels]
        patches.append({"metadata": {"name": _identifier(name), "values": values}, "patch": patch})
    return {
        "metadata": {
            "name": "signals",
            "description": f"Signal points; the workspace itself holds {reference.signal}.",
            "labels": [_identifier(label) for label in labels],
            "digests": {"sha256": hashlib.sha256(text).hexdigest()},
            # pyhf's schema wants a reference; this one says that there is no publication yet
            "references": {"hepdata": "ins0000000"},
        },
        "patches": patches,
        "version": "1.0.0",
    }


def _identifier(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _plain(value: Any) -> float | str:
    return value if isinstance(value, int | float) else str(value)


def fit_summary(result: AnalysisResult) -> dict[str, Any]:
    """Return the content of fit.json; docs/statistics.md describes it."""
    fitted = result.background_fit
    return {
        "luminosity": result.luminosity,
        "blinded": result.blinded,
        "observed_channels": list(result.observed_channels),
        "level": result.points[0].limits.level,
        "points": [_point(point) for point in result.points],
        "counting": [asdict(each) for each in result.counting],
        "parameters": [
            {"name": label, "bestfit": float(value), "error": float(error)}
            for label, value, error in zip(fitted.labels, fitted.values, fitted.errors, strict=True)
        ],
        "reference": result.reference.signal,
        "diagnostics": diagnosis_summary(result.diagnosis, result.reference.model),
        "systematics": [asdict(each) for each in effects_of(result.reference.model, result.reference.decisions)],
        "decisions": _grouped(result.decisions),
    }


def _limit(point: PointResult) -> dict[str, Any]:
    """Return the limits that hold, and, where there are both, those of the formulas and of pseudo-experiments."""
    formulas = {"expected": list(point.limits.expected), "observed": point.limits.observed}
    if point.toys is None:
        return {"method": "asymptotic"} | formulas
    toys = {
        "expected": list(point.toys.expected),
        "expected_errors": list(point.toys.expected_errors),
        "observed": point.toys.observed,
        "observed_error": point.toys.observed_error,
        "toys": point.toys.tests[0].toys,
    }
    chosen = {"expected": toys["expected"], "observed": toys["observed"]}
    return {"method": "toys"} | chosen | {"asymptotic": formulas, "toys": toys}


def diagnosis_summary(found: Diagnosis, model: Model) -> dict[str, Any]:
    """Return a diagnosis as plain data; docs/statistics.md describes it."""
    fitted = found.fit
    # only parameters that some other parameter goes with make the matrix worth reading
    strength = np.abs(fitted.correlation - np.diag(np.diagonal(fitted.correlation)))
    chosen = np.flatnonzero(strength.max(axis=0, initial=0.0) > _CORRELATED)
    goodness = None
    if found.goodness is not None and found.goodness.degrees > 0:
        goodness = asdict(found.goodness)
    signals = _signals(model)
    return {
        "strength": found.strength,
        "pulls": [asdict(each) for each in found.pulls],
        "ranking": [asdict(each) for each in found.ranking],
        "correlations": {
            "parameters": [fitted.labels[index] for index in chosen],
            "matrix": np.round(fitted.correlation[np.ix_(chosen, chosen)], 6).tolist(),
        },
        "goodness": goodness,
        "scans": [
            {
                "parameter": each.name,
                "bestfit": each.best,
                "error": each.error,
                "values": each.values.tolist(),
                "delta": each.delta.tolist(),
            }
            for each in found.scans
        ],
        "yields": {
            channel.name: {
                "edges": None if channel.edges is None else list(channel.edges),
                "observed": model.observations[channel.name].tolist() if channel.name in found.observed else None,
                "signal": signals.get(channel.name),
                "prefit": _yields(found.before, channel.name),
                "postfit": _yields(found.after, channel.name),
            }
            for channel in model.channels
        },
    }


def _signals(model: Model) -> dict[str, dict[str, Any]]:
    """Return what each channel expects of signal with strength 1, before any fit."""
    return {
        channel.name: {"name": sample.name, "events": sample.yields.tolist()}
        for channel in model.channels
        for sample in channel.samples
        if any(modifier.parameter == model.poi for modifier in sample.modifiers)
    }


def _yields(prediction: Prediction, channel: str) -> dict[str, Any]:
    total, error = prediction.totals[channel]
    # a signal of strength 0 is no sample of the channel
    yields = prediction.yields[channel].items()
    shown = {name: values for name, values in yields if abs(values.sum()) > 1e-12 * abs(total)}
    return {
        "samples": {name: values.tolist() for name, values in shown.items()},
        "sample_totals": {name: list(prediction.sample_totals[channel].get(name, (0.0, 0.0))) for name in shown},
        "errors": prediction.errors[channel].tolist(),
        "groups": {name: errors.tolist() for name, errors in prediction.group_errors[channel].items()},
        "total": total,
        "total_error": error,
    }


def _grouped(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """Tell the same decision about many places once."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for each in decisions:
        places.setdefault((each.kind, each.subject, each.what), []).append(each.where)
    return [
        {"kind": kind, "subject": subject, "what": what, "where": where}
        for (kind, subject, what), where in places.items()
    ]


def _point(point: PointResult) -> dict[str, Any]:
    mu_hat = None if point.mu_hat is None else {"value": point.mu_hat, "error": point.mu_error}
    return {
        "signal": point.signal,
        "parameters": dict(point.parameters),
        "significance": {
            "expected": point.expected.z,
            "observed": None if point.observed is None else point.observed.z,
        },
        "limit": _limit(point),
        "mu_hat": mu_hat,
        "cross_section_pb": point.cross_section_pb,
    }
