"""What the statistics leave in a run's folder: workspace.json, patchset.json, and the summary in fit.json."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.output import write_json
from colonnade.statistics.analysis import AnalysisResult, PointResult
from colonnade.statistics.build import BuiltModel
from colonnade.statistics.diagnostics import Diagnosis
from colonnade.statistics.model import Model
from colonnade.statistics.prediction import Prediction
from colonnade.statistics.results import (
    Band,
    ChannelYields,
    Correlations,
    DiagnosisSummary,
    FitSummary,
    GroupedDecision,
    Limit,
    Measured,
    Numbers,
    Parameter,
    Point,
    ScanCurve,
    SignalYields,
    Significance,
    ToyBand,
    Yields,
)
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
    write_json(folder / "fit.json", fit_summary(result).to_json())


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


def fit_summary(result: AnalysisResult) -> FitSummary:
    """Return the content of fit.json; docs/statistics.md describes it."""
    fitted = result.background_fit
    return FitSummary(
        luminosity=result.luminosity,
        blinded=result.blinded,
        observed_channels=result.observed_channels,
        level=result.points[0].limits.level,
        points=tuple(_point(point) for point in result.points),
        counting=result.counting,
        parameters=tuple(
            Parameter(label, float(value), float(error))
            for label, value, error in zip(fitted.labels, fitted.values, fitted.errors, strict=True)
        ),
        reference=result.reference.signal,
        diagnostics=diagnosis_summary(result.diagnosis, result.reference.model),
        systematics=effects_of(result.reference.model, result.reference.decisions),
        decisions=_grouped(result.decisions),
    )


def _point(point: PointResult) -> Point:
    measured = None
    if point.mu_hat is not None and point.mu_error is not None:
        measured = Measured(point.mu_hat, point.mu_error)
    observed = None if point.observed is None else point.observed.z
    significance = Significance(point.expected.z, observed)
    return Point(
        point.signal,
        dict(point.parameters),
        significance,
        _limit(point),
        measured,
        point.cross_section_pb,
        point.notes,
    )


def _limit(point: PointResult) -> Limit:
    """Return the limits that hold, and, where there are both, those of the formulas and of pseudo-experiments."""
    formulas = Band(_numbers(point.limits.expected), point.limits.observed)
    if point.toys is None:
        return Limit(formulas.expected, formulas.observed)
    toys = ToyBand(
        _numbers(point.toys.expected),
        point.toys.observed,
        _numbers(point.toys.expected_errors),
        point.toys.observed_error,
        point.toys.tests[0].toys,
    )
    return Limit(toys.expected, toys.observed, "toys", formulas, toys)


def diagnosis_summary(found: Diagnosis, model: Model) -> DiagnosisSummary:
    """Return what is kept of a diagnosis; docs/statistics.md describes it."""
    fitted = found.fit
    # only parameters that some other parameter goes with make the matrix worth reading
    strength = np.abs(fitted.correlation - np.diag(np.diagonal(fitted.correlation)))
    chosen = np.flatnonzero(strength.max(axis=0, initial=0.0) > _CORRELATED)
    matrix = np.round(fitted.correlation[np.ix_(chosen, chosen)], 6)
    signals = _signals(model)
    return DiagnosisSummary(
        strength=found.strength,
        pulls=found.pulls,
        ranking=found.ranking,
        correlations=Correlations(
            tuple(fitted.labels[index] for index in chosen), tuple(_numbers(row) for row in matrix)
        ),
        goodness=found.goodness if found.goodness is not None and found.goodness.degrees > 0 else None,
        scans=tuple(
            ScanCurve(each.name, each.best, each.error, _numbers(each.values), _numbers(each.delta))
            for each in found.scans
        ),
        yields={
            channel.name: ChannelYields(
                edges=None if channel.edges is None else _numbers(channel.edges),
                observed=_numbers(model.observations[channel.name]) if channel.name in found.observed else None,
                signal=signals.get(channel.name),
                prefit=_yields(found.before, channel.name),
                postfit=_yields(found.after, channel.name),
            )
            for channel in model.channels
        },
    )


def _signals(model: Model) -> dict[str, SignalYields]:
    """Return what each channel expects of signal with strength 1, before any fit."""
    return {
        channel.name: SignalYields(sample.name, _numbers(sample.yields))
        for channel in model.channels
        for sample in channel.samples
        if any(modifier.parameter == model.poi for modifier in sample.modifiers)
    }


def _yields(prediction: Prediction, channel: str) -> Yields:
    total, error = prediction.totals[channel]
    # a signal of strength 0 is no sample of the channel
    yields = prediction.yields[channel].items()
    shown = {name: values for name, values in yields if abs(values.sum()) > 1e-12 * abs(total)}
    return Yields(
        samples={name: _numbers(values) for name, values in shown.items()},
        sample_totals={name: prediction.sample_totals[channel].get(name, (0.0, 0.0)) for name in shown},
        errors=_numbers(prediction.errors[channel]),
        groups={name: _numbers(errors) for name, errors in prediction.group_errors[channel].items()},
        total=total,
        total_error=error,
    )


def _grouped(decisions: Iterable[Decision]) -> tuple[GroupedDecision, ...]:
    """Tell the same decision about many places once."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for each in decisions:
        places.setdefault((each.kind, each.subject, each.what), []).append(each.where)
    return tuple(GroupedDecision(*which, tuple(where)) for which, where in places.items())


def _numbers(values: Iterable[float]) -> Numbers:
    return tuple(float(each) for each in values)
