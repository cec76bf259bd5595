"""From `bumps.json` of a run to its pictures."""

from __future__ import annotations

__all__ = ["bump_pictures"]

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from colonnade.plotting.lines import FitPlot, Line, Step, StepPlot
from colonnade.plotting.plot import Caption, Floats, Picture, path_part
from colonnade.plotting.run import Run

_MASS = "Mass"


def bump_pictures(run: Run) -> Iterator[Picture]:
    """Yield the pictures of the bump fits; none where the run has none."""
    found = run.bumps
    if found is None:
        return
    for name, fit in found["fits"].items():
        yield from _one_fit(run, name, fit, found["luminosity"])


def _one_fit(run: Run, name: str, fit: Mapping[str, Any], luminosity: float) -> Iterator[Picture]:
    stem = f"bumps/{path_part(name)}"
    if fit["signal_only"] is not None:
        alone = fit["signal_only"]
        mean, width = alone["parameters"][1], alone["parameters"][2]
        caption = _caption(
            run, f"{fit['signal']}, {fit['region']}",
            f"mean {mean['value']:.1f} ± {mean['error']:.1f}, width {width['value']:.1f} ± {width['error']:.1f} GeV",
        )  # fmt: skip
        yield _fit_picture(f"{stem}_signal", f"signal fit of {name}", alone, None, caption)
    alone = fit["background_only"]
    caption = _caption(run, f"background, {fit['region']}", f"{alone['shape']}, {_goodness(alone)}")
    yield _fit_picture(f"{stem}_background", f"background fit of {name}", alone, None, caption)
    for kind, words in (("mc_statistics", "by MC statistics"), ("luminosity", f"at {luminosity:.4g} fb$^{{-1}}$")):
        both = fit["both"][kind]
        size = both["n_signal_total"]
        caption = _caption(
            run, f"{fit['region']}: Z = {both['z_wilks']:.2f} {words}",
            f"$N_s$ = {size['value']:.4g} ± {size['error']:.2g}",
        )  # fmt: skip
        yield _fit_picture(
            f"{stem}_{kind}", f"signal and background fit of {name}, {kind}: Z = {both['z_wilks']:.3g}",
            both["background"], both, caption,
        )  # fmt: skip
    if fit["data"] is not None:
        seen = fit["data"]["fit"] or {}
        shown = seen.get("background", fit["data"]["sidebands"])
        caption = _caption(run, f"data, {fit['region']}")
        yield _fit_picture(f"{stem}_data", f"fit of {name} to data", shown, seen or None, caption)
    checks = fit["checks"]
    if checks["closure"] is not None:
        yield from _checks(run, stem, name, checks)


def _fit_picture(
    stem: str, alt: str, fit: Mapping[str, Any], both: Mapping[str, Any] | None, caption: Caption
) -> Picture:
    """Draw a background-like fit, or one with a signal on top."""
    spectrum = (both or fit)["spectrum"]
    edges = np.asarray(spectrum["edges"])
    centers = 0.5 * (edges[1:] + edges[:-1])
    values = np.asarray(spectrum["values"])
    background = np.asarray(fit["expected"])
    errors = np.sqrt(np.maximum(values if fit["cost"] == "poisson" else np.asarray(spectrum["variances"]), 0.0))
    pulls = (both or fit)["pulls"]
    curves: tuple[Line, ...]
    shaded = None
    if both is None:
        curves = (Line("Fit", centers, background),)
    else:
        shaded = tuple(both["window"])
        total = background + np.asarray(both["expected_signal"])
        curves = (
            Line("Signal + background", centers, total),
            Line("Background", centers, background, dash="dashed"),
            Line("Background only (H₀)", centers, np.asarray(both["background_only"]["expected"]), dash="dotted"),
        )
    return Picture(
        stem, "fit", alt,
        FitPlot(edges, values, errors, curves, _floats(pulls), _MASS, shaded=shaded, caption=caption),
    )  # fmt: skip


def _checks(run: Run, stem: str, name: str, checks: Mapping[str, Any]) -> Iterator[Picture]:
    from scipy.stats import chi2, norm

    pulls, wilks = checks["closure"], checks["wilks"]
    edges = np.linspace(-5, 5, 41)
    counts, _ = np.histogram(pulls["pulls"], edges)
    x = np.linspace(-5, 5, 201)
    normal = len(pulls["pulls"]) * 0.25 * norm.pdf(x)
    yield Picture(
        f"{stem}_closure", "closure",
        f"pulls of {pulls['toys']} toys of {name}: mean {pulls['mean']:.3f}, width {pulls['width']:.3f}",
        StepPlot(
            edges, (Step("Toys", counts.astype(float), filled=True),), "Pull of the fitted signal", "Toys",
            (Line("Normal", x, normal),),
            caption=_caption(
                run, f"{pulls['injected']:.3g} signal events in each toy",
                f"mean {pulls['mean']:.3f} ± {pulls['mean_error']:.3f}, "
                f"width {pulls['width']:.3f} ± {pulls['width_error']:.3f}",
            ),
        ),
    )  # fmt: skip
    edges = np.linspace(0, 12, 49)
    counts, _ = np.histogram(wilks["q"], edges)
    expected = len(wilks["q"]) * np.diff(chi2.cdf(edges, 1))
    yield Picture(
        f"{stem}_wilks", "wilks", f"test statistic of {wilks['toys']} toys of {name} without signal",
        StepPlot(
            edges,
            (Step("Toys", np.maximum(counts, 0.1), filled=True), Step("$\\chi^2$, one degree of freedom", expected)),
            "$q$", "Toys", scale="log",
            caption=_caption(run, "toys without signal", f"p = {wilks['p']:.2g} (Kolmogorov, Smirnov)"),
        ),
    )  # fmt: skip


def _floats(values: list[float | None]) -> Floats:
    return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)


def _goodness(fit: Mapping[str, Any]) -> str:
    good = fit["goodness"]
    return f"$\\chi^2$/ndf {good['chi2']:.1f}/{good['ndf']}"


def _caption(run: Run, *words: str) -> Caption:
    base = run.caption("", data=False)
    return Caption(base.experiment, base.status, base.energy, None, words)
