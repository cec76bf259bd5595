"""What a run gives: histograms scaled to the luminosity, cutflows, and the account of every event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import hist
import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from colonnade.errors import EventError
from colonnade.execution.ledger import Ledger
from colonnade.execution.merging import add
from colonnade.histograms import HistogramSet, combine
from colonnade.manifest import normalisation
from colonnade.manifest.datasets import alternatives_of
from colonnade.manifest.strata import joint_factors

if TYPE_CHECKING:
    from colonnade.execution.plan import DatasetPlan, Plan

Histograms = Mapping[str, Mapping[str, hist.Hist]]


class Counts(TypedDict):
    """What cuts leave."""

    raw: int
    weighted: float
    error: float


class CutflowRow(Counts):
    """One row of a cutflow: what is left after this cut and those above it, and what all cuts but this one leave."""

    cut: str
    n_minus_one: Counts | None


Cutflow = Mapping[str, Mapping[str, Sequence[CutflowRow]]]


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
    eras
        Where the datasets are of declared eras, ``eras[era][name][process]``: what `histograms` are the sums of.
    """

    histograms: Mapping[str, Mapping[str, hist.Hist]]
    cutflow: Cutflow
    ledger: Ledger
    timing: Timing = field(default_factory=Timing)
    accumulator: Any = None
    eras: Mapping[str, Histograms] = field(default_factory=dict)

    def of_era(self, era: str) -> Result:
        """Return the part of one era: its histograms, cutflows and accounts."""
        entries = {name: each for name, each in self.ledger.datasets.items() if each.era == era}
        cutflow = {name: table for name, table in self.cutflow.items() if name in entries}
        return replace(
            self, histograms=self.eras[era], cutflow=cutflow, ledger=replace(self.ledger, datasets=entries), eras={}
        )


def collect(
    plan: Plan, results: Mapping[str, Any], ledger: Ledger, luminosity: float | Mapping[str, float]
) -> tuple[Histograms, Cutflow, Mapping[str, Histograms]]:
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
        In fb^-1; of each era, where the datasets are of several.

    Returns
    -------
    histograms
        ``histograms[name][process]``.
    cutflow
        ``cutflow[dataset][region]``.
    eras
        ``eras[era][name][process]``, where the luminosity is that of eras.

    Raises
    ------
    EventError
        If a sum of weights is not a number: a dataset can't be normalised, or weights are so large that they overflow.
    """
    scaled: dict[str, dict[str, Any]] = {}
    cutflow: dict[str, Mapping[str, Sequence[CutflowRow]]] = {}
    for dataset in plan:
        process = dataset.metadata.process
        ratios = {name: each.ratio for name, each in ledger.datasets[dataset.name].generator.items()}
        pieces = _pieces(plan, dataset, results[dataset.name], ledger, luminosity)
        parts: dict[str, list[Mapping[str, Any]]] = {}
        for factor, result in pieces:
            with np.errstate(over="ignore", invalid="ignore"):  # found below
                parts.setdefault(process, []).append(_scaled(result["histograms"], factor, ratios))
                for part, filled in result.get("parts", {}).items():
                    parts.setdefault(f"{process}_{part}", []).append(_scaled(filled, factor, ratios))
        scaled[dataset.name] = {part: each[0] if len(each) == 1 else _combined(each) for part, each in parts.items()}
        cutflow[dataset.name] = _cutflow(pieces)
    # what is dumped or skimmed has no variations
    varies = all(isinstance(filled, HistogramSet) for each in scaled.values() for filled in each.values())
    metadata = {dataset.name: dataset.metadata for dataset in plan}
    for name, samples in alternatives_of(metadata).items() if varies else ():
        for variation, sample in samples.items():
            other = scaled.pop(sample)
            scaled[name] = {part: filled.varied(variation, other[part]) for part, filled in scaled[name].items()}
    nominal = [dataset for dataset in plan if dataset.name in scaled]
    eras = {
        era: _by_process([dataset for dataset in nominal if dataset.metadata.era == era], scaled)
        for era in (luminosity if isinstance(luminosity, Mapping) else ())
    }
    return _by_process(nominal, scaled), cutflow, eras


def _pieces(
    plan: Plan,
    dataset: DatasetPlan,
    result: Any,
    ledger: Ledger,
    luminosity: float | Mapping[str, float],
) -> list[tuple[float, Any]]:
    """Return the results that a dataset is made of, one or those of strata, each with its factor."""
    about = dataset.metadata
    own = luminosity[str(about.era)] if isinstance(luminosity, Mapping) else luminosity
    if "strata" not in result:
        return [(normalisation(about, own, ledger.datasets[dataset.name].sumw), result)]
    group = [each for each in plan if _group(each) == _group(dataset)]
    strata = {each.name: each.extra["strata"] for each in group}
    sums = {each.name: ledger.datasets[each.name].sumw for each in group}
    factors = joint_factors({each.name: each.metadata for each in group}, strata, sums, own)[dataset.name]
    return [(factors[int(number)], part) for number, part in result["strata"].items()]


def _group(dataset: DatasetPlan) -> tuple[str | None, ...]:
    return dataset.metadata.process, dataset.metadata.era, dataset.metadata.varies


def _cutflow(pieces: Sequence[tuple[float, Any]]) -> Mapping[str, Sequence[CutflowRow]]:
    if len(pieces) == 1:
        ((factor, result),) = pieces
        return cutflow_table(result.get("cutflow", {}), factor)
    total: dict[str, dict[str, Any]] = {}
    for factor, result in pieces:
        scale = np.array([1.0, factor, factor**2] * 2)
        for region, cuts in result.get("cutflow", {}).items():
            total = add(total, {region: {cut: sums * scale for cut, sums in cuts.items()}})
    return cutflow_table(total)


def cutflow_table(
    counts: Mapping[str, Mapping[str, npt.NDArray[np.float64]]], scale: float = 1.0
) -> dict[str, list[CutflowRow]]:
    """Turn the counts of a result into rows.

    Parameters
    ----------
    counts
        ``result[dataset]["cutflow"]`` of a processor: region, then cut, then raw events, sum of weights and of
        squared weights, and the same three with all cuts but this one.
    scale
        Factor from the sum of weights to expected events, see `colonnade.manifest.normalisation`.

    Returns
    -------
    dict
        Region to rows; errors are statistical, the square root of the sum of squared weights. ``n_minus_one`` is
        None for the rows up to the preselection.
    """
    return {
        region: [
            CutflowRow(
                cut=cut,
                **_counts(sums[:3], scale),
                n_minus_one=None if math.isnan(sums[3]) else _counts(sums[3:], scale),
            )
            for cut, sums in cuts.items()
        ]
        for region, cuts in counts.items()
    }


def _counts(sums: npt.NDArray[np.float64], scale: float) -> Counts:
    raw, weighted, squares = (float(each) for each in sums)
    return Counts(raw=round(raw), weighted=weighted * scale, error=math.sqrt(squares) * abs(scale))


def _by_process(datasets: Sequence[DatasetPlan], scaled: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Histograms:
    """Add the datasets of each process."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for dataset in datasets:
        for process, filled in scaled[dataset.name].items():
            parts.setdefault(process, []).append(filled)
    histograms: dict[str, dict[str, hist.Hist]] = {}
    for process, each in parts.items():
        total = _combined(each)
        for name in total:
            filled = total[name]
            counts = isinstance(filled, hist.Hist)  # else columns of a training
            contents = (filled.values(flow=True), filled.variances(flow=True)) if counts else ()
            if not all(np.isfinite(each).all() for each in contents if each is not None):
                msg = (
                    f"The histogram {name} of process {process} holds a sum of weights, or of their squares, that is "
                    "not finite: its weights or its cross-section are too large."
                )
                raise EventError(msg)
            histograms.setdefault(name, {})[process] = filled
    return histograms


def _scaled(histograms: Mapping[str, Any], factor: float, ratios: Mapping[str, float]) -> Mapping[str, Any]:
    if isinstance(histograms, HistogramSet):
        return (histograms.normalised(ratios) if ratios else histograms) * factor
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
