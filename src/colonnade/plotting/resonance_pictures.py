"""From the bump fits of a run to their pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr

from colonnade.plotting.lines import FitPlot, Line, Step, StepPlot
from colonnade.plotting.plot import Caption, Picture, path_part
from colonnade.plotting.run import Run
from colonnade.statistics.resonance import BackgroundFit, BumpFit, BumpSearch, SignalShapeFit
from colonnade.statistics.resonance.checks import Closure, WilksCheck

_MASS = "Mass"


def bump_pictures(run: Run) -> Iterator[Picture]:
    """Yield the pictures of the bump fits; none where the run has none."""
    if run.bumps is None:
        return
    for name, fit in run.bumps.fits.items():
        yield from _fits(run, name, fit, run.bumps.luminosity)
        stem = f"bumps/{path_part(name)}"
        if fit.closure is not None:
            yield _closure(run, stem, name, fit.closure)
        if fit.wilks is not None:
            yield _wilks(run, stem, name, fit.wilks)


def _fits(run: Run, name: str, fit: BumpSearch, luminosity: float) -> Iterator[Picture]:
    stem = f"bumps/{path_part(name)}"
    if fit.signal_only is not None:
        _, mean, width = fit.signal_only.parameters[:3]
        caption = _caption(
            run, f"{fit.signal}, {fit.region}",
            f"mean {mean.value:.1f} ± {mean.error:.1f}, width {width.value:.1f} ± {width.error:.1f} GeV",
        )  # fmt: skip
        yield Picture(f"{stem}_signal", "fit", f"signal fit of {name}", _plot(fit.signal_only, caption))
    alone = fit.background_only
    caption = _caption(
        run, f"background, {fit.region}",
        f"{alone.label}, $\\chi^2$/ndf {alone.goodness.chi2:.1f}/{alone.goodness.ndf}",
    )  # fmt: skip
    yield Picture(f"{stem}_background", "fit", f"background fit of {name}", _plot(alone, caption))
    kinds = {
        "mc_statistics": (fit.both.mc_statistics, "by MC statistics"),
        "luminosity": (fit.both.luminosity, f"at {luminosity:.4g} fb$^{{-1}}$"),
    }
    for kind, (both, words) in kinds.items():
        size = both.n_signal_total
        caption = _caption(
            run, f"{fit.region}: Z = {both.z_wilks:.2f} {words}", f"$N_s$ = {size.value:.4g} ± {size.error:.2g}"
        )
        alt = f"signal and background fit of {name}, {kind}: Z = {both.z_wilks:.3g}"
        yield Picture(f"{stem}_{kind}", "fit", alt, _plot(both, caption))
    seen = fit.data or fit.sidebands
    if seen is not None:
        caption = _caption(run, f"data, {fit.region}")
        yield Picture(f"{stem}_data", "fit", f"fit of {name} to data", _plot(seen, caption))


def _plot(fit: BackgroundFit | SignalShapeFit | BumpFit, caption: Caption) -> FitPlot:
    """Draw the contents of a spectrum with what was fitted to it, and the pulls."""
    spectrum = fit.spectrum
    errors = np.sqrt(np.maximum(spectrum.values if fit.cost == "poisson" else spectrum.variances, 0.0))
    x = spectrum.centers
    curves: tuple[Line, ...] = (Line("Fit", x, fit.expected),)
    shaded = None
    if isinstance(fit, BumpFit):
        shaded = fit.window
        curves = (
            Line("Signal + background", x, fit.expected),
            Line("Background", x, fit.background.expected, dash="dashed"),
            Line("Background only (H₀)", x, fit.background_only.expected, dash="dotted"),
        )
    return FitPlot(spectrum.edges, spectrum.values, errors, curves, fit.pulls, _MASS, shaded=shaded, caption=caption)


def _closure(run: Run, stem: str, name: str, found: Closure) -> Picture:
    edges, x = np.linspace(-5, 5, 41), np.linspace(-5, 5, 201)
    pulls = found.pulls
    counts, _ = np.histogram(pulls, edges)
    normal = len(pulls) * 0.25 * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    caption = _caption(
        run, f"{found.injected:.3g} signal events in each toy",
        f"mean {found.mean:.3f} ± {found.mean_error:.3f}, width {found.width:.3f} ± {found.width_error:.3f}",
    )  # fmt: skip
    plot = StepPlot(
        edges, (Step("Toys", counts.astype(float), filled=True),), "Pull of the fitted signal", "Toys",
        (Line("Normal", x, normal),), caption=caption,
    )  # fmt: skip
    alt = f"pulls of {found.toys} toys of {name}: mean {found.mean:.3f}, width {found.width:.3f}"
    return Picture(f"{stem}_closure", "closure", alt, plot)


def _wilks(run: Run, stem: str, name: str, found: WilksCheck) -> Picture:
    edges = np.linspace(0, 12, 49)
    counts, _ = np.histogram(found.q, edges)
    # the chi-squared distribution of one degree of freedom is that of a normal deviate's square
    expected = found.toys * np.diff(1 - 2 * ndtr(-np.sqrt(edges)))
    steps = (
        Step("Toys", np.maximum(counts, 0.1), filled=True),
        Step("$\\chi^2$, one degree of freedom", expected),
    )
    caption = _caption(run, "toys without signal", f"p = {found.p:.2g} (Kolmogorov, Smirnov)")
    plot = StepPlot(edges, steps, "$q$", "Toys", scale="log", caption=caption)
    return Picture(f"{stem}_wilks", "wilks", f"test statistic of {found.toys} toys of {name} without signal", plot)


def _caption(run: Run, *words: str) -> Caption:
    base = run.caption("", data=False)
    return Caption(base.experiment, base.status, base.energy, None, words)
