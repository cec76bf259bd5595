"""What a bump fit found."""

from __future__ import annotations

__all__ = ["BackgroundFit", "BumpFit", "Goodness", "Parameter", "SignalFit"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from colonnade.statistics.bumps.costs import CostName
from colonnade.statistics.bumps.signals import Signal
from colonnade.statistics.bumps.significance import signed_significance
from colonnade.statistics.bumps.spectrum import Spectrum
from colonnade.statistics.bumps.table import BackgroundTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """One fitted parameter.

    Attributes
    ----------
    name : str
    value, error : float
        Best value, and its standard deviation from the curvature of the cost.
    """

    name: str
    value: float
    error: float


@dataclass(frozen=True)
class Goodness:
    """Goodness of fit.

    Attributes
    ----------
    chi2 : float
        Cost at the minimum, which is distributed as a chi-squared when bins are well filled.
    ndf : int
        Fitted bins minus free parameters.
    p : float
        Probability of a larger value.
    """

    chi2: float
    ndf: int

    @property
    def p(self) -> float:
        """Probability of a larger chi-squared; 1 without degrees of freedom."""
        return float(chi2.sf(self.chi2, self.ndf)) if self.ndf > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {"chi2": self.chi2, "ndf": self.ndf, "p": self.p}


@dataclass(frozen=True, eq=False)
class BackgroundFit:
    """A background shape fitted to a spectrum.

    Attributes
    ----------
    spectrum : Spectrum
        What was fitted.
    table : BackgroundTable
        The shape on its bins.
    used : array of shape (bins,)
        Bins that were fitted (the sidebands of a blinded fit).
    coefficients : array of shape (parameters,)
        Internal coefficients.
    coefficient_covariance : array of shape (parameters, parameters)
        Their covariance.
    goodness : Goodness
    cost : str
        Which cost was minimised.
    """

    spectrum: Spectrum
    table: BackgroundTable
    used: NDArray[np.bool_]
    coefficients: Array
    coefficient_covariance: Array
    goodness: Goodness
    cost: CostName

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The yield in the range, then the shape's parameters."""
        values, _ = self.table.natural(self.coefficients)
        errors = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        names = ("yield", *self.table.shape.names)
        return tuple(Parameter(*each) for each in zip(names, map(float, values), map(float, errors), strict=True))

    @property
    def covariance(self) -> Array:
        """Covariance of `parameters`."""
        _, jacobian = self.table.natural(self.coefficients)
        return np.asarray(jacobian @ self.coefficient_covariance @ jacobian.T)

    @property
    def expected(self) -> Array:
        """Expected events in each bin, the blinded ones included, shape (bins,)."""
        return np.asarray(self.table.content(self.coefficients[None])[0])

    @property
    def pulls(self) -> Array:
        """(content - expectation) / error of each bin; NaN where the error is 0."""
        return _pulls(self.spectrum, self.expected, self.cost)

    def density(self, x: ArrayLike) -> Array:
        """Events per unit of the observable at x: the curve to draw."""
        return self.table.density(self.coefficients, np.asarray(x, dtype=np.float64))

    def events(self, window: tuple[float, float] | None = None) -> Parameter:
        """Count background events in a window (the whole range without one), with the error.

        A bin that the window cuts is shared out by width.
        """
        part = _overlap(self.spectrum.edges, window)
        expectation = self.table.expect(self.coefficients[None])
        slope = part @ expectation.gradient[0]
        error = math.sqrt(max(float(slope @ self.coefficient_covariance @ slope), 0.0))
        return Parameter("N_b", float(part @ expectation.content[0]), error)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "shape": self.table.shape.label,
            "spectrum": self.spectrum.to_dict(),
            "cost": self.cost,
            "parameters": [vars(each) for each in self.parameters],
            "covariance": self.covariance.tolist(),
            "goodness": self.goodness.to_dict(),
            "expected": self.expected.tolist(),
            "used": self.used.tolist(),
            "pulls": _plain(self.pulls),
        }


@dataclass(frozen=True, eq=False)
class SignalFit:
    """A peak fitted to a spectrum of signal alone.

    Attributes
    ----------
    spectrum : Spectrum
        What was fitted.
    signal : Signal
        The peak with its best parameters.
    parameters : tuple of Parameter
        The yield in the range, then the peak's parameters.
    covariance : array of shape (parameters, parameters)
        Their covariance.
    goodness : Goodness
    cost : str
        Which cost was minimised.
    """

    spectrum: Spectrum
    signal: Signal
    parameters: tuple[Parameter, ...]
    covariance: Array
    goodness: Goodness
    cost: CostName

    @property
    def expected(self) -> Array:
        """Expected events in each bin, shape (bins,)."""
        return self.parameters[0].value * self.signal.fractions(self.spectrum.edges)

    @property
    def pulls(self) -> Array:
        """(content - expectation) / error of each bin; NaN where the error is 0."""
        return _pulls(self.spectrum, self.expected, self.cost)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "shape": type(self.signal).__name__,
            "spectrum": self.spectrum.to_dict(),
            "cost": self.cost,
            "parameters": [vars(each) for each in self.parameters],
            "covariance": self.covariance.tolist(),
            "goodness": self.goodness.to_dict(),
            "expected": self.expected.tolist(),
            "pulls": _plain(self.pulls),
        }


@dataclass(frozen=True, eq=False)
class BumpFit:
    """A spectrum fitted without (H0) and with (H1) a signal of fixed shape.

    Attributes
    ----------
    background_only : BackgroundFit
        H0: the background alone. Where the background is frozen, its fit to the sidebands.
    background : BackgroundFit
        The background in H1; the same as H0's where it is frozen.
    signal : Signal
        The peak.
    window : tuple of float
        Where N_s and N_b are counted.
    n_signal_total : Parameter
        Signal events in the whole range, with the error of the fit.
    q : float
        Cost of H0 minus cost of H1, over all bins.
    goodness : Goodness
        Of H1.
    frozen : bool
        Whether the background was held at its sideband fit.
    cost : str
        Which cost was minimised.
    covariance : array
        Of the background's internal coefficients and the signal (last); of the signal alone where frozen.
    """

    background_only: BackgroundFit
    background: BackgroundFit
    signal: Signal
    window: tuple[float, float]
    n_signal_total: Parameter
    q: float
    goodness: Goodness
    frozen: bool
    cost: CostName
    covariance: Array

    @property
    def spectrum(self) -> Spectrum:
        """What was fitted."""
        return self.background.spectrum

    @property
    def expected_signal(self) -> Array:
        """Signal events in each bin, shape (bins,)."""
        return self.n_signal_total.value * self.signal.fractions(self.spectrum.edges)

    @property
    def expected(self) -> Array:
        """Signal and background events in each bin, shape (bins,)."""
        return self.background.expected + self.expected_signal

    @property
    def pulls(self) -> Array:
        """(content - expectation) / error of each bin; NaN where the error is 0."""
        return _pulls(self.spectrum, self.expected, self.cost)

    @property
    def n_signal(self) -> Parameter:
        """Signal events in the window."""
        part = float(_overlap(self.spectrum.edges, self.window) @ self.signal.fractions(self.spectrum.edges))
        return Parameter("N_s", part * self.n_signal_total.value, part * self.n_signal_total.error)

    @property
    def n_background(self) -> Parameter:
        """Background events in the window."""
        return self.background.events(self.window)

    @property
    def q0(self) -> float:
        """The discovery statistic: q for an excess, 0 for a deficit (arXiv:1007.1727, Eq. 12)."""
        return self.q if self.n_signal_total.value > 0 else 0.0

    @property
    def z_wilks(self) -> float:
        """sqrt(q0): the significance of the excess by Wilks' theorem, one degree of freedom."""
        return math.sqrt(self.q0)

    @property
    def z_signed(self) -> float:
        """Square root of q with the sign of the signal."""
        return math.copysign(math.sqrt(self.q), self.n_signal_total.value)

    @property
    def p_value(self) -> float:
        """One-sided local p-value of `z_signed`."""
        return float(norm.sf(self.z_signed))

    @property
    def z_counting(self) -> float:
        """S0's Z of N_s and N_b in the window, signed; it knows no uncertainty of the background."""
        return float(signed_significance(self.n_signal.value, self.n_background.value))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "cost": self.cost,
            "frozen_background": self.frozen,
            "window": list(self.window),
            "signal": {
                "shape": type(self.signal).__name__,
                **dict(zip(self.signal.names, self.signal.values, strict=True)),
            },
            "n_signal_total": vars(self.n_signal_total),
            "n_signal": vars(self.n_signal),
            "n_background": vars(self.n_background),
            "q0": self.q0,
            "z_wilks": self.z_wilks,
            "z_signed": self.z_signed,
            "z_counting": self.z_counting,
            "p_value": self.p_value,
            "goodness": self.goodness.to_dict(),
            "spectrum": self.spectrum.to_dict(),
            "expected_signal": self.expected_signal.tolist(),
            "background_only": self.background_only.to_dict(),
            "background": self.background.to_dict(),
            "pulls": _plain(self.pulls),
        }


def _overlap(edges: Array, window: tuple[float, float] | None) -> Array:
    """Part of each bin that lies in the window."""
    if window is None:
        return np.ones(len(edges) - 1)
    low, high = np.clip(edges[:-1], *window), np.clip(edges[1:], *window)
    return np.asarray((high - low) / np.diff(edges))


def _pulls(spectrum: Spectrum, expected: Array, cost: CostName) -> Array:
    """Return pulls, with the error that the cost gives a bin: sqrt(expected) or sqrt(sum w^2)."""
    variance = np.maximum(expected, 0.0) if cost == "poisson" else spectrum.variances
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, (spectrum.values - expected) / np.sqrt(variance), np.nan)


def _plain(values: Array) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]
