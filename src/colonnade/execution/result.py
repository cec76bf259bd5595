"""What a run gives: histograms scaled to the luminosity, cutflows, and the account of every event."""

from __future__ import annotations

__all__ = ["Result", "Timing", "collect"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hist

from colonnade.execution.ledger import Ledger
from colonnade.histograms import HistogramSet, combine
from colonnade.manifest import normalisation
from colonnade.output import write_json

if TYPE_CHECKING:
    from colonnade.execution.plan import Plan
    from colonnade.processor import CutflowRow

Cutflow = Mapping[str, Mapping[str, "Sequence[CutflowRow]"]]


@dataclass(frozen=True)
class Timing:
    """Where the time went, in seconds of this machine's clock.

    Attributes
    ----------
    planning
        Opening files and learning columns.
    events
        Reading, processing and adding.
    processed
        Events that were processed now.
    kept
        Events whose results were kept from earlier.
    """

    planning: float = 0.0
    events: float = 0.0
    processed: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Result:
    """Everything merged and normalised.

    Attributes
    ----------
    histograms
        ``histograms[name][process]``: a `hist.Hist` with axes region, variation and the declared ones.
    cutflow
        ``cutflow[dataset][region]``: a row for each cut, in order.
    ledger
        What became of every event.
    timing
        Where the time went.
    accumulator
        Of a coffea processor, what coffea's `Runner` returns.
    """

    histograms: Mapping[str, Mapping[str, hist.Hist]]
    cutflow: Cutflow
    ledger: Ledger
    timing: Timing = field(default_factory=Timing)
    accumulator: Any = None

    def write_cutflow(self, path: Path) -> None:
        """Write `cutflow.json`, whole or not at all.

        Raises
        ------
        OutputError
            If the file can't be written.
        """
        write_json(path, self.cutflow)


def collect(
    plan: Plan, results: Mapping[str, Any], ledger: Ledger, luminosity: float
) -> tuple[dict[str, dict[str, hist.Hist]], Cutflow]:
    """Scale each dataset to the luminosity and add the datasets of a process, in the manifest's order.

    Parameters
    ----------
    plan
        The datasets.
    results
        What their chunks add up to, by dataset.
    ledger
        Holds the sums of weights to normalise by.
    luminosity
        In fb^-1.

    Returns
    -------
    histograms
        ``histograms[name][process]``.
    cutflow
        ``cutflow[dataset][region]``.
    """
    from colonnade.processor import cutflow_table  # brings coffea, which a result that is only read does without

    scaled: dict[str, list[Mapping[str, Any]]] = {}
    cutflow: dict[str, Mapping[str, Sequence[CutflowRow]]] = {}
    for dataset in plan.datasets:
        factor = normalisation(dataset.metadata, luminosity, ledger.datasets[dataset.name].sumw)
        result = results[dataset.name]
        scaled.setdefault(dataset.metadata.process, []).append(_scaled(result["histograms"], factor))
        cutflow[dataset.name] = cutflow_table(result.get("cutflow", {}), factor)
    histograms: dict[str, dict[str, hist.Hist]] = {}
    for process, parts in scaled.items():
        total = _combined(parts)
        for name in total:
            histograms.setdefault(name, {})[process] = total[name]
    return histograms, cutflow


def _scaled(histograms: Mapping[str, Any], factor: float) -> Mapping[str, Any]:
    if isinstance(histograms, HistogramSet):
        return histograms * factor
    return {name: histogram * factor for name, histogram in histograms.items()}


def _combined(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    sets = [part for part in parts if isinstance(part, HistogramSet)]
    if len(sets) == len(parts):
        return combine(sets)
    total = dict(parts[0])
    for part in parts[1:]:
        for name, histogram in part.items():
            total[name] = total[name] + histogram if name in total else histogram
    return total
