"""How the scores of a study are judged: on the test events, in every slice, and after the selection."""

from __future__ import annotations

__all__ = ["StudyEvents", "detail", "judge"]

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from colonnade.training.evaluation import area_under_curve
from colonnade.training.sample import Sample
from studies.monojet.declaration import ImageStudy
from studies.monojet.metrics import at_thresholds, peak, sensitivity_gain

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class StudyEvents:
    """All events of a study, and which of them are for what.

    `test` is of the two classes and of no training; `fresh` is everything that nothing was trained or stopped on.
    """

    study: ImageStudy
    sample: Sample

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """The events of the two classes in the region of the training."""
        unseen = self.sample.process == self.sample.processes.index(self.study.unseen)
        known: NDArray[np.bool_] = self.sample.in_region(self.study.region) & ~unseen
        return known

    @cached_property
    def parts(self) -> dict[str, Rows]:
        """Rows to learn from, to stop by, and to test on: those that `Sample.split` gives the set network as well."""
        split = self.sample.split(1, 0)
        return {name: rows[self.known[rows]] for name, rows in asdict(split).items()}

    @cached_property
    def fresh(self) -> NDArray[np.bool_]:
        """The events that no network has seen."""
        seen = np.zeros(len(self.sample), dtype=bool)
        seen[self.parts["train"]] = seen[self.parts["validation"]] = True
        return ~seen

    def weight(self) -> NDArray[np.float64]:
        """Weights with which the fresh events stand for all: the test part of a class for the whole class."""
        weight = self.sample.weight.copy()
        for process in range(len(self.sample.processes)):
            own = self.known & (self.sample.process == process)
            if own.any():
                weight[own] *= weight[own].sum() / max(float(weight[own & self.fresh].sum()), 1e-300)
        return weight

    def of(self, process: str) -> NDArray[np.bool_]:
        """Tell which fresh events are of a process."""
        own: NDArray[np.bool_] = self.fresh & (self.sample.process == self.sample.processes.index(process))
        return own


def judge(scores: Floats, sample: Sample, test: Rows) -> dict[str, Any]:
    """Judge a score on the test events: accuracy, area under the curve, and what thresholds give."""
    score, target = scores[test], sample.target[test]
    rows = at_thresholds(score, target)
    return {
        "accuracy": at_thresholds(score, target, [0.5])[0].accuracy,
        "average_precision": float(average_precision_score(target, score)),
        "auc": area_under_curve(score.astype(np.float64), np.ones(len(score)), target),
        "thresholds": [asdict(row) for row in rows],
        "peak": asdict(peak(rows)),
    }


def detail(events: StudyEvents, scores: Floats, chosen: dict[str, float]) -> dict[str, Any]:
    """Judge a score at its threshold in every slice, and after the selection."""
    study, sample, cut = events.study, events.sample, chosen["threshold"]
    processes = (study.signal, study.background, study.unseen)
    slices = {
        region: {process: _right(events, scores, cut, process, sample.in_region(region)) for process in processes}
        for region in study.slices
    }
    anywhere = np.any([sample.in_region(region) for region in study.slices], axis=0)
    inside = sample.in_region(study.selection) & anywhere
    selected = {process: _right(events, scores, cut, process, inside) for process in processes}
    passed = {
        process: share["right"] if process == study.signal else 1 - share["right"]
        for process, share in selected.items()
    }
    errors = {process: share["error"] for process, share in selected.items()}
    return {
        "threshold": cut,
        "slices": slices,
        "selected": selected,
        "gain": sensitivity_gain(study.yields, passed, study.signal),
        "gain_error": _gain_error(study, passed, errors),
    }


def _gain_error(study: ImageStudy, passed: dict[str, float], errors: dict[str, float]) -> float:
    """Carry the errors of the shares that pass, which are independent, to the gain."""
    gain = sensitivity_gain(study.yields, passed, study.signal)
    total = 0.0
    for process, error in errors.items():
        step = error if passed[process] + error <= 1 else -error
        total += (sensitivity_gain(study.yields, {**passed, process: passed[process] + step}, study.signal) - gain) ** 2
    return float(np.sqrt(total))


def _right(
    events: StudyEvents, scores: Floats, cut: float, process: str, inside: NDArray[np.bool_]
) -> dict[str, float]:
    """Return the share of a process's events called what they are, its error, and the number of events."""
    rows = np.flatnonzero(events.of(process) & inside)
    weight = events.weight()[rows]
    right = (scores[rows] > cut) == (process == events.study.signal)
    total = max(float(weight.sum()), 1e-300)
    share = float(weight[right].sum()) / total
    error = float(np.sqrt(np.sum(np.square(weight * (right - share))))) / total
    return {"right": share, "error": error, "events": len(rows)}
