"""Bump fits: smooth backgrounds, peaks, costs, fits of one spectrum or of thousands, and the checks of a fit.

- `Spectrum`: bins with sums of weights, from a `hist.Hist` or a sample
- `background` and the shapes `Exponential`, `QuadraticExponential`, `PolyLogExponential`, `Polynomial`, `Bernstein`
- the peaks `Gaussian` and `CrystalBall`
- `fit_background`, `fit_signal`, `fit_bump`, `significances`: one spectrum, by iminuit
- `fit_backgrounds`, `fit_signals`, `fit_bumps`: many at once by Newton's method, to the same minima
- `f_test`, `spurious_signal`, `closure`, `check_wilks`: is the fit right?

Names are loaded when first used, as scipy's statistics are heavy.
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

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOME = {
    "BackgroundFit": "results",
    "BackgroundFits": "batch",
    "BackgroundTable": "table",
    "Bernstein": "backgrounds",
    "BothSignificances": "fits",
    "BumpFit": "results",
    "BumpFits": "batch",
    "CrystalBall": "signals",
    "Exponential": "backgrounds",
    "Gaussian": "signals",
    "PolyLogExponential": "backgrounds",
    "Polynomial": "backgrounds",
    "QuadraticExponential": "backgrounds",
    "SignalFit": "results",
    "SignalFits": "batch",
    "Spectrum": "spectrum",
    "background": "backgrounds",
    "check_wilks": "validation",
    "closure": "validation",
    "f_test": "validation",
    "fit_background": "fits",
    "fit_backgrounds": "batch",
    "fit_bump": "fits",
    "fit_bumps": "batch",
    "fit_signal": "fits",
    "fit_signals": "batch",
    "signed_significance": "significance",
    "significances": "fits",
    "spurious_signal": "validation",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
