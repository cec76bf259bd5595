"""The pictures of fits: of the likelihood pulls, ranking, correlations, scans and yields; of bumps the spectra."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtr

from colonnade.execution import Ledger, Result
from colonnade.plotting.lines import Component, FitPlot, Line, LinePlot
from colonnade.plotting.run import Run
from colonnade.plotting.settings import BACKGROUND_COLOURS, SIGNAL_COLOURS, Caption, PlotSettings, literal, region_title
from colonnade.plotting.stack import StackPlot
from colonnade.plotting.style import Picture, Plot, path_part, style
from colonnade.statistics.resonance import BackgroundFit, BumpFit, BumpSearch, SignalShapeFit, ToyFits
from colonnade.statistics.results import ChannelYields, DiagnosisSummary
from colonnade.statistics.templates import matches

_GROUP_COLOURS = (*SIGNAL_COLOURS[1:], BACKGROUND_COLOURS[-1], BACKGROUND_COLOURS[0], BACKGROUND_COLOURS[5])
# more can't be read; the tables of the report and of `colonnade fit` have all
_MOST_PULLS, _MOST_IMPACTS, _MOST_CORRELATED = 40, 20, 14


def run_of_model(samples: Iterable[str]) -> Run:
    """Return what pictures of a model need to know of a run, where there is the model alone."""
    nothing = Result({}, {}, Ledger(0.0, {}))
    kinds = dict.fromkeys(samples, "background")
    return Run("", nothing, kinds, plots=PlotSettings(energy=None))


def fit_pictures(found: DiagnosisSummary, run: Run, views: Collection[str] | None = None) -> Iterator[Picture]:
    """Yield the pictures of a fit.

    Parameters
    ----------
    found
        What is looked at to understand the fit.
    run
        How its processes and regions are called.
    views
        Some of pulls, ranking, correlations, scan and yields; without them all.
    """
    known = {"pulls": _pulls, "ranking": _ranking, "correlations": _correlations, "scan": _scans, "yields": _yields}
    for name, view in known.items():
        if views is None or name in views:
            yield from view(found, run)


def _seen(found: DiagnosisSummary) -> bool:
    return any(each.observed is not None for each in found.yields.values())


def _picture(kind: str, name: str, alt: str, plot: Plot) -> Picture:
    stem = f"fit/{kind}" if name == kind else f"fit/{kind}_{path_part(name)}"
    return Picture(stem, f"fit_{kind}", alt, plot)


def _asimov(found: DiagnosisSummary) -> list[str]:
    return [] if found.strength is None else [f"expected, signal strength {found.strength:g}"]


def _pulls(found: DiagnosisSummary, run: Run) -> Iterator[Picture]:
    rows = list(found.pulls)
    if len(rows) > _MOST_PULLS:  # those that moved, or learnt, most
        chosen = sorted(rows, key=lambda each: -max(abs(each.pull), 1 - each.constraint))[:_MOST_PULLS]
        rows = [each for each in rows if each in chosen]
    if rows:
        values = (np.array([getattr(each, key) for each in rows]) for key in ("pull", "constraint"))
        plot = CabinetryPlot(
            "pulls", (*values, [literal(each.name) for each in rows]), caption=run.caption(data=_seen(found))
        )
        alt = f"Pulls and constraints of {len(rows)} parameters of the fit"
        yield _picture("pulls", "pulls", alt, plot)


def _ranking(found: DiagnosisSummary, run: Run) -> Iterator[Picture]:
    rows = found.ranking[:_MOST_IMPACTS]
    if not rows:
        return
    known = {each.name: each for each in found.pulls}
    # NaN for a parameter that no measurement constrains, which has no impact of a prior either
    pulls = (np.array([getattr(known.get(each.name), key, np.nan) for each in rows]) for key in ("pull", "constraint"))
    keys = ("prefit_up", "prefit_down", "postfit_up", "postfit_down")
    impacts = (np.nan_to_num(np.array([getattr(each, key) for each in rows], dtype=float)) for key in keys)
    plot = CabinetryPlot(
        "ranking",
        (*pulls, [literal(each.name) for each in rows], *impacts),
        caption=run.caption(*_asimov(found), data=found.strength is None),
    )
    alt = f"The {len(rows)} parameters that move the signal strength most; the first is {rows[0].name}"
    yield _picture("ranking", "ranking", alt, plot)


def _correlations(found: DiagnosisSummary, run: Run) -> Iterator[Picture]:
    labels, matrix = found.correlations.parameters, np.array(found.correlations.matrix)
    if len(labels) < 2:
        return
    chosen = np.arange(len(labels))
    if len(labels) > _MOST_CORRELATED:
        strongest = np.abs(matrix - np.diag(np.diagonal(matrix))).max(axis=0)
        chosen = np.sort(np.argsort(-strongest, kind="stable")[:_MOST_CORRELATED])
    shown = [literal(labels[index]) for index in chosen]
    plot = CabinetryPlot(
        "correlation_matrix", (matrix[np.ix_(chosen, chosen)], shown), caption=run.caption(data=_seen(found))
    )
    alt = f"Correlations of the {len(chosen)} most correlated parameters of the fit"
    yield _picture("correlations", "correlations", alt, plot)


def _scans(found: DiagnosisSummary, run: Run) -> Iterator[Picture]:
    for each in found.scans:
        curve = (literal(each.parameter), each.bestfit, each.error, np.array(each.values), np.array(each.delta))
        plot = CabinetryPlot("scan", curve, caption=run.caption(*_asimov(found), data=found.strength is None))
        yield _picture("scan", each.parameter, f"the likelihood along {each.parameter}", plot)


def _yields(found: DiagnosisSummary, run: Run) -> Iterator[Picture]:
    for channel, held in found.yields.items():
        yield _yields_of(channel, held, run, "prefit")
        yield _yields_of(channel, held, run, "postfit")


def _yields_of(channel: str, each: ChannelYields, run: Run, when: Literal["prefit", "postfit"]) -> Picture:
    """Draw what is expected in a channel before or after the fit; after it, what was expected before beside it."""
    found = each.prefit if when == "prefit" else each.postfit
    before, signal = each.prefit, each.signal
    own = "" if signal is None else signal.name
    rank = {name: place for place, name in enumerate(run.backgrounds)}
    samples = sorted((name for name in found.samples if name != own), key=lambda name: rank.get(name, len(rank)))
    backgrounds = [_component(run, name, found.samples[name]) for name in samples]
    fitted = found.samples.get(own, ())
    if when == "postfit" and abs(sum(fitted)) > 1e-6 * found.total:
        title = f"{run.process(own).title}, fitted"
        backgrounds.append(Component(title, np.array(fitted), SIGNAL_COLOURS[0]))
    lines = []
    if signal is not None and np.any(signal.events):
        lines.append(Component(run.process(own).title, np.array(signal.events), SIGNAL_COLOURS[0]))
    errors = np.array(found.errors)
    label, unit = _axis(run, channel)
    words = {"prefit": "before the fit", "postfit": "after the fit"}[when]
    plot = StackPlot(
        edges=np.array(each.edges or np.arange(len(errors) + 1.0), dtype=float),
        backgrounds=tuple(backgrounds),
        down=errors,
        up=errors,
        signals=tuple(lines),
        data=None if each.observed is None else np.array(each.observed),
        before=None if when == "prefit" else np.sum([np.array(row) for row in before.samples.values()], axis=0),
        before_error=None if when == "prefit" else np.array(before.errors),
        groups=_groups(run, found.groups),
        bins=() if each.edges else tuple(str(index + 1) for index in range(len(errors))),
        label=label or ("" if each.edges else "Bin"),
        unit=unit,
        panel="uncertainty" if when == "prefit" and each.observed is None else "ratio",
        caption=run.caption(region_title(channel, run.plots), words, data=each.observed is not None),
    )
    total = f"{found.total:.4g} ± {found.total_error:.2g} events {words}"
    return Picture(f"fit/{when}_{path_part(channel)}", "fit_yields", f"Region {channel}: {total}", plot, channel)


def _groups(run: Run, errors: Mapping[str, Sequence[float]]) -> tuple[Component, ...]:
    """Return the groups of uncertainties that the settings ask for, where the model has them."""
    chosen = [name for name in errors if matches(name, run.plots.groups)]
    return tuple(
        Component(literal(name), np.array(errors[name]), _GROUP_COLOURS[place % len(_GROUP_COLOURS)])
        for place, name in enumerate(chosen)
    )


def _component(run: Run, name: str, events: Sequence[float]) -> Component:
    process = run.process(name)
    return Component(process.title, np.array(events), process.colour)


def _axis(run: Run, channel: str) -> tuple[str, str]:
    """Return label and unit of a channel's axis, where the run knows its histogram."""
    known = None if run.model is None else run.model.channels.get(channel)
    if known is None or run.fit is None:
        return "", ""
    # a channel may be in a histogram of each signal point's own: score_{m_Zprime} is score_130
    parameters = run.parameters.get(run.fit.reference, {})
    texts = {key: f"{each:g}" if isinstance(each, int | float) else str(each) for key, each in parameters.items()}
    name = known.histogram if "{" not in known.histogram else known.histogram.format_map(texts)
    axis = next((each.axes[0] for each in run.histograms.get(name, {}).values()), None)
    return ("", "") if axis is None else (axis.label, axis.unit)


# cabinetry sets sizes for matplotlib's own defaults
_SIZES = {"lines.markersize": 5, "legend.borderpad": 0.4, "legend.borderaxespad": 0.5, "axes.labelsize": 12}


@dataclass(frozen=True)
class CabinetryPlot(Plot):
    """A figure of a fit that cabinetry makes as a whole, with the caption above its frame.

    Attributes
    ----------
    kind : str
        The function of `cabinetry.visualize.plot_result`: pulls, ranking, correlation_matrix or scan.
    arguments : tuple
        What the function is given: names of parameters, and arrays.
    """

    kind: Literal["pulls", "ranking", "correlation_matrix", "scan"]
    arguments: tuple[Any, ...]

    def figure(self) -> Figure:
        """Return cabinetry's figure in the style of all figures, with the caption."""
        # cabinetry brings pyhf, and draws with pyplot, which keeps every figure until it is closed
        import matplotlib.pyplot as plt
        from cabinetry.visualize import plot_result

        with style(), plt.ioff(), mpl.rc_context(_SIZES):
            figure: Figure = getattr(plot_result, self.kind)(*self.arguments)
            plt.close(figure)
            self.draw(figure.axes[0])
        return figure

    def draw(self, axes: Axes) -> None:
        """Write the caption over the frame, or below it where the legend is over it."""
        words = ", ".join(self.caption.text())
        name = literal(f"{self.caption.experiment} {self.caption.status}".strip())
        words = f"{name}   {words}" if words else name
        if self.kind != "ranking":
            axes.set_title(words, fontsize=10, loc="left")
            return
        axes.figure.text(0.01, 0.004, words, fontsize=9, ha="left", va="bottom", color="#333333")
        # cabinetry's range is that of the prior impacts, which a free parameter has none of
        widest = 1.1 * float(np.abs(self.arguments[3:]).max()) or 1.0
        axes.figure.axes[1].set_xlim(-widest, widest)


def bump_pictures(run: Run) -> Iterator[Picture]:
    """Yield the pictures of the bump fits; none where the run has none."""
    if run.bumps is None:
        return
    for name, fit in run.bumps.fits.items():
        stem = f"bumps/{path_part(name)}"
        for kind, found, alt, words in _fits(fit, run.bumps.luminosity):
            if found is not None:
                data = kind == "data"
                plot = _plot(found, "Data" if data else "Simulation", run.caption(*words, data=data))
                yield Picture(f"{stem}_{kind}", "fit", f"{alt} of {name}", plot)
        if fit.closure is not None:
            yield _closure(run, stem, name, fit.closure)
        if fit.wilks is not None:
            yield _wilks(run, stem, name, fit.wilks)


_Fit = BackgroundFit | SignalShapeFit | BumpFit


def _fits(fit: BumpSearch, luminosity: float) -> Iterator[tuple[str, _Fit | None, str, tuple[str, ...]]]:
    """Give the kind of each fit, the fit, what it is, and the words of its caption."""
    alone, region = fit.background_only, fit.region
    if fit.signal_only is not None:
        mean, width = (f"{each.value:.1f} ± {each.error:.1f}" for each in fit.signal_only.parameters[1:3])
        yield "signal", fit.signal_only, "signal fit", (f"{fit.signal}, {region}", f"mean {mean}, width {width} GeV")
    goodness = f"{alone.label}, $\\chi^2$/ndf {alone.goodness.chi2:.1f}/{alone.goodness.ndf}"
    yield "background", alone, "background fit", (f"background, {region}", goodness)
    for kind, both, how in (
        ("mc_statistics", fit.both.mc_statistics, "by MC statistics"),
        ("luminosity", fit.both.luminosity, f"at {luminosity:.4g} fb$^{{-1}}$"),
    ):
        size = f"$N_s$ = {both.n_signal_total.value:.4g} ± {both.n_signal_total.error:.2g}"
        alt = f"signal and background fit, {kind}, Z = {both.z_wilks:.3g},"
        yield kind, both, alt, (f"{region}: Z = {both.z_wilks:.2f} {how}", size)
    yield "data", fit.data or fit.sidebands, "fit to data", (f"data, {region}",)


def _plot(fit: _Fit, points: str, caption: Caption) -> FitPlot:
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
    return FitPlot(
        spectrum.edges, spectrum.values, errors, curves, fit.pulls, "Mass", "GeV", shaded, points, caption=caption
    )  # fmt: skip


def _closure(run: Run, stem: str, name: str, found: ToyFits) -> Picture:
    edges, x = np.linspace(-5, 5, 41), np.linspace(-5, 5, 201)
    pulls = found.pulls
    counts, _ = np.histogram(pulls, edges)
    normal = len(pulls) * 0.25 * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    sizes = f"mean {found.mean:.3f} ± {found.mean_error:.3f}, width {found.width:.3f} ± {found.width_error:.3f}"
    caption = run.caption(f"{found.injected:.3g} signal events in each toy", sizes, data=False)
    lines = (Line("Toys", edges, counts.astype(float), filled=True), Line("Normal", x, normal))
    plot = LinePlot(lines, "Pull of the fitted signal", "Toys", caption=caption)
    alt = f"pulls of {found.toys} toys of {name}: mean {found.mean:.3f}, width {found.width:.3f}"
    return Picture(f"{stem}_closure", "closure", alt, plot)


def _wilks(run: Run, stem: str, name: str, found: ToyFits) -> Picture:
    edges = np.linspace(0, 12, 49)
    counts, _ = np.histogram(found.q, edges)
    # the chi-squared distribution of one degree of freedom is that of a normal deviate's square
    expected = (found.toys - found.failed) * np.diff(1 - 2 * ndtr(-np.sqrt(edges)))
    lines = (
        Line("Toys", edges, np.maximum(counts, 0.1), filled=True),
        Line("$\\chi^2$, one degree of freedom", edges, expected),
    )
    caption = run.caption("toys without signal", f"p = {found.wilks_p:.2g} (Kolmogorov, Smirnov)", data=False)
    plot = LinePlot(lines, "$q$", "Toys", scale="log", caption=caption)
    return Picture(f"{stem}_wilks", "wilks", f"test statistic of {found.toys} toys of {name} without signal", plot)
