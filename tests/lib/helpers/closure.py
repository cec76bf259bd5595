"""Whether two descriptions of one model agree: likelihoods at random points, best fits, significances, limits."""

from __future__ import annotations

__all__ = [
    "Closure",
    "Translation",
    "close",
    "close_program",
    "export_translation",
    "random_points",
    "smallest",
    "translated",
    "without_statistics",
]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from colonnade.statistics.fitting import discovery, fit, fit_at, poi_index, signal_bounds
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.limits import upper_limits
from colonnade.statistics.model import Channel, Model, Sample, make_model

# a program that is given a file of a model and points, and returns its version and log-likelihoods
Ask = Callable[[Path, Model, Floats], tuple[str, Floats]]
# from a label and value here to a label and value there
Translation = Callable[[str, float], tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Closure:
    """How far two models are apart.

    Attributes
    ----------
    points, draws : int
        How many random parameter points were compared, and how many pseudo-experiments were fitted.
    within, beyond : float
        Largest difference of the log-likelihood ratio to the nominal point, relative to one plus its size, for points
        whose parameters are all within one standard deviation of it, and for others.
    mu_hat, mu_error, z : float
        Largest differences of the best-fit signal strength, in units of its error, of that error, relative, and of the
        significance.
    limits : float or None
        Largest relative difference of the six upper limits; None where they were not compared.
    """

    points: int
    draws: int
    within: float
    beyond: float
    mu_hat: float | None
    mu_error: float | None
    z: float
    limits: float | None


def close(
    here: Model, there: Model, translation: Translation, *, points: int = 200, draws: int = 3, seed: int = 1
) -> Closure:
    """Compare two models: their likelihoods on the observed data, their results on pseudo-experiments.

    The pseudo-experiments hold a signal of the strength that is excluded in the median, so that best fits and
    significances are not 0.

    Parameters
    ----------
    here, there
        The models.
    translation
        From a parameter's label and value here to those there.
    points
        How many random points: half with all parameters within one standard deviation.
    draws
        How many pseudo-experiments.
    seed
        Of the random points and pseudo-experiments.

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    a, b = Likelihood(here), Likelihood(there)
    start, level = _ratio(a, b, a.inits, translation), a.logpdf(a.inits, a.observed)
    worst = [0.0, 0.0]
    for near, theta in random_points(a, points, seed):
        size = 1 + abs(a.logpdf(theta, a.observed) - level)
        worst[not near] = max(worst[not near], abs(_ratio(a, b, theta, translation) - start) / size)
    found = [_compare(here, there, drawn) for drawn in _pseudo_data(a, draws, seed)]
    mu_hat, mu_error, z, limits = np.max(np.array(found), axis=0).tolist()
    return Closure(points, draws, worst[0], worst[1], mu_hat, mu_error, z, limits)


def close_program(ask: Ask, model: Model, python: Path, *, points: int = 40, seed: int = 1) -> tuple[str, Closure]:
    """Compare a model with what another program, pyhs3 or ROOT, makes of its HS3 file.

    The likelihood at random points; the significance from the likelihood at the best fits of one pseudo-experiment;
    and whether it finds nothing better around the best fit.

    Parameters
    ----------
    ask
        `pyhs3_log_likelihoods` or `root_log_likelihoods`.
    model
        The model, in HistFactory's words.
    python
        The Python of an environment with the program.
    points, seed
        As in `close`.

    Returns
    -------
    str
        The program's version.
    Closure
        The agreement; errors and limits are not compared.

    Raises
    ------
    InputError
        If the program can't be asked.
    FitError
        If a fit does not converge, or the program finds a better one.
    """
    a = Likelihood(model)
    # below zero programs differ: this one puts a floor under bins, ROOT one under processes, pyhs3 none
    chosen = [each for each in random_points(a, points, seed) if smallest(a, each[1]) > 0]
    thetas = np.array([a.inits, *(theta for _, theta in chosen)])
    version, theirs = ask(python, model, thetas)
    ours = np.array([a.logpdf(theta, a.observed) for theta in thetas])
    difference = np.abs((theirs - theirs[0]) - (ours - ours[0])) / (1 + np.abs(ours - ours[0]))
    near = np.array([False, *(near for near, _ in chosen)])
    far = np.array([False, *(not near for near, _ in chosen)])
    (drawn,) = _pseudo_data(a, 1, seed)
    seen = model.with_observations(drawn)
    b = Likelihood(seen)
    lower, upper = signal_bounds(b)
    best = fit(b, lower=lower, upper=upper)
    null = fit_at(b, np.zeros(1), b.observed[:, None]).values[:, 0]
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(10, len(best.values))) * best.errors * 0.1
    around = np.clip(best.values + steps, lower, upper)
    _, values = ask(python, seen, np.array([best.values, null, *around]))
    better = max(0.0, float(values[2:].max() - values[0]))
    z = np.sqrt(max(0.0, 2 * (values[0] - values[1])))
    # a point that fits better by this much would be this far away, in errors
    shift = float(np.sqrt(2 * better))
    return version, Closure(
        len(chosen),
        1,
        float(difference[near].max()),
        float(difference[far].max()),
        shift,
        None,
        abs(float(z) - discovery(b).z),
        None,
    )


def smallest(likelihood: Likelihood, theta: Floats) -> float:
    """Return the smallest content of a bin of a process that is not empty of itself."""
    found = likelihood.expected_samples(theta)
    named = {(c.name, s.name): s.yields for c in likelihood.model.channels for s in c.samples}
    values = [found[key[0]][key[1]][yields > 0] for key, yields in named.items()]
    return float(np.concatenate(values).min())


def random_points(likelihood: Likelihood, count: int, seed: int, spread: float = 2.0) -> list[tuple[bool, Floats]]:
    """Return random parameters: half with all within one standard deviation of the nominal ones, half beyond.

    Parameters
    ----------
    likelihood
        The compiled model.
    count, seed
        How many, and which.
    spread
        Standard deviations by which the other half's parameters scatter.

    Returns
    -------
    list of (bool, numpy.ndarray)
        Whether it is of the first half, and the parameters.
    """
    rng = np.random.default_rng(seed)
    widths, free = _widths(likelihood), ~likelihood.fixed
    poi = likelihood.poi
    found = []
    for number in range(count):
        near = number < count // 2
        step = rng.uniform(-1, 1, len(widths)) if near else spread * rng.normal(size=len(widths))
        theta = np.where(free, likelihood.inits + widths * step, likelihood.inits)
        margin = 1e-3 * np.minimum(likelihood.upper - likelihood.lower, 1.0)
        if poi is not None:
            margin[poi] = 0.0
        clipped = np.clip(theta, likelihood.lower + margin, likelihood.upper - margin)
        found.append((near, np.where(free, clipped, likelihood.inits)))
    return found


def without_statistics(model: Model) -> Model:
    """Return the model without the statistical uncertainty of its simulation."""
    channels = [
        Channel(
            channel.name,
            tuple(
                Sample(
                    sample.name,
                    sample.yields,
                    tuple(m for m in sample.modifiers if m.kind not in ("staterror", "mcstat")),
                )
                for sample in channel.samples
            ),
            channel.edges,
        )
        for channel in model.channels
    ]
    names = {m.parameter for channel in channels for sample in channel.samples for m in sample.modifiers}
    plain = make_model(channels, model.observations, model.poi, measurement=model.measurement)
    kept = {each.name: each for each in model.parameters if each.name in names}
    return replace(plain, parameters=tuple(kept[each.name] for each in plain.parameters))


def _pseudo_data(likelihood: Likelihood, draws: int, seed: int) -> list[dict[str, Floats]]:
    strength = upper_limits(likelihood, observed=False).expected[2]
    theta = likelihood.inits.copy()
    theta[poi_index(likelihood)] = strength
    expected = likelihood.expected(theta)
    rng = np.random.default_rng(seed)
    return [
        {name: rng.poisson(expected[place]).astype(float) for name, place in likelihood.channels.items()}
        for _ in range(draws)
    ]


def _compare(here: Model, there: Model, drawn: Mapping[str, Floats]) -> tuple[float, float, float, float]:
    """Return how far apart best fits (in errors), errors, significances and limits of one data set are."""
    found = []
    for model in (here, there):
        likelihood = Likelihood(model.with_observations(drawn))
        lower, upper = signal_bounds(likelihood)
        best, poi = fit(likelihood, lower=lower, upper=upper), poi_index(likelihood)
        limits = upper_limits(likelihood)
        found.append(
            (
                float(best.values[poi]),
                float(best.errors[poi]),
                discovery(likelihood).z,
                np.array([limits.observed, *limits.expected], dtype=np.float64),
            )
        )
    (mu, error, z, limits_here), (other_mu, other_error, other_z, limits_there) = found
    relative = float(np.max(np.abs(limits_there / limits_here - 1)))
    return abs(mu - other_mu) / error, abs(other_error / error - 1), abs(z - other_z), relative


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
    if form == "xml":
        stems = {
            modifier.parameter: f"staterror_{channel.name}"
            for channel in model.channels
            for sample in channel.samples
            for modifier in sample.modifiers
            if modifier.kind == "staterror"
        }

        def rename(label: str, value: float) -> tuple[str, float]:
            name, bracket, index = label.partition("[")
            return stems.get(name, name) + bracket + index, value

        return rename
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


def spec_of_one_bin():
    """Return a workspace of one bin: signal, background, one normalisation."""
    signal = {"name": "signal", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    shapesys = {"name": "uncorrelated", "type": "shapesys", "data": [7.0]}
    background = {"name": "background", "data": [50.0], "modifiers": [shapesys]}
    return {
        "channels": [{"name": "singlechannel", "samples": [signal, background]}],
        "observations": [{"name": "singlechannel", "data": [55.0]}],
        "measurements": [{"name": "measurement", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
