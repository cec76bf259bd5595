"""Shapes of a signal, with exact integrals over bins."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from scipy.special import ndtr

from colonnade.errors import ConfigError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Signal(ABC):
    """The shape of a signal with fixed parameters; `with_values` gives another of the same form.

    Attributes
    ----------
    mean, sigma : float
        Position and width of the core, in the observable's unit.
    shape : str
        Name of the form in workflows and JSON files.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    mean: float
    sigma: float

    def __post_init__(self) -> None:
        """Check the width."""
        if not (self.sigma > 0 and math.isfinite(self.mean) and math.isfinite(self.sigma)):
            msg = f"a signal at {self.mean:g} of width {self.sigma:g} is not possible: the width must be above 0."
            raise ConfigError(msg)

    @abstractmethod
    def cumulative(self, x: Array) -> Array:
        """Integral of the density from minus infinity to x."""

    def limits(self) -> list[tuple[float, float]]:
        """Return the lowest and highest value of each parameter but the mean in a fit, in the order of `names`."""
        return [(1e-3 * self.sigma, 1e3 * self.sigma)]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(field.name for field in fields(self) if field.name != "shape")

    @property
    def values(self) -> tuple[float, ...]:
        """Values of the parameters, in order."""
        return tuple(float(getattr(self, name)) for name in self.names)

    def with_values(self, *values: float) -> Signal:
        """Return the same form with other parameters, in the order of `names`."""
        return replace(self, **dict(zip(self.names, (float(value) for value in values), strict=True)))

    def window(self, low: float, high: float) -> tuple[float, float]:
        """Return two widths about the mean, cut at the ends of a range."""
        return max(self.mean - 2 * self.sigma, low), min(self.mean + 2 * self.sigma, high)

    def fractions(self, edges: Array) -> Array:
        """Part of the signal in each bin, shape (bins,), normalised to the range that the edges span.

        Raises
        ------
        ConfigError
            If no part of the signal lies in the range.
        """
        cumulative = self.cumulative(edges)
        parts = np.diff(cumulative)
        total = cumulative[-1] - cumulative[0]
        if not total > 1e-12:
            msg = (
                f"the signal at {self.mean:g} of width {self.sigma:g} lies outside the fit range "
                f"({edges[0]:g} to {edges[-1]:g}); choose a mass inside it."
            )
            raise ConfigError(msg)
        return np.asarray(parts / total, dtype=np.float64)


@dataclass(frozen=True)
class Gaussian(Signal):
    """A Gaussian."""

    shape: Literal["gaussian"] = "gaussian"

    def cumulative(self, x: Array) -> Array:
        """Integral of the density from minus infinity to x."""
        return np.asarray(ndtr((x - self.mean) / self.sigma), dtype=np.float64)


@dataclass(frozen=True)
class CrystalBall(Signal):
    """A Gaussian core with a power-law tail on each side (double-sided Crystal Ball).

    Beyond alpha widths from the mean the density falls as (n / |alpha| - |alpha| + |t|)^-n, joined smoothly
    to the core; J. Gaiser, SLAC-R-255 (1982), appendix F, on both sides.

    Parameters
    ----------
    alpha_low, alpha_high : float
        Where the tails begin, in widths from the mean, above 0.
    n_low, n_high : float
        Powers of the tails, above 1.
    """

    alpha_low: float = 1.5
    n_low: float = 3.0
    alpha_high: float = 1.5
    n_high: float = 3.0
    shape: Literal["crystal_ball"] = "crystal_ball"

    def __post_init__(self) -> None:
        """Check the tails."""
        super().__post_init__()
        if min(self.alpha_low, self.alpha_high) <= 0 or min(self.n_low, self.n_high) <= 1:
            msg = "a Crystal Ball needs both alpha above 0 and both powers n above 1, or its tails have no integral."
            raise ConfigError(msg)

    def cumulative(self, x: Array) -> Array:
        """Integral of the density from minus infinity to x."""
        t = (np.asarray(x, dtype=np.float64) - self.mean) / self.sigma
        root = math.sqrt(2 * math.pi)
        low, high = self._tail(self.alpha_low, self.n_low), self._tail(self.alpha_high, self.n_high)
        core = root * (ndtr(self.alpha_high) - ndtr(-self.alpha_low))
        total = low + core + high
        left = self._tail(self.alpha_low, self.n_low, np.maximum(-t, self.alpha_low))
        right = self._tail(self.alpha_high, self.n_high, np.maximum(t, self.alpha_high))
        middle = low + root * (ndtr(np.clip(t, -self.alpha_low, self.alpha_high)) - ndtr(-self.alpha_low))
        value = np.where(t < -self.alpha_low, left, np.where(t > self.alpha_high, total - right, middle))
        return np.asarray(value / total, dtype=np.float64)

    @staticmethod
    def _tail(alpha: float, n: float, start: Array | None = None) -> Array:
        """Integrate a tail of unit core height from `start` widths outwards."""
        u = np.asarray(alpha if start is None else start, dtype=np.float64)
        scale = math.exp(-0.5 * alpha**2)
        edge = n / alpha - alpha
        # A (B + u)^-n with A = (n/alpha)^n exp(-alpha^2/2), B = n/alpha - alpha, written without large powers
        return np.asarray(scale * (n / alpha) / (n - 1) * ((edge + u) * alpha / n) ** (1 - n))

    def limits(self) -> list[tuple[float, float]]:
        """Return the lowest and highest value of each parameter but the mean in a fit, in the order of `names`."""
        tail = [(0.1, 6.0), (1.05, 100.0)]
        return [*super().limits(), *tail, *tail]


#: either of the forms; in a JSON file a mapping of `shape`, the form's name, and its parameters
AnySignal = Annotated[Gaussian | CrystalBall, Field(discriminator="shape")]
