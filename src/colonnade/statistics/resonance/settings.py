"""What the workflow's YAML says about bump fits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from colonnade.config import Settings
from colonnade.statistics.resonance.backgrounds import Background, background
from colonnade.statistics.resonance.signals import Signal, signal_shape


class BackgroundSettings(Settings):
    """A background shape by name.

    Attributes
    ----------
    shape : str
        exponential, quadratic_exponential, poly_log_exponential, polynomial or bernstein.
    order : int, optional
        Of a polynomial.
    sqrt_s : float, optional
        Of the poly-log-exponential, GeV.
    """

    shape: str
    order: int | None = None
    sqrt_s: float | None = None

    @model_validator(mode="after")
    def _known(self) -> BackgroundSettings:
        self.make()
        return self

    def make(self) -> Background:
        """Return the shape.

        Raises
        ------
        ConfigError
            If there is none of this name and options.
        """
        options = {key: value for key in ("order", "sqrt_s") if (value := getattr(self, key)) is not None}
        return background(self.shape, **options)


class SignalShapeSettings(Settings):
    """The signal's shape.

    Attributes
    ----------
    shape : {'gaussian', 'crystal_ball'}
    mean, sigma : float
        GeV; where the fit to simulated signal begins, or the values themselves.
    fit : bool
        Whether the shape is fitted to the simulated signal first, or given.
    """

    shape: Literal["gaussian", "crystal_ball"] = "gaussian"
    mean: float
    sigma: Annotated[float, Field(gt=0)]
    fit: bool = True

    def make(self) -> Signal:
        """Return the shape."""
        return signal_shape(self.shape, mean=self.mean, sigma=self.sigma)


class BumpFitSettings(Settings):
    """A bump looked for in one histogram of one region.

    Attributes
    ----------
    region, histogram : str
        Which spectrum.
    range : tuple of float
        Fit range, GeV; whole bins within it are fitted.
    rebin : int
        Merge so many neighbouring bins.
    signal : str
        The signal process.
    backgrounds : tuple of str
        Names or globs of the background processes.
    background : BackgroundSettings
        The shape that is fitted.
    alternatives : tuple of BackgroundSettings
        Other shapes to compare it with; consecutive polynomials of one kind are put to an F-test.
    signal_shape : SignalShapeSettings
    window : tuple of float, optional
        Where N_s and N_b are counted, and what a blinded fit leaves out; two widths about the mean where left out.
    toys : int
        Toys of the closure test and of the check of Wilks' theorem; 0 for none.
    """

    region: str
    histogram: str
    range: tuple[float, float]
    rebin: Annotated[int, Field(ge=1)] = 1
    signal: str
    backgrounds: tuple[str, ...] = ("*",)
    background: BackgroundSettings
    alternatives: tuple[BackgroundSettings, ...] = ()
    signal_shape: SignalShapeSettings
    window: tuple[float, float] | None = None
    toys: Annotated[int, Field(ge=0)] = 1000

    @model_validator(mode="after")
    def _ordered(self) -> BumpFitSettings:
        for name, pair in (("range", self.range), ("window", self.window)):
            if pair is not None and not pair[0] < pair[1]:
                msg = f"{name} must be a lower and a higher mass"
                raise ValueError(msg)
        return self


class BumpSettings(Settings):
    """The bump fits of a workflow.

    Attributes
    ----------
    fits : dict of str to BumpFitSettings
        By name.
    seed : int
        Of the toys.
    """

    fits: dict[str, BumpFitSettings]
    seed: Annotated[int, Field(ge=0)] = 1
