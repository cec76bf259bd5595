"""What the fit of one spectrum found: typed results that go to JSON and come back."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)
from pydantic_core import to_jsonable_python
from scipy.special import chdtrc, ndtr

from colonnade.config import JsonData
from colonnade.statistics.counting import signed_significance
from colonnade.statistics.resonance.backgrounds import AnyBackground, Background, BackgroundTable
from colonnade.statistics.resonance.newton import CostName
from colonnade.statistics.resonance.signals import AnySignal, Signal
from colonnade.statistics.resonance.spectrum import Spectrum

Array = NDArray[np.float64]


def _array(values: Any) -> Array:
    """Return numbers as an array; None, which is how JSON says it, is NaN."""
    return np.asarray(values, dtype=np.float64)


def _plain(values: Array) -> Any:
    """Return an array as nested lists; NaN is None."""
    return np.where(np.isnan(values), None, values).tolist()  # type: ignore[call-overload]  # numpy takes None


def _reading(make: Callable[[Mapping[str, Any]], Any]) -> Callable[[Any], Any]:
    """Return what makes a value of plain data, and takes what is made already as it is."""
    return lambda value: make(value) if isinstance(value, Mapping) else value


def _shape_of(shapes: Any) -> PlainValidator:
    """Read one of several shapes, by its name."""
    return PlainValidator(_reading(lambda value: TypeAdapter(shapes).validate_python(value, strict=False)))


Numbers = Annotated[Array, PlainValidator(_array), PlainSerializer(_plain)]
SpectrumField = Annotated[
    Spectrum, PlainValidator(_reading(lambda value: Spectrum(**value))), PlainSerializer(Spectrum.to_dict)
]
ShapeField = Annotated[Background, _shape_of(AnyBackground), PlainSerializer(vars)]
SignalField = Annotated[Signal, _shape_of(AnySignal), PlainSerializer(vars)]


class Record(JsonData, BaseModel):
    """A frozen result that is written as JSON with the quantities derived from it, and read back without them."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    derived: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _with_derived(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.derived}
        return {**handler(self), **to_jsonable_python(values, fallback=_plain)}


class Parameter(Record):
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


def parameters(names: Iterable[str], values: Array, errors: Array) -> tuple[Parameter, ...]:
    """Return parameters of these names, values and errors."""
    return tuple(
        Parameter(name=name, value=float(value), error=float(error))
        for name, value, error in zip(names, values, errors, strict=True)
    )


class Goodness(Record):
    """Goodness of fit.

    Attributes
    ----------
    chi2 : float
        Cost at the minimum, which is distributed as a chi-squared when bins are well filled.
    ndf : int
        Fitted bins minus free parameters.
    """

    derived = ("p",)
    chi2: float
    ndf: int

    @property
    def p(self) -> float:
        """Probability of a larger chi-squared; 1 without degrees of freedom."""
        return float(chdtrc(self.ndf, self.chi2)) if self.ndf > 0 else 1.0


class _Fit(Record):
    """What every fit of one spectrum has.

    Attributes
    ----------
    spectrum : Spectrum
        What was fitted.
    cost : {'poisson', 'poisson_mc', 'chi2'}
        Which cost was minimised.
    goodness : Goodness
    """

    spectrum: SpectrumField
    cost: CostName
    goodness: Goodness

    @property
    @abstractmethod
    def expected(self) -> Array:
        """Expected events in each bin, shape (bins,)."""

    @property
    def pulls(self) -> Array:
        """(content - expectation) / error of each bin; NaN where the error is 0.

        The error is what the cost gives a bin: the root of the expectation, or of the sum of squared weights.
        """
        expected = self.expected
        variance = np.maximum(expected, 0.0) if self.cost == "poisson" else self.spectrum.variances
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(variance > 0, (self.spectrum.values - expected) / np.sqrt(variance), np.nan)


class BackgroundFit(_Fit):
    """A background shape fitted to a spectrum.

    Attributes
    ----------
    shape : Background
        The shape.
    coefficients : array of shape (parameters,)
        What multiplies the functions of the shape's table (see `BackgroundTable`).
    coefficient_covariance : array of shape (parameters, parameters)
        Their covariance.
    """

    derived = ("label", "parameters", "covariance", "expected", "pulls")
    shape: ShapeField
    coefficients: Numbers
    coefficient_covariance: Numbers

    @cached_property
    def table(self) -> BackgroundTable:
        """The shape on the bins of the spectrum."""
        return BackgroundTable(self.shape, self.spectrum.edges)

    @property
    def label(self) -> str:
        """Short name of the shape."""
        return self.shape.label

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The yield in the range, then the shape's parameters."""
        values, _ = self.table.natural(self.coefficients)
        errors = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        names = ("yield", *self.shape.names)
        return parameters(names, values, errors)

    @property
    def covariance(self) -> Array:
        """Covariance of `parameters`."""
        _, jacobian = self.table.natural(self.coefficients)
        return np.asarray(jacobian @ self.coefficient_covariance @ jacobian.T)

    @property
    def expected(self) -> Array:
        """Expected events in each bin, the blinded ones included, shape (bins,)."""
        return np.asarray(self.table.content(self.coefficients[None])[0])

    def density(self, x: ArrayLike) -> Array:
        """Return events per unit of the observable at x: the curve to draw."""
        return self.table.density(self.coefficients, np.asarray(x, dtype=np.float64))

    def events(self, window: tuple[float, float] | None = None) -> Parameter:
        """Count background events in a window (the whole range without one), with the error.

        A bin that the window cuts is shared out by width.
        """
        part = _overlap(self.spectrum.edges, window)
        content, gradient, _ = self.table.expect(self.coefficients[None])
        slope = part @ gradient[0]
        error = math.sqrt(max(float(slope @ self.coefficient_covariance @ slope), 0.0))
        return Parameter(name="N_b", value=float(part @ content[0]), error=error)


class SignalShapeFit(_Fit):
    """The shape of a signal fitted to a spectrum of signal alone.

    Attributes
    ----------
    signal : Signal
        The shape with its best parameters.
    parameters : tuple of Parameter
        The yield in the range, then the shape's parameters.
    covariance : array of shape (parameters, parameters)
        Their covariance; a parameter at its limit has none.
    """

    derived = ("expected", "pulls")
    signal: SignalField
    parameters: tuple[Parameter, ...]
    covariance: Numbers

    @property
    def expected(self) -> Array:
        """Expected events in each bin, shape (bins,)."""
        return self.parameters[0].value * self.signal.fractions(self.spectrum.edges)


class BumpFit(_Fit):
    """A spectrum fitted without (H0) and with (H1) a signal of fixed shape; `goodness` is that of H1.

    Attributes
    ----------
    background_only : BackgroundFit
        H0: the background alone. Where the background is frozen, its fit to the sidebands.
    background : BackgroundFit
        The background in H1; the same as H0's where it is frozen.
    signal : Signal
        The shape of the signal.
    window : tuple of float
        Where N_s and N_b are counted.
    n_signal_total : Parameter
        Signal events in the whole range, with the error of the fit.
    q : float
        Cost of H0 minus cost of H1, over all bins.
    """

    derived = (
        "n_signal",
        "n_background",
        "q0",
        "z_wilks",
        "z_signed",
        "z_counting",
        "p_value",
        "expected_signal",
        "pulls",
    )
    background_only: BackgroundFit
    background: BackgroundFit
    signal: SignalField
    window: tuple[float, float]
    n_signal_total: Parameter
    q: float

    @property
    def expected_signal(self) -> Array:
        """Signal events in each bin, shape (bins,)."""
        return self.n_signal_total.value * self.signal.fractions(self.spectrum.edges)

    @property
    def expected(self) -> Array:
        """Signal and background events in each bin, shape (bins,)."""
        return self.background.expected + self.expected_signal

    @property
    def n_signal(self) -> Parameter:
        """Signal events in the window."""
        part = float(_overlap(self.spectrum.edges, self.window) @ self.signal.fractions(self.spectrum.edges))
        total = self.n_signal_total
        return Parameter(name="N_s", value=part * total.value, error=part * total.error)

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
        return float(ndtr(-self.z_signed))

    @property
    def z_counting(self) -> float:
        """Signed significance of N_s and N_b in the window; it knows no uncertainty of the background."""
        return float(signed_significance(self.n_signal.value, self.n_background.value))


class Significances(Record):
    """The two questions that a fit to simulated events can answer, side by side.

    Attributes
    ----------
    mc_statistics : BumpFit
        Weighted chi-squared: how well the simulated events, as many as they are, show the signal. It grows with
        the number of simulated events.
    luminosity : BumpFit
        Poisson likelihood of the expected contents: what as much data as the weights stand for would show.
    """

    mc_statistics: BumpFit
    luminosity: BumpFit


def _overlap(edges: Array, window: tuple[float, float] | None) -> Array:
    """Part of each bin that lies in the window."""
    if window is None:
        return np.ones(len(edges) - 1)
    low, high = np.clip(edges[:-1], *window), np.clip(edges[1:], *window)
    return np.asarray((high - low) / np.diff(edges))
