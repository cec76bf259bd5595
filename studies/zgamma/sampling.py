"""Drawing events like the simulated ones: bootstrap, and a kernel density estimate that keeps to the boundaries."""

from __future__ import annotations

__all__ = ["Bootstrap", "Kde", "Sample", "Sampler", "compare_columns", "make_sampler"]

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from colonnade.errors import ConfigError, EventError
from colonnade.statistics.resonance import Background, Spectrum, fit_background

Array = NDArray[np.float64]
# quantiles that describe the distribution of a feature, and points of the smooth distribution of the mass
_KNOTS = 512
_MASS_KNOTS = 2048
# even grid of normal scores on which draws are turned into values
_GRID = 2048
_REACH = 6.0
# bins in which the smooth distribution of the mass is fitted
_MASS_BINS = 72


@dataclass(frozen=True, eq=False)
class Sample:
    """Simulated events to draw from.

    Parameters
    ----------
    mass : array of shape (events,)
        The observable, GeV.
    features : array of shape (events, features)
        What networks are trained on.
    names : tuple of str
        Names of the features.
    weights : array of shape (events,), optional
        Relative weights, not negative.

    Raises
    ------
    EventError
        If there is no event, shapes do not match, or a value is not a finite number.
    """

    mass: Array
    features: Array
    names: tuple[str, ...]
    weights: Array | None = None

    def __post_init__(self) -> None:
        """Check the columns."""
        events = len(self.mass)
        if not events or self.features.shape != (events, len(self.names)):
            msg = (
                f"a sample of {events} masses and features of shape {self.features.shape} named "
                f"{', '.join(self.names)} can't be drawn from; give one row an event and one name a column."
            )
            raise EventError(msg)
        for name, column in zip(("mass", *self.names), (self.mass, *self.features.T), strict=True):
            bad = int((~np.isfinite(column)).sum())
            if bad:
                msg = f"{bad} of {events} events have no finite {name}; drop them before drawing."
                raise EventError(msg)
        if self.weights is not None and not (np.all(self.weights >= 0) and self.weights.sum() > 0):
            msg = "events can't be drawn with negative weights; use samples without them."
            raise EventError(msg)

    def between(self, low: float, high: float) -> Sample:
        """Keep the events with a mass in [low, high].

        Raises
        ------
        EventError
            If none is left.
        """
        keep = (self.mass >= low) & (self.mass <= high)
        if not keep.any():
            msg = f"no simulated event has a mass between {low:g} and {high:g}; make more, or move the range."
            raise EventError(msg)
        weights = None if self.weights is None else self.weights[keep]
        return Sample(self.mass[keep], self.features[keep], self.names, weights)


class Sampler(Protocol):
    """Draws events."""

    names: tuple[str, ...]

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Draw `count` events: shape (count, 1 + features), the mass first."""

    def digest(self) -> str:
        """Return a hash of all that the draws depend on but the random numbers."""


class Bootstrap:
    """Simulated events drawn again and again, with replacement.

    Parameters
    ----------
    sample
        The events.
    """

    def __init__(self, sample: Sample) -> None:
        self.names = sample.names
        self._rows = np.column_stack([sample.mass, sample.features])
        self._cumulative = _cumulative(sample)

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Draw `count` events: shape (count, 1 + features), the mass first."""
        return np.asarray(self._rows[_pick(rng, count, len(self._rows), self._cumulative)])

    def digest(self) -> str:
        """Return a hash of all that the draws depend on but the random numbers."""
        return _digest("bootstrap", self._rows, self._cumulative)


class Kde:
    """Events drawn from a Gaussian kernel density estimate.

    Each column is first turned into normal scores by its own distribution, so that kernels can't reach beyond
    a threshold or an edge, and tails are as smooth as the core. An event is drawn, moved by the kernel in all
    columns, and drawn in towards the mean, so that widths and correlations stay what they were (the shrunk,
    smoothed bootstrap: B. Silverman, Density Estimation (1986), section 6.4.1). The distribution of the mass
    is, where a shape is given, the fitted shape as far as the kernel is narrow, so that fluctuations of the
    simulation are not drawn again in every pseudo-experiment as if they were bumps.

    Parameters
    ----------
    sample
        The events.
    low, high
        The mass range; events outside are left out.
    bandwidth
        Standard deviation of the kernel in normal scores; Scott's n^(-1/(d+4)) where left out.
    shape
        A smooth form of the mass distribution.

    Raises
    ------
    EventError
        If no event lies in the range, or a column is constant.
    FitError
        If the shape can't be fitted to the masses.
    """

    def __init__(
        self,
        sample: Sample,
        low: float,
        high: float,
        *,
        bandwidth: float | None = None,
        shape: Background | None = None,
    ) -> None:
        sample = sample.between(low, high)
        self.names = sample.names
        events, dimensions = len(sample.mass), 1 + len(sample.names)
        self.bandwidth = events ** (-1 / (dimensions + 4)) if bandwidth is None else bandwidth
        columns = [sample.mass, *sample.features.T]
        self._cumulative = _cumulative(sample)
        self._knots = [_quantiles(column, sample.weights, name) for name, column in
                       zip(("mass", *sample.names), columns, strict=True)]  # fmt: skip
        if shape is not None:
            self._knots[0] = _smooth(sample, low, high, shape)
        else:
            scores, values = self._knots[0]
            self._knots[0] = (scores, np.clip(values, low, high))
        places = np.column_stack(
            [np.interp(column, values, scores) for column, (scores, values) in zip(columns, self._knots, strict=True)]
        )
        center = np.average(places, axis=0, weights=sample.weights)
        spread = np.sqrt(np.average((places - center) ** 2, axis=0, weights=sample.weights))
        shrink = 1 / np.sqrt(1 + self.bandwidth**2)
        # drawn in towards the mean and counted in steps of the grid, once for all draws
        step = 2 * _REACH / _GRID
        self._places = ((center + shrink * (places - center) + _REACH) / step).astype(np.float32)
        self._kernel = (shrink * self.bandwidth * spread / step).astype(np.float32)
        self._offsets = (np.arange(places.shape[1]) * (_GRID + 1)).astype(np.int32)
        grid = np.linspace(-_REACH, _REACH, _GRID + 1)
        self._table = np.concatenate([np.interp(grid, scores, values) for scores, values in self._knots])

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Draw `count` events: shape (count, 1 + features), the mass first."""
        position = self._places[_pick(rng, count, len(self._places), self._cumulative)]
        noise = rng.standard_normal(position.shape, dtype=np.float32)
        noise *= self._kernel
        position += noise
        np.clip(position, 0.0, _GRID - 0.01, out=position)
        # back to values: linear between the points of an even grid, which needs no search
        index = position.astype(np.int32)
        position -= index
        index += self._offsets
        low = self._table.take(index)
        index += 1
        position *= self._table.take(index) - low
        return np.asarray(position + low, dtype=np.float64)

    def digest(self) -> str:
        """Return a hash of all that the draws depend on but the random numbers."""
        return _digest(f"kde {self.bandwidth!r}", self._places, self._kernel, self._cumulative, self._table)


def make_sampler(
    kind: str,
    sample: Sample,
    low: float,
    high: float,
    *,
    bandwidth: float | None = None,
    shape: Background | None = None,
) -> Sampler:
    """Make a sampler by its name.

    Raises
    ------
    ConfigError
        If there is no such sampler.
    """
    if kind == "kde":
        return Kde(sample, low, high, bandwidth=bandwidth, shape=shape)
    if kind == "bootstrap":
        return Bootstrap(sample.between(low, high))
    msg = f"there is no sampler {kind!r}; there are kde and bootstrap."
    raise ConfigError(msg)


def compare_columns(
    drawn: Array, sample: Sample, *, bins: int = 40, units: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Histograms of drawn and simulated events, for the plots of one against the other.

    Parameters
    ----------
    drawn : array of shape (events, 1 + features)
        What `Sampler.draw` returned.
    sample
        The simulated events, in the same mass range.
    bins
        Bins of each histogram, over the simulated events' range.
    units
        Unit of each column by name; of the mass, GeV where left out.

    Returns
    -------
    list of dict
        One a column: name, edges, simulated and drawn densities, their absolute difference, and the
        statistical error of the difference (events drawn and simulated are both finite).
    """
    weights = np.ones_like(sample.mass) if sample.weights is None else sample.weights
    result = []
    columns = [sample.mass, *sample.features.T]
    for index, (name, column) in enumerate(zip(("mass", *sample.names), columns, strict=True)):
        edges = np.linspace(column.min(), column.max(), bins + 1)
        width = np.diff(edges)
        simulated, _ = np.histogram(column, edges, weights=weights)
        squares, _ = np.histogram(column, edges, weights=weights**2)
        made, _ = np.histogram(drawn[:, index], edges)
        error = np.sqrt(squares / weights.sum() ** 2 + made / len(drawn) ** 2) / width
        one, two = simulated / weights.sum() / width, made / len(drawn) / width
        result.append(
            {
                "name": name,
                "unit": {"mass": "GeV", **(units or {})}.get(name, ""),
                "edges": edges.tolist(),
                "simulated": one.tolist(),
                "drawn": two.tolist(),
                "difference": np.abs(two - one).tolist(),
                "error": error.tolist(),
            }
        )
    return result


def _cumulative(sample: Sample) -> Array | None:
    if sample.weights is None:
        return None
    total = np.cumsum(sample.weights)
    return np.asarray(total / total[-1])


def _pick(rng: np.random.Generator, count: int, events: int, cumulative: Array | None) -> NDArray[np.int64]:
    if cumulative is None:
        return rng.integers(0, events, size=count)
    found = np.searchsorted(cumulative, rng.random(count), side="right")
    return np.asarray(np.minimum(found, events - 1), dtype=np.int64)


def _quantiles(column: Array, weights: Array | None, name: str) -> tuple[Array, Array]:
    """Return normal scores and values of a column's quantiles, from its smallest to its largest value."""
    order = np.argsort(column, kind="stable")
    weight = np.ones_like(column) if weights is None else weights
    cumulative = np.cumsum(weight[order])
    position = (cumulative - 0.5 * weight[order]) / cumulative[-1]
    count = min(_KNOTS, len(column))
    probability = (np.arange(count) + 0.5) / count
    values = np.interp(probability, position, column[order])
    values[0], values[-1] = column[order[0]], column[order[-1]]
    if values[0] == values[-1]:
        msg = f"the feature {name} is {values[0]:g} in every event; leave it out."
        raise EventError(msg)
    # np.interp needs rising values to invert; of equal ones (whole numbers) the spacing is far below any
    # difference
    scale = np.spacing(np.abs(values).max()) * 4
    return ndtri(probability), values + scale * np.arange(count)


def _smooth(sample: Sample, low: float, high: float, shape: Background) -> tuple[Array, Array]:
    """Return normal scores and values of the mass's fitted distribution."""
    spectrum = Spectrum.fill(sample.mass, np.linspace(low, high, _MASS_BINS + 1), sample.weights)
    fit = fit_background(spectrum, shape, cost="poisson_mc" if sample.weights is not None else "poisson")
    edges = np.linspace(low, high, _MASS_KNOTS + 1)
    density = fit.density(0.5 * (edges[1:] + edges[:-1]))
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    cumulative /= cumulative[-1]
    # the ends have scores of infinity: stop half a knot short
    tip = 0.5 / _MASS_KNOTS
    return ndtri(np.clip(cumulative, tip * cumulative[1], 1 - tip * (1 - cumulative[-2]))), edges


def _digest(kind: str, *arrays: Array | None) -> str:
    found = hashlib.sha256(kind.encode())
    for array in arrays:
        found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
