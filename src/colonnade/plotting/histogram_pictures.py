"""From a run's histograms to their pictures: stacks in each region, and planes of two observables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from colonnade.plotting.labels import Process, region_title, with_unit
from colonnade.plotting.lines import PlanePlot
from colonnade.plotting.plot import Floats, Picture, path_part
from colonnade.plotting.projection import Histogram, OfModel, Projection, project
from colonnade.plotting.run import Run
from colonnade.plotting.stack import Component, Panel, StackPlot


def histogram_pictures(run: Run, name: str, region: str) -> Iterator[Picture]:
    """Yield the picture of one histogram in one region: of one axis a stack, of two a plane, else none."""
    histograms = run.histograms[name]
    having = [each for each in histograms.values() if region in each.regions]
    if not having:
        return
    axes = having[0].axes
    stem = f"{path_part(region)}/{path_part(name)}"
    title = region_title(region, run.plots)
    if len(axes) == 1:
        found = stack_of(
            histograms, region, run.processes, run.backgrounds, run.signals_of(name),
            of_model=run.of_model, overflow=run.plots.overflow, hidden=run.hides_data(region),
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
            scale=run.plots.scales.get(name, run.plots.scale),
            signal_scale=run.plots.signal_scale,
            note=_outside(projection, run.plots.overflow),
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


def stack_of(
    histograms: Mapping[str, Histogram],
    region: str,
    processes: Mapping[str, Process],
    backgrounds: Sequence[str],
    signals: Sequence[str],
    *,
    of_model: Sequence[OfModel] = (),
    overflow: bool = False,
    hidden: bool = False,
) -> tuple[StackPlot, Projection] | None:
    """Collect what one stacked figure shows.

    Parameters
    ----------
    histograms
        Process to histogram.
    region
        The region.
    processes
        All processes.
    backgrounds
        From the bottom of the stack to its top.
    signals
        Those to overlay.
    of_model, overflow
        See `project`.
    hidden
        Whether the region's data are blinded.

    Returns
    -------
    tuple or None
        The stack, and the projection it comes from (of the data, where there is no background); None where
        there is nothing to draw.
    """
    total = project(histograms, backgrounds, region, of_model, overflow)
    observed = [name for name, each in processes.items() if each.kind == "data" and not hidden]
    data = project(histograms, observed, region, (), overflow)
    parts = {name: project(histograms, [name], region, (), overflow) for name in (*backgrounds, *signals)}
    found = {name: part for name, part in parts.items() if part is not None}
    main = total or data or next(iter(found.values()), None)
    if main is None or not (np.any(main.values) or any(np.any(part.values) for part in found.values()) or data):
        return None
    axis = next(each for each in histograms.values() if region in each.regions).axes[0]
    zeros = np.zeros_like(main.values)
    lines = tuple(
        Component(processes[name].title, found[name].values, processes[name].colour)
        for name in signals
        if name in found and np.any(found[name].values)
    )
    weighted = data is not None and not np.allclose(data.values, data.variances)
    stack = StackPlot(
        edges=axis.edges,
        bins=axis.bins,
        backgrounds=tuple(
            Component(processes[name].title, found[name].values, processes[name].colour)
            for name in backgrounds
            if name in found
        ),
        down=total.total_down if total else zeros,
        up=total.total_up if total else zeros,
        signals=lines,
        data=data.values if data else None,
        data_variances=data.variances if data and weighted else None,
        significances=tuple(_significance(line.values, total) for line in lines),
    )
    return stack, main


def _significance(signal: Floats, total: Projection | None) -> Floats:
    """Return the expected significance of each bin; NaN where there is no background to compare with."""
    from colonnade.statistics import asimov_significance

    result = np.full(signal.shape, np.nan)
    if total is not None:
        good = total.values > 0
        result[good] = asimov_significance(np.maximum(signal[good], 0), total.values[good], total.total_up[good])
    return result


def _panel(run: Run, stack: StackPlot) -> Panel:
    if run.plots.panel != "auto":
        return run.plots.panel
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
