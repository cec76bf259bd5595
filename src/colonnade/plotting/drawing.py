"""A run and how it is to be drawn: what all of its pictures share."""

from __future__ import annotations

__all__ = ["Drawing", "default_signals"]

from dataclasses import dataclass
from functools import cached_property

from colonnade.plotting.arrays import stacking_order
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.looks import Process, choose, processes, signals_by_model
from colonnade.plotting.plot import Caption
from colonnade.plotting.projection import FlatUncertainty, flat_uncertainties
from colonnade.plotting.settings import PlotSettings
from colonnade.plotting.views import median
from colonnade.plotting.yields import RegionYields, region_yields

# more lines than this can't be told apart
_MOST_SIGNALS = 4


@dataclass(frozen=True)
class Drawing:
    """A run and how it is to be drawn.

    Attributes
    ----------
    folder : RunFolder
        What the run left.
    settings : PlotSettings
        What to draw, and how.
    """

    folder: RunFolder
    settings: PlotSettings

    @cached_property
    def looks(self) -> dict[str, Process]:
        """Every process with its title and colour."""
        return processes(self.folder, self.settings)

    @cached_property
    def regions(self) -> list[str]:
        """Those to draw."""
        return choose(self.settings.regions, self.folder.regions, "regions")

    @cached_property
    def backgrounds(self) -> list[str]:
        """From the bottom of the stack to its top."""
        if self.folder.filled:
            return stacking_order(self.folder.filled, self.looks, self.settings.order)
        return [name for name, look in self.looks.items() if look.kind == "background"]

    @cached_property
    def signals(self) -> list[str]:
        """Those to overlay."""
        known = [name for name, look in self.looks.items() if look.kind == "signal"]
        if self.settings.signals is not None:
            return choose(self.settings.signals, known, "signals")
        return default_signals(self.folder)

    @cached_property
    def _signals_of_scores(self) -> dict[str, list[str]]:
        """Histogram of a score under a hypothesis, such as score_800, to the points of that hypothesis."""
        found: dict[str, list[str]] = {}
        for score, evaluation in (self.folder.json("classifiers.json") or {}).items():
            for point in evaluation.get("points", ()):
                values = "_".join(f"{value:g}" for value in point["parameters"].values())
                found.setdefault(f"{score}_{values}", []).append(point["signal"])
        return found

    def signals_of(self, histogram: str) -> list[str]:
        """Those to overlay on one histogram: on the score under a hypothesis the points of it."""
        if self.settings.signals is not None:
            return self.signals
        found = [name for name in self._signals_of_scores.get(histogram, ()) if name in self.looks]
        return found[:_MOST_SIGNALS] or self.signals

    @cached_property
    def flat(self) -> tuple[FlatUncertainty, ...]:
        """Relative uncertainties on whole processes."""
        return flat_uncertainties(self.folder)

    @cached_property
    def yields(self) -> dict[str, RegionYields]:
        """Region to what is expected and seen in it."""
        found = {name: region_yields(self.folder, self.looks, name, self.flat) for name in self.regions}
        return {name: each for name, each in found.items() if each is not None}

    def caption(self, *lines: str, data: bool) -> Caption:
        """Return the words in a figure's corner; without data it is a simulation."""
        status = self.settings.status or ("" if data else "Simulation")
        return Caption(self.settings.experiment, status, self.settings.energy, self.folder.luminosity, lines)


def default_signals(folder: RunFolder) -> list[str]:
    """Return the signals to overlay where none are named.

    Of several models, the point with the highest expected significance, four at most; without a fit, the middle one.
    Of a single model, its ends and its middle.
    """
    groups = list(signals_by_model(folder).values())
    if len(groups) == 1:
        group = groups[0]
        return [group[place].name for place in sorted({0, len(group) // 2, len(group) - 1})]
    known = {} if folder.fit is None else {point.signal: median(point.significance) for point in folder.fit.points}
    chosen = []
    for group in groups:
        best = max(group, key=lambda signal: known.get(signal.name) or 0.0)
        chosen.append(best.name if known.get(best.name) else group[len(group) // 2].name)
    return chosen[:_MOST_SIGNALS]
