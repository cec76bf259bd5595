"""The pictures of a run: histograms, yields, cutflows, significances, limits and classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from colonnade.plotting.lines import Line, LinePlot, PlanePlot
from colonnade.plotting.projection import Projection, project
from colonnade.plotting.run import CutRow, Expected, Run, merged_cutflow
from colonnade.plotting.settings import (
    INNER,
    MARKERS,
    OUTER,
    SIGNAL_COLOURS,
    SIGNAL_DASHES,
    literal,
    parameter_label,
    parameter_value,
    region_title,
)
from colonnade.plotting.stack import StackPlot, components
from colonnade.plotting.style import Floats, Picture, Plot, path_part
from colonnade.statistics.results import Point
from colonnade.training.results import CalibrationBin, ScoreDistributions, SignalEvaluation

# rates below this are of a few events
_LEAST_RATE = 1e-5
# a smaller share of events outside the axis is not worth a note
_LEAST_OUTSIDE = 0.005
_COLOURS = ("#7a21dd", "#bd1f01", "#3f90da", "#e8a100", "#2f7d3b", "#832db6")


def histogram_pictures(run: Run, name: str, region: str) -> Iterator[Picture]:
    """Yield the picture of one histogram in one region: of one axis a stack, of two a plane, else none."""
    histograms = {process: each for process, each in run.histograms[name].items() if region in each.regions}
    if not histograms:
        return
    axes = next(iter(histograms.values())).axes
    stem = f"{path_part(region)}/{path_part(name)}"
    if len(axes) == 1:
        stack = stack_of(run, name, region)
        if stack is not None:
            yield Picture(stem, "histogram", _describe(name, region, stack), stack, region, name)
    elif len(axes) == 2:
        total = project(histograms, run.backgrounds or list(histograms), region)
        if total is None or not np.any(total.values):
            return
        across, up = axes
        alt = f"{name} in region {region}, in two dimensions: {total.values.sum():.4g} events"
        plane = PlanePlot(
            total.values, across.edges, up.edges, across.label, up.label,
            caption=run.caption(region_title(region, run.plots), data=not run.backgrounds),
        )  # fmt: skip
        yield Picture(stem, "histogram", alt, plane, region, name)


def stack_of(run: Run, name: str, region: str) -> StackPlot | None:
    """Return what one histogram of one axis shows in one region; None where there is nothing to draw."""
    histograms, plots = run.histograms[name], run.plots
    total = project(histograms, run.backgrounds, region, run.of_model)
    data = project(histograms, () if run.hides_data(region) else run.of_kind("data"), region)
    signals = run.signals_of(name)
    parts = {each: project(histograms, [each], region) for each in (*run.backgrounds, *signals)}
    values = {each: part.values for each, part in parts.items() if part is not None}
    filled = {each for each, found in values.items() if np.any(found)}
    # how much lies outside is said of the prediction, without one of the data
    main = total or data or next((part for part in parts.values() if part is not None), None)
    if main is None or not (filled or data):
        return None
    axis = next(each for each in histograms.values() if region in each.regions).axes[0]
    lines = components(run.processes, [each for each in signals if each in filled], values)
    weighted = data is not None and not np.allclose(data.values, data.variances)
    everything = float(main.values.sum()) + main.outside
    outside = main.outside / everything if everything > 0 else 0.0
    return StackPlot(
        edges=axis.edges,
        bins=axis.bins,
        backgrounds=components(run.processes, run.backgrounds, values),
        down=total.total_down if total else np.zeros_like(main.values),
        up=total.total_up if total else np.zeros_like(main.values),
        signals=lines,
        data=data.values if data else None,
        data_variances=data.variances if data and weighted else None,
        significances=tuple(_expected_significance(line.values, total) for line in lines),
        label=axis.label,
        unit=axis.unit,
        panel="ratio" if data else "significance",
        scale=plots.scale,
        note=f"not shown: {100 * outside:.2g} %" if outside > _LEAST_OUTSIDE else "",
        rotate=len("".join(axis.bins)) > 60,
        caption=run.caption(region_title(region, plots), data=data is not None),
    )


def _expected_significance(signal: Floats, total: Projection | None) -> Floats:
    """Return the expected significance of each bin; NaN where there is no background to compare with."""
    from colonnade.statistics import asimov_significance

    result = np.full(signal.shape, np.nan)
    if total is not None:
        good = total.values > 0
        result[good] = asimov_significance(np.maximum(signal[good], 0), total.values[good], total.total_up[good])
    return result


def _describe(name: str, region: str, stack: StackPlot) -> str:
    words = []
    if stack.backgrounds:
        words.append(f"{float(stack.total.sum()):.4g} events expected")
    if stack.data is not None:
        words.append(f"{float(np.nansum(stack.data)):.6g} observed")
    return ": ".join(filter(None, (f"{name} in region {region}", ", ".join(words))))


def yields_picture(run: Run) -> Iterator[Picture]:
    """Draw all regions' yields side by side."""
    tables = [each for each in run.yields.values() if each.processes or each.data is not None]
    if not tables:
        return
    count = len(tables)
    nothing = Expected(0.0, 0.0)
    events = {
        name: [each.processes.get(name, nothing).value for each in tables]
        for name in dict.fromkeys(name for each in tables for name in each.processes)
    }
    totals = [each.total for each in tables]
    data = np.asarray([np.nan if each.data is None else each.data for each in tables], dtype=float)
    seen = bool(np.isfinite(data).any())
    plot = StackPlot(
        edges=np.arange(count + 1.0),
        bins=tuple(region_title(each.region, run.plots) for each in tables),
        backgrounds=components(run.processes, run.backgrounds, events),
        down=np.asarray([np.hypot(each.error, each.down) if each else 0.0 for each in totals]),
        up=np.asarray([np.hypot(each.error, each.up) if each else 0.0 for each in totals]),
        signals=components(run.processes, run.signals, events),
        data=data if seen else None,
        panel="ratio" if seen else "none",
        scale=run.plots.scale,
        rotate=count > 5,
        caption=run.caption(data=seen),
    )
    yield Picture("yields", "yields", f"Events in each of {count} regions, by process", plot)


def cutflow_pictures(run: Run, region: str) -> Iterator[Picture]:
    """Draw what is left after each cut of a region."""
    rows = {name: merged_cutflow(run.result, [name], region) for name in (*run.backgrounds, *run.signals)}
    rows = {name: each for name, each in rows.items() if each}
    if not rows:
        return
    cuts = list(dict.fromkeys(row.cut for each in rows.values() for row in each))
    title = region_title(region, run.plots)
    if len(cuts) > 1 and any(name in rows for name in run.backgrounds):
        backgrounds = merged_cutflow(run.result, run.backgrounds, region)
        errors = _column(backgrounds, cuts, "error")
        left = {name: _column(each, cuts, "weighted") for name, each in rows.items()}
        plot = StackPlot(
            edges=np.arange(len(cuts) + 1.0),
            bins=tuple(literal(cut) for cut in cuts),
            backgrounds=components(run.processes, run.backgrounds, left),
            down=errors,
            up=errors,
            signals=components(run.processes, run.signals, left),
            scale="log",
            rotate=True,
            caption=run.caption(title, data=False),
        )
        alt = f"Expected events after each cut of region {region}"
        yield Picture(f"cutflow/{path_part(region)}", "cutflow", alt, plot, region)


def _column(rows: Sequence[CutRow], cuts: Sequence[str], what: str) -> Any:
    known = {row.cut: float(getattr(row, what)) for row in rows}
    return np.asarray([known.get(cut, 0.0) for cut in cuts])


def significance_pictures(run: Run) -> Iterator[Picture]:
    """Draw the significance of all models against their parameter; the lines at 3 and 5 are evidence and discovery."""
    groups = points_by_model(run)
    if not groups:
        return
    lines: list[Line] = []
    for index, (model, points) in enumerate(groups.items()):
        x = np.asarray([x for x, *_ in points])
        expected = np.asarray([point.significance.expected for *_, point in points])
        observed = _known([point.significance.observed for *_, point in points])
        colour, marker = SIGNAL_COLOURS[index % len(SIGNAL_COLOURS)], MARKERS[index % len(MARKERS)]
        dash = SIGNAL_DASHES[index % len(SIGNAL_DASHES)]
        lines.append(Line(model, x, expected, colour=colour, dash=dash, marker=marker))
        if observed is not None:
            lines.append(Line(f"{model}, observed", x, observed, colour=colour, dash="none", marker=marker))
    values = np.concatenate([line.y for line in lines if line.y is not None and line.dash != "none"])
    positive = values[values > 0]
    wide = positive.size > 1 and float(positive.max() / positive.min()) > 30
    seen = any(line.dash == "none" for line in lines)
    keys = {key for points in groups.values() for _, key, _ in points}
    plot = LinePlot(
        tuple(lines), _x_label(keys), "Expected significance", (3, 5), "log" if wide else "linear",
        caption=run.caption(data=seen),
    )  # fmt: skip
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
        x = np.asarray([x for x, *_ in points])
        wide = x
        if len(x) == 1:  # a single point gets a short bar: a band without width can't be seen
            wide = x + (0.02 * abs(x[0]) or 0.02) * np.array([-1.0, 1.0])
            expected, scale = (np.repeat(each, 2, axis=0) for each in (expected, scale))
        lines = [
            Line("Expected", wide, expected[:, 2], colour="black", dash="dashed"),
            Line("± 1 std. deviation", wide, None, expected[:, 1], expected[:, 3], INNER),
            Line("± 2 std. deviations", wide, None, expected[:, 0], expected[:, 4], OUTER),
            Line(r"Predicted $\sigma$" if physical else r"$\mu$ = 1", wide, scale, colour=SIGNAL_COLOURS[0]),
        ]
        if observed is not None:
            lines.insert(0, Line("Observed", x, observed * scale[: len(x)], colour="black", marker="o"))
        plot = LinePlot(
            tuple(lines), _x_label({key for _, key, _ in points}),
            f"{100 * level:g} % CL upper limit on ${what}$" + (" [pb]" if physical else ""), scale="log",
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
            words = [signal.model_title, *(parameter_value(other, signal.parameters[other]) for other in others)]
            x = signal.parameters[key] if key else float(number)
            groups.setdefault(", ".join(words), []).append((x, key, known[signal.name]))
    return groups


def _x_label(keys: set[str]) -> str:
    if len(keys) != 1:
        return "Signal parameter"
    key = next(iter(keys))
    symbol, unit = parameter_label(key) if key else ("Signal point", "")
    return f"{symbol} [{unit}]" if unit else symbol


def classifier_pictures(run: Run) -> Iterator[Picture]:
    """Yield the pictures of the classifiers' evaluations; none where the run has none."""
    for name, evaluation in run.classifiers.items():
        points = evaluation.points
        for title, group in _by_model(run, points).items():
            yield _roc(run, name, title, group)
            yield _significance(run, name, title, group, evaluation.background_error)
        for title, group in _by_hypothesis(points).items():
            yield _shapes(run, name, title, group)
        yield _calibration(run, name, evaluation.calibration)


def _by_model(run: Run, points: Sequence[SignalEvaluation]) -> dict[str, list[SignalEvaluation]]:
    """Group signal points that differ in their parameters alone, in increasing order of them."""
    models = {signal.name: signal.model_title for group in run.models.values() for signal in group}
    groups: dict[str, list[SignalEvaluation]] = {}
    for point in points:
        groups.setdefault(models.get(point.signal, point.signal), []).append(point)
    return {name: sorted(group, key=lambda point: list(point.parameters.values())) for name, group in groups.items()}


def _by_hypothesis(points: Sequence[SignalEvaluation]) -> dict[str, list[SignalEvaluation]]:
    """Group the points under whose hypothesis background has the same scores."""
    groups: dict[str, list[SignalEvaluation]] = {}
    for point in points:
        words = ", ".join(f"{name} = {value:g}" for name, value in point.parameters.items())
        groups.setdefault(words or point.signal, []).append(point)
    return groups


def _roc(run: Run, name: str, title: str, points: Sequence[SignalEvaluation]) -> Picture:
    lines = []
    for point in points:
        false, true = (np.asarray(line, dtype=np.float64) for line in (point.roc.false, point.roc.true))
        kept = false >= _LEAST_RATE
        lines.append(Line(f"{_title(run, point)}: AUC {point.auc:.4f}", true[kept], false[kept]))
    return _picture(
        name, f"roc_{title}", f"ROC of {name}: background kept against signal kept, {title}",
        LinePlot(
            tuple(lines), "Signal kept", "Background kept", scale="log",
            caption=run.caption(f"{name}: {title}", "events not trained on", data=False),
        ),
    )  # fmt: skip


def _significance(run: Run, name: str, title: str, points: Sequence[SignalEvaluation], error: float) -> Picture:
    lines = []
    for point in points:
        known = [each for each in point.significance if each.z is not None]
        best = point.best
        words = "" if best.z is None else f": {best.z:.2g} at {best.cut:.3g}"
        if known:
            cut, z = (np.array([getattr(each, name) for each in known]) for name in ("cut", "z"))
            lines.append(Line(f"{_title(run, point)}{words}", cut, z))
    label = f"background ± {100 * error:g} %, statistics"
    return _picture(
        name, f"significance_{title}", f"expected significance of {title} against the cut on {name}",
        LinePlot(
            tuple(lines) or (Line("", np.zeros(1), np.zeros(1)),), f"Cut on {name}", "Expected significance",
            caption=run.caption(f"{name}: {title}", label, data=False),
        ),
    )  # fmt: skip


def _shapes(run: Run, name: str, title: str, points: Sequence[SignalEvaluation]) -> Picture:
    """Shapes: test events as lines, training events as points."""
    edges = np.asarray(points[0].distributions.edges, dtype=np.float64)
    centers = 0.5 * (edges[1:] + edges[:-1])
    steps, curves = [], []
    rows = [("Background", "background", points[0]), *((_title(run, point), "signal", point) for point in points)]
    for place, (words, kind, point) in enumerate(rows):
        test, trained = (_share(each, kind) for each in (point.distributions, point.distributions_training))
        colour = _COLOURS[place % len(_COLOURS)]
        steps.append(Line(words, edges, test, colour=colour, filled=kind == "background"))
        seen = trained > 0
        curves.append(Line("", centers[seen], trained[seen], colour=colour, dash="dotted"))
    return _picture(
        name, f"shape_{title}", f"scores of {name} for {title}: test events, and training events dotted",
        LinePlot(
            (*steps, *curves), name, "Fraction of events", scale="log",
            caption=run.caption(f"{name}, {title}", "dotted: training events", data=False),
        ),
    )  # fmt: skip


def _calibration(run: Run, name: str, rows: Sequence[CalibrationBin]) -> Picture:
    score, share = (np.array([getattr(row, key) for row in rows]) for key in ("score", "signal_share"))
    lines = (
        Line("Test events", score, share),
        Line("Perfect", np.array([0.0, 1.0]), np.array([0.0, 1.0]), dash="dotted"),
    )
    return _picture(
        name, "calibration", f"calibration of {name}: share of signal against the score",
        LinePlot(
            lines, f"Mean {name}", "Share of signal",
            caption=run.caption(name, "in training weights", data=False),
        ),
    )  # fmt: skip


def _title(run: Run, point: SignalEvaluation) -> str:
    return run.process(point.signal).title


def _share(scores: ScoreDistributions, kind: str) -> Floats:
    values = np.asarray(getattr(scores, kind).events, dtype=np.float64)
    return values / max(float(values.sum()), 1.0)


def _picture(name: str, stem: str, alt: str, plot: Plot) -> Picture:
    return Picture(f"classifiers/{path_part(name)}_{path_part(stem)}", "classifier", alt, plot)
