"""Checks of a bump fit: order of the background, spurious signal, toys with and without signal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc

from colonnade.errors import FitError
from colonnade.statistics.resonance.backgrounds import Background, BackgroundTable
from colonnade.statistics.resonance.batch import fit_bumps
from colonnade.statistics.resonance.fits import fit_background, fit_bump
from colonnade.statistics.resonance.newton import CostName
from colonnade.statistics.resonance.results import Goodness, Numbers, Parameter, Record, ShapeField
from colonnade.statistics.resonance.signals import Signal
from colonnade.statistics.resonance.spectrum import Spectrum

Array = NDArray[np.float64]
_BLOCK = 4096


class FTestStep(Record):
    """One shape of an F-test.

    Attributes
    ----------
    shape : Background
        The shape.
    goodness : Goodness
        Of its fit.
    f, p : float or None
        F statistic of the step from the shape before, and the probability of a larger one if the shape before
        were enough; None for the first.
    """

    shape: ShapeField
    goodness: Goodness
    f: float | None
    p: float | None


class FTest(Record):
    """Nested shapes of growing order.

    Attributes
    ----------
    steps : tuple of FTestStep
        One a shape.
    chosen : int
        Index of the first shape that the next one does not improve on significantly.
    """

    steps: tuple[FTestStep, ...]
    chosen: int


def f_test(
    spectrum: Spectrum,
    shapes: Sequence[Background],
    *,
    cost: CostName = "poisson",
    blind: tuple[float, float] | None = None,
    level: float = 0.05,
) -> FTest:
    r"""Choose the order of the background (R. A. Fisher; see Bevington and Robinson, 3rd ed., section 11.4).

    For nested fits with :math:`\chi^2_1, n_1` and :math:`\chi^2_2, n_2` degrees of freedom
    :math:`F = \frac{(\chi^2_1 - \chi^2_2) / (n_1 - n_2)}{\chi^2_2 / n_2}`.

    Parameters
    ----------
    spectrum, cost, blind
        As for `fit_background`.
    shapes
        Each must hold the one before it as a special case, say polynomials of rising order.
    level
        The next shape is taken while its p-value is below this.

    Raises
    ------
    FitError
        If fewer than two shapes are given, one does not add parameters, or a fit does not converge.
    """
    if len(shapes) < 2:
        msg = "an F-test compares at least two background shapes; give more."
        raise FitError(msg)
    fits = [fit_background(spectrum, shape, cost=cost, blind=blind) for shape in shapes]
    steps = [FTestStep(shape=shapes[0], goodness=fits[0].goodness, f=None, p=None)]
    for before, after in pairwise(fits):
        added = before.goodness.ndf - after.goodness.ndf
        if added <= 0 or after.goodness.ndf <= 0:
            msg = (
                f"the F-test can't step from {before.label} to {after.label}: the second must have more parameters, "
                "and fewer than there are bins."
            )
            raise FitError(msg)
        gain = max(before.goodness.chi2 - after.goodness.chi2, 0.0)
        f = (gain / added) / (after.goodness.chi2 / after.goodness.ndf) if after.goodness.chi2 > 0 else 0.0
        p = float(fdtrc(added, after.goodness.ndf, f))
        steps.append(FTestStep(shape=after.shape, goodness=after.goodness, f=f, p=p))
    chosen = 0
    while chosen + 1 < len(steps) and (steps[chosen + 1].p or 0.0) < level:
        chosen += 1
    return FTest(steps=tuple(steps), chosen=chosen)


def spurious_signal(spectrum: Spectrum, shape: Background, signal: Signal) -> Parameter:
    """Fit a signal to the expected background: what the background's shape fakes (ATLAS, arXiv:1408.7084, section 7).

    Parameters
    ----------
    spectrum
        Expected background: simulated events, weighted to the luminosity.
    shape
        The background shape under test.
    signal
        The signal's shape.

    Returns
    -------
    Parameter
        Fitted signal events, and the statistical error at the luminosity; a common limit on the ratio is 0.2.

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    # a bin whose weights sum to less than nothing expects nothing
    expected = Spectrum(spectrum.edges, np.maximum(spectrum.values, 0.0), spectrum.variances, spectrum.name)
    return fit_bump(expected, shape, signal).n_signal_total


class ToyFits(Record):
    """What fits of toys give back: the injected signal, and q with the distribution that Wilks' theorem promises.

    Attributes
    ----------
    injected : float
        Signal events put into each toy on average.
    signal, error : array of shape (toys,)
        Signal events that the fits found, and their error; NaN where not converged.
    q : array of shape (toys,)
        Cost without signal minus cost with it; NaN where not converged.
    """

    derived = ("toys", "failed", "mean", "mean_error", "width", "width_error", "wilks_p")
    injected: float
    signal: Numbers
    error: Numbers
    q: Numbers

    @property
    def toys(self) -> int:
        """Number of toys."""
        return len(self.signal)

    @property
    def failed(self) -> int:
        """Number of toys whose fit did not converge."""
        return int(np.isnan(self.signal).sum())

    @property
    def pulls(self) -> Array:
        """(found - injected) / error of the converged toys."""
        pulls = (self.signal - self.injected) / self.error
        return pulls[np.isfinite(pulls)]

    @property
    def mean(self) -> float:
        """Mean pull: 0 without bias."""
        return float(self.pulls.mean())

    @property
    def mean_error(self) -> float:
        """Statistical error of the mean."""
        return float(self.pulls.std(ddof=1) / math.sqrt(len(self.pulls)))

    @property
    def width(self) -> float:
        """Standard deviation of the pulls: 1 if the errors are right."""
        return float(self.pulls.std(ddof=1))

    @property
    def width_error(self) -> float:
        """Statistical error of the width, of Gaussian pulls."""
        return self.width / math.sqrt(2 * (len(self.pulls) - 1))

    @property
    def wilks_p(self) -> float | None:
        """Kolmogorov's and Smirnov's p-value of q, if it follows the chi-squared of one degree of freedom.

        None where a signal was injected, as Wilks' theorem is about toys without.
        """
        from scipy.stats import kstest

        return None if self.injected else float(kstest(self.q[np.isfinite(self.q)], "chi2", args=(1,)).pvalue)


def fit_toys(
    background: ArrayLike,
    injected: float,
    shape: Background,
    signal: Signal,
    edges: ArrayLike,
    *,
    rng: np.random.Generator,
    toys: int = 1000,
) -> ToyFits:
    """Draw and fit toys with an injected signal, or with none, a block at a time so that memory stays bounded.

    Parameters
    ----------
    background : array of shape (bins,)
        Expected background.
    injected
        Expected signal events in the range.
    shape, signal
        What is fitted: the background free, the signal fixed but for its size.
    edges : array of shape (bins + 1,)
        The bins.
    rng
        Where the toys come from.
    toys
        How many.

    Raises
    ------
    FitError
        If an expectation is negative.
    """
    bins = np.asarray(edges, dtype=np.float64)
    table, template = BackgroundTable(shape, bins), signal.fractions(bins)
    expected = np.asarray(background, dtype=np.float64) + injected * template
    if not np.all(expected >= 0):
        msg = "toys can't be drawn from a negative expectation; inject less of a negative signal."
        raise FitError(msg)
    found = []
    for first in range(0, toys, _BLOCK):
        counts = rng.poisson(expected, size=(min(_BLOCK, toys - first), len(expected))).astype(np.float64)
        fits = fit_bumps(table, counts, template)
        found.append([fits.signal, fits.error, fits.q])
    signals, errors, q = np.concatenate(found, axis=1)
    return ToyFits(injected=injected, signal=signals, error=errors, q=q)
