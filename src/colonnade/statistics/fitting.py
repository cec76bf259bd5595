"""Fitting a model: best-fit values, uncertainties, correlations, and the discovery significance."""

from __future__ import annotations

__all__ = [
    "Discovery",
    "FitResult",
    "asimov_data",
    "bound_notes",
    "discovery",
    "expected_discovery",
    "fit",
    "signal_bounds",
]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.statistics.likelihood import FLOOR, Likelihood
from colonnade.statistics.minimise import Flags, Minimum, minimise

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitResult:
    """A maximum-likelihood fit.

    Attributes
    ----------
    labels : tuple of str
        Names of the parameters.
    values, errors : numpy.ndarray
        Best-fit values and standard deviations (0 for constant parameters), shape (parameters,).
    correlation : numpy.ndarray
        Shape (parameters, parameters).
    covariance : numpy.ndarray
        The same, with the scale.
    nll : float
        Negative log-likelihood less that of a perfect model.
    retried : bool
        Whether Migrad was needed.
    """

    labels: tuple[str, ...]
    values: Floats
    errors: Floats
    correlation: Floats
    covariance: Floats
    nll: float
    retried: bool

    def value(self, label: str) -> float:
        """Return a parameter's best-fit value."""
        return float(self.values[self.labels.index(label)])

    def error(self, label: str) -> float:
        """Return a parameter's standard deviation."""
        return float(self.errors[self.labels.index(label)])


@dataclass(frozen=True, slots=True)
class Discovery:
    """A test of the background-only hypothesis.

    Attributes
    ----------
    z : float
        Significance in standard deviations; 0 where the fitted signal is not above 0.
    q0 : float
        The test statistic, Eq. 12 of arXiv:1007.1727.
    mu_hat : float
        The fitted signal strength.
    """

    z: float
    q0: float
    mu_hat: float


def fit(
    likelihood: Likelihood,
    data: Floats | None = None,
    *,
    start: Floats | None = None,
    fixed: Flags | None = None,
    lower: Floats | None = None,
    upper: Floats | None = None,
) -> FitResult:
    """Fit all free parameters and find their uncertainties from the curvature at the minimum.

    Parameters
    ----------
    likelihood
        The compiled model.
    data
        Main and auxiliary data; without them the observed ones.
    start, fixed, lower, upper
        Shape (parameters,); without them the model's.

    Raises
    ------
    FitError
        If the fit does not converge, or the data don't constrain a parameter so that it has no uncertainty.
    """
    seen = likelihood.observed if data is None else data
    fixed = likelihood.fixed if fixed is None else fixed
    minimum = minimise(
        likelihood,
        seen[:, None],
        start=None if start is None else start[:, None],
        fixed=fixed,
        lower=lower,
        upper=upper,
    )
    values = minimum.values[:, 0]
    free = np.flatnonzero(~fixed)
    covariance = np.zeros((len(values), len(values)))
    covariance[np.ix_(free, free)] = _invert(likelihood, likelihood.hessian(values, seen), free)
    errors = np.sqrt(np.diagonal(covariance))
    scale = np.where(errors > 0, errors, 1.0)
    correlation = covariance / np.outer(scale, scale)
    return FitResult(
        likelihood.labels,
        values,
        errors,
        correlation,
        covariance,
        float(minimum.nll[0]),
        minimum.retried > 0,
    )


def _invert(likelihood: Likelihood, hessian: Floats, free: NDArray[np.intp]) -> Floats:
    matrix = hessian[np.ix_(free, free)]
    if len(free) == 0:
        return matrix
    # scaled to ones on the diagonal, so that parameters of very different size don't spoil the inverse
    diagonal = np.diagonal(matrix)
    if np.all(diagonal > 0):
        scale = 1 / np.sqrt(diagonal)
        scaled = matrix * np.outer(scale, scale)
        eigenvalues, vectors = np.linalg.eigh(scaled)
        if eigenvalues[0] > 1e-10:
            inverse = (vectors / eigenvalues) @ vectors.T
            return np.asarray(inverse * np.outer(scale, scale))
        worst = free[np.argmax(np.abs(vectors[:, 0]))]
    else:
        worst = free[np.argmin(diagonal)]
    msg = (
        f"The data don't constrain {likelihood.labels[worst]} at the best fit, so uncertainties can't be "
        "given; fix it, "
        "constrain it, or add a region that measures it."
    )
    raise FitError(msg)


def poi_index(likelihood: Likelihood) -> int:
    """Return where the parameter of interest is.

    Raises
    ------
    FitError
        If the model has none.
    """
    if likelihood.poi is None:
        msg = "The model names no parameter of interest, so there is nothing to set a limit on or discover."
        raise FitError(msg)
    return likelihood.poi


def signal_bounds(likelihood: Likelihood) -> tuple[Floats, Floats]:
    """Return bounds for all parameters with those of the signal strength as wide as the model allows.

    Upwards there is none. Downwards a negative strength is allowed as long as every bin expects more than a tenth of
    its background at the nominal parameters; a model that says less than 0 itself keeps its bound.

    Raises
    ------
    FitError
        If the model names no parameter of interest.
    """
    poi = poi_index(likelihood)
    theta = likelihood.inits.copy()
    theta[poi] = 0.0
    background = likelihood.expected(theta)
    theta[poi] = 1.0
    signal = likelihood.expected(theta) - background
    has = signal > 0
    least = -0.9 * float(np.min(background[has] / signal[has])) if has.any() else 0.0
    lower, upper = likelihood.lower.copy(), likelihood.upper.copy()
    lower[poi], upper[poi] = min(lower[poi], least), np.inf
    return lower, upper


def fit_at(
    likelihood: Likelihood, poi: Floats, data: Floats, start: Floats | None = None, *, strict: bool = True
) -> Minimum:
    """Fit everything but the parameter of interest, which is held at `poi` (one value a column of data).

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    index = poi_index(likelihood)
    begin = np.broadcast_to(likelihood.inits[:, None] if start is None else start, (len(likelihood.inits), len(poi)))
    begin = begin.copy()
    begin[index] = poi
    fixed = likelihood.fixed.copy()
    fixed[index] = True
    return minimise(likelihood, np.broadcast_to(data, (len(data), len(poi))), start=begin, fixed=fixed, strict=strict)


def bound_notes(likelihood: Likelihood, values: Floats) -> list[str]:
    """Say which free parameters are at an end of their range, one sentence each.

    Parameters
    ----------
    likelihood
        The compiled model.
    values
        Fitted values, shape (parameters,).
    """
    notes = []
    for label, value, low, high, fixed in zip(
        likelihood.labels, values, likelihood.lower, likelihood.upper, likelihood.fixed, strict=True
    ):
        if not fixed and min(value - low, high - value) < 1e-6 * (1 + abs(value)):
            notes.append(
                f"{label} = {value:.4g} is at an end of its range, {low:g} to {high:g}: what rests on it is that of a "
                "bounded parameter."
            )
    return notes


def asimov_data(likelihood: Likelihood, poi: float, data: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the Asimov data of a signal strength, and the parameters they were made at.

    The other parameters are those that fit `data` (the observed, by default) best at that signal strength:
    section 3.2 of arXiv:1007.1727, as pyhf does.
    """
    seen = likelihood.observed if data is None else data
    theta = fit_at(likelihood, np.array([poi]), seen[:, None]).values[:, 0]
    return likelihood.expected_data(theta), theta


def discovery(likelihood: Likelihood, data: Floats | None = None) -> Discovery:
    """Test the background-only hypothesis with q0 (asymptotic: Z is its square root).

    The significance is infinite where events were seen in a bin that only signal can fill.

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    seen = (likelihood.observed if data is None else data)[:, None]
    index = poi_index(likelihood)
    null = fit_at(likelihood, np.zeros(1), seen)
    start = null.values.copy()
    start[index] = max(likelihood.inits[index], 0.1)
    # the bounds of a workspace's signal strength are a fit's convenience: the best fit may lie beyond
    upper = likelihood.upper.copy()
    upper[index] = np.inf
    free = minimise(likelihood, seen, start=start, upper=upper)
    mu_hat = float(free.values[index, 0])
    q0 = max(0.0, 2 * float(null.nll[0] - free.nll[0])) if mu_hat > 0 else 0.0
    without, best = (likelihood.expected(each.values[:, 0]) for each in (null, free))
    if np.any((without <= FLOOR) & (best > FLOOR) & (seen[: likelihood.bins, 0] > 0)):
        q0 = np.inf  # events where nothing but signal can be
    return Discovery(float(np.sqrt(q0)), q0, mu_hat)


def expected_discovery(likelihood: Likelihood, data: Floats | None = None, *, poi: float = 1.0) -> Discovery:
    """Return the median discovery if the signal has strength `poi`.

    The Asimov data are made at the parameters of the background-only fit to `data`, with the signal added.
    That keeps the expectation free of how much signal the data hold in the signal regions.
    """
    seen = likelihood.observed if data is None else data
    theta = fit_at(likelihood, np.zeros(1), seen[:, None]).values[:, 0].copy()
    theta[poi_index(likelihood)] = poi
    return discovery(likelihood, likelihood.expected_data(theta))
