"""From `bumps.json` and `pseudo_experiments.json` of a run to its pictures."""

from __future__ import annotations

__all__ = ["bump_pictures", "pseudo_experiment_pictures"]

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from colonnade.plotting.lines import FitPlot, Line, LinePlot, RankPlot, Step, StepPlot
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
    for row in found["sculpting"]:
        before, after = (np.asarray(row[key]) for key in ("shape_before", "shape_after"))
        plot = StepPlot(
            np.asarray(row["edges"]),
            (Step(row["before"], before, filled=True), Step(row["after"], after)),
            f"{_MASS} [GeV]",
            caption=_caption(run, f"background, {row['after']}", f"window fraction ×{row['window_ratio']:.2f}"),
        )
        yield Picture(
            f"bumps/sculpting_{path_part(row['after'])}", "sculpting",
            f"mass shape of the background before and after {row['after']}: the fraction in the window changes by a "
            f"factor {row['window_ratio']:.3g}",
            plot,
        )  # fmt: skip


def pseudo_experiment_pictures(run: Run) -> Iterator[Picture]:
    """Yield the pictures of the pseudo-experiments; none where the run has none."""
    found = run.experiments
    if found is None:
        return
    yield from _draws(run, found)
    yield from _shapes(run, found)
    yield from _example(run, found)
    for name, statistic in found["statistics"].items():
        yield from _calibration(run, found, name, statistic)


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


def _draws(run: Run, found: Mapping[str, Any]) -> Iterator[Picture]:
    sampler = found["settings"]["experiment"]["sampler"]
    for column in found["draws"]:
        unit = f" [{column['unit']}]" if column["unit"] else ""
        plot = StepPlot(
            np.asarray(column["edges"]),
            (
                Step("Simulated", np.asarray(column["simulated"]), filled=True),
                Step("Drawn", np.asarray(column["drawn"])),
            ),
            f"{column['name']}{unit}",
            "Density",
            caption=_caption(run, f"drawn by {sampler}"),
            # in percent of the highest bin: small numbers would need an exponent on the panel's axis
            difference=100 * np.asarray(column["difference"]) / max(column["simulated"]),
            difference_error=100 * np.asarray(column["error"]) / max(column["simulated"]),
        )
        yield Picture(
            f"pseudo_experiments/drawn_{path_part(column['name'])}", "draws",
            f"{column['name']}: drawn and simulated events",
            plot,
        )  # fmt: skip


def _shapes(run: Run, found: Mapping[str, Any]) -> Iterator[Picture]:
    spectrum = found["shapes"]["spectrum"]
    edges, values = np.asarray(spectrum["edges"]), np.asarray(spectrum["values"])
    centers = 0.5 * (edges[1:] + edges[:-1])
    good = [fit for fit in found["shapes"]["fits"] if fit["failed"] is None]
    if not good:
        return
    curves = tuple(Line(f"{fit['shape']}: {_goodness(fit)}", centers, np.asarray(fit["expected"])) for fit in good)
    yield Picture(
        "pseudo_experiments/shapes", "shapes", "background forms fitted to the simulated mass spectrum",
        FitPlot(
            edges, values, np.sqrt(np.asarray(spectrum["variances"])), curves, _floats(good[0]["pulls"]), _MASS,
            caption=_caption(run, f"{len(values)} bins"),
        ),
    )  # fmt: skip


def _example(run: Run, found: Mapping[str, Any]) -> Iterator[Picture]:
    example = found["example"]
    edges = np.asarray(example["edges"])
    sides, window = (_density(np.asarray(example["response"][key]), edges) for key in ("sidebands", "window"))
    yield Picture(
        "pseudo_experiments/response", "response", "response of one network to sideband and window events",
        StepPlot(
            edges, (Step("Sidebands", sides, filled=True), Step("Window", window)), "Response", "Density",
            caption=_caption(run, "one pseudo-experiment"),
        ),
    )  # fmt: skip
    false, true = (np.asarray(example["roc"][key]) for key in ("false", "true"))
    diagonal = np.array([0.0, 1.0])
    yield Picture(
        "pseudo_experiments/roc", "roc", f"ROC curve of one network: area {example['auc']:.3f}",
        LinePlot(
            (Line("Network", false, true), Line("Chance", diagonal, diagonal, colour="#777777", dash="dashed")),
            "Sideband events kept", "Window events kept",
            caption=_caption(run, "one pseudo-experiment", f"area {example['auc']:.3f}"),
        ),
    )  # fmt: skip
    ranking = example["ranking"]
    order = [ranking["names"].index(name) for name in ranking["order"]]
    features = np.asarray(ranking["features"])
    levels = features.argsort(axis=0).argsort(axis=0) / max(len(features) - 1, 1)
    yield Picture(
        "pseudo_experiments/ranking", "ranking", f"features by importance: {', '.join(ranking['order'])}",
        RankPlot(
            tuple(ranking["order"]), np.asarray(ranking["importance"])[order],
            np.asarray(ranking["values"])[:, order], levels[:, order], caption=_caption(run, "one pseudo-experiment"),
        ),
    )  # fmt: skip
    mass = np.asarray(example["mass_edges"])
    centers = 0.5 * (mass[1:] + mass[:-1])
    scan = [row for row in example["scan"] if row["background"] is not None and row["signal"] is not None]
    for row in scan[:: max(1, len(scan) // 4)]:
        counts, background = np.asarray(row["counts"], dtype=float), np.asarray(row["background"])
        total = background + np.asarray(row["signal"])
        percent = 100 * row["rejection"]
        with np.errstate(invalid="ignore", divide="ignore"):
            pulls = (counts - total) / np.sqrt(total)
        yield Picture(
            f"pseudo_experiments/scan_{percent:.0f}", "scan",
            f"mass spectrum of one pseudo-experiment with {percent:g} % of the sidebands rejected: Z = {row['z']:.2f}",
            FitPlot(
                mass, counts, np.sqrt(counts),
                (Line("Signal + background", centers, total), Line("Background", centers, background, dash="dashed")),
                pulls, _MASS, shaded=tuple(found["settings"]["experiment"]["window"]), points="Pseudo-data",
                caption=_caption(run, f"{percent:g} % rejected: Z = {row['z']:.2f}"),
            ),
        )  # fmt: skip


def _calibration(run: Run, found: Mapping[str, Any], name: str, statistic: Mapping[str, Any]) -> Iterator[Picture]:
    from scipy.stats import norm

    edges = np.asarray(statistic["edges"])
    toys = statistic["toys"]
    words = f"{toys:,} pseudo-experiments"
    x = np.linspace(edges[0], edges[-1], 401)
    chosen = sorted({0, len(found["cuts"]) // 2, len(found["cuts"]) - 1})
    local = [
        (f"{found['cuts'][place]} rejected", statistic["local_counts"][place], statistic["local"][place]["normal"])
        for place in chosen
    ]
    largest = [("Largest of the scan", statistic["global_counts"], statistic["global"]["normal"])]
    for which, rows in (("local", local), ("global", largest)):
        steps = tuple(Step(title, np.asarray(counts, dtype=float), filled=len(rows) == 1) for title, counts, _ in rows)
        curves = tuple(
            Line(f"Normal: {fit['mean']:.2f} ± {fit['width']:.2f}", x,
                 toys * (edges[1] - edges[0]) * norm.pdf(x, fit["mean"], fit["width"]), dash="dashed")
            for _, _, fit in rows
        )  # fmt: skip
        yield Picture(
            f"pseudo_experiments/{name}_{which}", "toys", f"{which} significance ({name}) of {words}",
            StepPlot(
                edges, steps, f"{which.capitalize()} significance {_SYMBOLS[name]}", "Pseudo-experiments", curves,
                caption=_caption(run, words),
            ),
        )  # fmt: skip
    levels = statistic["levels"]
    z = np.asarray([level["z"] for level in levels])
    over, under = ([level[key] for level in levels] for key in ("p_global", "p_local"))
    probabilities = (
        _banded("Global", z, over),
        _banded("Local", z, under),
        Line("Normal", z, np.asarray([level["p_nominal"] for level in levels]), colour="#777777", dash="dashed"),
    )
    yield Picture(
        f"pseudo_experiments/{name}_p_values", "p_values", f"local and global p-values ({name})",
        LinePlot(
            probabilities, f"Significance {_SYMBOLS[name]}", "p-value", scale="log", caption=_caption(run, words)
        ),
    )  # fmt: skip
    cuts = 100 * np.asarray(found["settings"]["experiment"]["rejections"])
    sizes = []
    for sigma in list(statistic["global"]["size"]):
        known = [(cut, row["size"][sigma]) for cut, row in zip(cuts, statistic["local"], strict=True)]
        known = [(cut, size) for cut, size in known if size is not None]
        if known:
            sizes.append(_banded(f"{sigma} σ", np.asarray([cut for cut, _ in known]), [size for _, size in known]))
    if sizes:
        yield Picture(
            f"pseudo_experiments/{name}_size", "size", f"size of the fake signal ({name}) against the cut",
            LinePlot(
                tuple(sizes), "Sideband events rejected [%]", f"Significance {_SYMBOLS[name]}", (0.0,),
                caption=_caption(run, words, "fake signal reached by chance"),
            ),
        )  # fmt: skip


_SYMBOLS = {"z": "Z (counting)", "z_wilks": "Z (likelihood, frozen)", "z_free": "Z (likelihood, free)"}


def _banded(title: str, x: Floats, rows: list[Mapping[str, float]]) -> Line:
    value, low, high = (np.asarray([row[key] for row in rows]) for key in ("value", "low", "high"))
    return Line(title, x, value, low, high)


def _density(counts: Floats, edges: Floats) -> Floats:
    return np.asarray(counts / max(counts.sum(), 1) / np.diff(edges))


def _floats(values: list[float | None]) -> Floats:
    return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)


def _goodness(fit: Mapping[str, Any]) -> str:
    good = fit["goodness"]
    return f"$\\chi^2$/ndf {good['chi2']:.1f}/{good['ndf']}"


def _caption(run: Run, *words: str) -> Caption:
    base = run.caption("", data=False)
    return Caption(base.experiment, base.status, base.energy, None, words)
