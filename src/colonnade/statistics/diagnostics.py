"""Understanding a fit: pulls, impacts, goodness, scans, intervals.

cabinetry defines these, and its numbers are reproduced; they are computed here because the compiled likelihood fits all
the variations of a ranking or scan together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.fitting import FitResult, fit, poi_index, signal_bounds
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.minimise import minimise
from colonnade.statistics.model import Model
from colonnade.statistics.newton import Flags
from colonnade.statistics.prediction import Prediction, predict, prefit, priors
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

# a correlation below this is not worth a line in the table
_CORRELATED = 0.1


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that is looked at to understand a fit.

    Attributes
    ----------
    fit : FitResult
        The fit.
    pulls, ranking : tuple
        Of its parameters.
    goodness : Goodness or None
        None where there are no data to compare with.
    before, after : Prediction
        Yields before and after the fit.
    observed : frozenset of str
        The channels whose data may be shown.
    scans : tuple of ScanCurve
        The likelihood along the parameter of interest, and along others that were asked for.
    strength : float or None
        Ranking and scans are of the Asimov data of this signal strength; None where they are of the data.
    """

    fit: FitResult
    pulls: tuple[Pull, ...]
    ranking: tuple[Impact, ...]
    goodness: Goodness | None
    before: Prediction
    after: Prediction
    observed: frozenset[str]
    scans: tuple[ScanCurve, ...] = ()
    strength: float | None = None


def diagnose(likelihood: Likelihood, *, wide: bool = False, scans: Sequence[str] = ()) -> Diagnosis:
    """Fit the observed data, and look at the fit from all sides.

    Parameters
    ----------
    likelihood
        The compiled model.
    wide
        Whether the signal strength may leave the bounds that the model gives it (`signal_bounds`); the yields before
        the fit are then those without signal.
    scans
        Parameters to profile, besides the parameter of interest.

    Raises
    ------
    ConfigError
        If a parameter to profile is none of the model's.
    FitError
        If a fit does not converge.
    """
    bounds = signal_bounds(likelihood) if wide else (likelihood.lower, likelihood.upper)
    found = fit(likelihood, lower=bounds[0], upper=bounds[1])
    names = [likelihood.labels[likelihood.poi]] if likelihood.poi is not None else []
    names += [name for name in scans if name not in names]
    impacts = ranking(likelihood, found, bounds=bounds) if likelihood.poi is not None else []
    profiles = [scan(likelihood, found, name, bounds=bounds) for name in names if _varies(likelihood, found, name)]
    return Diagnosis(
        found,
        tuple(pulls(likelihood, found)),
        tuple(impacts),
        goodness_of_fit(likelihood, found),
        predict(likelihood, prefit(likelihood, poi=0.0 if wide and likelihood.poi is not None else None)),
        predict(likelihood, found),
        frozenset(likelihood.channels),
        tuple(profiles),
    )


def _varies(likelihood: Likelihood, result: FitResult, name: str) -> bool:
    return bool(result.errors[_index(likelihood, name)] > 0)


def pulls(likelihood: Likelihood, result: FitResult) -> list[Pull]:
    """Return the pulls and constraints of all constrained parameters."""
    centre, width = priors(likelihood)
    return [
        Pull(label, float((value - middle) / sigma), float(error / sigma))
        for label, value, error, middle, sigma in zip(
            likelihood.labels, result.values, result.errors, centre, width, strict=True
        )
        if sigma > 0
    ]


def ranking(
    likelihood: Likelihood,
    result: FitResult,
    data: Floats | None = None,
    *,
    bounds: tuple[Floats, Floats] | None = None,
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
    seen = (likelihood.observed if data is None else data)[:, None]
    _, width = priors(likelihood)
    chosen = [index for index in range(len(likelihood.labels)) if index != poi and result.errors[index] > 0]
    shifts = [(index, sign * size[index]) for size in (width, result.errors) for sign in (1, -1) for index in chosen]
    start = np.repeat(result.values[:, None], len(shifts), axis=1)
    fixed = np.repeat(likelihood.fixed[:, None], len(shifts), axis=1)
    for column, (index, shift) in enumerate(shifts):
        start[index, column] = np.clip(start[index, column] + shift, lower[index], upper[index])
        fixed[index, column] = True
    data_of_all = np.broadcast_to(seen, (len(seen), len(shifts)))
    found = minimise(likelihood, data_of_all, start=start, fixed=fixed, lower=lower, upper=upper)
    change = (found.values[poi] - result.values[poi]).reshape(4, len(chosen))
    impacts = [
        Impact(
            likelihood.labels[index],
            *(float(change[row, column]) if row > 1 or width[index] > 0 else 0.0 for row in range(4)),
        )
        for column, index in enumerate(chosen)
    ]
    return sorted(impacts, key=lambda impact: impact.size, reverse=True)


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


def _profile(
    likelihood: Likelihood,
    index: int,
    values: Floats,
    start: Floats,
    data: Floats,
    bounds: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    lower, upper = (likelihood.lower, likelihood.upper) if bounds is None else bounds
    begin = np.repeat(start[:, None], len(values), axis=1)
    begin[index] = values
    fixed = likelihood.fixed.copy()
    fixed[index] = True
    seen = np.broadcast_to(data[:, None], (len(data), len(values)))
    found = minimise(likelihood, seen, start=begin, fixed=fixed, lower=lower, upper=upper)
    return found.nll, found.values


def scan(
    likelihood: Likelihood,
    result: FitResult,
    name: str,
    *,
    values: Floats | None = None,
    points: int = 31,
    data: Floats | None = None,
    bounds: tuple[Floats, Floats] | None = None,
) -> ScanCurve:
    """Profile the likelihood along a parameter.

    Parameters
    ----------
    likelihood, result
        The model and its fit.
    name
        The parameter's label.
    values
        Where; without them `points` values within two and a half errors of the best fit.
    points
        How many.
    data
        What was fitted; without it the observed data.
    bounds
        Lower and upper bounds of the parameters; without them the model's.

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
        high = min(best + 2.5 * error, float(upper[index]))
        values = np.linspace(low, high, points)
    seen = likelihood.observed if data is None else data
    nll, _ = _profile(likelihood, index, values, result.values, seen, bounds)
    return ScanCurve(name, best, error, numbers(values), numbers(2 * (nll - result.nll)))


def interval(
    likelihood: Likelihood, result: FitResult, name: str, *, level: float = 1.0, data: Floats | None = None
) -> tuple[float, float]:
    """Return how far a parameter may go down and up before twice the negative log-likelihood grows by `level`.

    MINOS' errors: for level 1 the 68.3 % interval. An end that a bound cuts off is the bound.

    Raises
    ------
    ConfigError
        If the model has no such parameter.
    FitError
        If a fit does not converge, or the parameter has no error to begin with.
    """
    index = _index(likelihood, name)
    seen = likelihood.observed if data is None else data
    best, error = float(result.values[index]), float(result.errors[index])
    if error <= 0:
        msg = f"The parameter {name} is constant, so it has no interval."
        raise FitError(msg)
    last = {"start": result.values}

    def excess(value: float) -> float:
        nll, values = _profile(likelihood, index, np.array([value]), last["start"], seen)
        last["start"] = values[:, 0]
        return float(2 * (nll[0] - result.nll) - level)

    ends = []
    for sign, bound in ((-1, likelihood.lower[index]), (1, likelihood.upper[index])):
        near, far = best, best + sign * error
        while sign * (bound - far) > 0 and excess(far) < 0:
            near, far = far, far + sign * error
        far = min(far, bound) if sign > 0 else max(far, bound)
        last["start"] = result.values
        if excess(far) <= 0:
            ends.append(float(far - best))
            continue
        ends.append(float(brentq(excess, near, far, xtol=1e-6 * error, rtol=1e-9)) - best)
    return ends[0], ends[1]


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
            tuple(fitted.labels[index] for index in chosen), tuple(numbers(row) for row in matrix)
        ),
        goodness=found.goodness if found.goodness is not None and found.goodness.degrees > 0 else None,
        scans=found.scans,
        yields={
            channel.name: ChannelYields(
                edges=None if channel.edges is None else numbers(channel.edges),
                observed=numbers(model.observations[channel.name]) if channel.name in found.observed else None,
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
        channel.name: SignalYields(sample.name, numbers(sample.yields))
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
        samples={name: numbers(values) for name, values in shown.items()},
        sample_totals={name: prediction.sample_totals[channel].get(name, (0.0, 0.0)) for name in shown},
        errors=numbers(prediction.errors[channel]),
        groups={name: numbers(errors) for name, errors in prediction.group_errors[channel].items()},
        total=total,
        total_error=error,
    )


def numbers(values: Iterable[float]) -> Numbers:
    """Return numbers of any kind as they are kept."""
    return tuple(float(each) for each in values)
