"""Smooth background shapes, each normalised on the range that is fitted.

Every shape is, on a range, a sum of fixed functions of the observable (`linear`: polynomials) or the
exponential of one (`log`: the exponential family). So a fit needs only the functions' values at a few
points of each bin: bin integrals, gradients and second derivatives follow, and thousands of fits share one
table. Within a fit the functions are made orthonormal on the range, as powers of x or of log(x) are nearly
parallel on a narrow one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from scipy.special import comb

from colonnade.errors import ConfigError

Array = NDArray[np.float64]
Bends = Callable[[Array], Array]

# Gauss-Legendre points in a bin: four integrate a polynomial of degree 7 exactly; for exp(-x / 100) in bins
# of 20 the relative error is 1e-14
_NODES = 4


@dataclass(frozen=True)
class Background(ABC):
    """A family of densities on a range.

    The density is positive and integrates to one over the range, so that the yield is the number of events in
    it.

    Attributes
    ----------
    kind : {'linear', 'log'}
        Whether the functions sum to the density or to its logarithm.
    bounded : bool
        Whether the coefficients must not be negative.
    shape : str
        Name of the family in workflows and JSON files.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    kind: ClassVar[Literal["linear", "log"]]
    bounded: ClassVar[bool] = False

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the shape's parameters."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Short name for tables and legends."""

    @abstractmethod
    def functions(self, x: Array, low: float, high: float) -> Array:
        """Values of the fixed functions at x: shape x.shape + (parameters + 1,), the constant first."""


@dataclass(frozen=True)
class Exponential(Background):
    """exp(-c1 x)."""

    kind = "log"
    names = ("c1",)
    label = "exponential"
    shape: Literal["exponential"] = "exponential"

    def functions(self, x: Array, low: float, high: float) -> Array:  # noqa: ARG002 - the base class has it
        """1 and -x."""
        return np.stack([np.ones_like(x), -x], axis=-1)


@dataclass(frozen=True)
class QuadraticExponential(Background):
    """exp(-c1 x + c2 x^2)."""

    kind = "log"
    names = ("c1", "c2")
    label = "exponential with quadratic"
    shape: Literal["quadratic_exponential"] = "quadratic_exponential"

    def functions(self, x: Array, low: float, high: float) -> Array:  # noqa: ARG002 - the base class has it
        """1, -x and x^2."""
        return np.stack([np.ones_like(x), -x, x**2], axis=-1)


@dataclass(frozen=True)
class PolyLogExponential(Background):
    """(1 - z)^c0 z^(c1 + c2 log z) with z = x / sqrt(s).

    Parameters
    ----------
    sqrt_s : float
        Centre-of-mass energy in the observable's unit; the observable must stay below it.
    """

    sqrt_s: float = 13000.0
    shape: Literal["poly_log_exponential"] = "poly_log_exponential"

    kind = "log"
    names = ("c0", "c1", "c2")
    label = "poly-log-exponential"

    def functions(self, x: Array, low: float, high: float) -> Array:
        """1, log(1 - z), log z and log(z)^2.

        Raises
        ------
        ConfigError
            If the range is not within (0, sqrt_s).
        """
        if low < 0 or high > self.sqrt_s:
            msg = (
                f"the poly-log-exponential background takes masses between 0 and sqrt(s) = {self.sqrt_s:g}, "
                f"and the range is {low:g} to {high:g}; set sqrt_s in the unit of the mass."
            )
            raise ConfigError(msg)
        z = x / self.sqrt_s
        return np.stack([np.ones_like(z), np.log1p(-z), np.log(z), np.log(z) ** 2], axis=-1)


@dataclass(frozen=True)
class _Ordered(Background):
    """A sum of polynomials up to a degree.

    Attributes
    ----------
    title : str
        What the polynomials are called.
    least : int
        Lowest possible degree.
    order : int
        The degree.
    """

    kind = "linear"
    title: ClassVar[str]
    least: ClassVar[int]
    order: int

    def __post_init__(self) -> None:
        """Check the order."""
        if not self.least <= self.order <= 12:
            msg = f"a background {self.label} is not possible: its order must be {self.least} to 12."
            raise ConfigError(msg)

    @property
    def label(self) -> str:
        """Short name for tables and legends."""
        return f"{self.title} ({self.order})"


@dataclass(frozen=True)
class Polynomial(_Ordered):
    """A polynomial: (1 + sum of c_i P_i(u)) / width, P_i Legendre's, u running from -1 to 1 over the range.

    Any polynomial is of this form; its coefficients correlate less than those of the powers of x.

    Parameters
    ----------
    order : int
        Degree, 0 or more.
    """

    title, least = "polynomial", 0
    order: int = 2
    shape: Literal["polynomial"] = "polynomial"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shape's parameters."""
        return tuple(f"c{index}" for index in range(1, self.order + 1))

    def functions(self, x: Array, low: float, high: float) -> Array:
        """Legendre polynomials of the position in the range, over its width."""
        u = (2 * x - low - high) / (high - low)
        return np.asarray(legendre.legvander(u, self.order) / (high - low), dtype=np.float64)


@dataclass(frozen=True)
class Bernstein(_Ordered):
    """A polynomial that can't be negative: sum of f_i B_i(u), f_i >= 0, B_i Bernstein's of one order.

    Parameters
    ----------
    order : int
        Degree, 1 or more; it has order + 1 fractions, which sum to one.
    """

    title, least = "Bernstein", 1
    bounded = True
    order: int = 3
    shape: Literal["bernstein"] = "bernstein"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shape's parameters."""
        return tuple(f"f{index}" for index in range(self.order + 1))

    def functions(self, x: Array, low: float, high: float) -> Array:
        """Bernstein polynomials, each of integral one over the range."""
        u = ((x - low) / (high - low))[..., None]
        index = np.arange(self.order + 1)
        values = comb(self.order, index) * u**index * (1 - u) ** (self.order - index)
        return np.asarray(values * (self.order + 1) / (high - low), dtype=np.float64)


#: any of the shapes; in a workflow or a JSON file a mapping of `shape`, the family's name, and its options
AnyBackground = Annotated[
    Exponential | QuadraticExponential | PolyLogExponential | Polynomial | Bernstein, Field(discriminator="shape")
]


class BackgroundTable:
    """A shape tabulated on bins.

    Parameters
    ----------
    shape
        The background shape.
    edges : array of shape (bins + 1,)
        The bins; their ends are the range on which the shape is normalised.

    Attributes
    ----------
    parameters : int
        Number of internal coefficients: the yield and the shape's parameters in a form fit for minimising.
    """

    def __init__(self, shape: Background, edges: Array) -> None:
        self.shape = shape
        self.edges = edges
        self.low, self.high = float(edges[0]), float(edges[-1])
        points, point_weights = np.polynomial.legendre.leggauss(_NODES)
        half = 0.5 * np.diff(edges)[:, None]
        nodes = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * points
        self._weights = half * point_weights
        values = shape.functions(nodes, self.low, self.high)
        self.bins, _, self.parameters = values.shape
        if shape.kind == "log":
            flat = values.reshape(-1, self.parameters)
            orthonormal, triangle = np.linalg.qr(flat)
            # scaled so that coefficients are of order one whatever the number of bins
            scale = np.sqrt(len(flat)) * np.sign(np.diag(triangle))
            self._functions = orthonormal * scale
            self._triangle = triangle / scale[:, None]
            self._pairs = np.einsum("xi,xj->xij", self._functions, self._functions).reshape(len(flat), -1)
        else:
            self._triangle = np.eye(self.parameters)
            self._functions = np.einsum("kq,kqp->kp", self._weights, values)

    def expect(self, coefficients: Array) -> tuple[Array, Array, Bends]:
        """Return contents and gradients for coefficients of shape (rows, parameters), and what gives the curvature.

        Their shapes are (rows, bins) and (rows, bins, parameters). The latter takes a slope of shape (rows, bins) and
        sums it times the contents' second derivatives over the bins: (rows, parameters, parameters), or (rows, 0, 0)
        where these are all 0.
        """
        if self.shape.kind == "linear":
            gradient = np.broadcast_to(self._functions, (len(coefficients), *self._functions.shape))
            return coefficients @ self._functions.T, gradient, no_curvature
        density = np.exp(coefficients @ self._functions.T) * self._weights.ravel()
        nodes = density.reshape(len(coefficients), self.bins, _NODES)
        functions = self._functions.reshape(self.bins, _NODES, self.parameters)
        # one small matrix product a bin
        gradient = np.matmul(nodes.transpose(1, 0, 2), functions).transpose(1, 0, 2)

        def bends(slope: Array) -> Array:
            weighted = density * np.repeat(slope, _NODES, axis=1)
            return np.asarray((weighted @ self._pairs).reshape(len(slope), self.parameters, self.parameters))

        return nodes.sum(axis=2), gradient, bends

    def content(self, coefficients: Array) -> Array:
        """Return expected contents, shape (rows, bins)."""
        return self.expect(coefficients)[0]

    def start(self, counts: Array, used: NDArray[np.bool_]) -> Array:
        """Guess coefficients from contents of shape (rows, bins).

        By least squares: for `linear` to the contents, and from a flat spectrum only as far towards what is found as no
        bin loses more than nine tenths; for `log` to the contents' logarithms, each bin weighted by its content.
        """
        widths = np.diff(self.edges)
        total = counts[:, used].sum(axis=1, keepdims=True)
        if self.shape.kind == "linear":
            density = np.maximum(total / widths[used].sum(), 1e-300)
            flat = density * (np.linalg.pinv(self._functions) @ widths)
            change = counts[:, used] @ np.linalg.pinv(self._functions[used]).T - flat
            worst = (-(change @ self._functions.T) / widths).max(axis=1, keepdims=True)
            return np.asarray(flat + 0.9 * density / np.maximum(0.9 * density, worst) * change)
        # the floor keeps empty bins in, with little say
        content = np.maximum(counts, np.clip(0.5 * total / used.sum(), 1e-12, 0.5))
        target = np.repeat(np.log(content / widths), _NODES, axis=1)
        weight = np.repeat(np.where(used, content, 0.0), _NODES, axis=1)
        normal = (weight @ self._pairs).reshape(len(counts), self.parameters, self.parameters)
        ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(self.parameters)
        moment = (weight * target) @ self._functions
        return np.asarray(np.linalg.solve(normal + ridge, moment[..., None])[..., 0])

    def natural(self, coefficients: Array) -> tuple[Array, Array]:
        """Return the reported parameters (yield, then the shape's) of one fit, and their derivatives."""
        content, gradient, _ = self.expect(coefficients[None])
        total, slope = content.sum(), gradient[0].sum(axis=0)
        # a constant says nothing beyond the yield
        first = self.parameters - len(self.shape.names)
        values = np.linalg.solve(self._triangle, coefficients)[first:]
        jacobian = np.linalg.inv(self._triangle)[first:]
        if self.shape.kind == "linear":  # each coefficient over the yield
            values = values / total
            jacobian = (jacobian - np.outer(values, slope)) / total
        return np.concatenate([[total], values]), np.concatenate([slope[None], jacobian])

    def density(self, coefficients: Array, x: Array) -> Array:
        """Events per unit of the observable at x, for the coefficients of one fit."""
        values = self.shape.functions(np.asarray(x, dtype=np.float64), self.low, self.high)
        raw = values @ np.linalg.solve(self._triangle, coefficients)
        return np.asarray(np.exp(raw) if self.shape.kind == "log" else raw)


def no_curvature(slope: Array) -> Array:
    """Return the curvature of contents that are linear in their parameters, as `BackgroundTable.expect` does."""
    return np.zeros((len(slope), 0, 0))
