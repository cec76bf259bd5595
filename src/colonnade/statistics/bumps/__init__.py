"""Bump fits: smooth backgrounds, peaks, costs, fits of one spectrum or of thousands, and the checks of a fit.

========================== ================================================================================
`Spectrum`                 bins with sums of weights, from a `hist.Hist` or a sample
`background`, the shapes   Exponential, QuadraticExponential, PolyLogExponential, Polynomial, Bernstein
`Gaussian`, `CrystalBall`  the peaks
`fit_background`, ...      one spectrum, by iminuit
`fit_backgrounds`, ...     many spectra at once, by Newton's method: the same minima, some hundred times
faster `f_test`, ...              the order of the background, spurious signal, closure, Wilks
==========================
================================================================================
"""

from __future__ import annotations

__all__ = [
    "BackgroundFit",
    "BackgroundFits",
    "BackgroundTable",
    "Bernstein",
    "BothSignificances",
    "BumpFit",
    "BumpFits",
    "CrystalBall",
    "Exponential",
    "Gaussian",
    "PolyLogExponential",
    "Polynomial",
    "QuadraticExponential",
    "SignalFit",
    "SignalFits",
    "Spectrum",
    "background",
    "check_wilks",
    "closure",
    "f_test",
    "fit_background",
    "fit_backgrounds",
    "fit_bump",
    "fit_bumps",
    "fit_signal",
    "fit_signals",
    "signed_significance",
    "significances",
    "spurious_signal",
]

from colonnade.statistics.bumps.backgrounds import (
    Bernstein,
    Exponential,
    PolyLogExponential,
    Polynomial,
    QuadraticExponential,
    background,
)
from colonnade.statistics.bumps.batch import (
    BackgroundFits,
    BumpFits,
    SignalFits,
    fit_backgrounds,
    fit_bumps,
    fit_signals,
)
from colonnade.statistics.bumps.fits import (
    BothSignificances,
    fit_background,
    fit_bump,
    fit_signal,
    significances,
)
from colonnade.statistics.bumps.results import BackgroundFit, BumpFit, SignalFit
from colonnade.statistics.bumps.signals import CrystalBall, Gaussian
from colonnade.statistics.bumps.significance import signed_significance
from colonnade.statistics.bumps.spectrum import Spectrum
from colonnade.statistics.bumps.table import BackgroundTable
from colonnade.statistics.bumps.validation import check_wilks, closure, f_test, spurious_signal
