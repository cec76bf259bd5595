"""The pictures of a study by pseudo-experiments."""

from __future__ import annotations

__all__ = ["pictures"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colonnade.plotting.lines import FitPlot, Line, LinePlot
from colonnade.plotting.settings import BACKGROUND_COLOURS, Caption
from colonnade.plotting.style import Floats, Picture, Plot, canvas, height_in_points, path_part, place_legend, ticks

_MASS = "Mass"
_SYMBOLS = {"z": "Z (counting)", "z_wilks": "Z (likelihood, frozen)", "z_free": "Z (likelihood, free)"}


def pictures(found: Mapping[str, Any]) -> Iterator[Picture]:
    """Yield the pictures of a study.

    Parameters
    ----------
    found
        What `pseudo_experiments.json` holds.
    """
    yield from _draws(found)
    yield from _shapes(found)
    yield from _example(found)
    for name, statistic in found["statistics"].items():
        yield from _calibration(found, name, statistic)


def _draws(found: Mapping[str, Any]) -> Iterator[Picture]:
    sampler = found["settings"]["experiment"]["sampler"]
    for column in found["draws"]:
        unit = f" [{column['unit']}]" if column["unit"] else ""
        plot = _ComparedPlot(
            (
                Line("Simulated", np.asarray(column["edges"]), np.asarray(column["simulated"]), filled=True),
                Line("Drawn", np.asarray(column["edges"]), np.asarray(column["drawn"])),
            ),
            f"{column['name']}{unit}",
            "Density",
            caption=_caption(f"drawn by {sampler}"),
            # in percent of the highest bin: small numbers would need an exponent on the panel's axis
            difference=100 * np.asarray(column["difference"]) / max(column["simulated"]),
            difference_error=100 * np.asarray(column["error"]) / max(column["simulated"]),
        )
        yield Picture(
            f"drawn_{path_part(column['name'])}", "draws",
            f"{column['name']}: drawn and simulated events",
            plot,
        )  # fmt: skip


def _shapes(found: Mapping[str, Any]) -> Iterator[Picture]:
    spectrum = found["shapes"]["spectrum"]
    edges, values = np.asarray(spectrum["edges"]), np.asarray(spectrum["values"])
    centers = 0.5 * (edges[1:] + edges[:-1])
    good = [fit for fit in found["shapes"]["fits"] if fit["failed"] is None]
    if not good:
        return
    curves = tuple(Line(f"{fit['shape']}: {_goodness(fit)}", centers, np.asarray(fit["expected"])) for fit in good)
    yield Picture(
        "shapes", "shapes", "background forms fitted to the simulated mass spectrum",
        FitPlot(
            edges, values, np.sqrt(np.asarray(spectrum["variances"])), curves, _floats(good[0]["pulls"]), _MASS,
            caption=_caption(f"{len(values)} bins"),
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _ComparedPlot(LinePlot):
    """Two histograms, and below their difference and its error, in percent, of shape (n,) each."""

    difference: Floats
    difference_error: Floats

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """Leave room for the difference."""
        return canvas(panel=True)

    def draw(self, axes: Axes) -> None:
        """Draw histograms; the panel has the label."""
        super().draw(axes)
        axes.set_xlabel("")
        axes.locator_params(axis="y", prune="lower")

    def draw_panel(self, axes: Axes) -> None:
        """Draw the difference and its error."""
        axes.stairs(self.difference, self.lines[0].x, fill=True, color=BACKGROUND_COLOURS[2], linewidth=0)
        axes.stairs(self.difference_error, self.lines[0].x, color="black", linewidth=0.9, linestyle=(0, (1.4, 1.6)))
        axes.set_ylim(0, 1.3 * float(self.difference.max(initial=1e-12)))
        axes.set_ylabel("|Diff.| [%]", fontsize=10)
        axes.set_xlabel(self.label)
        ticks(axes, count=4)


def _example(found: Mapping[str, Any]) -> Iterator[Picture]:
    example = found["example"]
    edges = np.asarray(example["edges"])
    sides, window = (_density(np.asarray(example["response"][key]), edges) for key in ("sidebands", "window"))
    yield Picture(
        "response", "response", "response of one network to sideband and window events",
        LinePlot(
            (Line("Sidebands", edges, sides, filled=True), Line("Window", edges, window)), "Response", "Density",
            caption=_caption("one pseudo-experiment"),
        ),
    )  # fmt: skip
    false, true = (np.asarray(example["roc"][key]) for key in ("false", "true"))
    diagonal = np.array([0.0, 1.0])
    yield Picture(
        "roc", "roc", f"ROC curve of one network: area {example['auc']:.3f}",
        LinePlot(
            (Line("Network", false, true), Line("Chance", diagonal, diagonal, colour="#777777", dash="dashed")),
            "Sideband events kept", "Window events kept",
            caption=_caption("one pseudo-experiment", f"area {example['auc']:.3f}"),
        ),
    )  # fmt: skip
    ranking = example["ranking"]
    order = [ranking["names"].index(name) for name in ranking["order"]]
    features = np.asarray(ranking["features"])
    levels = features.argsort(axis=0).argsort(axis=0) / max(len(features) - 1, 1)
    yield Picture(
        "ranking", "ranking", f"features by importance: {', '.join(ranking['order'])}",
        _RankPlot(
            tuple(ranking["order"]), np.asarray(ranking["importance"])[order],
            np.asarray(ranking["values"])[:, order], levels[:, order], caption=_caption("one pseudo-experiment"),
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
            f"scan_{percent:.0f}", "scan",
            f"mass spectrum of one pseudo-experiment with {percent:g} % of the sidebands rejected: Z = {row['z']:.2f}",
            FitPlot(
                mass, counts, np.sqrt(counts),
                (Line("Signal + background", centers, total), Line("Background", centers, background, dash="dashed")),
                pulls, _MASS, shaded=tuple(found["settings"]["experiment"]["window"]), points="Pseudo-data",
                caption=_caption(f"{percent:g} % rejected: Z = {row['z']:.2f}"),
            ),
        )  # fmt: skip


def _calibration(found: Mapping[str, Any], name: str, statistic: Mapping[str, Any]) -> Iterator[Picture]:
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
        steps = tuple(
            Line(title, edges, np.asarray(counts, dtype=float), filled=len(rows) == 1) for title, counts, _ in rows
        )
        curves = tuple(
            Line(f"Normal: {fit['mean']:.2f} ± {fit['width']:.2f}", x,
                 toys * (edges[1] - edges[0]) * norm.pdf(x, fit["mean"], fit["width"]), dash="dashed")
            for _, _, fit in rows
        )  # fmt: skip
        yield Picture(
            f"{name}_{which}", "toys", f"{which} significance ({name}) of {words}",
            LinePlot(
                (*steps, *curves), f"{which.capitalize()} significance {_SYMBOLS[name]}", "Pseudo-experiments",
                caption=_caption(words),
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
        f"{name}_p_values", "p_values", f"local and global p-values ({name})",
        LinePlot(
            probabilities, f"Significance {_SYMBOLS[name]}", "p-value", scale="log", caption=_caption(words)
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
            f"{name}_size", "size", f"size of the fake signal ({name}) against the cut",
            LinePlot(
                tuple(sizes), "Sideband events rejected [%]", f"Significance {_SYMBOLS[name]}", (0.0,),
                caption=_caption(words, "fake signal reached by chance"),
            ),
        )  # fmt: skip


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


def _caption(*words: str) -> Caption:
    return Caption(status="Simulation", lines=words)


@dataclass(frozen=True)
class _RankPlot(Plot):
    """What each feature adds to the response of each event, the most important feature on top.

    Attributes
    ----------
    names : tuple of str
        Most important first.
    importance : numpy.ndarray
        Shape (features,).
    values : numpy.ndarray
        Shape (events, features): contribution of each feature to each event.
    levels : numpy.ndarray
        Shape (events, features): each feature's own value, 0 (lowest) to 1 (highest).
    label : str
        Of the horizontal axis.
    """

    names: tuple[str, ...]
    importance: Floats
    values: Floats
    levels: Floats
    label: str = "Shapley value (change of the response)"

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """As high as the rows need."""
        return canvas(1.9 + 0.36 * len(self.names))

    def draw(self, axes: Axes) -> None:
        """Draw a point for each event and feature."""
        # events are spread over a row by a fixed pattern, so that the picture repeats
        spread = (np.arange(len(self.values)) * 0.618 % 1 - 0.5) * 0.55
        for row in range(len(self.names)):
            axes.axhline(row, color="#dddddd", linewidth=0.8, zorder=0)
            axes.scatter(
                self.values[:, row], row + spread, c=self.levels[:, row], cmap="viridis", vmin=0, vmax=1, s=7,
                linewidths=0,
            )  # fmt: skip
        names = [f"{name} ({value:.3f})" for name, value in zip(self.names, self.importance, strict=True)]
        self._name_rows(axes, names)
        axes.text(
            0.97, 1 - 12 / height_in_points(axes), "dark: low, bright: high value of the feature",
            transform=axes.transAxes, va="top", ha="right", fontsize=9,
        )  # fmt: skip
        axes.margins(x=0.05)
        axes.set_xlabel(self.label)
        ticks(axes, y=False)

    def _name_rows(self, axes: Axes, names: list[str]) -> None:
        """Give the frame one row for each name, the first on top below the caption, and room for the names."""
        count = len(names)
        left = min(0.06 + 0.0125 * max(map(len, names), default=0), 0.45)
        box = axes.get_position()
        axes.set_position((left, box.y0, box.x1 - left, box.height))
        taken = place_legend(axes, self.caption, ())
        axes.set_ylim(count - 0.4, -0.6 - (count + 0.2) * taken / (1 - min(taken, 0.8)))
        axes.set_yticks(range(count), names, fontsize=10)
        axes.tick_params(axis="y", which="both", length=0)
