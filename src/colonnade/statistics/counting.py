"""Significances of a counting experiment, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlog1py

from colonnade.errors import FitError

# below this s/b the closed form loses digits to cancellation, and four terms of its series are exact to 1e-13
_SMALL = 1e-3


def significance(signal: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    r"""Median discovery significance of a signal on a known background.

    :math:`Z = \sqrt{2[(s+b)\ln(1+s/b) - s]}`: Eq. 97 of Cowan, Cranmer, Gross and Vitells,
    arXiv:1007.1727.

    Parameters
    ----------
    signal, background
        Expected events, any shapes that broadcast.

    Returns
    -------
    numpy.ndarray
        Z in standard deviations, of the broadcast shape; 0 where there is no signal.

    Raises
    ------
    FitError
        If a background is not above 0, or a signal is negative.

    Examples
    --------
    >>> float(round(significance(6, 117), 3))
    0.55
    """
    s, b = _yields(signal, background)
    return np.asarray(np.sqrt(2 * _half_square(s, b)))


def asimov_significance(signal: ArrayLike, background: ArrayLike, background_error: ArrayLike) -> NDArray[np.float64]:
    r"""Median discovery significance of a signal on a background known with an uncertainty.

    Eq. 20 of G. Cowan's note "Discovery sensitivity for a counting experiment with background uncertainty"
    (2012), the follow-up of arXiv:1007.1727: the background is held by a Poisson control measurement of that
    relative precision. With no uncertainty it is `significance`.

    Parameters
    ----------
    signal, background
        Expected events, any shapes that broadcast.
    background_error
        Standard deviation of the expected background, in events.

    Returns
    -------
    numpy.ndarray
        Z in standard deviations; 0 where there is no signal.

    Raises
    ------
    FitError
        If a background is not above 0, or a signal or an uncertainty is negative.
    """
    s, b = _yields(signal, background)
    error = np.asarray(background_error, dtype=np.float64)
    if not np.all(error >= 0):
        msg = f"A background uncertainty is {_first(error, ~(error >= 0))}; it must be 0 or more."
        raise FitError(msg)
    # Eq. 20 is the difference of two known-background forms, which loses no digits for a weak signal or a
    # small uncertainty: the second background is b (b + sigma^2) / sigma^2
    variance = np.broadcast_to(error**2, np.broadcast_shapes(s.shape, b.shape, error.shape))
    known = variance <= 1e-150 * b * (b + variance)  # so small that its inverse would overflow
    other = b * (b + variance) / np.where(known, 1.0, variance)
    square = _half_square(s, b) - np.where(known, 0.0, _half_square(s, other))
    return np.asarray(np.sqrt(2 * np.maximum(square, 0)))


def signed_significance(signal: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    r"""Significance of a count, with the sign of the signal.

    :math:`Z = \mathrm{sign}(s)\sqrt{2[(s+b)\ln(1+s/b) - s]}`: the root of the likelihood ratio of a count s + b with
    and without signal (Cowan, Cranmer, Gross and Vitells, arXiv:1007.1727), which holds for a deficit as it does for
    an excess.

    Parameters
    ----------
    signal, background
        Fitted events, any shapes that broadcast.

    Returns
    -------
    numpy.ndarray
        Z in standard deviations; -sqrt(2 b) where the deficit is the whole background or more, NaN where the
        background is not above 0 or an input is NaN.

    Examples
    --------
    >>> signed_significance([6.0, -6.0, -200.0], 117.0).round(3).tolist()
    [0.55, -0.559, -15.297]
    """
    s, b = (np.asarray(each, dtype=np.float64) for each in (signal, background))
    b = np.where(b > 0, b, np.nan)
    return np.asarray(np.sign(s) * np.sqrt(2 * np.maximum(_half_square(np.maximum(s, -b), b), 0.0)))


def _half_square(s: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (s + b) ln(1 + s/b) - s, half the square of `significance`."""
    ratio = s / b
    series = ratio**2 * (0.5 - ratio * (1 / 6 - ratio * (1 / 12 - ratio / 20)))
    exact = xlog1py(1 + ratio, ratio) - ratio
    return np.asarray(b * np.where(np.abs(ratio) < _SMALL, series, exact))


def _yields(signal: ArrayLike, background: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    s, b = (np.asarray(each, dtype=np.float64) for each in (signal, background))
    if not np.all(b > 0):
        msg = (
            f"A significance needs an expected background above 0, and here one is {_first(b, ~(b > 0))}; "
            "merge the bin or region with a neighbour."
        )
        raise FitError(msg)
    if not np.all(s >= 0):
        msg = f"A significance needs an expected signal of 0 or more, and here one is {_first(s, ~(s >= 0))}."
        raise FitError(msg)
    return s, b


def _first(values: NDArray[np.float64], bad: NDArray[np.bool_]) -> str:
    return f"{float(values[bad].flat[0]):g}"
