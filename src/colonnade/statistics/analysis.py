"""All statistical results of a run: every signal point's significance and limits, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.build import Builder, BuiltModel
from colonnade.statistics.control import blinded, diagnosis, prepared
from colonnade.statistics.counting import asimov_significance, significance
from colonnade.statistics.diagnostics import Diagnosis
from colonnade.statistics.fitting import (
    Discovery,
    FitResult,
    discovery,
    expected_discovery,
    fit,
    poi_index,
    signal_bounds,
)
from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.limits import UpperLimits, upper_limits
from colonnade.statistics.results import CountingResult, Note
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.templates import NOMINAL, Decision, Inputs
from colonnade.statistics.toys import ToyLimits, find_limits


@dataclass(frozen=True, slots=True)
class PointResult:
    """One signal point.

    Attributes
    ----------
    signal : str
        The process.
    parameters : mapping
        Such as m_Zprime.
    cross_section_pb : float or None
        What a signal strength of 1 stands for.
    expected : Discovery
        Median discovery if the signal is there with strength 1.
    observed : Discovery or None
        None while a signal region is blinded.
    limits : UpperLimits
        On the signal strength, by the asymptotic formulas.
    toys : ToyLimits or None
        By pseudo-experiments, where they were asked for or too few events are expected for the formulas.
    mu_hat, mu_error : float or None
        The fitted signal strength; none while blinded.
    notes : tuple of Note
        What the numbers rest on.
    """

    signal: str
    parameters: Mapping[str, Any]
    cross_section_pb: float | None
    expected: Discovery
    observed: Discovery | None
    limits: UpperLimits
    toys: ToyLimits | None
    mu_hat: float | None
    mu_error: float | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """All results of a run.

    Attributes
    ----------
    luminosity : float
        In fb^-1.
    blinded : bool
        Whether a channel of a signal region is blinded, so that nothing observed was computed.
    observed_channels : tuple of str
        Channels whose data were used.
    points, counting : tuple
        Results by signal point and counting region.
    reference : BuiltModel
        The model of the reference point, its observations as fitted.
    models : mapping of str to BuiltModel
        All models by signal.
    background_fit : FitResult
        The background-only fit to what may be seen.
    diagnosis : Diagnosis
        Pulls, ranking, correlations, goodness and yields of the reference point.
    decisions : tuple of Decision
        What was done to the templates of all points, without repetition.
    """

    luminosity: float
    blinded: bool
    observed_channels: tuple[str, ...]
    points: tuple[PointResult, ...]
    counting: tuple[CountingResult, ...]
    reference: BuiltModel
    models: Mapping[str, BuiltModel]
    background_fit: FitResult
    diagnosis: Diagnosis
    decisions: tuple[Decision, ...]


def analyse(
    inputs: Inputs,
    settings: ModelSettings,
    *,
    reference: str | None = None,
    scans: Sequence[str] = (),
    folder: Path | None = None,
) -> AnalysisResult:
    """Build every signal point's model, and find its significance and limits.

    Parameters
    ----------
    inputs, settings
        The histograms and the model.
    reference
        The signal point of workspace.json and of the diagnosis; without it the first.
    scans
        Parameters along which the likelihood is profiled, besides the parameter of interest.
    folder
        Where batches of pseudo-experiments are kept, so that an interrupted step goes on where it was.

    Raises
    ------
    ConfigError
        If the model does not fit the histograms.
    FitError
        If a fit does not converge.
    """
    builder = Builder(inputs, settings)
    if reference is not None and reference not in builder.signals:
        msg = f"The model has no signal {reference!r}{nearest(reference, builder.signals)}."
        raise ConfigError(msg)
    models: dict[str, BuiltModel] = {}
    points = []
    decisions: dict[Decision, None] = {}
    for signal in builder.signals:
        built = prepared(builder.build(signal))
        decisions |= dict.fromkeys(built.decisions)
        points.append(_point(built, inputs, settings, folder))
        found = points[-1]
        strengths = (*found.limits.expected, found.limits.observed or 0.0, found.mu_hat or 0.0)
        models[signal] = _within(built, strengths)
    chosen = models[reference or builder.signals[0]]
    background_fit = _background_fit(Likelihood(chosen.model))
    return AnalysisResult(
        luminosity=inputs.luminosity,
        blinded=blinded(chosen),
        observed_channels=tuple(sorted(chosen.observed)),
        points=tuple(points),
        counting=tuple(_counting(inputs, settings, builder.signals)),
        reference=chosen,
        models=models,
        background_fit=background_fit,
        diagnosis=diagnosis(chosen, background_fit, scans),
        decisions=tuple(decisions),
    )


def point_model(builder: Builder, signal: str) -> BuiltModel:
    """Build one signal point's model as `analyse` leaves it: stand-ins for blinded data, bounds that hold its limits.

    Raises
    ------
    ConfigError
        If the signal is unknown or reaches no channel.
    FitError
        If a fit does not converge.
    """
    built = prepared(builder.build(signal))
    limits = upper_limits(Likelihood(built.model), observed=not blinded(built))
    return _within(built, (*limits.expected, limits.observed or 0.0))


def _within(built: BuiltModel, strengths: Sequence[float]) -> BuiltModel:
    """Give the signal strength bounds that hold these, as programs that look for limits inside the bounds need."""
    highest = max(10.0, float(f"{2 * max(strengths):.1g}"))
    parameters = tuple(
        replace(each, bounds=((0.0, highest),)) if each.name == built.model.poi else each
        for each in built.model.parameters
    )
    return replace(built, model=replace(built.model, parameters=parameters))


def _point(built: BuiltModel, inputs: Inputs, settings: ModelSettings, folder: Path | None) -> PointResult:
    process = inputs.processes[built.signal]
    seen = not blinded(built)
    likelihood = Likelihood(built.model)
    try:
        expected = expected_discovery(likelihood)
        limits, toys, notes = find_limits(likelihood, settings.limit, observed=seen, folder=folder)
        observed, mu_hat, mu_error = None, None, None
        if seen:
            observed = discovery(likelihood)
            lower, upper = signal_bounds(likelihood)
            result = fit(likelihood, lower=lower, upper=upper)
            poi = poi_index(likelihood)
            mu_hat, mu_error = float(result.values[poi]), float(result.errors[poi])
            notes = tuple(dict.fromkeys((*notes, *result.notes)))
    except FitError as error:
        msg = f"The signal {built.signal}: {error}"
        raise FitError(msg) from error
    return PointResult(
        built.signal,
        process.parameters,
        process.cross_section_pb,
        expected,
        observed,
        limits,
        toys,
        mu_hat,
        mu_error,
        notes,
    )


def _background_fit(likelihood: Likelihood) -> FitResult:
    start, fixed = likelihood.inits.copy(), likelihood.fixed.copy()
    poi = poi_index(likelihood)
    start[poi], fixed[poi] = 0.0, True
    return fit(likelihood, start=start, fixed=fixed)


def _counting(inputs: Inputs, settings: ModelSettings, signals: list[str]) -> list[CountingResult]:
    results = []
    for region, counting in settings.counting.items():
        name = counting.histogram
        if name is None:
            name = next((each for each in inputs.histograms if _has(inputs.histograms[each], region)), None)
        if name is None or name not in inputs.histograms or not _has(inputs.histograms[name], region):
            known = sorted(
                {each for by in inputs.histograms.values() for one in by.values() for each in one.axes["region"]}
            )
            msg = f"The counting region {region!r} is in no histogram{nearest(region, known)}."
            raise ConfigError(msg)
        by_process = inputs.histograms[name]
        yields = {
            process: _yield(by_process[process], region)
            for process in (*inputs.of_kind("background"), *signals)
            if process in by_process
        }
        b = sum(yields[process][0] for process in inputs.of_kind("background") if process in yields)
        if b <= 0:
            msg = f"The counting region {region} expects {b:.3g} background events, so it has no significance."
            raise ConfigError(msg)
        variance = sum(yields[process][1] for process in inputs.of_kind("background") if process in yields)
        sigma = float(np.sqrt(variance + (counting.uncertainty * b) ** 2))
        for signal in signals:
            s = max(yields.get(signal, (0.0, 0.0))[0], 0.0)
            results.append(
                CountingResult(
                    region,
                    signal,
                    s,
                    b,
                    sigma,
                    float(significance(s, b)),
                    float(asimov_significance(s, b, sigma)),
                )
            )
    return results


def _has(by_process: Mapping[str, Any], region: str) -> bool:
    return any(region in list(filled.axes["region"]) for filled in by_process.values())


def _yield(filled: Any, region: str) -> tuple[float, float]:
    regions = list(filled.axes["region"])
    if region not in regions:
        return 0.0, 0.0
    view = filled.view(flow=True)[regions.index(region), list(filled.axes["variation"]).index(NOMINAL)]
    return float(view["value"].sum()), float(view["variance"].sum())
