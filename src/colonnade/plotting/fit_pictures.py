"""From the diagnostics of fit.json to pictures: pulls, ranking, correlations, scans, yields before and after."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colonnade.execution import Ledger, Result
from colonnade.plotting.labels import BACKGROUND_COLOURS, SIGNAL_COLOURS, literal, region_title
from colonnade.plotting.plot import Floats, Picture, Plot, path_part
from colonnade.plotting.run import Run
from colonnade.plotting.settings import PlotSettings
from colonnade.plotting.stack import Component, StackPlot
from colonnade.plotting.style import style
from colonnade.statistics.results import ChannelYields, DiagnosisSummary

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

    def wanted(view: str) -> bool:
        return views is None or view in views

    seen = any(each.observed is not None for each in found.yields.values())
    if wanted("pulls"):
        yield from _pulls(found, run, data=seen)
    if wanted("ranking"):
        yield from _ranking(found, run)
    if wanted("correlations"):
        yield from _correlations(found, run, data=seen)
    if wanted("scan"):
        for each in found.scans:
            plot = ScanPlot(
                each.parameter, each.bestfit, each.error, np.array(each.values), np.array(each.delta),
                caption=run.caption(*_asimov(found), data=found.strength is None),
            )  # fmt: skip
            yield _picture("scan", each.parameter, f"the likelihood along {each.parameter}", plot)
    if wanted("yields"):
        for channel, held in found.yields.items():
            yield _yields(channel, held, run, "prefit")
            yield _yields(channel, held, run, "postfit")


def _picture(kind: str, name: str, alt: str, plot: Plot) -> Picture:
    stem = f"fit/{kind}" if name == kind else f"fit/{kind}_{path_part(name)}"
    return Picture(stem, f"fit_{kind}", alt, plot)


def _asimov(found: DiagnosisSummary) -> list[str]:
    return [] if found.strength is None else [f"expected, signal strength {found.strength:g}"]


def _pulls(found: DiagnosisSummary, run: Run, *, data: bool) -> Iterator[Picture]:
    rows = list(found.pulls)
    if len(rows) > _MOST_PULLS:  # those that moved, or learnt, most
        chosen = sorted(rows, key=lambda each: -max(abs(each.pull), 1 - each.constraint))[:_MOST_PULLS]
        rows = [each for each in rows if each in chosen]
    if rows:
        plot = PullPlot(
            tuple(each.name for each in rows),
            np.array([each.pull for each in rows]),
            np.array([each.constraint for each in rows]),
            caption=run.caption(data=data),
        )
        alt = f"Pulls and constraints of {len(rows)} parameters of the fit"
        yield _picture("pulls", "pulls", alt, plot)


def _ranking(found: DiagnosisSummary, run: Run) -> Iterator[Picture]:
    rows = found.ranking[:_MOST_IMPACTS]
    if not rows:
        return
    known = {each.name: each for each in found.pulls}
    keys = ("prefit_up", "prefit_down", "postfit_up", "postfit_down")
    plot = ImpactPlot(
        tuple(each.name for each in rows),
        np.array([known[each.name].pull if each.name in known else np.nan for each in rows]),
        np.array([known[each.name].constraint if each.name in known else np.nan for each in rows]),
        np.array([[getattr(each, key) for each in rows] for key in keys], dtype=float),
        caption=run.caption(*_asimov(found), data=found.strength is None),
    )
    alt = f"The {len(rows)} parameters that move the signal strength most; the first is {rows[0].name}"
    yield _picture("ranking", "ranking", alt, plot)


def _correlations(found: DiagnosisSummary, run: Run, *, data: bool) -> Iterator[Picture]:
    labels, matrix = found.correlations.parameters, np.array(found.correlations.matrix)
    if len(labels) < 2:
        return
    chosen = np.arange(len(labels))
    if len(labels) > _MOST_CORRELATED:
        strongest = np.abs(matrix - np.diag(np.diagonal(matrix))).max(axis=0)
        chosen = np.sort(np.argsort(-strongest, kind="stable")[:_MOST_CORRELATED])
    shown = tuple(labels[index] for index in chosen)
    plot = CorrelationPlot(shown, matrix[np.ix_(chosen, chosen)], caption=run.caption(data=data))
    alt = f"Correlations of the {len(chosen)} most correlated parameters of the fit"
    yield _picture("correlations", "correlations", alt, plot)


def _yields(channel: str, each: ChannelYields, run: Run, when: Literal["prefit", "postfit"]) -> Picture:
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
    patterns = run.plots.groups
    chosen = dict.fromkeys(name for pattern in patterns for name in errors if fnmatchcase(name, pattern))
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
class _CabinetryPlot(Plot):
    """A figure that cabinetry makes as a whole, with the caption above its frame."""

    def figure(self) -> Figure:
        """Return cabinetry's figure in the style of all figures, with the caption."""
        # cabinetry brings pyhf, and draws with pyplot, which keeps every figure until it is closed
        import matplotlib.pyplot as plt
        from cabinetry.visualize import plot_result

        with style(), plt.ioff(), mpl.rc_context(_SIZES):
            figure: Figure = self.made(plot_result)
            plt.close(figure)
            self.draw(figure.axes[0])
        return figure

    def draw(self, axes: Axes) -> None:
        """Write the caption over the frame."""
        axes.set_title(self._words(), fontsize=10, loc="left")

    @abstractmethod
    def made(self, cabinetry: Any) -> Any:
        """Return the figure that `cabinetry.visualize.plot_result` makes."""

    def _words(self) -> str:
        words = ", ".join(self.caption.text())
        name = literal(f"{self.caption.experiment} {self.caption.status}".strip())
        return f"{name}   {words}" if words else name


@dataclass(frozen=True)
class PullPlot(_CabinetryPlot):
    """Pulls and constraints of n parameters.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    pulls, constraints : numpy.ndarray
        Shape (n,), in prior standard deviations.
    """

    names: tuple[str, ...]
    pulls: Floats
    constraints: Floats

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's figure of pulls."""
        return cabinetry.pulls(self.pulls, self.constraints, _literal(self.names))


@dataclass(frozen=True)
class ImpactPlot(_CabinetryPlot):
    """Impacts of n parameters on the signal strength, the largest first, with their pulls.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    pulls, constraints : numpy.ndarray
        Shape (n,), in prior standard deviations; NaN for a free parameter.
    impacts : numpy.ndarray
        Shape (4, n): prior up and down, fitted up and down; NaN where there is no prior.
    """

    names: tuple[str, ...]
    pulls: Floats
    constraints: Floats
    impacts: Floats

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's ranking."""
        impacts = np.nan_to_num(self.impacts)
        figure = cabinetry.ranking(self.pulls, self.constraints, _literal(self.names), *impacts)
        # cabinetry's range is that of the prior impacts, which a free parameter has none of
        widest = 1.1 * float(np.abs(impacts).max()) or 1.0
        figure.axes[1].set_xlim(-widest, widest)
        return figure

    def draw(self, axes: Axes) -> None:
        """Write the caption below the frame, as the legend is above it."""
        axes.figure.text(0.01, 0.004, self._words(), fontsize=9, ha="left", va="bottom", color="#333333")


@dataclass(frozen=True)
class CorrelationPlot(_CabinetryPlot):
    """Correlations of n parameters.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    matrix : numpy.ndarray
        Shape (n, n).
    """

    names: tuple[str, ...]
    matrix: Floats

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's matrix."""
        return cabinetry.correlation_matrix(self.matrix, _literal(self.names))


@dataclass(frozen=True)
class ScanPlot(_CabinetryPlot):
    """The likelihood profiled along a parameter, at n values.

    Attributes
    ----------
    name : str
        The parameter.
    best, error : float
        Its best fit and standard deviation.
    values, delta : numpy.ndarray
        Shape (n,): its values, and twice the increase of the negative log-likelihood.
    """

    name: str
    best: float
    error: float
    values: Floats
    delta: Floats

    def made(self, cabinetry: Any) -> Any:
        """Return cabinetry's scan."""
        return cabinetry.scan(literal(self.name), self.best, self.error, self.values, self.delta)


def _literal(names: tuple[str, ...]) -> list[str]:
    return [literal(name) for name in names]
