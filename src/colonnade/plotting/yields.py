"""Events expected and seen in each region, with their uncertainties."""

from __future__ import annotations

__all__ = ["Expected", "RegionYields", "merged_cutflow", "region_yields"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from colonnade.plotting.filled import Filled
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.looks import Process
from colonnade.plotting.projection import FlatUncertainty, Projection, project
from colonnade.plotting.views import CutRow


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


def merged_cutflow(folder: RunFolder, names: Sequence[str], region: str) -> list[CutRow]:
    """Add the cutflows of all datasets of some processes in one region.

    Rows are matched by the cut's name: blinded data hold only some of them.
    """
    datasets = {} if folder.ledger is None else folder.ledger.datasets
    tables = [
        table[region]
        for dataset, table in folder.cutflow.items()
        if region in table and (datasets[dataset].process if dataset in datasets else dataset) in names
    ]
    order = dict.fromkeys(row.cut for table in sorted(tables, key=len, reverse=True) for row in table)
    merged = []
    for cut in order:
        rows = [row for table in tables for row in table if row.cut == cut]
        less = [row.n_minus_one for row in rows if row.n_minus_one is not None]
        merged.append(
            CutRow(
                cut=cut,
                raw=sum(row.raw for row in rows),
                weighted=math.fsum(row.weighted for row in rows),
                error=math.hypot(*(row.error for row in rows)),
                n_minus_one={
                    "raw": sum(row.raw for row in less),
                    "weighted": math.fsum(row.weighted for row in less),
                    "error": math.hypot(*(row.error for row in less)),
                }
                if less
                else None,
            )
        )
    return merged


def region_yields(
    folder: RunFolder,
    looks: Mapping[str, Process],
    region: str,
    flat: Sequence[FlatUncertainty] = (),
) -> RegionYields | None:
    """Return what is expected and seen in a region.

    The numbers are integrals of one histogram, its flow included: one that holds every event of the region once,
    as the cutflow's last row tells; without a cutflow, the one that holds most.

    Returns
    -------
    RegionYields or None
        None where the region has no histogram.
    """
    backgrounds = [name for name, look in looks.items() if look.kind == "background"]
    expected = [name for name, look in looks.items() if look.kind != "data"]
    observed = [name for name, look in looks.items() if look.kind == "data"]
    chosen = _complete_histogram(folder, expected or observed, region)
    if chosen is None:
        return None
    total = _summed(chosen, backgrounds, region, flat)
    parts = {name: _summed(chosen, [name], region, flat) for name in expected}
    data = _summed(chosen, observed, region)
    hidden = data is not None and folder.hides_data(region, data.value == 0)
    return RegionYields(
        region,
        {name: part for name, part in parts.items() if part is not None},
        total,
        None if data is None or hidden else data.value,
    )


def _summed(
    histograms: Mapping[str, Filled], names: Sequence[str], region: str, flat: Sequence[FlatUncertainty] = ()
) -> Expected | None:
    # summed over bins before the variations are compared, as a shift of shape moves no total
    single = {name: histograms[name].integral() for name in names if name in histograms}
    found: Projection | None = project(single, names, region, flat)
    if found is None:
        return None
    return Expected(
        float(found.values[0]), float(np.sqrt(found.variances[0])), float(found.up[0]), float(found.down[0])
    )


def _complete_histogram(folder: RunFolder, names: Sequence[str], region: str) -> Mapping[str, Filled] | None:
    """Find a histogram that holds each event of a region once."""
    rows = merged_cutflow(folder, names, region)
    best, most = None, -1.0
    for histograms in folder.filled.values():
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
