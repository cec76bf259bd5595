"""What control regions say of the other channels: what stands for data that may not be seen, and what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from colonnade.statistics.build import BuiltModel
from colonnade.statistics.diagnostics import Diagnosis, diagnose, goodness_of_fit, pulls, ranking, scan
from colonnade.statistics.fitting import FitResult, fit, poi_index, signal_bounds
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.model import Model, make_model
from colonnade.statistics.prediction import carried_over, predict, prefit
from colonnade.statistics.templates import Decision


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
        ", ".join(channel.name for channel in model.channels if channel.name not in built.observed),
        f"the background fitted to {', '.join(sorted(built.observed))} stands for data",
    )
    return replace(built, model=model.with_observations(observations), decisions=(*built.decisions, note))


def _fit_of_control(built: BuiltModel) -> tuple[Likelihood, FitResult]:
    """Fit the background to the channels that hold data."""
    part = Likelihood(restricted(built.model, built.observed))
    start, fixed = part.inits.copy(), part.fixed.copy()
    if part.poi is not None:
        start[part.poi], fixed[part.poi] = 0.0, True
    return part, fit(part, start=start, fixed=fixed)


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


def diagnosis(built: BuiltModel, background_fit: FitResult, scans: Sequence[str] = ()) -> Diagnosis:
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
    if not blinded(built):
        return diagnose(likelihood, wide=True, scans=scans)
    goodness, after = None, background_fit
    if built.observed:
        part, found = _fit_of_control(built)
        held = part.fixed | (np.arange(len(part.labels)) == (-1 if part.poi is None else part.poi))
        goodness, after = goodness_of_fit(part, found, fixed=held), carried_over(part, found, likelihood)
    poi = poi_index(likelihood)
    theta = background_fit.values.copy()
    theta[poi] = 1.0
    asimov, bounds = likelihood.expected_data(theta), signal_bounds(likelihood)
    with_signal = fit(likelihood, asimov, start=theta, lower=bounds[0], upper=bounds[1])
    names = dict.fromkeys((likelihood.labels[poi], *scans))
    return Diagnosis(
        background_fit,
        tuple(pulls(likelihood, background_fit)),
        tuple(ranking(likelihood, with_signal, asimov, bounds=bounds)),
        goodness,
        predict(likelihood, prefit(likelihood, poi=0.0)),
        predict(likelihood, after),
        built.observed,
        tuple(scan(likelihood, with_signal, name, data=asimov, bounds=bounds) for name in names),
        strength=1.0,
    )
