"""One block of pseudo-experiments: draw, train, scan, fit, all of them together."""

from __future__ import annotations

__all__ = ["BlockResult", "Scan", "draw_experiment", "examine_experiment", "run_block", "scan_counts"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from colonnade.statistics import signed_significance
from colonnade.statistics.resonance import (
    BackgroundTable,
    Gaussian,
    fit_backgrounds,
    fit_bumps,
    fit_signals,
)
from studies.zgamma.sampling import Sampler
from studies.zgamma.settings import PseudoExperimentSettings

if TYPE_CHECKING:
    from studies.zgamma.ensemble import Ensemble

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
_RESPONSE_BINS = 50
_FITS = 512


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What a block of experiments found.

    Attributes
    ----------
    index : array of shape (experiments,)
        Numbers of the experiments.
    n_signal, n_background : arrays of shape (experiments, cuts)
        Fitted events in the window; NaN where a fit did not converge.
    z : array of shape (experiments, cuts)
        Significance of these by counting, signed.
    z_wilks : array of shape (experiments, cuts)
        Signed root of the likelihood ratio with the background frozen at the sideband fit.
    z_free : array of shape (experiments, cuts)
        The same with the background free; NaN unless asked for.
    kept : array of shape (experiments, cuts)
        Events after each cut.
    auc : array of shape (experiments,)
        Area under the ROC curve of window against sidebands.
    response : array of shape (2, bins)
        Histogram of the response over all experiments, of the sidebands and of the window.
    """

    index: NDArray[np.int64]
    n_signal: Floats
    n_background: Floats
    z: Floats
    z_wilks: Floats
    z_free: Floats
    kept: NDArray[np.int64]
    auc: Floats
    response: NDArray[np.int64]


def draw_experiment(
    sampler: Sampler, settings: PseudoExperimentSettings, index: int
) -> tuple[Array, Floats, list[np.random.Generator]]:
    """Draw the events of one experiment.

    Returns
    -------
    mass : array of shape (events,)
    features : array of shape (events, features)
        With mean 0 and variance 1.
    rngs : list of numpy.random.Generator
        One a fold, to train with; the first event order comes from the first.
    """
    seeds = np.random.SeedSequence(settings.seed, spawn_key=(index,)).spawn(1 + settings.folds)
    rows = sampler.draw(np.random.default_rng(seeds[0]), settings.events)
    features = rows[:, 1:]
    center, spread = features.mean(axis=0), features.std(axis=0)
    features = (features - center) / np.where(spread > 0, spread, 1.0)
    return rows[:, 0].copy(), features.astype(np.float32), [np.random.default_rng(seed) for seed in seeds[1:]]


@dataclass(frozen=True, eq=False)
class Scan:
    """One experiment in full, for its figures.

    Attributes
    ----------
    mass, score : arrays of shape (events,)
    inside : array of shape (events,)
        Which events lie in the window.
    features : array of shape (events, features)
        As the network takes them.
    respond : function
        Features of shape (rows, features) to responses of shape (rows,).
    counts, background, signal : arrays of shape (cuts, bins)
        Spectra, and what was fitted; NaN where a fit did not converge.
    result : BlockResult
        Of this experiment alone.
    """

    mass: Array
    score: Floats
    inside: NDArray[np.bool_]
    features: Floats
    respond: Callable[[Floats], Floats]
    counts: Array
    background: Array
    signal: Array
    result: BlockResult


def run_block(
    sampler: Sampler, settings: PseudoExperimentSettings, indices: Sequence[int], *, device: str = "cpu"
) -> BlockResult:
    """Run some experiments together.

    Parameters
    ----------
    sampler, settings
        Where events come from, and what is done with them.
    indices
        Numbers of the experiments; each has its own random numbers, whatever the others are.
    device
        `cpu` or `cuda`, for the training.
    """
    events = _Events.draw(sampler, settings, indices)
    score, _ = _respond(events, settings, device)
    return _evaluate(events, score, settings)[0]


def examine_experiment(
    sampler: Sampler, settings: PseudoExperimentSettings, index: int, *, device: str = "cpu"
) -> Scan:
    """Run one experiment and keep everything; parameters as in `run_block`."""
    events = _Events.draw(sampler, settings, [index])
    score, ensemble = _respond(events, settings, device)
    result, counts, fits = _evaluate(events, score, settings)
    return Scan(
        events.mass[0],
        score[0],
        events.inside[0],
        events.features[0],
        lambda rows: ensemble.score(rows[None])[0],
        counts[0],
        fits.background,
        fits.signal,
        result,
    )


@dataclass(frozen=True, eq=False)
class _Events:
    """Events of a block: mass and inside (experiments, events), features (experiments, events, features)."""

    index: NDArray[np.int64]
    mass: Array
    features: Floats
    inside: NDArray[np.bool_]
    rngs: list[list[np.random.Generator]]

    @classmethod
    def draw(cls, sampler: Sampler, settings: PseudoExperimentSettings, indices: Sequence[int]) -> _Events:
        drawn = [draw_experiment(sampler, settings, index) for index in indices]
        mass = np.stack([each[0] for each in drawn])
        inside = (mass >= settings.window[0]) & (mass <= settings.window[1])
        index = np.asarray(indices, dtype=np.int64)
        return cls(index, mass, np.stack([each[1] for each in drawn]), inside, [each[2] for each in drawn])


@dataclass(frozen=True, eq=False)
class _Fits:
    """Fits of many spectra: numbers of shape (rows,), contents of shape (rows, bins)."""

    n_signal: Array
    n_background: Array
    z_wilks: Array
    z_free: Array
    background: Array
    signal: Array


def _evaluate(events: _Events, score: Floats, settings: PseudoExperimentSettings) -> tuple[BlockResult, Array, _Fits]:
    """Scan and fit."""
    counts, kept = scan_counts(events.mass, score, events.inside, settings)
    fits = _fit(counts.reshape(-1, settings.bins), settings)
    z = signed_significance(fits.n_signal, fits.n_background)
    edges = np.linspace(0, 1, _RESPONSE_BINS + 1)

    def shaped(values: Array) -> Floats:
        return values.reshape(kept.shape).astype(np.float32)

    result = BlockResult(
        index=events.index,
        n_signal=shaped(fits.n_signal),
        n_background=shaped(fits.n_background),
        z=shaped(z),
        z_wilks=shaped(fits.z_wilks),
        z_free=shaped(fits.z_free),
        kept=kept,
        auc=_auc(score, events.inside),
        response=np.stack([np.histogram(score[events.inside == side], edges)[0] for side in (False, True)]),
    )
    return result, counts, fits


def scan_counts(
    mass: Array, score: Floats, inside: NDArray[np.bool_], settings: PseudoExperimentSettings
) -> tuple[Array, NDArray[np.int64]]:
    """Mass spectra after each cut on the response.

    The cut that rejects a fraction r is the r-quantile of the sideband events' response; events on it are
    kept.

    Parameters
    ----------
    mass, score : arrays of shape (experiments, events)
    inside : array of shape (experiments, events)
        Which events lie in the window.
    settings
        Rejections and bins.

    Returns
    -------
    counts : array of shape (experiments, cuts, bins)
    kept : array of shape (experiments, cuts)
        Events in the range after each cut.
    """
    experiments, cuts = len(mass), len(settings.rejections)
    width = (settings.high - settings.low) / settings.bins
    position = np.clip(((mass - settings.low) / width).astype(np.int64), 0, settings.bins - 1)
    counts = np.empty((experiments, cuts, settings.bins))
    rejections = np.array(settings.rejections)
    for row in range(experiments):
        sideband = np.sort(score[row][~inside[row]])
        # the smallest event at or above each quantile
        levels = sideband[np.ceil(rejections * (len(sideband) - 1)).astype(np.int64)]
        # how many levels an event passes; rejection 0 keeps all, also window events below every sideband
        # event
        passed = np.searchsorted(levels, score[row], side="right")
        if settings.rejections[0] == 0:
            passed = np.maximum(passed, 1)
        table = np.bincount(passed * settings.bins + position[row], minlength=(cuts + 1) * settings.bins)
        table = table.reshape(cuts + 1, settings.bins)
        # an event that passes k levels is in the spectra of the first k cuts
        counts[row] = np.cumsum(table[::-1], axis=0)[::-1][1:]
    return counts, counts.sum(axis=2).astype(np.int64)


def _respond(events: _Events, settings: PseudoExperimentSettings, device: str) -> tuple[Floats, Ensemble]:
    """Response of each experiment's network(s) to its own events, and the (last) networks."""
    from studies.zgamma.ensemble import train_ensemble

    features, inside = events.features, events.inside
    labels = inside.astype(np.float32)
    weights = None
    if settings.balance:
        share = labels.mean(axis=1, keepdims=True)
        weights = np.where(inside, 0.5 / np.maximum(share, 1e-9), 0.5 / np.maximum(1 - share, 1e-9))
        weights = weights.astype(np.float32)
    if settings.folds == 1:
        first = [each[0] for each in events.rngs]
        ensemble = train_ensemble(features, labels, settings.network, first, weights=weights, device=device)
        return ensemble.score(features), ensemble
    score = np.empty(features.shape[:2], dtype=np.float32)
    part = settings.events // settings.folds
    # events are independent draws, so the folds may be ranges
    for fold in range(settings.folds):
        held = slice(fold * part, (fold + 1) * part)
        keep = np.ones(settings.events, dtype=np.bool_)
        keep[held] = False
        ensemble = train_ensemble(
            features[:, keep],
            labels[:, keep],
            settings.network,
            [each[fold] for each in events.rngs],
            weights=None if weights is None else weights[:, keep],
            device=device,
        )
        score[:, held] = ensemble.score(features[:, held])
    return score, ensemble


def _fit(counts: Array, settings: PseudoExperimentSettings) -> _Fits:
    """Fit all spectra: sidebands, then the signal on the frozen background."""
    edges = np.linspace(settings.low, settings.high, settings.bins + 1)
    table = BackgroundTable(settings.background, edges)
    template = Gaussian(settings.mean, settings.sigma).fractions(edges)
    low, high = settings.window
    tolerance = 1e-9 * (settings.high - settings.low)
    sides = (edges[1:] <= low + tolerance) | (edges[:-1] >= high - tolerance)
    share = (np.clip(edges[1:], low, high) - np.clip(edges[:-1], low, high)) / np.diff(edges)
    size, wilks, free = np.full((3, len(counts)), np.nan)
    background = np.empty_like(counts)
    # as many fits at once as stay in the cache
    for first in range(0, len(counts), _FITS):
        rows = slice(first, first + _FITS)
        background[rows] = fit_backgrounds(table, counts[rows], used=sides).content
        found = fit_signals(counts[rows], background[rows], template)
        size[rows], wilks[rows] = found.signal, found.z
        if settings.free_background:
            free[rows] = fit_bumps(table, counts[rows], template).z
    signal = size[:, None] * template
    return _Fits(signal @ share, background @ share, wilks, free, background, signal)


def _auc(score: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Area under the ROC curve of each experiment: the fraction of pairs in order (H. Mann and D. Whitney, 1947)."""
    areas = np.full(len(score), np.nan, dtype=np.float32)
    for row, (scores, window) in enumerate(zip(score, inside, strict=True)):
        ones, zeros = np.sort(scores[window]), np.sort(scores[~window])
        if len(ones) and len(zeros):
            pairs = np.searchsorted(zeros, ones, side="left") + np.searchsorted(zeros, ones, side="right")
            areas[row] = 0.5 * pairs.sum() / (len(ones) * len(zeros))
    return areas
