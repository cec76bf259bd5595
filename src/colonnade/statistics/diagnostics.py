"""Understanding a fit: expected events before and after it, pulls, impacts, goodness, scans.

cabinetry defines these, and its numbers are reproduced; they are computed here because the compiled likelihood fits all
the variations of a ranking or scan together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.fitting import FitResult, fit, poi_index
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.minimise import minimise
from colonnade.statistics.model import Channel, Model
from colonnade.statistics.newton import Flags, Minimum
from colonnade.statistics.results import (
    ChannelYields,
    Correlations,
    DiagnosisSummary,
    Goodness,
    Impact,
    Numbers,
    Pull,
    ScanCurve,
    SignalYields,
    Yields,
)

# lower and upper ones of all parameters
Bounds = tuple[Floats, Floats]
# a correlation below this is not worth a line in the table
_CORRELATED = 0.1
# where the likelihood along a parameter is profiled
_POINTS = 31


def diagnose(
    likelihood: Likelihood,
    result: FitResult,
    *,
    bounds: Bounds | None = None,
    scans: Sequence[str] = (),
    observed: Collection[str] | None = None,
    control: tuple[Likelihood, FitResult] | None = None,
) -> DiagnosisSummary:
    """Look at a fit from all sides.

    Parameters
    ----------
    likelihood, result
        The compiled model and its fit, of which pulls and correlations are.
    bounds
        Lower and upper bounds of the parameters, where the signal strength may leave the model's (`signal_bounds`); the
        yields before the fit are then those without signal.
    scans
        Parameters along which the likelihood is profiled, besides the parameter of interest.
    observed
        The channels whose data may be seen; without it all. If it is not all, ranking and scans are of the Asimov data
        with signal strength 1.
    control
        Of such a model the channels with data and their background-only fit. Goodness is of that, and the yields after
        the fit are what it predicts.

    Raises
    ------
    ConfigError
        If a parameter to profile is none of the model's.
    FitError
        If a fit does not converge.
    """
    model, poi = likelihood.model, likelihood.poi
    blinded = observed is not None and len(observed) < len(model.channels)
    profiled, data, after, goodness = result, likelihood.observed, result, None
    if blinded:
        theta = result.values.copy()
        theta[poi_index(likelihood)] = 1.0
        data = likelihood.expected_data(theta)
        lower, upper = bounds or (likelihood.lower, likelihood.upper)
        profiled = fit(likelihood, data, start=theta, lower=lower, upper=upper)
    else:
        goodness = goodness_of_fit(likelihood, result)
    if control is not None:
        part, found = control
        held = part.fixed | (np.arange(len(part.labels)) == (-1 if part.poi is None else part.poi))
        goodness, after = goodness_of_fit(part, found, fixed=held), carried_over(part, found, likelihood)
    names = dict.fromkeys((*(() if poi is None else (likelihood.labels[poi],)), *scans))
    varying = [name for name in names if profiled.errors[_index(likelihood, name)] > 0]
    before = predict(likelihood, prefit(likelihood, poi=None if bounds is None or poi is None else 0.0))
    expected = predict(likelihood, after)
    return DiagnosisSummary(
        strength=1.0 if blinded else None,
        pulls=tuple(pulls(likelihood, result)),
        ranking=() if poi is None else tuple(ranking(likelihood, profiled, data, bounds=bounds)),
        correlations=_correlations(result),
        goodness=goodness if goodness is not None and goodness.degrees > 0 else None,
        scans=tuple(scan(likelihood, profiled, name, data=data, bounds=bounds) for name in varying),
        yields={
            channel.name: ChannelYields(
                edges=None if channel.edges is None else numbers(channel.edges),
                observed=numbers(model.observations[channel.name])
                if observed is None or channel.name in observed
                else None,
                signal=_signal(model, channel),
                prefit=before[channel.name],
                postfit=expected[channel.name],
            )
            for channel in model.channels
        },
    )


def _correlations(result: FitResult) -> Correlations:
    """Return the correlations of those parameters that some other parameter goes with."""
    strength = np.abs(result.correlation - np.diag(np.diagonal(result.correlation)))
    chosen = np.flatnonzero(strength.max(axis=0, initial=0.0) > _CORRELATED)
    matrix = np.round(result.correlation[np.ix_(chosen, chosen)], 6)
    return Correlations(tuple(result.labels[index] for index in chosen), tuple(numbers(row) for row in matrix))


def pulls(likelihood: Likelihood, result: FitResult) -> list[Pull]:
    """Return the pulls and constraints of all constrained parameters."""
    centre, width = priors(likelihood)
    change = result.values - centre
    return [
        Pull(likelihood.labels[index], float(change[index] / width[index]), float(result.errors[index] / width[index]))
        for index in np.flatnonzero(width > 0)
    ]


def ranking(
    likelihood: Likelihood, result: FitResult, data: Floats | None = None, *, bounds: Bounds | None = None
) -> list[Impact]:
    """Return every parameter's impact on the parameter of interest, the largest first.

    Each parameter is held at its best fit plus or minus its error, after and before the fit, and all others are fitted
    again: all at once.

    Parameters
    ----------
    likelihood, result
        The model and its fit.
    data
        What was fitted; without it the observed data.
    bounds
        Lower and upper bounds of the parameters; without them the model's.

    Raises
    ------
    FitError
        If the model names no parameter of interest, or a fit does not converge.
    """
    poi = poi_index(likelihood)
    lower, upper = (likelihood.lower, likelihood.upper) if bounds is None else bounds
    _, width = priors(likelihood)
    chosen = [index for index in range(len(likelihood.labels)) if index != poi and result.errors[index] > 0]
    held = [
        (index, np.clip(result.values[index] + sign * size[index], lower[index], upper[index]))
        for size in (width, result.errors)
        for sign in (1, -1)
        for index in chosen
    ]
    found = _refitted(likelihood, result, held, data, bounds)
    change = (found.values[poi] - result.values[poi]).reshape(4, len(chosen))
    impacts = [
        Impact(
            likelihood.labels[index],
            *(float(change[row, column]) if row > 1 or width[index] > 0 else 0.0 for row in range(4)),
        )
        for column, index in enumerate(chosen)
    ]
    return sorted(impacts, key=lambda impact: impact.size, reverse=True)


def _refitted(
    likelihood: Likelihood,
    result: FitResult,
    held: Sequence[tuple[int, float]],
    data: Floats | None,
    bounds: Bounds | None,
) -> Minimum:
    """Fit again, each time with one parameter held at a value, from where a fit ended."""
    lower, upper = (likelihood.lower, likelihood.upper) if bounds is None else bounds
    seen = (likelihood.observed if data is None else data)[:, None]
    start, fixed = (np.repeat(each[:, None], len(held), axis=1) for each in (result.values, likelihood.fixed))
    for column, (index, value) in enumerate(held):
        start[index, column], fixed[index, column] = value, True
    repeated = np.broadcast_to(seen, (len(seen), len(held)))
    return minimise(likelihood, repeated, start=start, fixed=fixed, lower=lower, upper=upper)


def goodness_of_fit(likelihood: Likelihood, result: FitResult, *, fixed: Flags | None = None) -> Goodness:
    """Compare a fit with the saturated model, which describes every bin perfectly (as cabinetry does).

    Parameters
    ----------
    likelihood, result
        The model and its fit.
    fixed
        Which parameters the fit held; without it those that the model does.
    """
    _, width = priors(likelihood)
    free = int(np.sum(~(likelihood.fixed if fixed is None else fixed) & (width == 0)))
    degrees = likelihood.bins - free
    statistic = 2 * result.nll
    return Goodness(statistic, degrees, float(chi2.sf(statistic, degrees)) if degrees > 0 else float("nan"))


def _index(likelihood: Likelihood, name: str) -> int:
    if name not in likelihood.labels:
        hint = nearest(name, likelihood.labels)
        msg = f"The model has no parameter {name}{hint}."
        raise ConfigError(msg)
    return likelihood.labels.index(name)


def scan(
    likelihood: Likelihood,
    result: FitResult,
    name: str,
    *,
    values: Floats | None = None,
    data: Floats | None = None,
    bounds: Bounds | None = None,
) -> ScanCurve:
    """Profile the likelihood along a parameter.

    Parameters
    ----------
    likelihood, result, data, bounds
        As in `ranking`.
    name
        The parameter's label.
    values
        Where; without them 31 values within two and a half errors of the best fit.

    Raises
    ------
    ConfigError
        If the model has no such parameter.
    FitError
        If a fit does not converge.
    """
    index = _index(likelihood, name)
    lower, upper = (likelihood.lower, likelihood.upper) if bounds is None else bounds
    best, error = float(result.values[index]), float(result.errors[index])
    if values is None:
        low = max(best - 2.5 * error, float(lower[index]))
        values = np.linspace(low, min(best + 2.5 * error, float(upper[index])), _POINTS)
    nll = _refitted(likelihood, result, [(index, value) for value in values], data, bounds).nll
    return ScanCurve(name, best, error, numbers(values), numbers(2 * (nll - result.nll)))


def _signal(model: Model, channel: Channel) -> SignalYields | None:
    """Return what a channel expects of signal with strength 1, before any fit."""
    scaled = [sample for sample in channel.samples if any(each.parameter == model.poi for each in sample.modifiers)]
    return SignalYields(scaled[-1].name, numbers(scaled[-1].yields)) if scaled else None


def numbers(values: Iterable[float]) -> Numbers:
    """Return numbers of any kind as they are kept."""
    return tuple(float(each) for each in values)


# ---- expected events


def priors(likelihood: Likelihood) -> tuple[Floats, Floats]:
    """Return what each parameter was measured as before, and with what error (0 where it was not)."""
    centre, width = likelihood.inits.copy(), np.zeros(len(likelihood.labels))
    place = 0
    for each in likelihood.model.parameters:
        mine, place = slice(place, place + each.size), place + each.size
        auxdata, widths = np.array(each.auxdata), np.array(each.widths)
        if each.constraint == "normal":
            centre[mine], width[mine] = auxdata, widths
        elif each.constraint == "poisson":
            centre[mine], width[mine] = auxdata / widths, np.sqrt(np.maximum(auxdata, 1.0)) / widths
    width[likelihood.fixed] = 0.0
    return centre, width


def prefit(likelihood: Likelihood, *, poi: float | None = None) -> FitResult:
    """Return the model before any fit as if it were a result: initial values, prior errors, no correlation.

    Parameters
    ----------
    likelihood
        The compiled model.
    poi
        The signal strength; without it its initial value.
    """
    _, width = priors(likelihood)
    values = likelihood.inits.copy()
    if poi is not None:
        values[poi_index(likelihood)] = poi
    diagonal = np.diag(width**2)
    return FitResult(likelihood.labels, values, width, np.diag((width > 0) * 1.0), diagonal, float("nan"), False)


def carried_over(part: Likelihood, result: FitResult, whole: Likelihood) -> FitResult:
    """Return the fit of some channels as a result of the model that has more, to predict the others from it.

    Parameters of both keep best fit, error and correlations; those that only the whole model has are as before any
    fit, and know nothing of the others. The signal strength, if the part has none, is 0.

    Parameters
    ----------
    part, result
        The model of some channels and its fit.
    whole
        The model to predict.
    """
    start = prefit(whole, poi=0.0) if whole.poi is not None else prefit(whole)
    values, covariance = start.values, np.diag(start.errors**2)
    known = {label: index for index, label in enumerate(part.labels)}
    mine = [index for index, label in enumerate(whole.labels) if label in known]
    theirs = [known[whole.labels[index]] for index in mine]
    values[mine] = result.values[theirs]
    covariance[np.ix_(mine, mine)] = result.covariance[np.ix_(theirs, theirs)]
    errors = np.sqrt(np.diagonal(covariance))
    scale = np.where(errors > 0, errors, 1.0)
    correlation = covariance / np.outer(scale, scale)
    return FitResult(whole.labels, values, errors, correlation, covariance, result.nll, result.retried)


def predict(likelihood: Likelihood, result: FitResult) -> dict[str, Yields]:
    """Return the expected events of each channel with the uncertainties and correlations of a fit, or of `prefit`.

    Half the difference of each parameter's variations up and down, summed with their correlations: cabinetry's way. The
    groups are those of the model's parameters; a signal of strength 0 is no sample of a channel.
    """
    used = np.flatnonzero(result.errors > 0)
    size = len(used)
    points = np.repeat(result.values[:, None], 2 * size, axis=1)
    points[used, np.arange(size)] += result.errors[used]
    points[used, size + np.arange(size)] -= result.errors[used]
    correlation = result.correlation[np.ix_(used, used)]
    varied = likelihood.expected(points) if size else np.zeros((likelihood.bins, 0))
    by_sample = likelihood.expected_samples(points) if size else {}
    nominal, expected = likelihood.expected_samples(result.values), likelihood.expected(result.values)
    half = (varied[:, :size] - varied[:, size:]) / 2
    groups = _members(likelihood, used)
    found = {}
    for channel, place in likelihood.channels.items():
        total = float(expected[place].sum())
        samples = {name: each for name, each in nominal[channel].items() if abs(each.sum()) > 1e-12 * abs(total)}
        halves = {name: (cells[:, :size] - cells[:, size:]) / 2 for name, cells in by_sample.get(channel, {}).items()}
        found[channel] = Yields(
            samples={name: numbers(each) for name, each in samples.items()},
            sample_totals={
                name: (float(each.sum()), _whole(halves[name], correlation)) if name in halves else (0.0, 0.0)
                for name, each in samples.items()
            },
            errors=numbers(_spread(half[place], correlation)),
            groups={
                name: numbers(_spread(half[place][:, mine], correlation[np.ix_(mine, mine)]))
                for name, mine in groups.items()
            },
            total=total,
            total_error=_whole(half[place], correlation),
        )
    return found


def _members(likelihood: Likelihood, used: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
    """Return which of the used parameter components are in each group of the model."""
    owners = [each.name for each in likelihood.model.parameters for _ in each.labels]
    names = [owners[index] for index in used]
    return {
        group: np.array([place for place, name in enumerate(names) if name in members], dtype=np.intp)
        for group, members in likelihood.model.groups.items()
    }


def _whole(half: Floats, correlation: Floats) -> float:
    return float(_spread(half.sum(axis=0, keepdims=True), correlation)[0])


def _spread(half: Floats, correlation: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.einsum("bi,ij,bj->b", half, correlation, half, optimize=True), 0)))
