"""Stacked predictions with their uncertainty, signals and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import mplhep
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, StepPatch

from colonnade.plotting.lines import Component
from colonnade.plotting.settings import SIGNAL_DASHES, ProcessStyle
from colonnade.plotting.style import Floats, Plot, canvas, finish, ticks

Panel = Literal["ratio", "uncertainty", "significance", "none"]
Scale = Literal["auto", "linear", "log"]

# the prediction spans more than this from its lowest to its highest bin: draw it on a logarithmic axis
_LOG_RANGE = 200.0
# data alone are never below 1, and a peak is best seen on a linear axis
_LOG_RANGE_OF_DATA = 1000.0
_RATIO_RANGES = ((0.8, 1.2), (0.5, 1.5), (0.0, 2.0), (0.0, 3.0))
_HATCHED: dict[str, Any] = {
    "fill": True, "facecolor": "none", "edgecolor": "#333333", "hatch": "//////", "linewidth": 0,
}  # fmt: skip
_BEFORE: dict[str, Any] = {"edgecolor": "#222222", "linestyle": (0, (4, 2)), "linewidth": 1.2}
_BEFORE_BAND: dict[str, Any] = {"fill": True, "facecolor": "#dddddd", "edgecolor": "none", "zorder": 0}
_POINTS: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 3.6, "elinewidth": 1.0, "zorder": 4}


@dataclass(frozen=True)
class StackPlot(Plot):
    """A stacked prediction with its uncertainty, signals as lines and data as points, over n bins.

    mplhep's own figure of data and model (`mplhep.comp.data_model`) knows the statistical uncertainty of histograms
    only; this one takes the band as it is given, down and up, and hides single bins.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,), increasing.
    backgrounds : tuple of Component
        From the bottom of the stack to its top.
    down, up : numpy.ndarray
        Shape (n,): how far the total may be below and above its value (one standard deviation), in events.
    signals : tuple of Component
        Drawn as lines, not added to the stack.
    data : numpy.ndarray, optional
        Shape (n,): observed events; NaN in a bin that is blinded.
    data_variances : numpy.ndarray, optional
        Shape (n,): sum of squared weights, where data are weighted; else data are counts.
    significances : tuple of numpy.ndarray
        For each signal, shape (n,): expected significance of each bin; NaN where it is not defined.
    bins : tuple of str
        Names of the bins, where the axis has no scale.
    before, before_error : numpy.ndarray, optional
        Shape (n,): the total before a fit, drawn as a dashed line, and its uncertainty.
    groups : tuple of Component
        Parts of the uncertainty, in events of each bin, drawn as lines about 1 in the panel of ratios.
    label, unit : str
        Of the horizontal axis, and the unit in it; bins of equal width give ``Events / 10 GeV``.
    panel : str
        Below: data over prediction (ratio), the uncertainty alone, the expected significance of each bin, or none.
    scale : str
        Of the event axis; auto takes a logarithm when the prediction spans a factor of more than 200, or signals are
        less than a hundredth of it. On a linear one signals are scaled by a power of ten that makes them visible.
    note : str
        Small words at the lower right, such as how much lies outside.
    rotate : bool
        Whether the names of the bins are written at an angle.
    """

    edges: Floats
    backgrounds: tuple[Component, ...]
    down: Floats
    up: Floats
    signals: tuple[Component, ...] = ()
    data: Floats | None = None
    data_variances: Floats | None = None
    significances: tuple[Floats, ...] = ()
    bins: tuple[str, ...] = ()
    before: Floats | None = None
    before_error: Floats | None = None
    groups: tuple[Component, ...] = ()
    label: str = ""
    unit: str = ""
    panel: Panel = "none"
    scale: Scale = "auto"
    note: str = ""
    rotate: bool = False

    @property
    def total(self) -> Floats:
        """Shape (n,): the sum of the backgrounds."""
        return np.asarray(np.sum([each.values for each in self.backgrounds] or [np.zeros(len(self.edges) - 1)], axis=0))

    @property
    def centres(self) -> Floats:
        """Shape (n,): the middle of each bin."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    def data_errors(self) -> tuple[Floats, Floats]:
        """Return how far the error bars of the data reach down and up, shape (n,) each, in events.

        They are central 68 % intervals of a Poisson distribution: F. Garwood, Biometrika 28 (1936) 437; weighted data
        are scaled to counts of the same relative variance.
        """
        from scipy.special import gammaincinv, ndtr

        data = self._seen()
        variances = data if self.data_variances is None else np.nan_to_num(self.data_variances)
        scale = np.divide(variances, data, out=np.ones_like(data), where=data > 0)
        counts = data / scale
        low = scale * np.nan_to_num(gammaincinv(counts, ndtr(-1)))
        high = scale * gammaincinv(counts + 1, ndtr(1))
        return data - low, high - data

    def canvas(self) -> tuple[Figure, Axes, Axes | None]:
        """Leave room below the frame for names at an angle, and for the panel where it would show something."""
        bottom = 0.62 if not self.rotate else 0.3 + 0.042 * max((len(name) for name in self.bins), default=0)
        panel = self._panel != "none"
        return canvas((5.38 if panel else 4.78) + bottom, panel=panel, bottom=bottom)

    @property
    def _panel(self) -> Panel:
        if self.panel == "ratio" and ((self.data is None and self.before is None) or not self.backgrounds):
            return "none"
        if self.panel == "significance" and not any(np.any(np.nan_to_num(each) > 0) for each in self.significances):
            return "none"
        return self.panel

    def draw(self, axes: Axes) -> None:
        """Draw stack, band, signals and data."""
        needed = self._visible_scale()
        # a logarithm shows a small signal at its true size; a factor is for what is not far from visible
        logarithmic = self.scale == "log" or (self.scale == "auto" and (self._spans() or needed > 10))
        factor = 1.0 if logarithmic else needed
        parts = [
            Line2D([], [], color=each.colour, linestyle=_dash(index), linewidth=1.4, label=each.title)
            for index, each in enumerate(self.groups)
        ]
        handles = self._draw_data(axes) + self._draw_prediction(axes) + self._draw_signals(axes, factor) + parts
        seen = self._seen()
        heights = [self.total, self.total + self.up, np.minimum(self.total - self.down, 0.0)]
        heights += [seen, seen + self.data_errors()[1] * (seen > 0), *(each.values * factor for each in self.signals)]
        # the range follows these, not all that was drawn, such as the lowest parts of the stack
        axes.ignore_existing_data_limits = True
        axes.update_datalim([(self.edges[0], height) for height in np.concatenate(heights)])
        size, columns = 9.5 if len(handles) <= 12 else 8.0, 1 if len(handles) <= 3 else 2
        finish(axes, self.caption, handles, logarithmic=logarithmic, size=size, columns=columns)
        alone = self._panel == "none"
        if alone:
            self._label_x(axes)
        else:
            axes.yaxis.set_label_coords(-0.105, 1.0)
        axes.set_ylabel(self._events_label())
        ticks(axes, x=not self.bins, prune=None if alone or logarithmic else "lower")
        if self.note:
            axes.text(
                1.012, 0.0, self.note, transform=axes.transAxes, fontsize=7.5, color="#444444", rotation=90,
                ha="left", va="bottom",
            )  # fmt: skip

    def _draw_data(self, axes: Axes) -> list[Artist]:
        if self.data is None:
            return []
        down, up = self.data_errors()
        seen = self._seen() > 0
        axes.errorbar(self.centres[seen], self.data[seen], (down[seen], up[seen]), **_POINTS)
        return [Line2D([], [], color="black", marker="o", markersize=3.6, linestyle="none", label="Data")]

    def _draw_prediction(self, axes: Axes) -> list[Artist]:
        axes.set_xlim(self.edges[0], self.edges[-1])
        handles: list[Artist] = []
        if self.backgrounds:
            mplhep.histplot(
                [each.values for each in self.backgrounds], self.edges, stack=True, histtype="fill", yerr=False,
                color=[each.colour for each in self.backgrounds], ax=axes, flow="none", zorder=1,
            )  # fmt: skip
            total = self.total
            self._stairs(axes, total, edgecolor="#222222", linewidth=0.8, zorder=2)
            self._stairs(axes, total + self.up, baseline=total - self.down, zorder=2.1, **_HATCHED)
            fills = reversed(self.backgrounds)
            handles += [Patch(facecolor=each.colour, edgecolor="none", label=each.title) for each in fills]
            handles.append(Patch(**_HATCHED, label="Uncertainty"))
        if self.before is not None:
            self._stairs(axes, self.before, baseline=None, zorder=2.5, **_BEFORE)
            handles.append(Patch(**{**_BEFORE, "linewidth": 0.9}, facecolor="#dddddd", label="Before the fit"))
        return handles

    def _draw_signals(self, axes: Axes, factor: float) -> list[Artist]:
        handles: list[Artist] = []
        for index, signal in enumerate(self.signals):
            look: dict[str, Any] = {"linestyle": _dash(index), "linewidth": 1.8}
            self._stairs(axes, signal.values * factor, edgecolor=signal.colour, zorder=3, **look)
            title = signal.title if factor == 1 else f"{signal.title} {_times(factor)}"
            handles.append(Line2D([], [], color=signal.colour, label=title, **look))
        return handles

    def draw_panel(self, axes: Axes) -> None:
        """Draw data over prediction, or the significance of each bin."""
        if self._panel in ("ratio", "uncertainty"):
            self._draw_ratio(axes)
        else:
            self._draw_significance(axes)
        axes.yaxis.set_label_coords(-0.105, 1.0)
        self._label_x(axes)
        ticks(axes, x=not self.bins, count=4, prune="upper")
        # a power of ten that all numbers share stands inside: above the panel the frame would cover it
        axes.yaxis.OFFSETTEXTPAD = -14
        axes.yaxis.get_offset_text().set_x(0.03)

    def _draw_ratio(self, axes: Axes) -> None:
        down, up = (self._over_total(each) for each in self.data_errors())
        low, high = (np.nan_to_num(self._over_total(each)) for each in (self.down, self.up))
        self._stairs(axes, 1 + high, baseline=1 - low, **_HATCHED)
        axes.axhline(1, color="#222222", linewidth=0.8)
        for index, each in enumerate(self.groups):
            size = np.nan_to_num(self._over_total(each.values))
            for side in (1 + size, 1 - size):
                self._stairs(axes, side, baseline=None, edgecolor=each.colour, linestyle=_dash(index), linewidth=1.4)
        ratio = self._over_total(self._seen())
        shown = np.concatenate([ratio, 1 + high, 1 - low]) if self.data is None else ratio
        if self.before is not None:
            change = np.nan_to_num(self._over_total(self.before), nan=1.0)
            error = 0.0 if self.before_error is None else np.nan_to_num(self._over_total(self.before_error))
            self._stairs(axes, change + error, baseline=change - error, **_BEFORE_BAND)
            self._stairs(axes, change, baseline=None, **_BEFORE)
            shown = np.concatenate([shown, change + error, change - error])
        seen = np.isfinite(ratio) & (self._seen() > 0)
        lower, upper = _ratio_range(shown[np.isfinite(shown) & (shown > 0)])
        inside = seen & (ratio >= lower) & (ratio <= upper)
        axes.errorbar(self.centres[inside], ratio[inside], (down[inside], up[inside]), **_POINTS)
        for outside, edge, marker in ((seen & (ratio > upper), 0.93, "^"), (seen & (ratio < lower), 0.07, "v")):
            if outside.any():
                axes.plot(
                    self.centres[outside], np.full(outside.sum(), edge), marker, color="black", markersize=4,
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
        axes.set_ylim(lower, upper)
        axes.set_ylabel(self._ratio_label(), fontsize=11)

    def _ratio_label(self) -> str:
        if self.before is not None:
            return "Ratio to fit"
        return "Uncertainty" if self._panel == "uncertainty" else "Data / pred."

    def _draw_significance(self, axes: Axes) -> None:
        highest = 0.0
        for index, (signal, values) in enumerate(zip(self.signals, self.significances, strict=True)):
            self._stairs(axes, values, baseline=None, edgecolor=signal.colour, linestyle=_dash(index), linewidth=1.5)
            highest = max(highest, float(np.max(values[np.isfinite(values)], initial=0.0)))
        axes.set_ylim(0, 1.2 * highest or 1)
        axes.set_ylabel("Z of bin", fontsize=11)

    def _stairs(self, axes: Axes, values: Floats, **look: Any) -> None:
        """Draw steps like `Axes.stairs`, without measuring their extent: it takes long, and ranges are set anyway."""
        axes.add_artist(StepPatch(values, self.edges, **{"baseline": 0, "fill": False, **look}))

    def _label_x(self, axes: Axes) -> None:
        if self.label:
            axes.set_xlabel(self.label)
        if not self.bins:
            return
        axes.set_xticks(self.centres, self.bins, fontsize=9 if len(self.bins) <= 8 else 8)
        axes.tick_params(axis="x", which="both", length=0)
        if self.rotate:
            for tick in axes.get_xticklabels():
                tick.set(rotation=28, ha="right", rotation_mode="anchor")

    def _events_label(self) -> str:
        """Return the label of the event axis with the bins' common width, where they have one."""
        if self.bins:
            return "Events"
        widths = np.diff(self.edges)
        if not np.allclose(widths, widths[0], rtol=1e-6):
            return "Events / bin"
        if widths[0] == 1 and not self.unit:
            return "Events"
        return f"Events / {widths[0]:.4g} {self.unit}".rstrip()

    def _seen(self) -> Floats:
        """Return the data, 0 in bins that are hidden or where there are none."""
        return np.zeros(len(self.edges) - 1) if self.data is None else np.maximum(np.nan_to_num(self.data), 0)

    def _over_total(self, values: Floats) -> Floats:
        total = self.total
        return np.divide(values, total, out=np.full_like(total, np.nan), where=total > 0)

    def _spans(self) -> bool:
        """Say whether the stack, or else the data, spans more than a linear axis can show."""
        values, most = (self.total, _LOG_RANGE) if self.backgrounds else (self._seen(), _LOG_RANGE_OF_DATA)
        positive = values[values > 0]
        return positive.size > 1 and float(positive.max() / positive.min()) > most

    def _visible_scale(self) -> float:
        """Return a power of ten that lifts the largest signal to at least a tenth of the stack's height."""
        top = float(self.total.max(initial=0.0))
        highest = max((float(each.values.max(initial=0.0)) for each in self.signals), default=0.0)
        if highest <= 0 or top <= 0 or highest >= 0.1 * top:
            return 1.0
        return float(10.0 ** np.ceil(np.log10(0.1 * top / highest)))


def _times(factor: float) -> str:
    exponent = np.log10(factor)
    return f"×$10^{{{exponent:.0f}}}$" if exponent >= 3 and exponent % 1 == 0 else f"×{factor:g}"


def _dash(index: int) -> Any:
    return SIGNAL_DASHES[index % len(SIGNAL_DASHES)]


def _ratio_range(ratio: Floats) -> tuple[float, float]:
    """Return the narrowest range that holds nine of ten points."""
    for low, high in _RATIO_RANGES:
        if ratio.size == 0 or np.mean((ratio >= low) & (ratio <= high)) >= 0.9:
            return low, high
    return _RATIO_RANGES[-1]


def components(
    processes: Mapping[str, ProcessStyle], names: Iterable[str], values: Mapping[str, Any]
) -> tuple[Component, ...]:
    """Return what is drawn of some processes: of those that have values, in each bin."""
    return tuple(
        Component(processes[name].title, np.asarray(values[name]), processes[name].colour)
        for name in names
        if name in values
    )
