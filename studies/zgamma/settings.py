"""What a study by pseudo-experiments is told."""

from __future__ import annotations

__all__ = ["PseudoExperimentSettings", "StudySettings"]

from typing import Annotated, Literal

from pydantic import Field, model_validator

from colonnade.config import Settings
from colonnade.statistics.resonance import Exponential, PolyLogExponential, Polynomial, QuadraticExponential
from colonnade.statistics.resonance.backgrounds import AnyBackground
from studies.zgamma.ensemble import EnsembleSettings

Fraction = Annotated[float, Field(ge=0, lt=1)]


class PseudoExperimentSettings(Settings):
    """One pseudo-experiment: draw, train, scan, fit.

    Attributes
    ----------
    events : int
        Events in each, all in the mass range.
    low, high : float
        The mass range, GeV.
    window : tuple of float
        Mass window; its events are sample 1, the others of the range (the sidebands) sample 0. The fit of the
        background sees the sidebands only, and N_s and N_b are counted in the window.
    bins : int
        Bins of the fits.
    mean, sigma : float
        Position and width of the Gaussian signal, GeV.
    background : Background
        The background of the fits.
    rejections : tuple of float
        Fractions of sideband events that each cut on the response rejects.
    sampler : {'kde', 'bootstrap'}
        How events are drawn.
    bandwidth : float, optional
        Of the kernel density estimate, in normal scores; Scott's rule where left out.
    smooth_mass : bool
        Whether the drawn masses follow the background shape fitted to the simulation.
    network : EnsembleSettings
        The network of an experiment.
    balance : bool
        Whether both samples weigh the same in the training.
    folds : int
        With 1 a network scores the events it was trained on, as published; with k it is
        trained k times, each on the events outside one k-th and scoring that one.
    free_background : bool
        Whether each cut is also fitted with the background free, which costs half as much again.
    seed : int
        Experiment i draws all its random numbers from this seed and i.
    block : int
        Experiments worked on together; the unit of saving.
    """

    events: Annotated[int, Field(ge=10)] = 8192
    low: float = 132.0
    high: float = 168.0
    window: tuple[float, float] = (144.0, 156.0)
    bins: Annotated[int, Field(ge=3)] = 36
    mean: float = 150.0
    sigma: Annotated[float, Field(gt=0)] = 2.4
    background: AnyBackground = PolyLogExponential()
    rejections: Annotated[tuple[Fraction, ...], Field(min_length=1)] = tuple(
        round(0.05 * index, 2) for index in range(20)
    )
    sampler: Literal["kde", "bootstrap"] = "kde"
    bandwidth: Annotated[float, Field(gt=0)] | None = None
    smooth_mass: bool = True
    network: EnsembleSettings = EnsembleSettings()
    balance: bool = True
    folds: Annotated[int, Field(ge=1)] = 1
    free_background: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    block: Annotated[int, Field(ge=1)] = 32

    @model_validator(mode="after")
    def _consistent(self) -> PseudoExperimentSettings:
        if not self.low < self.window[0] < self.window[1] < self.high:
            msg = f"the window {self.window[0]:g} to {self.window[1]:g} must lie inside {self.low:g} to {self.high:g}"
            raise ValueError(msg)
        if not self.low < self.mean < self.high:
            msg = f"the mean {self.mean:g} must lie inside {self.low:g} to {self.high:g}"
            raise ValueError(msg)
        if self.events % self.folds:
            msg = f"events = {self.events} must be divisible by folds = {self.folds}"
            raise ValueError(msg)
        if list(self.rejections) != sorted(set(self.rejections)):
            msg = "rejections must rise"
            raise ValueError(msg)
        return self


class StudySettings(Settings):
    """What a study is told.

    Attributes
    ----------
    model : str
        The model file, from which features and network are taken.
    processes : tuple of str
        Background processes to draw events from.
    region : str
        The region whose events are drawn.
    observable : str
        The mass.
    experiments : int
        How many.
    sigmas : tuple of float
        Significances at which the size of the fake signal is given, as far as the experiments reach.
    shapes : tuple of Background
        Background forms to compare on the simulation (four in the publication).
    experiment : PseudoExperimentSettings
        One pseudo-experiment; its network is the model's.
    device : str
        Where networks are trained, `cpu` or `cuda`.
    """

    model: str
    processes: Annotated[tuple[str, ...], Field(min_length=1)]
    region: str
    observable: str
    experiments: Annotated[int, Field(ge=2)] = 10_000
    sigmas: tuple[float, ...] = (1.0, 2.0, 3.0)
    shapes: tuple[AnyBackground, ...] = (
        Exponential(),
        QuadraticExponential(),
        Polynomial(2),
        PolyLogExponential(),
    )
    experiment: PseudoExperimentSettings = PseudoExperimentSettings()
    device: str = "cpu"
