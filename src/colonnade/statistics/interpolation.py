"""How templates and yields go between their values at -1, 0 and +1 standard deviations, with derivatives.

Formulas: pyhf's and HistFactory's codes 0, 1, 4, 4p (CERN-OPEN-2012-016, section 4.1); Combine's asymmetric
log-normal and vertical morphing (CMS-NOTE-2011-005 and Combine's documentation, "Systematics"). Combine's
vertical morphing of a template is code 4p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def even_part(alpha: Floats, smooth: NDArray[np.bool_], region: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the even function q of a shape interpolation, and its first two derivatives.

    A template goes as nominal + alpha (up - down)/2 + q(alpha) (up + down - 2 nominal)/2, with q = abs(alpha) for code
    0, and for code 4p inside abs(alpha) < region the polynomial that joins it with two continuous derivatives.

    Parameters
    ----------
    alpha
        Parameter values, shape (n, batch).
    smooth
        Shape (n,): true for code 4p.
    region
        Shape (n,): where the polynomial ends; 1 in HistFactory.
    """
    width = region[:, None]
    scaled = alpha / width
    size = np.abs(alpha)
    square = scaled * scaled
    inside = (size < width) & smooth[:, None]
    value = np.where(inside, width * square * (15 - 10 * square + 3 * square * square) / 8, size)
    slope = np.where(inside, scaled * (15 - 20 * square + 9 * square * square) / 4, np.sign(alpha))
    bend = np.where(inside, (15 - 60 * square + 45 * square * square) / (4 * width), 0.0)
    return value, slope, bend


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

    def __call__(self, alpha: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the factors f at `alpha` (n, batch), f'/f and f''/f."""
        # exponential outside: exp(alpha log up) above, exp(-alpha log down) below
        positive = alpha >= 0
        slope = np.where(positive, self._log_up, -self._log_down)
        value = np.exp(alpha * slope)
        bend = slope * slope
        if self._poly.any():
            polynomial, first, second = np.zeros_like(alpha), np.zeros_like(alpha), np.zeros_like(alpha)
            near = np.clip(alpha, -1, 1)
            for coefficient in self._coefficients[::-1]:
                second = second * near + 2 * first
                first = first * near + polynomial
                polynomial = polynomial * near + coefficient
            use = (np.abs(alpha) < 1) & self._poly
            value = np.where(use, polynomial, value)
            slope = np.where(use, first / polynomial, slope)
            bend = np.where(use, second / polynomial, bend)
        if self._lnn.any():
            use = (np.abs(alpha) < 0.5) & self._lnn
            near = np.clip(alpha, -0.5, 0.5)
            twice = 2 * near
            square = twice * twice
            step = 0.125 * twice * (square * (3 * square - 10) + 15)
            step_slope = 0.25 * (15 - 30 * square + 15 * square * square)
            step_bend = 0.5 * twice * (60 * square - 60) / 2
            mean, half = 0.5 * (self._log_up - self._log_down), 0.5 * (self._log_up + self._log_down)
            inner = mean + half * (step + near * step_slope)
            value = np.where(use, np.exp(near * (mean + half * step)), value)
            slope = np.where(use, inner, slope)
            bend = np.where(use, inner * inner + half * (2 * step_slope + near * step_bend), bend)
        return value, slope, bend


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
