"""Smooth background shapes, each normalised on the range that is fitted.

Every shape is, on a range, a sum of fixed functions of the observable (`linear`: polynomials) or the
exponential of one (`log`: the exponential family). So a fit needs only the functions' values at a few
points of each bin: bin integrals, gradients and second derivatives follow, and thousands of fits share one
table. Within a fit the functions are made orthonormal on the range, as powers of x or of log(x) are nearly
parallel on a narrow one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import comb

from colonnade.errors import ConfigError, nearest

Array = NDArray[np.float64]
Bends = Callable[[Array], Array]
S = TypeVar("S")

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
    """

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

    def to_dict(self) -> dict[str, Any]:
        """Return name and options as plain data, which `background` takes."""
        name = next(name for name, shape in _SHAPES.items() if type(self) is shape)
        return {"name": name, **vars(self)}

    @abstractmethod
    def functions(self, x: Array, low: float, high: float) -> Array:
        """Values of the fixed functions at x: shape x.shape + (parameters + 1,), the constant first."""


@dataclass(frozen=True)
class Exponential(Background):
    """exp(-c1 x)."""

    kind = "log"
    names = ("c1",)
    label = "exponential"

    def functions(self, x: Array, low: float, high: float) -> Array:  # noqa: ARG002
        """1 and -x."""
        return np.stack([np.ones_like(x), -x], axis=-1)


@dataclass(frozen=True)
class QuadraticExponential(Background):
    """exp(-c1 x + c2 x^2)."""

    kind = "log"
    names = ("c1", "c2")
    label = "exponential with quadratic"

    def functions(self, x: Array, low: float, high: float) -> Array:  # noqa: ARG002
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


_SHAPES: dict[str, Callable[..., Background]] = {
    "exponential": Exponential,
    "quadratic_exponential": QuadraticExponential,
    "poly_log_exponential": PolyLogExponential,
    "polynomial": Polynomial,
    "bernstein": Bernstein,
}


def background(name: str, **options: float) -> Background:
    """Make a background shape by the name that a workflow uses.

    Parameters
    ----------
    name
        One of exponential, quadratic_exponential, poly_log_exponential, polynomial, bernstein.
    **options
        `order` of the polynomials, `sqrt_s` of the poly-log-exponential.

    Raises
    ------
    ConfigError
        If there is no such shape or option.

    Examples
    --------
    >>> background("polynomial", order=3)
    Polynomial(order=3)
    """
    return make_shape(_SHAPES, "background shape", name, options)


def make_shape(shapes: Mapping[str, Callable[..., S]], what: str, name: str, options: Mapping[str, float]) -> S:
    """Make one of several shapes by its name.

    Raises
    ------
    ConfigError
        If there is no such shape or option.
    """
    if name not in shapes:
        msg = f"there is no {what} {name!r}{nearest(name, shapes)}; there are {', '.join(shapes)}."
        raise ConfigError(msg)
    try:
        return shapes[name](**options)
    except TypeError as error:
        msg = f"the {what} {name} takes no such options: {', '.join(options)}."
        raise ConfigError(msg) from error


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
            return coefficients @ self._functions.T, gradient, lambda slope: np.zeros((len(slope), 0, 0))
        with np.errstate(over="ignore"):
            density = np.exp(coefficients @ self._functions.T) * self._weights.ravel()
        nodes = density.reshape(len(coefficients), self.bins, -1)
        functions = self._functions.reshape(self.bins, -1, self.parameters)
        # one small matrix product a bin
        with np.errstate(invalid="ignore", over="ignore"):
            gradient = np.matmul(nodes.transpose(1, 0, 2), functions).transpose(1, 0, 2)

        def bends(slope: Array) -> Array:
            weighted = density * np.repeat(slope, self._weights.shape[1], axis=1)
            return np.asarray((weighted @ self._pairs).reshape(len(slope), self.parameters, self.parameters))

        return nodes.sum(axis=2), gradient, bends

    def content(self, coefficients: Array) -> Array:
        """Return expected contents, shape (rows, bins)."""
        if self.shape.kind == "linear":
            return np.asarray(coefficients @ self._functions.T)
        density = np.exp(coefficients @ self._functions.T) * self._weights.ravel()
        return np.asarray(density.reshape(len(coefficients), self.bins, -1).sum(axis=2))

    def start(self, counts: Array, used: NDArray[np.bool_]) -> Array:
        """Guess coefficients from contents of shape (rows, bins), by weighted least squares.

        For `log` the logarithm of the contents is fitted, each bin weighted by its content; for `linear` the
        contents, each bin weighted by the inverse of the mean content.
        """
        counts = counts[:, used]
        if self.shape.kind == "linear":
            design = self._functions[used]
            coefficients = counts @ np.linalg.pinv(design).T
            if self.shape.bounded:
                floor = 1e-3 * np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
                coefficients = np.maximum(coefficients, floor)
            content = coefficients @ self._functions.T
            bad = (content <= 0).any(axis=1)
            flat = np.zeros_like(coefficients)
            flat[:, 0] = 1.0
            if self.shape.bounded:
                flat[:] = 1.0
            flat *= (counts.sum(axis=1) / (flat @ design.T).sum(axis=1))[:, None]
            return np.where(bad[:, None], flat, coefficients)
        # a bin's functions at its weighted mean node; the floor keeps empty bins in, with little say
        mean = np.einsum("kq,kqp->kp", self._weights, self._functions.reshape(self.bins, -1, self.parameters))
        width = self._weights.sum(axis=1)
        design = (mean / width[:, None])[used]
        floor = np.maximum(0.5 * counts.sum(axis=1, keepdims=True) / counts.shape[1], 1e-12)
        floor = np.minimum(floor, 0.5) if counts.max(initial=0) >= 1 else floor
        content = np.maximum(counts, floor)
        target = np.log(content / width[used])
        weight = content
        normal = np.einsum("tk,ki,kj->tij", weight, design, design)
        ridge = 1e-9 * np.einsum("tii->t", normal)[:, None, None] * np.eye(self.parameters)
        moment = np.einsum("tk,ki->ti", weight * target, design)
        return np.asarray(np.linalg.solve(normal + ridge, moment[..., None])[..., 0])

    def natural(self, coefficients: Array) -> tuple[Array, Array]:
        """Return the reported parameters (yield, then the shape's) of one fit, and their derivatives."""
        raw = np.linalg.solve(self._triangle, coefficients)
        jacobian = np.eye(self.parameters)
        if self.shape.kind == "log":
            # gradient of the yield with respect to the raw coefficients, whose first function is 1
            content = self.expect(coefficients[None])[1][0].sum(axis=0) @ self._triangle
            jacobian[0] = content
            return np.concatenate([content[:1], raw[1:]]), jacobian @ np.linalg.inv(self._triangle)
        # each coefficient over the yield; a polynomial's constant says nothing beyond the yield
        content = self._functions.sum(axis=0)
        total = content @ raw
        first = self.parameters - len(self.shape.names)
        fractions = ((jacobian - np.outer(raw, content) / total) / total)[first:]
        return np.concatenate([[total], raw[first:] / total]), np.concatenate([content[None], fractions])

    def density(self, coefficients: Array, x: Array) -> Array:
        """Events per unit of the observable at x, for the coefficients of one fit."""
        values = self.shape.functions(np.asarray(x, dtype=np.float64), self.low, self.high)
        raw = values @ np.linalg.solve(self._triangle, coefficients)
        return np.asarray(np.exp(raw) if self.shape.kind == "log" else raw)
