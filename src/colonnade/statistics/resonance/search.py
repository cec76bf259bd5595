"""The bump fits of a run: what its workflow says, and from its histograms to one typed result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from colonnade.config import Settings
from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.resonance.backgrounds import AnyBackground, Background, Bernstein, Polynomial
from colonnade.statistics.resonance.checks import FTest, ToyFits, f_test, fit_toys, spurious_signal
from colonnade.statistics.resonance.fits import fit_background, fit_bump, fit_signal_shape, significances
from colonnade.statistics.resonance.results import (
    BackgroundFit,
    BumpFit,
    Goodness,
    Parameter,
    Record,
    SignalShapeFit,
    Significances,
)
from colonnade.statistics.resonance.signals import CrystalBall, Gaussian, Signal
from colonnade.statistics.resonance.spectrum import Spectrum
from colonnade.statistics.templates import matching

Histograms = Mapping[str, Mapping[str, Any]]


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        msg = "it must be a lower and a higher mass"
        raise ValueError(msg)
    return pair


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
        return (Gaussian if self.shape == "gaussian" else CrystalBall)(self.mean, self.sigma)


class BumpFitSettings(Settings):
    """A bump looked for in one histogram of one region.

    Attributes
    ----------
    region, histogram : str
        Which spectrum.
    range : tuple of float
        Fit range, GeV; whole bins within it are fitted.
    signal : str
        The signal process.
    backgrounds : tuple of str
        Names or globs of the background processes.
    background : Background
        The shape that is fitted.
    alternatives : tuple of Background
        Other shapes to compare it with; polynomials of the kind of the background are put to an F-test.
    signal_shape : SignalShapeSettings
    window : tuple of float, optional
        Where N_s and N_b are counted, and what a blinded fit leaves out; two widths about the mean where left out.
    toys : int
        Toys with the signal, and as many without; 0 for none.
    """

    region: str
    histogram: str
    range: Annotated[tuple[float, float], AfterValidator(_rising)]
    signal: str
    backgrounds: tuple[str, ...] = ("*",)
    background: AnyBackground
    alternatives: tuple[AnyBackground, ...] = ()
    signal_shape: SignalShapeSettings
    window: Annotated[tuple[float, float], AfterValidator(_rising)] | None = None
    toys: Annotated[int, Field(ge=0)] = 1000


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


class BumpSearch(Record):
    """A bump looked for in one histogram of one region.

    Attributes
    ----------
    region, histogram : str
        Which spectrum.
    range : tuple of float
        The fit range.
    signal : str
        The signal process.
    backgrounds : tuple of str
        The background processes.
    signal_events, background_events : float
        Expected events in the region, inside the range or not.
    signal_only : SignalShapeFit or None
        The signal's shape fitted to the signal alone; None where it was given.
    background_only : BackgroundFit
        The background's shape fitted to the background alone.
    alternatives : dict of str to Goodness or str
        Goodness of fit of the shape and of others on the same background, by label; where a fit did not converge,
        why not.
    f_test : FTest or None
        Of the shape and others of its kind, of rising orders, where it is a polynomial and there are others.
    both : Significances
        Fits of the sum of background and signal.
    closure, wilks : ToyFits or None
        Fits of toys with the expected signal and without; None where none were asked for.
    spurious_signal : Parameter
        Signal events that a fit finds on background alone.
    sidebands : BackgroundFit or None
        The background fitted to the data outside the window; None without data.
    data : BumpFit or None
        The fit to all data; None without data or while they are blinded.
    """

    region: str
    histogram: str
    range: tuple[float, float]
    signal: str
    backgrounds: tuple[str, ...]
    signal_events: float
    background_events: float
    signal_only: SignalShapeFit | None
    background_only: BackgroundFit
    alternatives: dict[str, Goodness | str]
    f_test: FTest | None
    both: Significances
    closure: ToyFits | None
    wilks: ToyFits | None
    spurious_signal: Parameter
    sidebands: BackgroundFit | None
    data: BumpFit | None


class Bumps(Record):
    """The bump fits of a run.

    Attributes
    ----------
    luminosity : float
        fb^-1.
    blinded : bool
        Whether the data inside the windows were left out.
    fits : dict of str to BumpSearch
        By name.
    """

    luminosity: float
    blinded: bool
    fits: dict[str, BumpSearch]


def search_bumps(
    histograms: Histograms,
    settings: BumpSettings,
    *,
    kinds: Mapping[str, str],
    luminosity: float,
    unblind: bool = False,
) -> Bumps:
    """Fit the bumps that a workflow asks for.

    For each: the signal's shape fitted to the signal alone, the background's shape and its alternatives to the
    background alone, both to their sum (with the statistics of the simulation and at the luminosity), the checks
    of the fit, and, where there are data, the sideband fit and, unblinded, the fit to the data.

    Parameters
    ----------
    histograms
        Name -> process -> `hist.Hist` with axes region, variation and the mass, scaled to the luminosity.
    settings
        What to fit.
    kinds
        Process -> data, background or signal.
    luminosity
        fb^-1, for the record.
    unblind
        Whether data are looked at inside the window.

    Raises
    ------
    ConfigError
        If a histogram, region or process does not exist.
    FitError
        If a fit fails; the message names it.
    """
    found = {}
    for number, (name, fit) in enumerate(settings.fits.items()):
        try:
            spectra = _Spectra(histograms, kinds, fit)
            found[name] = _one(spectra, fit, np.random.default_rng([settings.seed, number]), unblind=unblind)
        except FitError as error:
            msg = f"The bump fit {name} (region {fit.region}): {error}"
            raise FitError(msg) from error
    return Bumps(luminosity=luminosity, blinded=not unblind, fits=found)


class _Spectra:
    """The spectra of one fit, by process."""

    def __init__(self, histograms: Histograms, kinds: Mapping[str, str], fit: BumpFitSettings) -> None:
        _check_known("histogram", fit.histogram, histograms)
        self._filled, self._kinds, self._fit = histograms[fit.histogram], kinds, fit

    def of(self, processes: Sequence[str]) -> Spectrum:
        """Sum of processes in the region."""
        where, region = self._fit.histogram, self._fit.region
        if not processes:
            msg = f"bump fits: no process to take {where} from in {region}; name backgrounds of the workflow."
            raise ConfigError(msg)
        for process in processes:
            _check_known(f"region of {where}", region, list(self._filled[process].axes["region"]))
        total = sum(self._filled[process][{"region": region, "variation": "nominal"}] for process in processes)
        return Spectrum.from_hist(total)

    def processes(self, kind: str, patterns: Sequence[str] = ("*",)) -> list[str]:
        """Names of the processes of a kind that match; each pattern must match one."""
        known = [name for name in self._filled if self._kinds.get(name) == kind]
        return matching(patterns, known, f"bump fits: the {kind} processes")


def _check_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        msg = f"bump fits: there is no {what} {name!r}{nearest(name, known)}."
        raise ConfigError(msg)


def _one(spectra: _Spectra, fit: BumpFitSettings, rng: np.random.Generator, *, unblind: bool) -> BumpSearch:
    backgrounds = spectra.processes("background", fit.backgrounds)
    whole_signal = spectra.of(spectra.processes("signal", (fit.signal,)))
    whole_background = spectra.of(backgrounds)
    alone, background = whole_signal.between(*fit.range), whole_background.between(*fit.range)
    signal, shape = fit.signal_shape.make(), fit.background
    signal_only = None
    if fit.signal_shape.fit:
        # by the weighted chi-squared, as the background; in a likelihood the few events far out would outweigh the core
        signal_only = fit_signal_shape(alone, signal, cost="chi2")
        signal = signal_only.signal
    window = fit.window or signal.window(background.low, background.high)
    merged = background.merged()
    shapes = [shape, *fit.alternatives]
    both = significances(background + alone, shape, signal, window=window)
    # toys at the luminosity: does an injected signal come back, and does Wilks' theorem hold
    expected, injected = both.luminosity.background.expected, float(alone.values.sum())
    closure, wilks = (
        fit_toys(expected, size, shape, signal, background.edges, rng=rng, toys=fit.toys) if fit.toys else None
        for size in (injected, 0.0)
    )
    names = spectra.processes("data")
    data = spectra.of(names).between(*fit.range) if names else None
    if data is not None and not data.values.any():
        data = None  # a blinded signal region holds none
    return BumpSearch(
        region=fit.region,
        histogram=fit.histogram,
        range=fit.range,
        signal=fit.signal,
        backgrounds=tuple(backgrounds),
        signal_events=float(whole_signal.values.sum()),
        background_events=float(whole_background.values.sum()),
        signal_only=signal_only,
        background_only=fit_background(merged, shape, cost="chi2"),
        alternatives={each.label: _goodness(merged, each) for each in shapes},
        f_test=_f_test(merged, shape, shapes),
        both=both,
        closure=closure,
        wilks=wilks,
        spurious_signal=spurious_signal(background, shape, signal),
        sidebands=None if data is None else fit_background(data, shape, blind=window),
        data=None if data is None or not unblind else fit_bump(data, shape, signal, window=window),
    )


def _goodness(background: Spectrum, shape: Background) -> Goodness | str:
    """Return the goodness of a fit to the background alone, or why it failed."""
    try:
        return fit_background(background, shape, cost="chi2").goodness
    except FitError as error:
        return str(error)


def _f_test(background: Spectrum, shape: Background, shapes: Sequence[Background]) -> FTest | None:
    """Test the polynomials of rising order, of the kind of the shape."""
    if not isinstance(shape, Polynomial | Bernstein):
        return None
    ladder = sorted({each for each in shapes if isinstance(each, type(shape))}, key=lambda each: each.order)
    return f_test(background, ladder, cost="chi2") if len(ladder) > 1 else None
