"""Events expected and seen in each region, with their uncertainties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from colonnade.plotting.projection import Histogram, OfModel, project

if TYPE_CHECKING:
    from colonnade.execution import Result
    from colonnade.plotting.run import Run


@dataclass(frozen=True)
class Expected:
    """A number of events.

    Attributes
    ----------
    value, error : float
        Events and their statistical uncertainty.
    up, down : float
        Systematic uncertainty, both 0 or more.
    """

    value: float
    error: float
    up: float = 0.0
    down: float = 0.0


@dataclass(frozen=True)
class RegionYields:
    """The yields of one region.

    Attributes
    ----------
    region : str
        Its name.
    processes : mapping of str to Expected
        Backgrounds and signals.
    total : Expected, optional
        The sum of the backgrounds.
    data : float, optional
        What was seen; none where data are hidden or there are none.
    """

    region: str
    processes: Mapping[str, Expected]
    total: Expected | None
    data: float | None


@dataclass(frozen=True)
class CutRow:
    """What several datasets together leave after a cut and those before it.

    Attributes
    ----------
    cut : str
        Its name.
    raw : int
        Simulated or observed events.
    weighted, error : float
        Expected events and their statistical uncertainty.
    without : CutRow, optional
        What all the other cuts leave (N-1).
    """

    cut: str
    raw: int
    weighted: float
    error: float
    without: CutRow | None = None


def merged_cutflow(result: Result, names: Sequence[str], region: str) -> list[CutRow]:
    """Add the cutflows of all datasets of some processes in one region.

    Rows are matched by the cut's name: blinded data hold only some of them.
    """
    tables = [
        table[region]
        for dataset, table in result.cutflow.items()
        if region in table and (entry := result.ledger.datasets[dataset]).process in names and entry.varies is None
    ]
    order = dict.fromkeys(row["cut"] for table in sorted(tables, key=len, reverse=True) for row in table)
    merged = []
    for cut in order:
        rows = [row for table in tables for row in table if row["cut"] == cut]
        others = [row["n_minus_one"] for row in rows if row["n_minus_one"] is not None]
        merged.append(replace(_added(cut, rows), without=_added(cut, others) if others else None))
    return merged


def _added(cut: str, rows: Sequence[Mapping[str, Any]]) -> CutRow:
    return CutRow(
        cut,
        sum(row["raw"] for row in rows),
        math.fsum(row["weighted"] for row in rows),
        math.hypot(*(row["error"] for row in rows)),
    )


def region_yields(run: Run, region: str) -> RegionYields | None:
    """Return what is expected and seen in a region.

    The numbers are integrals of one histogram, its flow included: one that holds every event of the region once,
    as the cutflow's last row tells; without a cutflow, the one that holds most.

    Returns
    -------
    RegionYields or None
        None where the region has no histogram.
    """
    expected, observed = run.of_kind("background", "signal"), run.of_kind("data")
    chosen = _complete_histogram(run, expected or observed, region)
    if chosen is None:
        return None
    parts = {name: _summed(chosen, [name], region, run.of_model) for name in expected}
    data = None if run.hides_data(region) else _summed(chosen, observed, region)
    return RegionYields(
        region,
        {name: part for name, part in parts.items() if part is not None},
        _summed(chosen, run.of_kind("background"), region, run.of_model),
        None if data is None else data.value,
    )


def _summed(
    histograms: Mapping[str, Histogram], names: Sequence[str], region: str, of_model: Sequence[OfModel] = ()
) -> Expected | None:
    # summed over bins before the variations are compared, as a shift of shape moves no total
    single = {name: histograms[name].integral() for name in names if name in histograms}
    found = project(single, names, region, of_model)
    if found is None:
        return None
    return Expected(
        float(found.values[0]), float(np.sqrt(found.variances[0])), float(found.up[0]), float(found.down[0])
    )


def _complete_histogram(run: Run, names: Sequence[str], region: str) -> Mapping[str, Histogram] | None:
    """Find a histogram that holds each event of a region once."""
    rows = merged_cutflow(run.result, names, region)
    best, most = None, -1.0
    for histograms in run.histograms.values():
        found = [name for name in names if name in histograms and region in histograms[name].regions]
        if not found or not all(all(axis.flow) or axis.bins for axis in histograms[found[0]].axes):
            continue
        total = _summed(histograms, found, region)
        held = 0.0 if total is None else total.value
        if rows and math.isclose(held, rows[-1].weighted, rel_tol=1e-6, abs_tol=1e-9):
            return histograms
        if best is None or held > most:
            best, most = histograms, held
    return best
