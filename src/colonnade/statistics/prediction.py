"""Expected events with uncertainties: before a fit, after it, and where one part of the data predicts the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.statistics.fitting import FitResult, poi_index
from colonnade.statistics.likelihood import Floats, Likelihood


@dataclass(frozen=True, slots=True)
class Prediction:
    """Expected events with uncertainties.

    Attributes
    ----------
    yields : mapping
        channel -> sample -> events of each bin.
    errors : mapping
        channel -> standard deviation of the total of each bin.
    sample_errors : mapping
        channel -> sample -> standard deviation of each bin.
    totals : mapping
        channel -> (events, standard deviation) of the whole channel.
    sample_totals : mapping
        channel -> sample -> (events, standard deviation) of the whole channel.
    group_errors : mapping
        channel -> group of parameters of the model -> standard deviation of the total of each bin from these alone.
    """

    yields: dict[str, dict[str, Floats]]
    errors: dict[str, Floats]
    sample_errors: dict[str, dict[str, Floats]]
    totals: dict[str, tuple[float, float]]
    sample_totals: dict[str, dict[str, tuple[float, float]]]
    group_errors: dict[str, dict[str, Floats]]


def priors(likelihood: Likelihood) -> tuple[Floats, Floats]:
    """Return what each parameter was measured as before, and with what error (0 where it was not)."""
    centre, width = likelihood.inits.copy(), np.zeros(len(likelihood.labels))
    place = 0
    for each in likelihood.model.parameters:
        for index in range(each.size):
            if each.constraint == "normal":
                centre[place + index], width[place + index] = each.auxdata[index], each.widths[index]
            elif each.constraint == "poisson":
                scale = each.widths[index]
                centre[place + index] = each.auxdata[index] / scale
                width[place + index] = np.sqrt(max(each.auxdata[index], 1.0)) / scale
            if each.fixed[index]:
                width[place + index] = 0.0
        place += each.size
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


def predict(likelihood: Likelihood, result: FitResult) -> Prediction:
    """Return expected events with the uncertainties and correlations of a fit, or of `prefit`.

    Half the difference of each parameter's variations up and down, summed with their correlations: cabinetry's way.
    """
    used = np.flatnonzero(result.errors > 0)
    size = len(used)
    points = np.repeat(result.values[:, None], 2 * size, axis=1)
    points[used, np.arange(size)] += result.errors[used]
    points[used, size + np.arange(size)] -= result.errors[used]
    correlation = result.correlation[np.ix_(used, used)]
    varied = likelihood.expected(points) if size else np.zeros((likelihood.bins, 0))
    by_sample = likelihood.expected_samples(points) if size else {}
    nominal = likelihood.expected_samples(result.values)
    half = (varied[:, :size] - varied[:, size:]) / 2
    groups = _members(likelihood, used)
    yields, errors, sample_errors, totals, sample_totals, group_errors = {}, {}, {}, {}, {}, {}
    for channel, place in likelihood.channels.items():
        yields[channel] = nominal[channel]
        errors[channel] = _spread(half[place], correlation)
        group_errors[channel] = {
            name: _spread(half[place][:, mine], correlation[np.ix_(mine, mine)]) for name, mine in groups.items()
        }
        halves = {name: (cells[:, :size] - cells[:, size:]) / 2 for name, cells in by_sample.get(channel, {}).items()}
        sample_errors[channel] = {name: _spread(each, correlation) for name, each in halves.items()}
        sample_totals[channel] = {
            name: (float(nominal[channel][name].sum()), _whole(each, correlation)) for name, each in halves.items()
        }
        total = likelihood.expected(result.values)[place].sum()
        totals[channel] = (float(total), _whole(half[place], correlation))
    return Prediction(yields, errors, sample_errors, totals, sample_totals, group_errors)


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
