"""All statistical results of a run: every signal point's significance and limits, and what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.build import Builder, BuiltModel
from colonnade.statistics.counting import asimov_significance, significance
from colonnade.statistics.diagnostics import carried_over, diagnose
from colonnade.statistics.effects import effects_of
from colonnade.statistics.fitting import FitResult, discovery, expected_discovery, fit, poi_index, signal_bounds
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.limits import upper_limits
from colonnade.statistics.model import Model, make_model
from colonnade.statistics.results import (
    CountingResult,
    Decision,
    DiagnosisSummary,
    FitSummary,
    Measured,
    Parameter,
    Point,
    Significance,
)
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.templates import NOMINAL, Inputs
from colonnade.statistics.toys import Report, find_limits


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """All results of a run, and the models that they rest on.

    Attributes
    ----------
    summary : FitSummary
        The results, as fit.json keeps them.
    models : mapping of str to BuiltModel
        The models by signal, their observations as fitted.
    background_fit : FitResult
        The background-only fit of the reference point to what may be seen.
    """

    summary: FitSummary
    models: Mapping[str, BuiltModel]
    background_fit: FitResult

    @property
    def reference(self) -> BuiltModel:
        """The model of the reference point."""
        return self.models[self.summary.reference]


def analyse(
    inputs: Inputs,
    settings: ModelSettings,
    *,
    reference: str | None = None,
    scans: Sequence[str] = (),
    folder: Path | None = None,
    report: Report | None = None,
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
    report
        Called after each of these batches with how many pseudo-experiments of a point are done, and are foreseen.

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
        point = _point(built, inputs, settings, folder, report)
        points.append(point)
        formulas = point.limit.asymptotic or point.limit
        found = 0.0 if point.mu_hat is None else point.mu_hat.value
        models[signal] = _within(built, (*formulas.expected, formulas.observed or 0.0, found))
    chosen = models[reference or builder.signals[0]]
    fitted = _background_fit(Likelihood(chosen.model))
    summary = FitSummary(
        luminosity=inputs.luminosity,
        blinded=blinded(chosen),
        observed_channels=tuple(sorted(chosen.observed)),
        level=settings.limit.level,
        points=tuple(points),
        counting=tuple(_counting(inputs, settings, builder.signals)),
        parameters=tuple(
            Parameter(label, float(value), float(error))
            for label, value, error in zip(fitted.labels, fitted.values, fitted.errors, strict=True)
        ),
        reference=chosen.signal,
        diagnostics=diagnosis(chosen, fitted, scans),
        systematics=effects_of(chosen.model, chosen.decisions),
        decisions=_grouped(decisions),
    )
    return AnalysisResult(summary, models, fitted)


def _grouped(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Tell the same decision about many places once."""
    places: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for each in decisions:
        which = each.kind, each.subject, each.what
        places[which] = (*places.get(which, ()), *each.where)
    return tuple(Decision(*which, where) for which, where in places.items())


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


def _point(
    built: BuiltModel, inputs: Inputs, settings: ModelSettings, folder: Path | None, report: Report | None
) -> Point:
    process = inputs.processes[built.signal]
    seen = not blinded(built)
    likelihood = Likelihood(built.model)
    try:
        expected = expected_discovery(likelihood)
        limit, notes = find_limits(likelihood, settings.limit, observed=seen, folder=folder, report=report)
        observed, mu_hat = None, None
        if seen:
            observed = discovery(likelihood).z
            lower, upper = signal_bounds(likelihood)
            result = fit(likelihood, lower=lower, upper=upper)
            poi = poi_index(likelihood)
            mu_hat = Measured(float(result.values[poi]), float(result.errors[poi]))
            notes = tuple(dict.fromkeys((*notes, *result.notes)))
    except FitError as error:
        msg = f"The signal {built.signal}: {error}"
        raise FitError(msg) from error
    significance = Significance(expected.z, observed)
    parameters = dict(process.parameters)
    return Point(built.signal, parameters, significance, limit, mu_hat, process.cross_section_pb, notes)


def _background_fit(likelihood: Likelihood) -> FitResult:
    """Fit without signal; a model without a parameter of interest as it is."""
    start, fixed = likelihood.inits.copy(), likelihood.fixed.copy()
    if likelihood.poi is not None:
        start[likelihood.poi], fixed[likelihood.poi] = 0.0, True
    return fit(likelihood, start=start, fixed=fixed)


def _counting(inputs: Inputs, settings: ModelSettings, signals: list[str]) -> Iterator[CountingResult]:
    """Yield the significance of each signal in each counting region."""
    for region, counting in settings.counting.items():
        filled = {name: by for name, by in inputs.histograms.items() if region in _regions(by)}
        name = counting.histogram or next(iter(filled), None)
        if name not in filled:
            known = sorted(set().union(*map(_regions, inputs.histograms.values())))
            msg = f"The counting region {region!r} is in no histogram{nearest(region, known)}."
            raise ConfigError(msg)
        yields = {process: _yield(each, region) for process, each in filled[name].items()}
        backgrounds = [yields[process] for process in inputs.of_kind("background") if process in yields]
        b = sum(value for value, _ in backgrounds)
        if b <= 0:
            msg = f"The counting region {region} expects {b:.3g} background events, so it has no significance."
            raise ConfigError(msg)
        variance = sum(each for _, each in backgrounds)
        sigma = float(np.sqrt(variance + (counting.uncertainty * b) ** 2))
        for signal in signals:
            s = max(yields.get(signal, (0.0, 0.0))[0], 0.0)
            z = float(significance(s, b)), float(asimov_significance(s, b, sigma))
            yield CountingResult(region, signal, s, b, sigma, *z)


def _regions(by_process: Mapping[str, Any]) -> set[str]:
    return {region for filled in by_process.values() for region in filled.axes["region"]}


def _yield(filled: Any, region: str) -> tuple[float, float]:
    regions = list(filled.axes["region"])
    if region not in regions:
        return 0.0, 0.0
    view = filled.view(flow=True)[regions.index(region), list(filled.axes["variation"]).index(NOMINAL)]
    return float(view["value"].sum()), float(view["variance"].sum())


# ---- what control regions say of the other channels


def blinded(built: BuiltModel) -> bool:
    """Say whether a channel's observations are no data, so that nothing observed may be computed."""
    return len(built.observed) < len(built.model.channels)


def prepared(built: BuiltModel) -> BuiltModel:
    """Put the prediction of the channels with data into those without.

    Where some channels hold data and others stand for themselves (they are blinded, or have none), the background is
    fitted to the former, without signal, and its expectation in the latter takes the place of data.

    Raises
    ------
    FitError
        If the fit does not converge.
    """
    if not built.observed or not blinded(built):
        return built
    model, whole = built.model, Likelihood(built.model)
    expected = whole.expected(carried_over(*_fit_of_control(built), whole).values)
    observations: dict[str, Floats] = {
        channel.name: (
            model.observations[channel.name]
            if channel.name in built.observed
            else expected[whole.channels[channel.name]]
        )
        for channel in model.channels
    }
    note = Decision(
        "asimov data",
        "",
        f"the background fitted to {', '.join(sorted(built.observed))} stands for data",
        (", ".join(channel.name for channel in model.channels if channel.name not in built.observed),),
    )
    return replace(built, model=model.with_observations(observations), decisions=(*built.decisions, note))


def _fit_of_control(built: BuiltModel) -> tuple[Likelihood, FitResult]:
    """Fit the background to the channels that hold data."""
    part = Likelihood(restricted(built.model, built.observed))
    return part, _background_fit(part)


def restricted(model: Model, channels: frozenset[str]) -> Model:
    """Return the model of some of the channels; the parameter of interest goes where no signal is left.

    Raises
    ------
    ConfigError
        If their observed counts are all zero.
    """
    kept = tuple(channel for channel in model.channels if channel.name in channels)
    used = {m.parameter for channel in kept for sample in channel.samples for m in sample.modifiers}
    reduced = make_model(kept, model.observations, model.poi if model.poi in used else "", source="The control regions")
    own = {each.name: each for each in model.parameters}
    parameters = tuple(own[each.name] if own[each.name].size == each.size else each for each in reduced.parameters)
    return replace(reduced, parameters=parameters)


def diagnosis(built: BuiltModel, background_fit: FitResult, scans: Sequence[str] = ()) -> DiagnosisSummary:
    """Look from all sides at what may be seen.

    With all data: the fit with signal. While some are blinded, or there are none: pulls and correlations of the
    background-only fit to the control regions and to what stands for data elsewhere; ranking and scans of the Asimov
    data with signal strength 1; goodness of the fit to the control regions, and what that fit predicts everywhere.

    Parameters
    ----------
    built
        The model, its observations as `prepared` leaves them.
    background_fit
        Its background-only fit.
    scans
        Parameters to profile, besides the parameter of interest.

    Raises
    ------
    ConfigError
        If a parameter to profile is none of the model's.
    FitError
        If a fit does not converge.
    """
    likelihood = Likelihood(built.model)
    bounds = signal_bounds(likelihood)
    if not blinded(built):
        found = fit(likelihood, lower=bounds[0], upper=bounds[1])
        return diagnose(likelihood, found, bounds=bounds, scans=scans)
    control = _fit_of_control(built) if built.observed else None
    return diagnose(likelihood, background_fit, bounds=bounds, scans=scans, observed=built.observed, control=control)
