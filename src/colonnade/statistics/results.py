"""What the statistics leave in a run's folder: workspace.json, patchset.json and fit.json."""

from __future__ import annotations

__all__ = ["fit_summary", "patchset", "write_analysis"]

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError
from colonnade.output import write_json
from colonnade.statistics.analysis import AnalysisResult, PointResult
from colonnade.statistics.build import BuiltModel
from colonnade.statistics.templates import Decision
from colonnade.statistics.workspace import to_workspace


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
        The models; they differ in the first sample of each channel only.
    parameters
        Signal -> its parameters, which become the patch's values.

    Raises
    ------
    ConfigError
        If models differ in more than their signal.
    """
    labels = sorted({key for name in others for key in parameters[name]}) or ["signal"]
    text = json.dumps(workspace, sort_keys=True, ensure_ascii=False).encode()
    patches = []
    for name, built in others.items():
        spec = to_workspace(built.model)
        patch = []
        for index, (mine, theirs) in enumerate(zip(spec["channels"], workspace["channels"], strict=True)):
            if mine["samples"][1:] != theirs["samples"][1:]:
                msg = (
                    f"The models of {name} and {reference.signal} differ in their backgrounds of "
                    f"{mine['name']}."
                )
                raise ConfigError(msg)
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
        "decisions": _grouped(result.decisions),
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
        "limit": {"expected": list(point.limits.expected), "observed": point.limits.observed},
        "mu_hat": mu_hat,
        "cross_section_pb": point.cross_section_pb,
    }
