"""The pictures of a whole run: yields, cutflows, significances and limits against a signal's parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from colonnade.plotting.labels import (
    INNER,
    MARKERS,
    OUTER,
    SIGNAL_COLOURS,
    SIGNAL_DASHES,
    literal,
    parameter_label,
    region_title,
    with_unit,
)
from colonnade.plotting.lines import CutPlot, Kept
from colonnade.plotting.plot import Floats, Picture, Plot, path_part
from colonnade.plotting.run import Run
from colonnade.plotting.stack import Component, StackPlot
from colonnade.plotting.style import finish, ticks
from colonnade.plotting.yields import CutRow, RegionYields, merged_cutflow
from colonnade.statistics.results import Point


def yields_picture(run: Run) -> Iterator[Picture]:
    """Draw all regions' yields side by side."""
    tables = [each for each in run.yields.values() if each.processes or each.data is not None]
    if not tables:
        return
    count = len(tables)
    backgrounds = _components(run, tables, run.backgrounds)
    signals = _components(run, tables, run.signals)
    totals = [each.total for each in tables]
    data = np.asarray([np.nan if each.data is None else each.data for each in tables], dtype=float)
    seen = bool(np.isfinite(data).any())
    plot = StackPlot(
        edges=np.arange(count + 1.0),
        bins=tuple(region_title(each.region, run.plots) for each in tables),
        backgrounds=backgrounds,
        down=np.asarray([np.hypot(each.error, each.down) if each else 0.0 for each in totals]),
        up=np.asarray([np.hypot(each.error, each.up) if each else 0.0 for each in totals]),
        signals=signals,
        data=data if seen else None,
        panel="ratio" if seen else "none",
        scale=run.plots.scale,
        rotate=count > 5,
        caption=run.caption(data=seen),
    )
    yield Picture("yields", "yields", f"Events in each of {count} regions, by process", plot)


def _components(run: Run, tables: Sequence[RegionYields], names: Sequence[str]) -> tuple[Component, ...]:
    found = []
    for name in names:
        values = [each.processes[name].value if name in each.processes else 0.0 for each in tables]
        if any(name in each.processes for each in tables):
            found.append(Component(run.processes[name].title, np.asarray(values), run.processes[name].colour))
    return tuple(found)


def cutflow_pictures(run: Run, region: str) -> Iterator[Picture]:
    """Draw what is left after each cut of a region, and what each cut keeps (N-1)."""
    rows = {name: merged_cutflow(run.result, [name], region) for name in (*run.backgrounds, *run.signals)}
    rows = {name: each for name, each in rows.items() if each}
    if not rows:
        return
    cuts = list(dict.fromkeys(row.cut for each in rows.values() for row in each))
    title = region_title(region, run.plots)
    if len(cuts) > 1 and any(name in rows for name in run.backgrounds):
        backgrounds = merged_cutflow(run.result, run.backgrounds, region)
        errors = _column(backgrounds, cuts, "error")
        plot = StackPlot(
            edges=np.arange(len(cuts) + 1.0),
            bins=tuple(literal(cut) for cut in cuts),
            backgrounds=_cut_components(run, rows, run.backgrounds, cuts),
            down=errors,
            up=errors,
            signals=_cut_components(run, rows, run.signals, cuts),
            scale="log",
            rotate=True,
            caption=run.caption(title, data=False),
        )
        alt = f"Expected events after each cut of region {region}"
        yield Picture(f"cutflow/{path_part(region)}", "cutflow", alt, plot, region)
    yield from _n_minus_one(run, region, title)


def _cut_components(
    run: Run, rows: Mapping[str, Sequence[CutRow]], names: Sequence[str], cuts: Sequence[str]
) -> tuple[Component, ...]:
    return tuple(
        Component(run.processes[name].title, _column(rows[name], cuts, "weighted"), run.processes[name].colour)
        for name in names
        if name in rows
    )


def _column(rows: Sequence[CutRow], cuts: Sequence[str], what: str) -> Any:
    known = {row.cut: float(getattr(row, what)) for row in rows}
    return np.asarray([known.get(cut, 0.0) for cut in cuts])


def _n_minus_one(run: Run, region: str, title: str) -> Iterator[Picture]:
    groups = [("Background", run.backgrounds, "#4a4f57")]
    groups += [(run.processes[name].title, [name], run.processes[name].colour) for name in run.signals]
    tables = [(words, merged_cutflow(run.result, names, region), colour) for words, names, colour in groups]
    cuts = list(dict.fromkeys(row.cut for _, rows, _ in tables for row in rows if row.without is not None))
    if not cuts:
        return
    kept = tuple(Kept(words, _kept(rows, cuts), colour) for words, rows, colour in tables if rows)
    yield Picture(
        f"n_minus_one/{path_part(region)}", "n_minus_one",
        f"What each cut of region {region} keeps of the events that pass all the others",
        CutPlot(tuple(literal(cut) for cut in cuts), kept, caption=run.caption(title, data=False)), region,
    )  # fmt: skip


def _kept(rows: Sequence[CutRow], cuts: Sequence[str]) -> Any:
    """Return the final yield over that without each cut, between 0 and 1."""
    final = rows[-1].weighted
    without = {row.cut: row.without.weighted for row in rows if row.without is not None}
    fractions = [final / without[cut] if without.get(cut, 0) > 0 else np.nan for cut in cuts]
    return np.clip(np.asarray(fractions), 0, 1)


def significance_pictures(run: Run) -> Iterator[Picture]:
    """Draw the significance of all models against their parameter."""
    groups = points_by_model(run)
    curves = [
        Curve(
            model,
            np.asarray([x for x, *_ in points]),
            np.asarray([point.significance.expected for *_, point in points]),
            _known([point.significance.observed for *_, point in points]),
        )
        for model, points in groups.items()
    ]
    if curves:
        caption = run.caption(data=any(curve.observed is not None for curve in curves))
        keys = {key for points in groups.values() for _, key, _ in points}
        plot = SignificancePlot(tuple(curves), _x_label(keys), caption=caption)
        yield Picture("significance", "significance", "Expected significance of each signal point", plot)


def limit_pictures(run: Run) -> Iterator[Picture]:
    """Draw each model's limits against its parameter: on the cross-section where it is known, else on mu."""
    level = 0.95 if run.fit is None else run.fit.level
    for model, points in points_by_model(run).items():
        sizes = [point.cross_section_pb for *_, point in points]
        physical = all(size is not None for size in sizes)
        scale = np.asarray(sizes if physical else np.ones(len(sizes)), dtype=float)
        expected = np.asarray([point.limit.expected for *_, point in points]) * scale[:, None]
        observed = _known([point.limit.observed for *_, point in points])
        what = r"\sigma" if physical else r"\mu"
        plot = LimitPlot(
            np.asarray([x for x, *_ in points]), expected, _x_label({key for _, key, _ in points}),
            None if observed is None else observed * scale, scale,
            r"Predicted $\sigma$" if physical else r"$\mu$ = 1",
            f"{100 * level:g} % CL upper limit on ${what}$" + (" [pb]" if physical else ""),
            caption=run.caption(model, data=observed is not None),
        )  # fmt: skip
        alt = f"Upper limits on {model} at {level:.0%} confidence level"
        yield Picture(f"limit_{path_part(model)}", "limit", alt, plot)


def _known(values: Sequence[float | None]) -> Floats | None:
    """Return numbers, NaN where there is none; None where there are none at all."""
    found = np.asarray([np.nan if value is None else value for value in values])
    return found if np.isfinite(found).any() else None


def points_by_model(run: Run) -> dict[str, list[tuple[float, str, Point]]]:
    """Return the points of each model, in increasing order of the parameter they differ in.

    Where they differ in several, each choice of the others is a group of its own.

    Returns
    -------
    dict
        Title to points: the parameter's value, its name (empty where there is none), the result.
    """
    fit = run.fit
    known = {} if fit is None else {point.signal: point for point in fit.points}
    groups: dict[str, list[tuple[float, str, Point]]] = {}
    for group in run.models.values():
        for number, signal in enumerate(group):
            if signal.name not in known:
                continue
            key, *others = signal.shown or ("",)
            words = [signal.model_title]
            for other in others:
                symbol, unit = parameter_label(other)
                words.append(f"{symbol} = {signal.parameters[other]:g} {unit}".rstrip())
            x = signal.parameters[key] if key else float(number)
            groups.setdefault(", ".join(words), []).append((x, key, known[signal.name]))
    return groups


def _x_label(keys: set[str]) -> str:
    if len(keys) != 1:
        return "Signal parameter"
    key = next(iter(keys))
    return with_unit(*parameter_label(key)) if key else "Signal point"


@dataclass(frozen=True)
class LimitPlot(Plot):
    """Upper limits of one model against one parameter, at n points in increasing order.

    Drawn are the expected limits with their bands of one and two standard deviations, and the observed ones.

    Attributes
    ----------
    x : numpy.ndarray
        Shape (n,): the parameter.
    expected : numpy.ndarray
        Shape (n, 5): the expected limit at -2, -1, 0, +1 and +2 standard deviations.
    label : str
        Of the parameter, with its unit.
    observed : numpy.ndarray, optional
        Shape (n,): the observed limit; NaN where there is none.
    theory : numpy.ndarray, optional
        Shape (n,): what the model predicts, in the limit's unit.
    theory_title : str
        Its name in the legend.
    quantity : str
        What is limited, with its unit.
    """

    x: Floats
    expected: Floats
    label: str
    observed: Floats | None = None
    theory: Floats | None = None
    theory_title: str = "Prediction"
    quantity: str = "95 % CL upper limit on $\\mu$"

    def draw(self, axes: Axes) -> None:
        """Draw bands, limits and prediction on a logarithmic axis."""
        x, expected, theory = self.x, self.expected, self.theory
        if len(x) == 1:  # a single point gets a short bar: a band without width can't be seen
            reach = 0.02 * abs(float(x[0])) or 0.02
            x, expected = np.asarray([x[0] - reach, x[0] + reach]), np.repeat(expected, 2, axis=0)
            theory = None if theory is None else np.repeat(theory, 2)
        axes.plot(x, expected[:, 2], color="black", linestyle=(0, (4, 2)), zorder=3)
        open_points: dict[str, Any] = {"color": "black", "markerfacecolor": "white", "markersize": 4.5}
        handles: list[Artist] = []
        if self.observed is not None and np.isfinite(self.observed).any():
            handles += axes.plot(self.x, self.observed, "o-", color="black", markersize=5, zorder=4, label="Observed")
        axes.plot(self.x, self.expected[:, 2], "o", zorder=3, **open_points)
        handles += axes.plot([], [], marker="o", linestyle=(0, (4, 2)), label="Expected", **open_points)
        for low, high, colour, words in ((1, 3, INNER, "± 1 std. deviation"), (0, 4, OUTER, "± 2 std. deviations")):
            handles.append(
                axes.fill_between(
                    x, expected[:, low], expected[:, high], color=colour, linewidth=0, zorder=1 + 0.1 * low, label=words
                )
            )
        if theory is not None:
            handles += axes.plot(x, theory, color=SIGNAL_COLOURS[0], linewidth=2, zorder=2, label=self.theory_title)
        _finish(axes, self, handles, logarithmic=True)


@dataclass(frozen=True)
class Curve:
    """A quantity against a parameter, at n points in increasing order.

    Attributes
    ----------
    title : str
        Its name in the legend.
    x, y : numpy.ndarray
        Shape (n,).
    observed : numpy.ndarray, optional
        Shape (n,): the observed value; NaN where there is none.
    """

    title: str
    x: Floats
    y: Floats
    observed: Floats | None = None


@dataclass(frozen=True)
class SignificancePlot(Plot):
    """The significance of each model against a parameter; the lines at 3 and 5 are evidence and discovery.

    Attributes
    ----------
    curves : tuple of Curve
        One for each model.
    label : str
        Of the parameter, with its unit.
    quantity : str
        What is drawn.
    """

    curves: tuple[Curve, ...]
    label: str
    quantity: str = "Expected significance"

    def draw(self, axes: Axes) -> None:
        """Draw the curves, on a logarithmic axis where they span a factor of more than 30."""
        handles: list[Artist] = []
        for index, curve in enumerate(self.curves):
            look: dict[str, Any] = {
                "color": SIGNAL_COLOURS[index % len(SIGNAL_COLOURS)],
                "marker": MARKERS[index % len(MARKERS)],
                "linestyle": SIGNAL_DASHES[index % len(SIGNAL_DASHES)],
                "markersize": 5.5,
            }
            handles += axes.plot(curve.x, curve.y, label=curve.title, **look)
            if curve.observed is not None and np.isfinite(curve.observed).any():
                look |= {"linestyle": "none", "markerfacecolor": "white"}
                handles += axes.plot(curve.x, curve.observed, label=f"{curve.title}, observed", **look)
        values = np.concatenate([np.zeros(0), *(curve.y for curve in self.curves)])
        positive = values[values > 0]
        logarithmic = positive.size > 1 and float(positive.max() / positive.min()) > 30
        _finish(axes, self, handles, logarithmic)
        low, high = axes.get_ylim()
        for level in (3, 5):
            if low < level < high:
                axes.axhline(level, color="#777777", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)


def _finish(axes: Axes, plot: LimitPlot | SignificancePlot, handles: list[Artist], logarithmic: bool) -> None:
    axes.margins(x=0)
    x0, x1 = axes.dataLim.x0, axes.dataLim.x1
    margin = 0.03 * (x1 - x0 or abs(x0) or 1)
    axes.set_xlim(x0 - margin, x1 + margin)
    finish(axes, plot.caption, handles, logarithmic=logarithmic)
    axes.set_xlabel(plot.label)
    axes.set_ylabel(plot.quantity)
    ticks(axes)
