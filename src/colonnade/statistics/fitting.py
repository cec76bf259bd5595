"""Fitting a model: best-fit values, uncertainties, correlations, and the discovery significance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from colonnade.errors import FitError
from colonnade.statistics.counts import CORNER, FLOOR
from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.minimise import lowest_of, may_have_several, minimise
from colonnade.statistics.newton import Flags, Minimum
from colonnade.statistics.results import Note

Floats = NDArray[np.float64]

# the least curvature of the scaled likelihood that differences of gradients tell from none
_CURVED = 1e-7
# strengths at which fits are tried where there may be several minima
_STRENGTHS = np.array([0.3, 1.0, 10.0])
# a fit at a strength beyond the first also begins where one at this part of it ended
_FAR, _NEARER = 100.0, 0.01
# of how many free parameters the matrix of covariances is computed
_MOST = 3000


@dataclass(frozen=True, slots=True)
class FitResult:
    """A maximum-likelihood fit.

    Attributes
    ----------
    labels : tuple of str
        Names of the parameters.
    values, errors : numpy.ndarray
        Best-fit values and standard deviations, shape (parameters,); 0 for constant parameters, and for those that the
        data don't constrain.
    correlation : numpy.ndarray
        Shape (parameters, parameters).
    covariance : numpy.ndarray
        The same, with the scale.
    nll : float
        Negative log-likelihood less that of a perfect model.
    retried : bool
        Whether Migrad was needed.
    notes : tuple of Note
        What the numbers rest on: bounds, directions that the data don't constrain, bins that expect nothing.
    """

    labels: tuple[str, ...]
    values: Floats
    errors: Floats
    correlation: Floats
    covariance: Floats
    nll: float
    retried: bool
    notes: tuple[Note, ...] = ()

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
        If the fit does not converge, the data don't constrain the parameter of interest, or there are more free
        parameters than covariances are computed of.
    """
    seen = likelihood.observed if data is None else data
    fixed = likelihood.fixed if fixed is None else fixed
    if len(fixed) - fixed.sum() > _MOST:
        msg = (
            f"The model has {len(fixed) - fixed.sum()} free parameters, and the errors and correlations of more than "
            f"{_MOST} are not computed; rebin it, or merge statistical uncertainties. Its limits can be set as it is."
        )
        raise FitError(msg)
    minimum = minimise(
        likelihood,
        seen[:, None],
        start=None if start is None else start[:, None],
        fixed=fixed,
        lower=lower,
        upper=upper,
    )
    values = minimum.values[:, 0]
    lower = likelihood.lower if lower is None else lower
    upper = likelihood.upper if upper is None else upper
    free = ~fixed
    edge = free & on_bound(values, lower, upper)
    covariance, flat = _covariance(likelihood, likelihood.hessian(values, seen), free, edge)
    for index in np.flatnonzero(edge & (np.diagonal(covariance) == 0) & ~flat):
        covariance[index, index] = _rise(likelihood, values, seen, int(index), (fixed, lower, upper)) ** 2
    errors = np.sqrt(np.diagonal(covariance))
    scale = np.where(errors > 0, errors, 1.0)
    return FitResult(
        likelihood.labels,
        values,
        errors,
        covariance / np.outer(scale, scale),
        covariance,
        float(minimum.nll[0]),
        minimum.retried > 0,
        (*bound_notes(likelihood, values, edge), *flat_notes(likelihood, flat), *bin_notes(likelihood, values, seen)),
    )


def on_bound(values: Floats, lower: Floats, upper: Floats) -> Flags:
    """Say which parameters are on one of their bounds."""
    slack = 1e-6 * (1 + np.abs(values))
    return np.asarray((values <= lower + slack) | (values >= upper - slack))


def _covariance(likelihood: Likelihood, hessian: Floats, free: Flags, edge: Flags) -> tuple[Floats, Flags]:
    """Invert the Hessian of the free parameters, without those on a bound if they have no curvature there.

    Returns
    -------
    covariance, flat
        Shape (parameters, parameters), 0 for what is left out; and which parameters the data don't constrain.

    Raises
    ------
    FitError
        If the parameter of interest is among those.
    """
    covariance, flat = np.zeros_like(hessian), np.zeros_like(free)
    for kept in (free, free & ~edge):
        chosen = np.flatnonzero(kept)
        # scaled to ones on the diagonal, so that parameters of very different size don't spoil the inverse
        matrix = hessian[np.ix_(chosen, chosen)]
        diagonal = np.diagonal(matrix)
        scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 1.0)
        eigenvalues, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
        curved = eigenvalues > _CURVED
        if curved.all():
            break
    flat[chosen] = np.any(np.abs(vectors[:, ~curved]) > 1e-3, axis=1)
    if likelihood.poi is not None and flat[likelihood.poi]:
        msg = (
            f"The data don't constrain {likelihood.labels[likelihood.poi]} at the best fit, so uncertainties can't be "
            "given; constrain it, or add a region that measures it."
        )
        raise FitError(msg)
    inverse = (vectors / np.where(curved, eigenvalues, np.inf)) @ vectors.T
    inverse = np.where(np.outer(flat[chosen], flat[chosen]), 0.0, inverse * np.outer(scale, scale))
    covariance[np.ix_(chosen, chosen)] = inverse
    return covariance, flat


def _rise(
    likelihood: Likelihood, values: Floats, data: Floats, index: int, held: tuple[Flags, Floats, Floats]
) -> float:
    """Return how far a parameter leaves its bound until the profiled negative log-likelihood has risen by one half.

    It is 0 where it never does.
    """
    fixed, lower, upper = held
    fixed = fixed.copy()
    fixed[index] = True
    inwards = 1.0 if values[index] - lower[index] <= upper[index] - values[index] else -1.0
    room = float(upper[index] - lower[index])
    least = float(likelihood.nll(values[:, None], data[:, None])[0])

    def excess(distance: float) -> float:
        start = values[:, None].copy()
        start[index] += inwards * distance
        found = minimise(likelihood, data[:, None], start=start, fixed=fixed, lower=lower, upper=upper)
        return float(found.nll[0]) - least - 0.5

    far = min(1.0, room)
    while excess(far) < 0:
        if far >= min(room, 1e6):
            return 0.0
        far = min(4 * far, room)
    return float(brentq(excess, 0.0, far, rtol=1e-4))


def bound_notes(likelihood: Likelihood, values: Floats, edge: Flags) -> tuple[Note, ...]:
    """Name the parameters that ended on a bound."""
    text = "{} = {:.4g} is at an end of its range: what rests on it is that of a bounded parameter."
    return tuple(
        Note("bound", likelihood.labels[index], text.format(likelihood.labels[index], values[index]))
        for index in np.flatnonzero(edge)
    )


def flat_notes(likelihood: Likelihood, flat: Flags) -> tuple[Note, ...]:
    """Name the parameters that the data don't constrain."""
    text = "The data don't constrain {}: other values fit as well, and it has no error."
    return tuple(
        Note("flat", likelihood.labels[index], text.format(likelihood.labels[index])) for index in np.flatnonzero(flat)
    )


def bin_notes(likelihood: Likelihood, values: Floats, data: Floats) -> tuple[Note, ...]:
    """Name the bins that expect nothing at some parameters though the model's samples are there."""
    expected = likelihood.expected(values)
    count = data[: likelihood.bins]
    notes = []
    for index in np.flatnonzero(expected <= CORNER):
        channel, place = next((name, at) for name, at in likelihood.channels.items() if at.start <= index < at.stop)
        name = f"{channel} bin {index - place.start + 1}"
        if count[index] > 0:
            text = f"{name}: {count[index]:g} events were seen where the model expects none; the bin can't be fitted."
            notes.append(Note("unexpected", name, text))
        elif expected[index] < -CORNER:
            text = f"{name} would expect less than 0 events ({expected[index]:.3g}) and is taken as 0."
            notes.append(Note("empty", name, text))
    return tuple(notes)


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
    likelihood: Likelihood,
    poi: Floats,
    data: Floats,
    start: Floats | None = None,
    *,
    strict: bool = True,
    several: bool = True,
) -> Minimum:
    """Fit everything but the parameter of interest, which is held at `poi` (one value a column of data).

    `minimise` describes `start`, `strict` and `several`. At a very large strength the other parameters may have to
    balance the signal to many digits: where there may be several minima, such a fit also begins where one at a smaller
    strength ended.

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
    seen = np.broadcast_to(data, (len(data), len(poi)))
    found = minimise(likelihood, seen, start=begin, fixed=fixed, strict=strict, several=several)
    far = np.abs(poi) > _FAR
    if several and far.any() and may_have_several(likelihood):
        nearer = fit_at(likelihood, np.where(far, _NEARER * poi, poi), seen, begin, strict=strict).values
        nearer[index] = poi
        again = minimise(likelihood, seen, start=nearer, fixed=fixed, strict=strict, several=False)
        found = lowest_of(found, again)
    return found


def free_fit(likelihood: Likelihood, data: Floats, null: Minimum, poi: float, least: float) -> Minimum:
    """Fit all parameters to one data set, the parameter of interest from `least` upwards without end.

    The bounds of a workspace's signal strength are a fit's convenience: the best fit may lie beyond. It begins where
    the fit without signal ended, with `poi` for its strength, and again without signal if it ended above that. Where
    there may be several minima, it also begins at the best of the fits at some strengths, with which the others may
    have to change.

    Raises
    ------
    FitError
        If the fit does not converge.
    """
    index = poi_index(likelihood)
    lower, upper = likelihood.lower.copy(), likelihood.upper.copy()
    lower[index], upper[index] = least, np.inf
    start = null.values.copy()
    start[index] = poi
    found = minimise(likelihood, data, start=start, lower=lower, upper=upper)
    if lowest_of(found, null) is not found:  # by more than rounding
        found = lowest_of(found, minimise(likelihood, data, start=null.values, lower=lower, upper=upper))
    if may_have_several(likelihood):
        strengths = np.maximum(_STRENGTHS, least)
        held = fit_at(likelihood, strengths, data, null.values)
        best = held.values[:, [int(np.argmin(held.nll))]]
        # these began at several points already
        again = minimise(likelihood, data, start=best, lower=lower, upper=upper, several=False)
        found = lowest_of(found, again)
    return found


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
    free = free_fit(likelihood, seen, null, max(likelihood.inits[index], 0.1), float(likelihood.lower[index]))
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
