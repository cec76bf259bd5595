"""From a run's histograms to the plain arrays that a stacked figure draws."""

from __future__ import annotations

__all__ = ["stack_of", "stacking_order"]

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from colonnade.plotting.filled import Filled
from colonnade.plotting.looks import Process
from colonnade.plotting.plot import Floats
from colonnade.plotting.projection import FlatUncertainty, Projection, project
from colonnade.plotting.stack import Component, StackPlot


def stacking_order(
    histograms: Mapping[str, Mapping[str, Filled]], looks: Mapping[str, Process], first: Sequence[str] = ()
) -> list[str]:
    """Return the backgrounds from the bottom of every stack to its top: by yield, the least first.

    The order is the same in all pictures, so it goes by the sum over all histograms and regions.

    Parameters
    ----------
    histograms
        All of the run.
    looks
        All processes.
    first
        Processes that the workflow wants on top, from the top down.
    """
    names = [name for name, look in looks.items() if look.kind == "background"]
    yields = dict.fromkeys(names, 0.0)
    for one in histograms.values():
        for name in names:
            if name in one:
                central = one[name].variations.index("nominal")
                yields[name] += float(one[name].values[:, central].sum())
    wanted = [name for name in first if name in names]
    return sorted((name for name in names if name not in wanted), key=lambda name: yields[name]) + wanted[::-1]


def stack_of(
    histograms: Mapping[str, Filled],
    region: str,
    looks: Mapping[str, Process],
    backgrounds: Sequence[str],
    signals: Sequence[str],
    *,
    flat: Sequence[FlatUncertainty] = (),
    overflow: bool = False,
    hidden: Callable[[str, bool], bool] = lambda _region, empty: empty,
) -> tuple[StackPlot, Projection] | None:
    """Collect what one stacked figure shows.

    Parameters
    ----------
    histograms
        Process to histogram.
    region
        The region.
    looks
        All processes.
    backgrounds
        From the bottom of the stack to its top.
    signals
        Those to overlay.
    flat, overflow
        See `project`.
    hidden
        Called with the region and whether it holds no data: says whether its data are blinded.

    Returns
    -------
    tuple or None
        The stack, and the projection it comes from (of the data, where there is no background); None where
        there is nothing to draw.
    """
    total = project(histograms, backgrounds, region, flat, overflow)
    observed = [name for name, look in looks.items() if look.kind == "data"]
    data = project(histograms, observed, region, (), overflow)
    if data is not None and hidden(region, not (np.any(data.values) or data.below or data.above)):
        data = None
    parts = {name: project(histograms, [name], region, (), overflow) for name in (*backgrounds, *signals)}
    found = {name: part for name, part in parts.items() if part is not None}
    main = total or data or next(iter(found.values()), None)
    if main is None or not (np.any(main.values) or any(np.any(part.values) for part in found.values()) or data):
        return None
    axis = next(each for each in histograms.values() if region in each.regions).axes[0]
    zeros = np.zeros_like(main.values)
    lines = tuple(
        Component(looks[name].title, found[name].values, looks[name].colour)
        for name in signals
        if name in found and np.any(found[name].values)
    )
    weighted = data is not None and not np.allclose(data.values, data.variances)
    stack = StackPlot(
        edges=axis.edges,
        bins=axis.bins,
        backgrounds=tuple(
            Component(looks[name].title, found[name].values, looks[name].colour)
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
