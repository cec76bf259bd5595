"""Smooth background shapes, each normalised on the range that is fitted.

Every shape is, on a range, a sum of fixed functions of the observable (`Linear`: polynomials) or the
exponential of one (`LogLinear`: the exponential family). So a fit needs only the functions' values at a few
points of each bin: bin integrals, gradients and second derivatives follow, and thousands of fits share one
table. Within a fit the functions are made orthonormal on the range, as powers of x or of log(x) are nearly
parallel on a narrow one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import comb

from colonnade.errors import ConfigError, nearest

Array = NDArray[np.float64]


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

    @abstractmethod
    def natural(self, coefficients: Array, content: Array) -> tuple[Array, Array]:
        """Turn the functions' coefficients into the parameters that are reported.

        Parameters
        ----------
        coefficients : array of shape (functions,)
            What multiplies each function.
        content : array of shape (functions,)
            For `linear`: integral of each function over the range. For `log`: integral of the density times
            each function, which is the gradient of the yield.

        Returns
        -------
        values : array of shape (1 + parameters,)
            The yield in the range, then the shape's parameters.
        jacobian : array of shape (1 + parameters, functions)
            Their derivatives with respect to the coefficients.
        """


class _LogLinear(Background):
    """exp(a0 + sum of c_i t_i(x)): the yield takes a0's place."""

    kind = "log"

    def natural(self, coefficients: Array, content: Array) -> tuple[Array, Array]:
        # the first function is 1, so the first entry of the content is the yield itself
        jacobian = np.eye(len(coefficients))
        jacobian[0] = content
        return np.concatenate([content[:1], coefficients[1:]]), jacobian


@dataclass(frozen=True)
class Exponential(_LogLinear):
    """exp(-c1 x)."""

    names = ("c1",)
    label = "exponential"

    def functions(self, x: Array, low: float, high: float) -> Array:  # noqa: ARG002
        """1 and -x."""
        return np.stack([np.ones_like(x), -x], axis=-1)


@dataclass(frozen=True)
class QuadraticExponential(_LogLinear):
    """exp(-c1 x + c2 x^2)."""

    names = ("c1", "c2")
    label = "exponential with quadratic"

    def functions(self, x: Array, low: float, high: float) -> Array:  # noqa: ARG002
        """1, -x and x^2."""
        return np.stack([np.ones_like(x), -x, x**2], axis=-1)


@dataclass(frozen=True)
class PolyLogExponential(_LogLinear):
    """(1 - z)^c0 z^(c1 + c2 log z) with z = x / sqrt(s).

    Parameters
    ----------
    sqrt_s : float
        Centre-of-mass energy in the observable's unit; the observable must stay below it.
    """

    sqrt_s: float = 13000.0

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
class Polynomial(Background):
    """A polynomial: (1 + sum of c_i P_i(u)) / width, P_i Legendre's, u running from -1 to 1 over the range.

    Any polynomial is of this form; its coefficients correlate less than those of the powers of x.

    Parameters
    ----------
    order : int
        Degree, 0 or more .
    """

    kind = "linear"
    order: int = 2

    def __post_init__(self) -> None:
        """Check the order."""
        _check_order(self.label, self.order, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shape's parameters."""
        return tuple(f"c{index}" for index in range(1, self.order + 1))

    def functions(self, x: Array, low: float, high: float) -> Array:
        """Legendre polynomials of the position in the range, over its width."""
        u = (2 * x - low - high) / (high - low)
        return np.asarray(legendre.legvander(u, self.order) / (high - low), dtype=np.float64)

    def natural(self, coefficients: Array, content: Array) -> tuple[Array, Array]:
        """Yield, then the coefficients over the yield."""
        # only the constant has an integral over the range, so the first coefficient is the yield
        del content
        total = coefficients[0]
        jacobian = np.eye(len(coefficients)) / total
        jacobian[0, 0] = 1.0
        jacobian[1:, 0] = -coefficients[1:] / total**2
        return np.concatenate([coefficients[:1], coefficients[1:] / total]), jacobian

    @property
    def label(self) -> str:
        """Short name for tables and legends."""
        return f"polynomial ({self.order})"


@dataclass(frozen=True)
class Bernstein(Background):
    """A polynomial that can't be negative: sum of f_i B_i(u), f_i >= 0, B_i Bernstein's of one order.

    Parameters
    ----------
    order : int
        Degree, 1 or more; it has order + 1 fractions, which sum to one.
    """

    kind = "linear"
    bounded = True
    order: int = 3

    def __post_init__(self) -> None:
        """Check the order."""
        _check_order(self.label, self.order, 1)

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

    def natural(self, coefficients: Array, content: Array) -> tuple[Array, Array]:
        """Yield, then the fraction of each term."""
        del content
        total = coefficients.sum()
        count = len(coefficients)
        jacobian = np.ones((count + 1, count))
        jacobian[1:] = (np.eye(count) - (coefficients / total)[:, None]) / total
        return np.concatenate([[total], coefficients / total]), jacobian

    @property
    def label(self) -> str:
        """Short name for tables and legends."""
        return f"Bernstein ({self.order})"


def _check_order(label: str, order: int, least: int) -> None:
    if not least <= order <= 12:
        msg = f"a background {label} is not possible: its order must be {least} to 12."
        raise ConfigError(msg)


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
    if name not in _SHAPES:
        msg = f"there is no background shape {name!r}{nearest(name, _SHAPES)}; there are {', '.join(_SHAPES)}."
        raise ConfigError(msg)
    try:
        return _SHAPES[name](**options)
    except TypeError as error:
        msg = f"the background shape {name} takes no such options: {', '.join(options)}."
        raise ConfigError(msg) from error
