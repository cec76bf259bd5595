"""How good a two-class score is: at thresholds, in the monojet document's words and in the usual ones; sensitivity."""

from __future__ import annotations

__all__ = ["AtThreshold", "at_thresholds", "peak", "sensitivity_gain"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold on the score gives.

    Attributes
    ----------
    threshold
        Events above it are called signal.
    precision
        The share of those called signal that are; 1 where none is called so, as in the document.
    recall
        The share of signal called signal.
    accuracy
        The share of events called what they are.
    mean_precision_recall
        The mean of precision and recall, which the document calls accuracy.
    product_precision_recall
        Their product, which the document calls mean average precision.
    """

    threshold: float
    precision: float
    recall: float
    accuracy: float
    mean_precision_recall: float
    product_precision_recall: float


def at_thresholds(
    score: NDArray[Any], target: NDArray[np.bool_], thresholds: Sequence[float] | None = None
) -> tuple[AtThreshold, ...]:
    """Evaluate a score at thresholds, by default the document's 21 from 0 to 1.

    Parameters
    ----------
    score, target
        [N]; target is true for signal.
    thresholds
        Where.
    """
    places = np.linspace(0, 1, 21) if thresholds is None else np.asarray(thresholds)
    signal, background = np.sort(score[target]), np.sort(score[~target])
    rows = []
    for threshold in places:
        right = len(signal) - int(np.searchsorted(signal, threshold, side="right"))
        wrong = len(background) - int(np.searchsorted(background, threshold, side="right"))
        precision = right / (right + wrong) if right + wrong else 1.0
        recall = right / max(len(signal), 1)
        accuracy = (right + len(background) - wrong) / max(len(score), 1)
        rows.append(
            AtThreshold(
                round(float(threshold), 12), precision, recall, accuracy, (precision + recall) / 2, precision * recall
            )
        )
    return tuple(rows)


def peak(rows: Sequence[AtThreshold]) -> AtThreshold:
    """Return the threshold with the greatest product of precision and recall, by which the document chooses."""
    return max(rows, key=lambda row: row.product_precision_recall)


def sensitivity_gain(yields: Mapping[str, float], passed: Mapping[str, float], signal: str) -> float:
    r"""Return by how much a cut raises S / sqrt(B), if the signal passes it as often as one of the backgrounds.

    .. math:: \epsilon_S \sqrt{B_0 / B_1}, \quad B_0 = \sum_b n_b, \quad B_1 = \sum_b \epsilon_b n_b

    Dark matter beside a jet looks as Z -> nu nu beside a jet does, so that this background gives the signal's
    efficiency.

    Parameters
    ----------
    yields
        Events of each background before the cut.
    passed
        Of some of them, the share that passes; the others pass whole.
    signal
        The background that passes as the signal does.

    Raises
    ------
    ConfigError
        If a share belongs to no background.
    """
    unknown = sorted({*passed, signal} - set(yields))
    if unknown or signal not in passed:
        msg = f"there is no yield, or no efficiency, of {unknown[0] if unknown else signal}; give both."
        raise ConfigError(msg)
    before = sum(yields.values())
    after = sum(events * passed.get(name, 1.0) for name, events in yields.items())
    return passed[signal] * math.sqrt(before / after) if after > 0 else math.nan
