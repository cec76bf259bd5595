"""From `classifiers.json` of a run, how well each of its classifiers does, to its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from colonnade.plotting.lines import BarPlot, Line, LinePlot, Step, StepPlot
from colonnade.plotting.plot import Floats, Picture, Plot, path_part
from colonnade.plotting.run import Run
from colonnade.training.results import CalibrationBin, ScoreDistributions, SignalEvaluation

# rates below this are of a few events
_LEAST_RATE = 1e-5
_MOST_FEATURES = 20
_TEST, _TRAINING = "test", "training"


def classifier_pictures(run: Run) -> Iterator[Picture]:
    """Yield the pictures of the classifiers' evaluations; none where the run has none."""
    for name, evaluation in run.classifiers.items():
        points = evaluation.points
        for title, group in _by_model(run, points).items():
            yield _roc(run, name, title, group)
            yield _significance(run, name, title, group, evaluation.background_error)
        for title, group in _by_hypothesis(points).items():
            yield _unscaled(run, name, title, group)
            yield _scaled(run, name, title, group)
        yield _calibration(run, name, evaluation.calibration)
        yield _importance(run, name, evaluation.importance)


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
            from_zero=True, caption=run.caption(f"{name}: {title}", label, data=False),
        ),
    )  # fmt: skip


def _unscaled(run: Run, name: str, title: str, points: Sequence[SignalEvaluation]) -> Picture:
    """Shapes: test events as lines, training events as points."""
    edges = np.asarray(points[0].distributions.edges, dtype=np.float64)
    centers = 0.5 * (edges[1:] + edges[:-1])
    steps, curves = [], []
    rows = [("Background", "background", points[0]), *((_title(run, point), "signal", point) for point in points)]
    for place, (words, kind, point) in enumerate(rows):
        test, trained = (_share(each, kind) for each in (point.distributions, point.distributions_training))
        colour = _COLOURS[place % len(_COLOURS)]
        steps.append(Step(words, test, colour=colour, filled=kind == "background"))
        seen = trained > 0
        curves.append(Line("", centers[seen], trained[seen], colour=colour, dash="dotted"))
    return _picture(
        name, f"shape_{title}", f"scores of {name} for {title}: test events, and training events dotted",
        StepPlot(
            edges, tuple(steps), name, curves=tuple(curves), scale="log",
            caption=run.caption(f"{name}, {title}", "dotted: training events", data=False),
        ),
    )  # fmt: skip


def _scaled(run: Run, name: str, title: str, points: Sequence[SignalEvaluation]) -> Picture:
    edges = np.asarray(points[0].distributions.edges, dtype=np.float64)
    scores = points[0].distributions
    total = np.asarray(scores.background.scaled, dtype=np.float64)
    steps = [Step("Background", total, colour="#717581", filled=True)]
    for process, values in scores.processes.items():
        known = run.process(process)
        steps.append(Step(known.title, np.asarray(values, dtype=np.float64), colour=known.colour))
    for place, point in enumerate(points):
        own = np.asarray(point.distributions.signal.scaled, dtype=np.float64)
        steps.append(Step(_title(run, point), own, colour=_SIGNALS[place % len(_SIGNALS)]))
    return _picture(
        name, f"scaled_{title}", f"scores of {name} for {title}, scaled to the luminosity",
        StepPlot(
            edges, tuple(steps), name, "Events", scale="log", caption=run.caption(f"{name}, {title}", data=False)
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
            lines, f"Mean {name}", "Share of signal", from_zero=True,
            caption=run.caption(name, "in training weights", data=False),
        ),
    )  # fmt: skip


def _importance(run: Run, name: str, losses: Mapping[str, float]) -> Picture:
    kept = list(losses.items())[:_MOST_FEATURES]
    first = kept[0][0] if kept else "none"
    return _picture(
        name, "importance", f"permutation importance of the features of {name}, {first} first",
        BarPlot(
            tuple(feature for feature, _ in kept), np.asarray([loss for _, loss in kept], dtype=np.float64),
            "AUC lost when shuffled", caption=run.caption(f"{name}: features", data=False),
        ),
    )  # fmt: skip


_SIGNALS = ("#000000", "#7a21dd", "#bd1f01")  # none of them a background's
_COLOURS = ("#7a21dd", "#bd1f01", "#3f90da", "#e8a100", "#2f7d3b", "#832db6")


def _title(run: Run, point: SignalEvaluation) -> str:
    return run.process(point.signal).title


def _share(scores: ScoreDistributions, kind: str) -> Floats:
    values = np.asarray(getattr(scores, kind).events, dtype=np.float64)
    return values / max(float(values.sum()), 1.0)


def _picture(name: str, stem: str, alt: str, plot: Plot) -> Picture:
    return Picture(f"classifiers/{path_part(name)}_{path_part(stem)}", "classifier", alt, plot)
