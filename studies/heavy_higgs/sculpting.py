"""How much a selection bends a spectrum."""

from __future__ import annotations

__all__ = ["Sculpting", "sculpting"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from colonnade.errors import FitError
from colonnade.statistics.resonance import Spectrum

Array = NDArray[np.float64]
_DRAWS = 200


@dataclass(frozen=True)
class Sculpting:
    """The shape of a spectrum after a selection, against its shape before.

    Attributes
    ----------
    window_ratio, window_ratio_error : float
        Part of the events in the signal's window after the selection, over the part before: 1 if the shape is kept.
    divergence : float
        Jensen-Shannon divergence of the two shapes in bits, 0 (equal) to 1 (apart).
    divergence_expected : float
        What statistical fluctuations alone would give on average.
    divergence_error : float
        Their spread.
    """

    window_ratio: float
    window_ratio_error: float
    divergence: float
    divergence_expected: float
    divergence_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return dict(vars(self))


def sculpting(before: Spectrum, after: Spectrum, window: tuple[float, float], rng: np.random.Generator) -> Sculpting:
    """Compare a background's mass shape after a selection with that before.

    Parameters
    ----------
    before, after
        Spectra on the same bins; negative contents count as nothing.
    window
        Where the signal is.
    rng
        Draws what fluctuations would do.

    Raises
    ------
    FitError
        If the bins differ, or a spectrum holds no event.
    """
    if not np.array_equal(before.edges, after.edges):
        msg = f"{after.name}: spectra before and after a selection need the same bins to be compared."
        raise FitError(msg)
    before.check_content()
    after.check_content()
    inside = ~before.outside(window)
    (one, one_error), (two, two_error) = (_part(each, inside) for each in (before, after))
    if not one > 0:
        msg = f"{before.name}: no event lies in the window {window[0]:g} to {window[1]:g} before the selection."
        raise FitError(msg)
    ratio = two / one
    # the events after are some of those before, so the errors overlap: this one is a little large
    error = ratio * np.hypot(one_error / one, two_error / two if two > 0 else 0.0)
    shape, other = np.maximum(before.values, 0.0), np.maximum(after.values, 0.0)
    # as many events, with the spread of their weights, drawn with the shape before
    expected = shape / shape.sum() * other.sum()
    scale = after.variances.sum() / max(other.sum(), 1e-300)
    draws = scale * rng.poisson(expected / scale, size=(_DRAWS, len(expected)))
    chance = np.array([_divergence(shape, draw) for draw in draws if draw.sum() > 0])
    return Sculpting(float(ratio), float(error), _divergence(shape, other), float(chance.mean()), float(chance.std()))


def _part(spectrum: Spectrum, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Fraction of the events inside, and its error for independent bins."""
    total = spectrum.values.sum()
    part = spectrum.values[inside].sum() / total
    variance = (1 - part) ** 2 * spectrum.variances[inside].sum() + part**2 * spectrum.variances[~inside].sum()
    return float(part), float(np.sqrt(variance) / total)


def _divergence(one: Array, two: Array) -> float:
    p, q = one / one.sum(), two / two.sum()
    middle = 0.5 * (p + q)
    return float(0.5 * (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / np.log(2))
