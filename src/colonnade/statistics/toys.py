"""CLs upper limits by pseudo-experiments, for where the asymptotic formulas can't hold.

Pseudo-experiments of both hypotheses, auxiliary measurements included, are drawn at parameters fitted to the data
(those of the signal-plus-background one at the tested signal strength, the background-only ones without signal) and
fitted in batches. Their results are kept by batch in a folder, if one is given, so that an interrupted limit goes on
where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm

from colonnade.errors import FitError
from colonnade.output import replacing
from colonnade.statistics.fitting import fit_at, poi_index
from colonnade.statistics.likelihood import Floats, Likelihood
from colonnade.statistics.limits import SIGMAS, UpperLimits, upper_limits
from colonnade.statistics.minimise import minimise
from colonnade.statistics.results import Band, Limit, Note, ToyBand
from colonnade.statistics.settings import LimitSettings

Report = Callable[[int, int], None]
_BATCH = 1000
# tested strengths are spread evenly over the asymptotic band, stretched by these factors
_BELOW, _ABOVE, _POINTS = 0.5, 1.7, 6
# then around each crossing, this close to it, where the logarithm of CLs is straight
_NEAR = (0.93, 1.0, 1.07)


@dataclass(frozen=True, slots=True)
class ToyTest:
    """CLs of one signal strength, from pseudo-experiments.

    Attributes
    ----------
    cls : tuple of float
        Of the background's quantiles at -2, -1, 0, +1, +2 standard deviations; then of the data, where wanted.
    errors : tuple of float
        Their Monte Carlo errors.
    """

    cls: tuple[float, ...]
    errors: tuple[float, ...]


def find_limits(
    likelihood: Likelihood,
    settings: LimitSettings,
    *,
    observed: bool = True,
    folder: Path | None = None,
    report: Report | None = None,
) -> tuple[Limit, tuple[Note, ...]]:
    """Set limits by the asymptotic formulas and, if asked for or where these are in doubt, by pseudo-experiments.

    Returns
    -------
    Limit, tuple of Note
        And what they rest on.

    Raises
    ------
    FitError
        If a fit does not converge, or no finite signal strength is excluded.
    OutputError
        If a batch of pseudo-experiments can't be kept in the folder.
    """
    found = upper_limits(likelihood, level=settings.level, observed=observed)
    doubtful = settings.method == "auto" and expects_few(likelihood, found, settings.few)
    if settings.method != "toys" and not doubtful:
        return Limit(found.expected, found.observed), found.notes
    band = toy_limits(likelihood, found, toys=settings.toys, seed=settings.seed, folder=folder, report=report)
    notes = found.notes
    if doubtful:
        text = (
            f"Fewer than {settings.few:g} background events are expected where the sensitivity is, too few for the "
            "asymptotic formulas: the limits by pseudo-experiments hold."
        )
        notes = (*notes, Note("toys", likelihood.model.poi, text))
    return Limit(band.expected, band.observed, "toys", Band(found.expected, found.observed), band), notes


def expects_few(likelihood: Likelihood, limits: UpperLimits, few: float) -> bool:
    """Say whether the asymptotic formulas are in doubt: too few background events where the sensitivity is.

    Bins are taken in the order of s/sqrt(b) at the expected limit until they hold nine tenths of the sum of s^2/b; if
    less than `few` background events are expected there, the formulas are in doubt.
    """
    poi = poi_index(likelihood)
    theta = fit_at(likelihood, np.zeros(1), likelihood.observed[:, None]).values[:, 0].copy()
    background = likelihood.expected(theta)
    theta[poi] = limits.expected[2] if np.isfinite(limits.expected[2]) else 1.0
    signal = likelihood.expected(theta) - background
    sensitivity = signal**2 / np.maximum(background, 1e-9)
    order = np.argsort(-sensitivity)
    share = np.cumsum(sensitivity[order]) / max(sensitivity.sum(), 1e-300)
    kept = order[: int(np.searchsorted(share, 0.9)) + 1]
    return bool(background[kept].sum() < few)


def toy_test(
    likelihood: Likelihood,
    poi: float,
    *,
    toys: int = 2000,
    seed: int = 1,
    observed: bool = True,
    folder: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> ToyTest:
    """Return CLs of one signal strength from pseudo-experiments (q-tilde).

    Parameters
    ----------
    likelihood
        The compiled model.
    poi
        The signal strength, above 0.
    toys
        Pseudo-experiments of each hypothesis.
    seed
        The same seed gives the same pseudo-experiments, resumed or not.
    observed
        Whether CLs of the observed data is wanted.
    folder
        Where finished batches are kept.
    advance
        Called with the number of pseudo-experiments of each batch that is done.

    Raises
    ------
    FitError
        If a fit to the data does not converge, or more than one in a hundred of the pseudo-experiments' fits.
    OutputError
        If a batch can't be written.
    """
    seen = likelihood.observed[:, None]
    signal = fit_at(likelihood, np.array([poi]), seen).values[:, 0]
    background = fit_at(likelihood, np.zeros(1), seen).values[:, 0]
    q_signal = _statistics(likelihood, poi, signal, toys, (seed, 0), folder, advance)
    q_background = _statistics(likelihood, poi, background, toys, (seed, 1), folder, advance)
    failed = int(np.isnan(q_signal).sum() + np.isnan(q_background).sum())
    if failed > 0.01 * 2 * toys:
        msg = (
            f"{failed} of {2 * toys} fits to pseudo-experiments at a signal strength of {poi:.4g} did not converge, "
            "too many to leave out; look at the fit of the model first."
        )
        raise FitError(msg)
    q_signal, q_background = np.sort(q_signal[~np.isnan(q_signal)]), np.sort(q_background[~np.isnan(q_background)])
    # +2 standard deviations of the background is a large excess, so a small statistic
    thresholds = np.quantile(q_background, norm.cdf(-np.array(SIGMAS, dtype=float)), method="inverted_cdf")
    if observed:
        thresholds = np.append(thresholds, _q_tilde(likelihood, poi, seen, signal))
    cls, errors = zip(*(_cls(q_signal, q_background, float(q)) for q in thresholds), strict=True)
    return ToyTest(cls, errors)


def _cls(q_signal: Floats, q_background: Floats, q: float) -> tuple[float, float]:
    """Return CLs and its error from sorted statistics: the shares at least as large as q."""
    # a statistic of 0 is shared by all upward fluctuations; rounding must not part equal values
    at = q - 1e-9 * (1 + abs(q))
    n_signal, n_background = len(q_signal), len(q_background)
    p_signal = (n_signal - np.searchsorted(q_signal, at)) / n_signal
    p_background = (n_background - np.searchsorted(q_background, at)) / n_background
    if p_background == 0:
        return 1.0, 1.0
    ratio = float(p_signal / p_background)
    # with no pseudo-experiment beyond, the error is that of one
    least = max(p_signal, 1 / n_signal)
    error = (least / p_background) * np.sqrt(
        (1 - least) / (n_signal * least) + (1 - p_background) / (n_background * p_background)
    )
    return ratio, float(error)


def _statistics(
    likelihood: Likelihood,
    poi: float,
    theta: Floats,
    toys: int,
    seed: tuple[int, int],
    folder: Path | None,
    advance: Callable[[int], None] | None,
) -> Floats:
    """Return q-tilde of pseudo-experiments, by batches that are kept in the folder."""
    parts = []
    for number, begin in enumerate(range(0, toys, _BATCH)):
        count = min(_BATCH, toys - begin)
        name = f"toys-{_identity(likelihood, poi, theta, (*seed, number, count))}.npy"
        path = None if folder is None else folder / name
        if path is not None and path.is_file():
            statistic = np.load(path, allow_pickle=False)
        else:
            drawn = likelihood.sample_data(theta, count, np.random.default_rng((*seed, number)))
            statistic = _q_tilde(likelihood, poi, drawn, theta)
            if path is not None:
                with replacing(path) as temporary, temporary.open("wb") as stream:
                    np.save(stream, statistic, allow_pickle=False)
        if advance is not None:
            advance(count)
        parts.append(statistic)
    return np.concatenate(parts)


def _identity(likelihood: Likelihood, poi: float, theta: Floats, numbers: tuple[int, ...]) -> str:
    """Name what a batch depends on: the model's expectation and its slopes, the parameters, the seed."""
    total = hashlib.sha256()
    total.update(repr((likelihood.labels, numbers, poi)).encode())
    for array in (
        np.round(theta, 8),
        likelihood.observed,
        likelihood.lower,
        likelihood.upper,
        np.round(likelihood.jacobian(likelihood.inits[:, None]), 8),
        np.round(likelihood.jacobian((likelihood.inits + 0.5)[:, None]), 8),
    ):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:24]


def _q_tilde(likelihood: Likelihood, poi: float, data: Floats, start: Floats) -> Floats:
    """Return q-tilde (Eq. 16 of arXiv:1007.1727) of many data sets; not a number where a fit failed."""
    index = poi_index(likelihood)
    count = data.shape[1]
    at = fit_at(likelihood, np.full(count, poi), data, start[:, None], strict=False)
    lower, upper = likelihood.lower.copy(), likelihood.upper.copy()
    lower[index], upper[index] = max(0.0, lower[index]), np.inf
    begin = at.values.copy()
    free = minimise(likelihood, data, start=begin, lower=lower, upper=upper, strict=False)
    q = np.maximum(0.0, 2 * (at.nll - free.nll))
    q = np.where(free.values[index] > poi, 0.0, q)
    return np.where(at.converged & free.converged, q, np.nan)


def toy_limits(
    likelihood: Likelihood,
    asymptotic: UpperLimits,
    *,
    toys: int = 2000,
    seed: int = 1,
    folder: Path | None = None,
    report: Report | None = None,
) -> ToyBand:
    """Return upper limits from pseudo-experiments, with their Monte Carlo errors.

    Signal strengths over the asymptotic band are tested, and the band widened until CLs crosses one minus the level
    within it. Three strengths close to each crossing are tested then, and the logarithm of CLs there is fitted with a
    straight line, weighted by the Monte Carlo errors.

    Parameters
    ----------
    likelihood, toys, seed, folder
        As in `toy_test`.
    asymptotic
        What the formulas say: of the same level, and with the observed limit if that is wanted.
    report
        Called after each batch with how many pseudo-experiments are done, and how many are foreseen.

    Raises
    ------
    FitError
        If a fit fails, or no signal strength tested is excluded.
    """
    observed = asymptotic.observed is not None
    known = [each for each in (*asymptotic.expected, asymptotic.observed) if each is not None and np.isfinite(each)]
    low, high = _BELOW * min(known), _ABOVE * max(known)
    tests: dict[float, ToyTest] = {}
    done, foreseen = 0, 2 * toys * (_POINTS + len(_NEAR) * (len(SIGMAS) + observed))

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if report is not None:
            report(done, max(done, foreseen))

    def test(strengths: Iterable[float]) -> None:
        for poi in dict.fromkeys(strengths):
            if poi not in tests:
                tests[poi] = toy_test(
                    likelihood, poi, toys=toys, seed=seed, observed=observed, folder=folder, advance=advance
                )

    strengths = np.geomspace(low, high, _POINTS).tolist()
    alpha = 1 - asymptotic.level
    for _ in range(8):
        test(strengths)
        too_high = max(tests[max(tests)].cls) > alpha
        too_low = min(tests[min(tests)].cls) < alpha
        strengths = [*([max(tests) * 1.5] if too_high else []), *([min(tests) / 1.5] if too_low else [])]
        if not strengths:
            break
    else:
        msg = "The limits from pseudo-experiments lie far from the asymptotic ones, and were not found near them."
        raise FitError(msg)
    crossings, _ = _crossings(tests, alpha, 1 / toys)
    test(near * limit for limit in crossings for near in _NEAR)
    limits, errors = _crossings(tests, alpha, 1 / toys, near=crossings)
    last = (limits[-1], errors[-1]) if observed else (None, None)
    count = len(SIGMAS)
    return ToyBand(limits[:count], last[0], errors[:count], last[1], toys)


def _crossings(
    tests: Mapping[float, ToyTest], alpha: float, least: float, *, near: tuple[float, ...] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return where each CLs of the tests crosses alpha, and with what errors; `least` is the smallest CLs taken."""
    poi = np.array(sorted(tests))
    cls, errors = (np.array([getattr(tests[each], name) for each in sorted(tests)]).T for name in ("cls", "errors"))
    found = []
    for index, values in enumerate(cls):
        if near is None:  # between the two strengths where it crosses
            after = int(np.argmax(values <= alpha))
            chosen = np.array([max(after - 1, 0), max(after, 1)])
        else:
            chosen = np.flatnonzero(np.abs(np.log(poi / near[index])) < np.log(1.12))
        taken = np.maximum(values[chosen], least)
        found.append(_crossing(poi[chosen], np.log(taken), errors[index, chosen] / taken, alpha))
    limits, spreads = zip(*found, strict=True)
    return limits, spreads


def _crossing(x: Floats, log_cls: Floats, sigma: Floats, alpha: float) -> tuple[float, float]:
    """Find where a weighted straight line of the logarithm of CLs crosses that of alpha, and its error."""
    weight = 1 / np.maximum(sigma, 1e-3) ** 2
    mean_x, mean_y = np.average(x, weights=weight), np.average(log_cls, weights=weight)
    spread = np.sum(weight * (x - mean_x) ** 2)
    slope = np.sum(weight * (x - mean_x) * (log_cls - mean_y)) / spread
    if not slope < 0:  # noise: fall back to the steepness between the ends
        slope = -1 / mean_x
    limit = float(np.clip(mean_x + (np.log(alpha) - mean_y) / slope, x[0], x[-1]))
    error = np.sqrt(1 / weight.sum() + (limit - mean_x) ** 2 / spread) / abs(slope)
    return limit, float(error)
