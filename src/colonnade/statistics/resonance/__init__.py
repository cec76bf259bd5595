"""Resonance searches: bumps on smooth backgrounds, in one spectrum or in thousands, and the checks of their fits.

- `Spectrum`: bins with sums of weights, from a `hist.Hist` or a sample
- the background shapes `Exponential`, `QuadraticExponential`, `PolyLogExponential`, `Polynomial`, `Bernstein`
- the signal shapes `Gaussian` and `CrystalBall`
- `fit_backgrounds`, `fit_signals`, `fit_bumps`: many spectra at once, one a row, by Newton's method
- `fit_signal_shape`, `fit_background`, `fit_bump`, `significances`: one spectrum, with a typed result
- `f_test`, `spurious_signal`, `fit_toys`: is the fit right?
- `search_bumps`: all of them for the histograms of a run
"""

from __future__ import annotations

__all__ = [
    "Background",
    "BackgroundFit",
    "BackgroundFits",
    "BackgroundTable",
    "Bernstein",
    "BumpFit",
    "BumpSearch",
    "Bumps",
    "CostName",
    "CrystalBall",
    "Exponential",
    "Gaussian",
    "PolyLogExponential",
    "Polynomial",
    "QuadraticExponential",
    "Signal",
    "SignalFits",
    "SignalShapeFit",
    "Significances",
    "Spectrum",
    "ToyFits",
    "f_test",
    "fit_background",
    "fit_backgrounds",
    "fit_bump",
    "fit_bumps",
    "fit_signal_shape",
    "fit_signals",
    "fit_toys",
    "search_bumps",
    "signed_significance",
    "significances",
    "spurious_signal",
]

from colonnade.statistics.counting import signed_significance
from colonnade.statistics.resonance.backgrounds import (
    Background,
    BackgroundTable,
    Bernstein,
    Exponential,
    PolyLogExponential,
    Polynomial,
    QuadraticExponential,
)
from colonnade.statistics.resonance.batch import (
    BackgroundFits,
    SignalFits,
    fit_backgrounds,
    fit_bumps,
    fit_signals,
)
from colonnade.statistics.resonance.checks import ToyFits, f_test, fit_toys, spurious_signal
from colonnade.statistics.resonance.fits import fit_background, fit_bump, fit_signal_shape, significances
from colonnade.statistics.resonance.newton import CostName
from colonnade.statistics.resonance.results import BackgroundFit, BumpFit, SignalShapeFit, Significances
from colonnade.statistics.resonance.search import Bumps, BumpSearch, search_bumps
from colonnade.statistics.resonance.signals import CrystalBall, Gaussian, Signal
from colonnade.statistics.resonance.spectrum import Spectrum
