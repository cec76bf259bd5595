"""Stacked predictions with their uncertainty, signals and data, from plain arrays."""

from __future__ import annotations

__all__ = ["Panel", "data_errors", "stacked"]

from typing import Any, Literal

import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, StepPatch
from mplhep.error_estimation import poisson_interval
from numpy.typing import NDArray

from colonnade.plotting.contents import Caption, Stack
from colonnade.plotting.palette import SIGNAL_DASHES
from colonnade.plotting.style import canvas, header, height_in_points, styled, ticks

Floats = NDArray[np.float64]
Panel = Literal["ratio", "significance", "none"]

# the prediction spans more than this from its lowest to its highest bin: draw it on a logarithmic axis
_LOG_RANGE = 200.0
# data alone are never below 1, and a peak is best seen on a linear axis
_LOG_RANGE_OF_DATA = 1000.0
_BEFORE: dict[str, Any] = {"color": "#222222", "linestyle": (0, (4, 2)), "linewidth": 1.2, "baseline": None}
_RATIO_RANGES = ((0.8, 1.2), (0.5, 1.5), (0.0, 2.0), (0.0, 3.0))


def data_errors(stack: Stack) -> tuple[Floats, Floats]:
    """Return how far the error bars of the data reach down and up: central 68 % Poisson intervals (Garwood).

    Parameters
    ----------
    stack
        With n bins; without data, all is 0.

    Returns
    -------
    down, up
        Each of shape (n,), in events.
    """
    if stack.data is None:
        zeros = np.zeros(len(stack.edges) - 1)
        return zeros, zeros
    data = np.maximum(np.nan_to_num(stack.data), 0)
    variances = data if stack.data_variances is None else np.nan_to_num(stack.data_variances)
    if not np.any(data > 0):
        return np.zeros_like(data), np.full_like(data, -np.log(0.1587))  # the limit of an empty bin
    low, high = poisson_interval(data, variances)
    return data - low, high - data


@styled
def stacked(
    stack: Stack,
    caption: Caption,
    *,
    label: str = "",
    unit: str = "",
    panel: Panel = "none",
    scale: Literal["auto", "linear", "log"] = "auto",
    signal_scale: float | None = None,
    note: str = "",
    rotate: bool = False,
) -> Figure:
    r"""Draw a stacked prediction with its uncertainty, signals as lines, data as points.

    Parameters
    ----------
    stack
        The arrays.
    caption
        The words in the corner.
    label, unit
        Of the horizontal axis; bins of equal width give ``Events / 10 GeV``.
    panel
        Below: data over prediction, or the expected significance of each bin, or nothing.
    scale
        Of the event axis; auto takes a logarithm when the prediction spans a factor of more than 200, or signals are
        less than a hundredth of it.
    signal_scale
        Factor on the signals; without it 1 on a logarithmic axis, else a power of ten that makes them visible.
    note
        Small words at the lower right, such as how much lies outside.
    rotate
        Write the names of the bins at an angle.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if panel == "ratio" and ((stack.data is None and stack.before is None) or not stack.backgrounds):
        panel = "none"
    if panel == "significance" and not any(np.any(np.nan_to_num(each) > 0) for each in stack.significances):
        panel = "none"
    # names at an angle need room below the frame
    bottom = 0.62 if not rotate else 0.3 + 0.042 * max((len(name) for name in stack.bins), default=0)
    height = (4.78 if panel == "none" else 5.38) + bottom
    figure, main, below = canvas(height, panel=panel != "none", bottom=bottom)
    needed = _visible_scale(stack)
    # a logarithm shows a small signal at its true size; a factor is for what is not far from visible
    logarithmic = scale == "log" or (scale == "auto" and (_spans(stack) or needed > 10))
    factor = signal_scale or (1.0 if logarithmic else needed)
    _draw_main(main, stack, factor)
    if below is not None and panel == "ratio":
        _draw_ratio(below, stack)
    elif below is not None:
        _draw_significance(below, stack)
    _set_events_axis(main, stack, caption, factor, logarithmic)
    last = main if below is None else below
    _label_x(last, stack, label, unit, rotate)
    main.set_ylabel(_events_label(stack, unit))
    if below is not None:
        main.yaxis.set_label_coords(-0.105, 1.0)
        below.yaxis.set_label_coords(-0.105, 1.0)
    scaled = not stack.bins
    ticks(main, x=scaled, prune="lower" if below is not None and not logarithmic else None)
    if below is not None:
        ticks(below, x=scaled, count=4, prune="upper")
    if note:
        main.text(
            1.012, 0.0, note, transform=main.transAxes, fontsize=7.5, color="#444444", rotation=90,
            ha="left", va="bottom",
        )  # fmt: skip
    return figure


def _stairs(axes: Axes, values: Floats, edges: Floats, **look: Any) -> None:
    """Draw steps like `Axes.stairs`, without measuring their extent: the ranges are set anyway, and it takes long."""
    look = {"baseline": 0, "fill": False, **look}
    axes.add_artist(StepPatch(values, edges, **look))


def _draw_main(axes: Axes, stack: Stack, factor: float) -> None:
    if stack.backgrounds:
        mplhep.histplot(
            [each.values for each in stack.backgrounds], stack.edges, stack=True, histtype="fill", yerr=False,
            color=[each.colour for each in stack.backgrounds], ax=axes, flow="none", zorder=1,
        )  # fmt: skip
        total = stack.total
        _stairs(axes, total, stack.edges, color="#222222", linewidth=0.8, zorder=2)
        _stairs(axes,
            total + stack.up, stack.edges, baseline=total - stack.down, fill=True, facecolor="none",
            edgecolor="#333333", hatch="//////", linewidth=0, zorder=2.1,
        )  # fmt: skip
    if stack.before is not None:
        _stairs(axes, stack.before, stack.edges, zorder=2.5, **_BEFORE)
    for index, signal in enumerate(stack.signals):
        _stairs(
            axes,
            signal.values * factor,
            stack.edges,
            color=signal.colour,
            linestyle=_dash(index),
            linewidth=1.8,
            zorder=3,
        )
    if stack.data is not None:
        down, up = data_errors(stack)
        seen = np.isfinite(stack.data) & (np.nan_to_num(stack.data) > 0)
        axes.errorbar(
            stack.centres[seen], stack.data[seen], (down[seen], up[seen]), fmt="o", color="black", markersize=3.6,
            elinewidth=1.0, zorder=4,
        )  # fmt: skip
    axes.set_xlim(stack.edges[0], stack.edges[-1])


def _draw_ratio(axes: Axes, stack: Stack) -> None:
    total = stack.total
    data = np.zeros_like(total) if stack.data is None else stack.data
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(total > 0, data / total, np.nan)
        down, up = (np.where(total > 0, each / total, np.nan) for each in data_errors(stack))
        low, high = (np.where(total > 0, each / total, 0.0) for each in (stack.down, stack.up))
    _stairs(axes,
        1 + high, stack.edges, baseline=1 - low, fill=True, facecolor="none", edgecolor="#333333", hatch="//////",
        linewidth=0,
    )  # fmt: skip
    axes.axhline(1, color="#222222", linewidth=0.8)
    shown = ratio
    if stack.before is not None:
        wide = np.zeros_like(total) if stack.before_error is None else stack.before_error
        change, error = (
            np.divide(each, total, out=filler, where=total > 0)
            for each, filler in ((stack.before, np.ones_like(total)), (wide, np.zeros_like(total)))
        )
        band: dict[str, Any] = {"fill": True, "facecolor": "#dddddd", "linewidth": 0, "zorder": 0}
        _stairs(axes, change + error, stack.edges, **{**band, "baseline": change - error})
        _stairs(axes, change, stack.edges, **_BEFORE)
        shown = np.concatenate([ratio, change + error, change - error])
    seen = np.isfinite(ratio) & (np.nan_to_num(data) > 0)
    lower, upper = _ratio_range(shown[np.isfinite(shown) & (shown > 0)])
    inside = seen & (ratio >= lower) & (ratio <= upper)
    axes.errorbar(
        stack.centres[inside], ratio[inside], (down[inside], up[inside]), fmt="o", color="black", markersize=3.6,
        elinewidth=1.0,
    )  # fmt: skip
    for outside, edge, marker in ((seen & (ratio > upper), 0.93, "^"), (seen & (ratio < lower), 0.07, "v")):
        if outside.any():
            axes.plot(
                stack.centres[outside], np.full(outside.sum(), edge), marker, color="black", markersize=4,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
    axes.set_ylim(lower, upper)
    axes.set_ylabel("Data / pred." if stack.before is None else "Ratio to fit", fontsize=11)


def _draw_significance(axes: Axes, stack: Stack) -> None:
    highest = 0.0
    for index, (signal, values) in enumerate(zip(stack.signals, stack.significances, strict=True)):
        _stairs(axes, values, stack.edges, color=signal.colour, linestyle=_dash(index), linewidth=1.5, baseline=None)
        if np.isfinite(values).any():
            highest = max(highest, float(np.nanmax(values)))
    axes.set_ylim(0, 1.2 * highest or 1)
    axes.set_ylabel("Z of bin", fontsize=11)


def _set_events_axis(axes: Axes, stack: Stack, caption: Caption, factor: float, logarithmic: bool) -> None:
    """Set the range so that nothing is drawn below the legend and the caption."""
    handles, titles = _legend(stack, factor)
    points = height_in_points(axes)
    size = 9.5 if len(titles) <= 12 else 8.0
    columns = 1 if len(titles) <= 3 else 2
    taken = max(header(axes, caption), (10 + 1.45 * size * -(-len(titles) // columns)) / points)
    if titles:
        axes.legend(
            handles,
            titles,
            loc="upper right",
            ncols=columns,
            fontsize=size,
            bbox_to_anchor=(0.985, 1 - 10 / points),
        )
    tops = [stack.total + stack.up, *(each.values * factor for each in stack.signals)]
    if stack.data is not None:
        tops.append(np.nan_to_num(stack.data) + data_errors(stack)[1] * (np.nan_to_num(stack.data) > 0))
    heights = np.concatenate(tops)
    top = float(heights.max(initial=0.0)) or 1.0
    free = 1 - min(taken + 0.04, 0.6)
    if not logarithmic:
        lowest = min(0.0, float((stack.total - stack.down).min(initial=0.0)), float(heights.min(initial=0.0)))
        axes.set_ylim(1.05 * lowest, lowest + (top - lowest) / free)
        return
    shown = stack.total if stack.backgrounds else np.nan_to_num(_data(stack))
    positive = np.concatenate([shown, *(each.values * factor for each in stack.signals)])
    positive = positive[positive > 0]
    if not positive.size:
        positive = np.asarray([top])
    # a few empty tails must not squeeze the rest: at most seven decades below the top
    bottom = max(float(positive.min()) / 2, top * 1e-7)
    bottom = min(bottom, top / 10)
    axes.set_ylim(bottom, bottom * (top / bottom) ** (1 / free))
    axes.set_yscale("log")


def _legend(stack: Stack, factor: float) -> tuple[list[Line2D | Patch], list[str]]:
    handles: list[Line2D | Patch] = []
    titles = []
    if stack.data is not None:
        handles.append(Line2D([], [], color="black", marker="o", markersize=3.6, linestyle="none"))
        titles.append("Data")
    for each in reversed(stack.backgrounds):
        handles.append(Patch(facecolor=each.colour, edgecolor="none"))
        titles.append(each.title)
    if stack.backgrounds:
        handles.append(Patch(facecolor="none", edgecolor="#333333", hatch="//////", linewidth=0))
        titles.append("Uncertainty")
    if stack.before is not None:
        look = {key: value for key, value in _BEFORE.items() if key != "baseline"}
        handles.append(Patch(facecolor="#dddddd", edgecolor=look["color"], linestyle="--", linewidth=0.9))
        titles.append("Before the fit")
    for index, signal in enumerate(stack.signals):
        handles.append(Line2D([], [], color=signal.colour, linestyle=_dash(index), linewidth=1.8))
        titles.append(signal.title if factor == 1 else f"{signal.title} {_times(factor)}")
    return handles, titles


def _label_x(axes: Axes, stack: Stack, label: str, unit: str, rotate: bool) -> None:
    if label:
        axes.set_xlabel(f"{label} [{unit}]" if unit else label)
    if not stack.bins:
        return
    axes.set_xticks(stack.centres, stack.bins, fontsize=9 if len(stack.bins) <= 8 else 8)
    axes.tick_params(axis="x", which="both", length=0)
    if rotate:
        for tick in axes.get_xticklabels():
            tick.set(rotation=28, ha="right", rotation_mode="anchor")


def _events_label(stack: Stack, unit: str) -> str:
    """Return the label of the event axis with the bins' common width, where they have one."""
    if stack.bins:
        return "Events"
    widths = np.diff(stack.edges)
    if not np.allclose(widths, widths[0], rtol=1e-6):
        return "Events / bin"
    if widths[0] == 1 and not unit:
        return "Events"
    return f"Events / {widths[0]:.4g} {unit}".rstrip()


def _times(factor: float) -> str:
    exponent = np.log10(factor)
    return f"×$10^{{{exponent:.0f}}}$" if exponent >= 3 and exponent % 1 == 0 else f"×{factor:g}"


def _dash(index: int) -> object:
    return SIGNAL_DASHES[index % len(SIGNAL_DASHES)]


def _spans(stack: Stack) -> bool:
    """Say whether the stack, or else the data, spans more than a linear axis can show."""
    values, most = (stack.total, _LOG_RANGE) if stack.backgrounds else (np.nan_to_num(_data(stack)), _LOG_RANGE_OF_DATA)
    positive = values[values > 0]
    return positive.size > 1 and float(positive.max() / positive.min()) > most


def _data(stack: Stack) -> Floats:
    return np.zeros(len(stack.edges) - 1) if stack.data is None else stack.data


def _visible_scale(stack: Stack) -> float:
    """Return a power of ten that lifts the largest signal to at least a tenth of the stack's height."""
    top = float(stack.total.max(initial=0.0))
    highest = max((float(each.values.max(initial=0.0)) for each in stack.signals), default=0.0)
    if highest <= 0 or top <= 0 or highest >= 0.1 * top:
        return 1.0
    return float(10.0 ** np.ceil(np.log10(0.1 * top / highest)))


def _ratio_range(ratio: Floats) -> tuple[float, float]:
    """Return the narrowest range that holds nine of ten points."""
    for low, high in _RATIO_RANGES:
        if ratio.size == 0 or np.mean((ratio >= low) & (ratio <= high)) >= 0.9:
            return low, high
    return _RATIO_RANGES[-1]
