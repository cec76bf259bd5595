"""Which pictures a run gives."""

from __future__ import annotations

__all__ = ["pictures_of"]

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from colonnade.plotting.arrays import stack_of
from colonnade.plotting.classifier_pictures import classifier_pictures
from colonnade.plotting.drawing import Drawing
from colonnade.plotting.fit_pictures import fit_pictures, names_of_run
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.looks import choose, region_title, with_unit
from colonnade.plotting.plane import PlanePlot
from colonnade.plotting.plot import Picture, path_part
from colonnade.plotting.projection import Projection, project
from colonnade.plotting.resonance_pictures import bump_pictures, pseudo_experiment_pictures
from colonnade.plotting.settings import PlotSettings
from colonnade.plotting.stack import Panel, StackPlot
from colonnade.plotting.summaries import cutflow_pictures, limit_pictures, significance_pictures, yields_picture


def pictures_of(folder: RunFolder, settings: PlotSettings) -> Iterator[Picture]:
    """Yield every picture of a run: histograms by region, then the summaries.

    Raises
    ------
    InputError
        If a file of the run can't be read.
    ConfigError
        If the settings name something that the run does not have.
    """
    run = Drawing(folder, settings)
    names = choose(settings.histograms, list(folder.histograms), "histograms")
    for region in run.regions:
        for name in names:
            yield from _histogram(run, name, region)
    yield from yields_picture(run)
    for region in run.regions:
        yield from cutflow_pictures(run, region)
    if folder.fit is not None:
        yield from significance_pictures(run)
        yield from limit_pictures(run)
        diagnostics = (folder.json("fit.json") or {}).get("diagnostics")
        if diagnostics:
            yield from fit_pictures(diagnostics, names_of_run(run))
    yield from classifier_pictures(run)
    yield from bump_pictures(run)
    yield from pseudo_experiment_pictures(run)


def _histogram(run: Drawing, name: str, region: str) -> Iterator[Picture]:
    histograms = run.folder.filled[name]
    having = [each for each in histograms.values() if region in each.regions]
    if not having:
        return
    axes = having[0].axes
    stem = f"{path_part(region)}/{path_part(name)}"
    title = region_title(region, run.settings)
    if len(axes) == 1:
        found = stack_of(
            histograms, region, run.looks, run.backgrounds, run.signals_of(name),
            flat=run.flat, overflow=run.settings.overflow, hidden=run.folder.hides_data,
        )  # fmt: skip
        if found is None:
            return
        stack, projection = found
        axis = axes[0]
        plot = replace(
            stack,
            label=axis.label,
            unit=axis.unit,
            panel=_panel(run, stack),
            scale=run.settings.scales.get(name, run.settings.scale),
            signal_scale=run.settings.signal_scale,
            note=_outside(projection, run.settings.overflow),
            rotate=len("".join(axis.bins)) > 60,
            caption=run.caption(title, data=stack.data is not None),
        )
        yield Picture(stem, "histogram", _describe(name, region, stack), plot, region, name)
    elif len(axes) == 2:
        shown = run.backgrounds or list(histograms)
        total = project(histograms, shown, region)
        if total is None or not np.any(total.values):
            return
        across, up = axes
        alt = f"{name} in region {region}, in two dimensions: {total.values.sum():.4g} events"
        plane = PlanePlot(
            total.values, across.edges, up.edges, with_unit(across.label, across.unit), with_unit(up.label, up.unit),
            caption=run.caption(title, data=not run.backgrounds),
        )  # fmt: skip
        yield Picture(stem, "histogram", alt, plane, region, name)


def _panel(run: Drawing, stack: StackPlot) -> Panel:
    if run.settings.panel != "auto":
        return run.settings.panel
    return "significance" if stack.data is None else "ratio"


def _describe(name: str, region: str, stack: StackPlot) -> str:
    words = [f"{name} in region {region}"]
    if stack.backgrounds:
        words.append(f"{float(stack.total.sum()):.4g} events expected")
    if stack.data is not None:
        words.append(f"{float(np.nansum(stack.data)):.6g} observed")
    return f"{words[0]}: {', '.join(words[1:])}" if len(words) > 1 else words[0]


def _outside(projection: Projection, overflow: bool) -> str:
    """Say how much lies outside the axis, where it matters."""
    total = float(projection.values.sum()) + (0 if overflow else projection.below + projection.above)
    if total <= 0:
        return ""
    words = [
        f"{100 * part / total:.2g} % {side}"
        for part, side in ((projection.below, "below"), (projection.above, "above"))
        if part / total > 0.005
    ]
    if not words:
        return ""
    return f"outer bins include {', '.join(words)}" if overflow else f"not shown: {', '.join(words)}"
