"""Resonance searches: bumps on smooth backgrounds, in one spectrum or in thousands, and the checks of their fits.

- `Spectrum`: bins with sums of weights, from a `hist.Hist` or a sample
- the background shapes `Exponential`, `QuadraticExponential`, `PolyLogExponential`, `Polynomial`, `Bernstein`
- the signal shapes `Gaussian` and `CrystalBall`
- `fit_backgrounds`, `fit_signals`, `fit_bumps`: many spectra at once, one a row, by Newton's method
- `fit_signal_shape`, `fit_background`, `fit_bump`, `significances`: one spectrum, with a typed result
- `f_test`, `spurious_signal`, `fit_toys`: is the fit right?
- `search_bumps`: all of them for the histograms of a run
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
