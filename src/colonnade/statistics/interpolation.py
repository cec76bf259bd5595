"""How templates and yields go between their values at -1, 0 and +1 standard deviations, with derivatives.

Formulas: pyhf's and HistFactory's codes 0, 1, 4, 4p (CERN-OPEN-2012-016, section 4.1); Combine's asymmetric
log-normal and vertical morphing (CMS-NOTE-2011-005 and Combine's documentation, "Systematics"). Combine's
vertical morphing of a template is code 4p.
"""

from __future__ import annotations

__all__ = ["Factors", "even_part"]

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def even_part(alpha: Floats, smooth: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the even function q of a shape interpolation, and its derivative.

    A template goes as nominal + alpha (up - down)/2 + q(alpha) (up + down - 2 nominal)/2, with q = abs(alpha)
    for code 0, and for code 4p inside abs(alpha) < 1 the polynomial that joins it with two continuous
    derivatives.

    Parameters
    ----------
    alpha
        Parameter values, shape (n, batch).
    smooth
        Shape (n,): true for code 4p.
    """
    size = np.abs(alpha)
    square = alpha * alpha
    inside = (size < 1) & smooth[:, None]
    value = np.where(inside, square * (15 - 10 * square + 3 * square * square) / 8, size)
    slope = np.where(inside, alpha * (15 - 20 * square + 9 * square * square) / 4, np.sign(alpha))
    return value, slope


class Factors:
    """The yield factors of many normsys modifiers, evaluated together.

    Parameters
    ----------
    up, down
        Factors at +1 and -1, shape (n,).
    code
        Interpolation of each: code1, code4 or lnN.
    """

    def __init__(self, up: Floats, down: Floats, code: list[str]) -> None:
        self._log_up, self._log_down = np.log(up)[:, None], np.log(down)[:, None]
        self._poly = np.array([each == "code4" for each in code], dtype=bool)[:, None]
        self._lnn = np.array([each == "lnN" for each in code], dtype=bool)[:, None]
        self._coefficients = _code4_coefficients(up, down)[:, :, None]

    def __call__(self, alpha: Floats) -> tuple[Floats, Floats]:
        """Return the factors at `alpha` (n, batch) and their logarithmic derivatives."""
        # exponential outside: exp(alpha log up) above, exp(-alpha log down) below
        positive = alpha >= 0
        slope = np.where(positive, self._log_up, -self._log_down)
        value = np.exp(alpha * slope)
        inside = np.abs(alpha) < 1
        if self._poly.any():
            polynomial, derivative = np.zeros_like(alpha), np.zeros_like(alpha)
            for coefficient in self._coefficients[::-1]:
                derivative = derivative * alpha + polynomial
                polynomial = polynomial * alpha + coefficient
            use = inside & self._poly
            value = np.where(use, polynomial, value)
            slope = np.where(use, derivative / np.where(use, polynomial, 1.0), slope)
        if self._lnn.any():
            use = (np.abs(alpha) < 0.5) & self._lnn
            near = np.clip(alpha, -0.5, 0.5)
            twice = 2 * near
            square = twice * twice
            step = 0.125 * twice * (square * (3 * square - 10) + 15)
            step_slope = 0.125 * 2 * (15 - 30 * square + 15 * square * square)
            mean, half = 0.5 * (self._log_up - self._log_down), 0.5 * (self._log_up + self._log_down)
            value = np.where(use, np.exp(near * (mean + half * step)), value)
            slope = np.where(use, mean + half * (step + near * step_slope), slope)
        return value, slope


def _code4_coefficients(up: Floats, down: Floats) -> Floats:
    """Solve for the polynomial 1 + a1 x + ... + a6 x^6 that meets both exponentials to second order."""
    powers = np.arange(1, 7)
    rows = []
    for x in (1.0, -1.0):
        rows += [
            x**powers,
            powers * x ** (powers - 1),
            powers * (powers - 1) * x ** np.maximum(powers - 2, 0),
        ]
    log_up, log_down = np.log(up), np.log(down)
    right = [up - 1, up * log_up, up * log_up**2, down - 1, -down * log_down, down * log_down**2]
    coefficients = np.linalg.solve(np.array(rows), np.array(right))
    return np.concatenate([np.ones((1, len(up))), coefficients])
