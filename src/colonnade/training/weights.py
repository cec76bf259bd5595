"""Preparing training events: how much each counts, what is done to negative weights, and scales of features.

The weightings, by name. `w` is an event's weight, the number of events it stands for at the luminosity; N
counts events, W adds weights, over the training events of signal (S) or background (B).

==========================  ==================  ===========================
name                        signal              background
==========================  ==================  ===========================
none                        1                   1
mc                          w                   w
background_ratio            1                   N_S / N_B
signal_up_raw               w N_B / N_S         w
signal_up_weighted          w W_B / W_S         w
background_down_raw         w                   w N_S / N_B
background_down_weighted    w                   w W_S / W_B
equal_points                w / W_point         w (number of points) / W_B
equal_cells                 w / W_point,region  w (points in region) / W_B,region
==========================  ==================  ===========================

In `equal_points` each signal point weighs the same, so that a point of small cross-section is learned as well as a
large one; in `equal_cells` each point in each region does, signal as well as background, so that a region of
little background is learned as well as one of much (an event of two regions is in a region of its own). The
result is scaled to a mean of 1, so that a learning rate means the same under each.

The normalisations of features, by name; they are fitted on training events only and kept inside the graph: `none`;
`minmax`, (x - min) / (max - min); `zscore`, (x - mean) / standard deviation; `asinh`, the same as `zscore` of
arsinh(x / median |x|), which brings in the tails of momenta and masses and leaves bounded features nearly as they are;
`batch`, the mean and variance of each batch in training and their running average in scoring (Ioffe and Szegedy,
1502.03167); `layer`, the mean and variance over the features of one event or object (Ba, Kiros and Hinton, 1607.06450).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import EventError
from colonnade.training.declaration import NEGATIVE_POLICIES, NORMALISATIONS, WEIGHTINGS, check_name
from colonnade.training.results import PolicyReport

Floats = NDArray[np.float64]


def effective_number(weights: Floats) -> float:
    """Give the number of unweighted events with the same relative statistical error: (sum w)^2 / sum w^2."""
    squares = float(np.sum(np.square(weights)))
    return float(np.sum(weights)) ** 2 / squares if squares > 0 else 0.0


def apply_policy(weights: Floats, classes: NDArray[np.int64], policy: str) -> Floats:
    """Treat negative weights by a named policy.

    Parameters
    ----------
    weights
        [N].
    classes
        [N], the group (process) of each event; a policy keeps each group's sum of weights.
    policy
        `keep`: as they are. `drop`: negative weights become 0. `absolute`: |w|. The latter two are rescaled
        by sum w / sum of what remains, group by group.

    Raises
    ------
    EventError
        If a group's weights are not finite, all zero, or add up to less than zero, so that no rescaling is
        possible.
    """
    check_name("negative_weights", policy, NEGATIVE_POLICIES)
    if not np.isfinite(weights).all():
        msg = f"{int((~np.isfinite(weights)).sum())} of {len(weights)} training weights are not finite numbers."
        raise EventError(msg)
    if policy == "keep":
        return weights.copy()
    treated = np.abs(weights) if policy == "absolute" else np.maximum(weights, 0.0)
    for group in np.unique(classes):
        chosen = classes == group
        before, after = float(weights[chosen].sum()), float(treated[chosen].sum())
        if before <= 0 and (weights[chosen] != 0).any():
            msg = (
                f"The weights of a training process add up to {before:g}, so they can't be made positive; "
                "give it more events or leave it out."
            )
            raise EventError(msg)
        if after > 0:
            treated[chosen] *= before / after
    return treated


def training_weights(
    weighting: str,
    weights: Floats,
    target: NDArray[np.bool_],
    points: NDArray[np.int64],
    regions: NDArray[np.uint64],
) -> Floats:
    """Weight training events by a named weighting.

    Parameters
    ----------
    weighting
        One of the names in the module's table.
    weights
        [N], expected events each stands for, after the policy on negative weights.
    target
        [N], true for signal.
    points
        [N], which signal point an event belongs to; not read for background.
    regions
        [N], which regions an event is in, for `equal_cells`.

    Returns
    -------
    ndarray [N]
        With mean 1.

    Raises
    ------
    EventError
        If signal or background has no events, or their weights add up to nothing.
    """
    check_name("weighting", weighting, WEIGHTINGS)
    unit = weighting in ("none", "background_ratio")
    for name, chosen in (("signal", target), ("background", ~target)):
        if not chosen.any():
            msg = f"There are no {name} events to train on; check the model's processes and regions."
            raise EventError(msg)
        total = weights[chosen].sum()
        if not unit and total <= 0:
            msg = f"The weights of the {name} training events add up to {total:g}, not to more than 0."
            raise EventError(msg)
    raw = float(target.sum()) / float((~target).sum())
    result = np.ones(len(weights)) if unit else weights.copy()
    ratio = raw if unit or weighting.endswith("raw") else float(weights[target].sum()) / float(weights[~target].sum())
    if weighting.startswith("signal_up"):
        result[target] /= ratio
    elif weighting.startswith("background"):
        result[~target] *= ratio
    elif weighting == "equal_points":
        result = _equal_points(weights, target, points)
    elif weighting == "equal_cells":
        result = _equal_cells(weights, target, points, regions)
    return np.asarray(result / result.mean())


def _equal_points(weights: Floats, target: NDArray[np.bool_], points: NDArray[np.int64]) -> Floats:
    result = weights.copy()
    present = np.unique(points[target])
    for point in present:
        chosen = target & (points == point)
        total = weights[chosen].sum()
        if total <= 0:
            msg = f"The weights of a signal point add up to {total:g}, not to more than 0; leave it out."
            raise EventError(msg)
        result[chosen] /= total
    result[~target] *= len(present) / weights[~target].sum()
    return result


def _equal_cells(
    weights: Floats, target: NDArray[np.bool_], points: NDArray[np.int64], regions: NDArray[Any]
) -> Floats:
    """Balance signal and background region by region; background without signal to tell apart counts nothing."""
    result = np.zeros(len(weights))
    for region in np.unique(regions):
        here = regions == region
        if (target & here).any() and weights[~target & here].sum() > 0:
            result[here] = _equal_points(weights[here], target[here], points[here])
    if not result.any():
        msg = "No region has both signal and background to train on; check the model's processes and regions."
        raise EventError(msg)
    return result


def compare_policies(
    weights: Floats,
    classes: NDArray[np.int64],
    names: Sequence[str],
    features: dict[str, Floats],
) -> tuple[PolicyReport, ...]:
    """Report effective statistics and bias of each policy, for the processes that have negative weights.

    The mean of a feature under `keep` is right (unbiased); the other policies keep the sum of weights but
    move events' importance from where negative weights lie.
    """
    reports: list[PolicyReport] = []
    for index, name in enumerate(names):
        chosen = classes == index
        own = weights[chosen]
        if not (own < 0).any():
            continue
        group = np.zeros(len(own), dtype=np.int64)
        for policy in NEGATIVE_POLICIES:
            treated = apply_policy(own, group, policy)
            bias = {}
            for feature, values in features.items():
                mean, error = _mean(values[chosen], own)
                moved, _ = _mean(values[chosen], treated)
                bias[feature] = (moved - mean) / error if error > 0 else 0.0
            reports.append(PolicyReport(name, policy, float((own < 0).mean()), effective_number(treated), bias))
    return tuple(reports)


def _mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """Weighted mean and its error, sqrt(sum w^2 (x - mean)^2) / |sum w|, over the values that are there."""
    there = np.isfinite(values)
    values, weights = values[there], weights[there]
    total = float(weights.sum())
    if total == 0:
        return 0.0, 0.0
    mean = float((weights * values).sum()) / total
    return mean, float(np.sqrt(np.sum(np.square(weights * (values - mean))))) / abs(total)


@dataclass(frozen=True)
class Scale:
    """What a normalisation subtracts and divides by, [F] each; with `knee`, from arsinh(x / knee)."""

    shift: NDArray[np.float32]
    width: NDArray[np.float32]
    knee: NDArray[np.float32] | None = None


def fit_scale(name: str, values: NDArray[np.float32]) -> Scale:
    """Fit a fixed scale to training values [n, F]; `batch` and `layer` leave it to the network.

    A feature that is constant is only shifted. Values that are not numbers (parameters of background) are
    left out.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    check_name("normalisation", name, NORMALISATIONS)
    features = values.shape[1]
    shift, width, knee = np.zeros(features), np.ones(features), np.ones(features)
    for place in range(features) if name in ("minmax", "zscore", "asinh") else ():
        column = values[:, place].astype(np.float64)
        column = column[np.isfinite(column)]
        if not len(column):
            continue
        if name == "minmax":
            shift[place], width[place] = column.min(), column.max() - column.min()
            continue
        if name == "asinh":
            # where most values are 0 the median says nothing of the others
            knee[place] = np.median(np.abs(column)) or 1.0
            column = np.arcsinh(column / knee[place])
        shift[place], width[place] = column.mean(), column.std()
    width[width == 0] = 1.0
    return Scale(
        shift.astype(np.float32), width.astype(np.float32), knee.astype(np.float32) if name == "asinh" else None
    )
