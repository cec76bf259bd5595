"""The Poisson term of counts, continued to where nothing or less is expected, and the derivatives that a step needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]

# below this expectation a bin with events costs what it does here, and per event this much more for every expected
# event that lacks: a wild trial point costs much instead of being undefined
FLOOR, WALL = 1e-10, 1e4
# within this of 0 events, in a bin where none were seen, the likelihood's corner is rounded off
CORNER = 1e-9
# of Fisher's curvature, how much a bin without events is given
_LITTLE = 1e-3


def deviance(count: Floats, rate: Floats) -> Floats:
    """Return rate - count + count log(count / rate), half the Poisson deviance, without losing digits."""
    excess = (count - rate) / rate
    near = np.abs(excess) < 1e-3
    series = excess**2 * (1 / 2 - excess * (1 / 6 - excess * (1 / 12 - excess / 20)))
    return np.asarray(rate * np.where(near, series, xlogy(1 + excess, 1 + excess) - excess))


def deviance_slope(count: Floats, rate: Floats, corner: float | Floats) -> Floats:
    """Return the derivative of the negative log-likelihood of counts by their rates.

    Where nothing was counted, a rate below 0 costs nothing, and lowering it changes nothing.
    """
    round_off = np.clip((rate + corner) / (2 * corner), 0.0, 1.0)
    seen = np.where(rate < FLOOR, -WALL * count, 1 - count / np.maximum(rate, FLOOR))
    return np.where(count == 0, round_off, seen)


def deviance_bend(count: Floats, rate: Floats) -> Floats:
    """Return the second derivative, a little more where nothing was counted, so that steps are finite."""
    safe = np.maximum(rate, FLOOR)
    empty = np.where(np.abs(rate) < CORNER, 1 / (2 * CORNER), np.where(rate > 0, _LITTLE / safe, 0.0))
    seen = np.maximum(count, _LITTLE * safe) / safe**2
    # from below the floor a step goes to where the count is
    seen = np.where(rate < FLOOR, WALL * count / np.maximum(count - rate, FLOOR), seen)
    return np.where(count == 0, empty, seen)


@dataclass(frozen=True, slots=True)
class Derivatives:
    """The negative log-likelihood of a batch, with what a Newton step needs.

    The Hessian is J^T diag(weight) J + diag(diagonal), which is never indefinite, plus the second derivatives of the
    expected events: `second` between columns, `cross` between columns and the bins' own parameters.

    Attributes
    ----------
    value : numpy.ndarray
        Shape (batch,).
    gradient, diagonal : numpy.ndarray
        Shape (parameters, batch).
    jacobian : numpy.ndarray
        d(bin)/d(parameter) of the likelihood's `columns`, shape (batch, bins, columns).
    local : numpy.ndarray
        d(bin)/d(its own parameter), shape (bins, batch); 0 where a bin has none.
    weight : numpy.ndarray
        Shape (bins, batch).
    second : numpy.ndarray
        Shape (batch, columns, columns).
    cross : numpy.ndarray
        Shape (batch, bins, columns).
    rate, slope : numpy.ndarray
        The expected events of each bin, and the derivative of the value by them, shape (bins, batch).
    empty : numpy.ndarray
        Where no events were seen, shape (bins, batch).
    """

    value: Floats
    gradient: Floats
    diagonal: Floats
    jacobian: Floats
    local: Floats
    weight: Floats
    second: Floats
    cross: Floats
    rate: Floats
    slope: Floats
    empty: NDArray[np.bool_]
