"""The significance of a fitted number of events, which may be negative."""

from __future__ import annotations

__all__ = ["signed_significance"]

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy


def signed_significance(signal: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    r"""S0's Z, with the sign of the signal.

    :math:`Z = \mathrm{sign}(s)\sqrt{2[(s+b)\ln(1+s/b) - s]}`: S0, Eq. 5.3 and S2; the root of the likelihood
    ratio of a count s + b with and without signal (Cowan, Cranmer, Gross and Vitells, arXiv:1007.1727), which
    holds for a deficit as it does for an excess.

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
    s, b = np.broadcast_arrays(np.asarray(signal, dtype=np.float64), np.asarray(background, dtype=np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum(s / b, -1.0)
        exact = xlogy(1 + ratio, 1 + ratio) - ratio
        # near 0 the exact form cancels
        series = ratio**2 * (0.5 - ratio / 6 + ratio**2 / 12)
        each = np.where(np.abs(ratio) < 1e-4, series, np.maximum(exact, 0.0))
        z = np.sign(s) * np.sqrt(2 * b * each)
    return np.where(b > 0, z, np.nan)
