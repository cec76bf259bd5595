"""The statistics step of a run: histograms in, workspace.json, patchset.json and fit.json out."""

from __future__ import annotations

__all__ = ["infer"]

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from colonnade.statistics.analysis import AnalysisResult, analyse
from colonnade.statistics.results import write_analysis
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.templates import Inputs, Process


def infer(
    histograms: Mapping[str, Mapping[str, Any]],
    model: ModelSettings,
    *,
    directory: Path,
    kinds: Mapping[str, str],
    points: Mapping[str, Mapping[str, Any]],
    luminosity: float,
    unblind: bool = False,
    signal_regions: Collection[str] | None = None,
    workers: int | None = None,
) -> AnalysisResult:
    """Fit a run's histograms, set limits, and write the result.

    Parameters
    ----------
    histograms
        `histograms[name][process]`, scaled to the luminosity.
    model
        The workflow's model.
    directory
        Where the files go.
    kinds
        Process -> data, background or signal.
    points
        Signal process -> its `parameters` and `cross_section_pb`.
    luminosity
        In fb^-1.
    unblind
        Whether data may be used in signal regions.
    signal_regions
        The regions that blinding is about. Where they are not given, a region whose data are empty is taken
        as blinded, as blinded data are never filled.
    workers
        Processes to share the signal points; without it they are fitted here, one after the other.

    Raises
    ------
    ConfigError
        If the model does not fit the histograms.
    FitError
        If a fit does not converge.
    OutputError
        If a file can't be written.
    """
    del workers  # a point takes a fraction of a second, less than starting a process would
    processes = {
        name: Process(
            kind,  # type: ignore[arg-type]  # the manifest has checked it
            dict(points.get(name, {}).get("parameters", {})),
            points.get(name, {}).get("cross_section_pb"),
        )
        for name, kind in kinds.items()
    }
    regions = frozenset(_empty_regions(histograms, kinds) if signal_regions is None else signal_regions)
    inputs = Inputs(histograms, processes, luminosity, regions, unblind)
    result = analyse(inputs, model)
    write_analysis(result, directory)
    return result


def _empty_regions(histograms: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str]) -> set[str]:
    """Return the regions in which no data were filled, although there are data."""
    content: dict[str, float] = {}
    for by_process in histograms.values():
        for process, filled in by_process.items():
            if kinds.get(process) != "data":
                continue
            sums = filled.values(flow=True).reshape(len(filled.axes["region"]), -1).sum(axis=1)
            for region, total in zip(filled.axes["region"], sums, strict=True):
                content[region] = content.get(region, 0.0) + float(total)
    return {region for region, total in content.items() if total == 0}
