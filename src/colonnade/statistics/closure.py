"""Whether two descriptions of one model agree: likelihoods at random points, best fits, significances, limits."""

from __future__ import annotations

__all__ = ["Closure", "Translation", "close", "export_translation", "translated"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from colonnade.statistics.fitting import discovery, fit, poi_index
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.limits import upper_limits
from colonnade.statistics.model import Model

# from a label and value here to a label and value there
Translation = Callable[[str, float], tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Closure:
    """How far two models are apart.

    Attributes
    ----------
    points : int
        How many random parameter points were compared.
    within, beyond : float
        Largest difference of the log-likelihood ratio to the nominal point, relative to one plus its size, for points
        whose parameters are all within one standard deviation of it, and for others.
    mu_hat, mu_error, z : float
        Differences of the best-fit signal strength, in units of its error, of that error, relative, and of the
        significance.
    limits : float
        Largest relative difference of the six upper limits.
    """

    points: int
    within: float
    beyond: float
    mu_hat: float
    mu_error: float
    z: float
    limits: float


def close(
    here: Model, there: Model, translation: Translation, *, points: int = 200, seed: int = 1, spread: float = 2.0
) -> Closure:
    """Compare two models.

    Parameters
    ----------
    here, there
        The models.
    translation
        From a parameter's label and value here to those there.
    points
        How many random points: half with all parameters within one standard deviation.
    seed
        Of the random points.
    spread
        Standard deviations by which the other half's parameters scatter.

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    a, b = Likelihood(here), Likelihood(there)
    rng = np.random.default_rng(seed)
    widths = _widths(a)
    free = ~a.fixed
    worst = [0.0, 0.0]
    start, level = _ratio(a, b, a.inits, translation), a.logpdf(a.inits, a.observed)
    for number in range(points):
        near = number < points // 2
        step = rng.uniform(-1, 1, len(widths)) if near else spread * rng.normal(size=len(widths))
        theta = np.where(free, a.inits + widths * step, a.inits)
        margin = 1e-3 * (a.upper - a.lower)
        theta = np.where(free, np.clip(theta, a.lower + margin, a.upper - margin), a.inits)
        size = 1 + abs(a.logpdf(theta, a.observed) - level)
        worst[not near] = max(worst[not near], abs(_ratio(a, b, theta, translation) - start) / size)
    results = [(fit(each), discovery(each), upper_limits(each)) for each in (a, b)]
    (fit_a, z_a, limits_a), (fit_b, z_b, limits_b) = results
    index_a, index_b = poi_index(a), poi_index(b)
    error = float(fit_a.errors[index_a])
    pairs = zip(_all(limits_a.observed, limits_a.expected), _all(limits_b.observed, limits_b.expected), strict=True)
    return Closure(
        points,
        worst[0],
        worst[1],
        abs(float(fit_a.values[index_a] - fit_b.values[index_b])) / error,
        abs(float(fit_b.errors[index_b]) / error - 1),
        abs(z_a.z - z_b.z),
        max(abs(two / one - 1) for one, two in pairs),
    )


def _all(observed: float | None, expected: tuple[float, ...]) -> list[float]:
    return [*expected] if observed is None else [observed, *expected]


def translated(a: Likelihood, b: Likelihood, theta: Floats, translation: Translation) -> Floats:
    """Return the parameters of one likelihood in the words of another; what it does not say keeps its initial value."""
    known = {label: index for index, label in enumerate(b.labels)}
    result = b.inits.copy()
    for label, value in zip(a.labels, theta, strict=True):
        name, there = translation(label, float(value))
        if name in known:
            result[known[name]] = there
    return result


def _ratio(a: Likelihood, b: Likelihood, theta: Floats, translation: Translation) -> float:
    return a.logpdf(theta, a.observed) - b.logpdf(translated(a, b, theta, translation), b.observed)


def _widths(likelihood: Likelihood) -> Floats:
    """Return one standard deviation of each parameter, from its constraint, or a fifth of its value if free."""
    widths = []
    for each in likelihood.model.parameters:
        for index in range(each.size):
            if each.constraint == "normal":
                widths.append(each.widths[index])
            elif each.constraint == "poisson":
                widths.append(1 / np.sqrt(max(each.widths[index], 1.0)))
            else:
                widths.append(0.2 * abs(each.inits[index]))
    return np.array(widths)


def export_translation(model: Model, form: str) -> Translation:
    """Return how an export of the model in a format calls its parameters.

    A card has r for the signal strength, and bin-wise parameters in standard deviations; a cabinetry configuration has
    the luminosity in standard deviations; the others call everything as the model does.
    """
    if form == "combine":
        return _combine(model)
    if form == "root":
        moved = {
            modifier.parameter
            for channel in model.channels
            for sample in channel.samples
            for modifier in sample.modifiers
            if modifier.kind == "lumi"
        }

        def translate(label: str, value: float) -> tuple[str, float]:
            if label in moved:
                each = model.parameter(label)
                return label, (value - each.auxdata[0]) / each.widths[0]
            return label, value

        return translate
    return lambda label, value: (label, value)


def _combine(model: Model) -> Translation:
    widths: Mapping[str, float] = {
        label: width
        for each in model.parameters
        if each.constraint == "normal" and not each.scalar
        for label, width in zip(each.labels, each.widths, strict=True)
    }
    names = {}
    for channel in model.channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                if modifier.kind == "staterror":
                    names[modifier.parameter] = f"prop_bin{channel.name}"

    def translate(label: str, value: float) -> tuple[str, float]:
        if label == model.poi:
            return "r", value
        name, bracket, index = label.partition("[")
        if bracket and name in names:
            return f"{names[name]}[{index}", (value - 1) / widths[label]
        return label, value

    return translate
