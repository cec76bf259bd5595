"""All statistical results of a run: every signal point's significance and limits, and what they rest on."""

from __future__ import annotations

__all__ = ["AnalysisResult", "CountingResult", "PointResult", "analyse", "prepared"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.build import Builder, BuiltModel
from colonnade.statistics.counting import asimov_significance, significance
from colonnade.statistics.diagnostics import Diagnosis, diagnose, goodness_of_fit, ranking
from colonnade.statistics.fitting import Discovery, FitResult, discovery, expected_discovery, fit, poi_index
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.limits import UpperLimits, upper_limits
from colonnade.statistics.minimise import minimise
from colonnade.statistics.model import Model, make_model
from colonnade.statistics.settings import LimitSettings, ModelSettings
from colonnade.statistics.templates import NOMINAL, Decision, Inputs
from colonnade.statistics.toys import ToyLimits, expects_few, toy_limits


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


@dataclass(frozen=True, slots=True)
class CountingResult:
    """A region as a counting experiment.

    Attributes
    ----------
    region, signal : str
        Which.
    s, b, sigma_b : float
        Expected events and the background's uncertainty.
    z, z_with_uncertainty : float
        `significance` and `asimov_significance`.
    """

    region: str
    signal: str
    s: float
    b: float
    sigma_b: float
    z: float
    z_with_uncertainty: float


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
    inputs: Inputs, settings: ModelSettings, *, reference: str | None = None, folder: Path | None = None
) -> AnalysisResult:
    """Build every signal point's model, and find its significance and limits.

    Parameters
    ----------
    inputs, settings
        The histograms and the model.
    reference
        The signal point of workspace.json; without it the first.
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
        models[signal] = built
        decisions |= dict.fromkeys(built.decisions)
        points.append(_point(built, inputs, settings, folder))
    chosen = models[reference or builder.signals[0]]
    background_fit = _background_fit(Likelihood(chosen.model))
    return AnalysisResult(
        luminosity=inputs.luminosity,
        blinded=_blinded(chosen),
        observed_channels=tuple(sorted(chosen.observed)),
        points=tuple(points),
        counting=tuple(_counting(inputs, settings, builder.signals)),
        reference=chosen,
        models=models,
        background_fit=background_fit,
        diagnosis=_diagnosis(chosen, background_fit),
        decisions=tuple(decisions),
    )


def _blinded(built: BuiltModel) -> bool:
    return len(built.observed) < len(built.model.channels)


def _toys(
    likelihood: Likelihood, limits: UpperLimits, settings: LimitSettings, *, blinded: bool, folder: Path | None
) -> ToyLimits | None:
    wanted = settings.method == "toys" or (settings.method == "auto" and expects_few(likelihood, limits, settings.few))
    if not wanted:
        return None
    return toy_limits(
        likelihood,
        level=settings.level,
        toys=settings.toys,
        seed=settings.seed,
        observed=not blinded,
        folder=folder,
    )


def _point(built: BuiltModel, inputs: Inputs, settings: ModelSettings, folder: Path | None) -> PointResult:
    process = inputs.processes[built.signal]
    blinded = _blinded(built)
    likelihood = Likelihood(built.model)
    try:
        expected = expected_discovery(likelihood)
        limits = upper_limits(likelihood, level=settings.limit.level, observed=not blinded)
        observed, mu_hat, mu_error = None, None, None
        toys = _toys(likelihood, limits, settings.limit, blinded=blinded, folder=folder)
        if not blinded:
            observed = discovery(likelihood)
            result = fit(likelihood)
            poi = poi_index(likelihood)
            mu_hat, mu_error = float(result.values[poi]), float(result.errors[poi])
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
    )


def _background_fit(likelihood: Likelihood) -> FitResult:
    start, fixed = likelihood.inits.copy(), likelihood.fixed.copy()
    poi = poi_index(likelihood)
    start[poi], fixed[poi] = 0.0, True
    return fit(likelihood, start=start, fixed=fixed)


def _diagnosis(built: BuiltModel, background_fit: FitResult) -> Diagnosis:
    """Diagnose what may be seen: the fit with signal to all data, or the one without to the control regions."""
    likelihood = Likelihood(built.model)
    if not _blinded(built):
        return diagnose(likelihood)
    goodness = None
    if built.observed:
        control = Likelihood(_restricted(built.model, built.observed))
        start, fixed = control.inits.copy(), control.fixed.copy()
        if control.poi is not None:
            start[control.poi], fixed[control.poi] = 0.0, True
        goodness = goodness_of_fit(control, fit(control, start=start, fixed=fixed), fixed=fixed)
    theta = background_fit.values.copy()
    theta[poi_index(likelihood)] = 1.0
    asimov = likelihood.expected_data(theta)
    impacts = ranking(likelihood, fit(likelihood, asimov, start=theta), asimov)
    return replace(
        diagnose(likelihood, result=background_fit, impacts=impacts), goodness=goodness, observed=built.observed
    )


def prepared(built: BuiltModel) -> BuiltModel:
    """Put the prediction of the channels with data into those without.

    Where some channels hold data and others stand for themselves (they are blinded, or have none), the
    background is fitted to the former, without signal, and its expectation in the latter takes the place of
    data.

    Raises
    ------
    FitError
        If the fit does not converge.
    """
    if not built.observed or not _blinded(built):
        return built
    model = built.model
    kept = _restricted(model, built.observed)
    seen = Likelihood(kept)
    start, fixed = seen.inits.copy(), seen.fixed.copy()
    if kept.poi:
        start[poi_index(seen)], fixed[poi_index(seen)] = 0.0, True
    minimum = minimise(seen, seen.observed[:, None], start=start[:, None], fixed=fixed)
    found = dict(zip(seen.labels, minimum.values[:, 0], strict=True))
    whole = Likelihood(model)
    theta = np.array([found.get(label, init) for label, init in zip(whole.labels, whole.inits, strict=True)])
    theta[poi_index(whole)] = 0.0
    expected = whole.expected(theta)
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
        ", ".join(channel.name for channel in model.channels if channel.name not in built.observed),
        f"the background fitted to {', '.join(sorted(built.observed))} stands for data",
    )
    return replace(built, model=model.with_observations(observations), decisions=(*built.decisions, note))


def _restricted(model: Model, channels: frozenset[str]) -> Model:
    """Return the model of some of the channels; the parameter of interest goes where no signal is left."""
    kept = tuple(channel for channel in model.channels if channel.name in channels)
    used = {m.parameter for channel in kept for sample in channel.samples for m in sample.modifiers}
    reduced = make_model(kept, model.observations, model.poi if model.poi in used else "", source="The control regions")
    own = {each.name: each for each in model.parameters}
    parameters = tuple(own[each.name] if own[each.name].size == each.size else each for each in reduced.parameters)
    return replace(reduced, parameters=parameters)


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
