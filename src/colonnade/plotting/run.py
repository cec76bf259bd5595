"""What pictures and pages are made of: the results of one run, its yields, and what all of its pictures share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from colonnade.plotting.projection import Histogram, model_uncertainties, project
from colonnade.plotting.settings import (
    BACKGROUND_COLOURS,
    Caption,
    PlotSettings,
    ProcessStyle,
    Signal,
    literal,
    processes,
    signals_by_model,
)
from colonnade.statistics.eras import era_parts
from colonnade.statistics.results import FitSummary
from colonnade.statistics.settings import ModelSettings, SystematicSettings
from colonnade.statistics.templates import matching
from colonnade.training.results import Evaluation

if TYPE_CHECKING:
    from colonnade.execution import Result
    from colonnade.statistics.resonance import Bumps

# more lines than this can't be told apart
_MOST_SIGNALS = 4


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


@dataclass(frozen=True)
class Run:
    """One run: its results in memory, parts of which it may not have, and how they are drawn.

    Attributes
    ----------
    title : str
        What the run is called.
    result : Result
        Histograms, cutflow and ledger.
    kinds : mapping of str to str
        Process to data, background or signal, in the manifest's order.
    parameters : mapping of str to mapping
        Signal to the parameters that the manifest declares.
    luminosity : float, optional
        In fb^-1, to which simulation is scaled.
    signal_regions : tuple of str
        The regions whose data are hidden while the run is blinded.
    blinded : bool
        Whether they are.
    plots : PlotSettings
        What is drawn, and how.
    model : ModelSettings, optional
        What the fit's model was built from.
    fit : FitSummary, optional
        Significances and limits.
    bumps : Bumps, optional
        Fits of bumps.
    classifiers : mapping
        Name of a score to how well its classifier does.
    eras : mapping of str to float
        Era to its luminosity in fb^-1, where the result is the sum of eras.
    data_driven : tuple of str
        The backgrounds that are made of data, which no uncertainty of the luminosity moves.
    provenance : mapping
        Where the result comes from: command, configuration, versions, times.
    """

    title: str
    result: Result
    kinds: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    luminosity: float | None = None
    signal_regions: tuple[str, ...] = ()
    blinded: bool = True
    plots: PlotSettings = field(default_factory=PlotSettings)
    model: ModelSettings | None = None
    fit: FitSummary | None = None
    bumps: Bumps | None = None
    classifiers: Mapping[str, Evaluation] = field(default_factory=dict)
    eras: Mapping[str, float] = field(default_factory=dict)
    data_driven: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def with_plots(self, **changes: Any) -> Run:
        """Return the same run with some of its plot settings changed; of one era, what there is of that alone.

        Raises
        ------
        ConfigError
            If the run has no such era.
        """
        changed = replace(self, plots=self.plots.model_copy(update=changes))
        era = changed.plots.era
        if era is None or (era in self.eras and not self.result.eras):
            return changed
        matching([era], self.eras, "plots.era")
        return replace(
            changed,
            result=self.result.of_era(era),
            luminosity=self.eras[era],
            fit=None,
            bumps=None,
            classifiers={},
        )

    @cached_property
    def histograms(self) -> Mapping[str, Mapping[str, Histogram]]:
        """``histograms[name][process]`` as arrays; what eras have of uncertainties of their own is told apart."""
        found = {
            name: {process: Histogram.of(each) for process, each in by_process.items()}
            for name, by_process in self.result.histograms.items()
        }
        parts = era_parts(self.model, self.result.eras) if self.model is not None and self.result.eras else ()
        if self.model is None or not parts:
            return found
        own = {name for each in self.model.systematics if each.by_era for name in (each.variation, each.alpha_s)}
        own -= {name for each in self.model.systematics if not each.by_era for name in (each.variation, each.alpha_s)}
        for name, by_process in found.items():
            for process in set(by_process) - set(self.of_kind("data")):
                eras = {
                    era: Histogram.of(each[name][process])
                    for era, each in self.result.eras.items()
                    if process in each.get(name, {})
                }
                steady = self.model.luminosity_uncertainties if process in self.data_driven else ()
                moving = [part for part in parts if part.systematic.name not in steady]
                by_process[process] = by_process[process].by_era(process, eras, moving, own)
        return found

    @cached_property
    def all_regions(self) -> tuple[str, ...]:
        """All regions, in the analysis's order."""
        names: dict[str, None] = {}
        for table in self.result.cutflow.values():
            names.update(dict.fromkeys(table))
        for found in self.histograms.values():
            for histogram in found.values():
                names.update(dict.fromkeys(histogram.regions))
        return tuple(names)

    @cached_property
    def regions(self) -> list[str]:
        """The regions to draw."""
        return matching(self.plots.regions, self.all_regions, "plots.regions")

    @cached_property
    def models(self) -> dict[str, list[Signal]]:
        """The signal points by model, each in increasing order of its parameters."""
        return signals_by_model(self.kinds, self.parameters, self.plots.models)

    @cached_property
    def processes(self) -> dict[str, ProcessStyle]:
        """Every process with its title and colour."""
        return processes(self.kinds, self.models, self.plots)

    def process(self, name: str) -> ProcessStyle:
        """Return a process's title and colour; of one that the run does not know, its name."""
        return self.processes.get(name) or ProcessStyle(title=literal(name), colour=BACKGROUND_COLOURS[0])

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the names of the processes of some kinds, in the manifest's order."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    @cached_property
    def backgrounds(self) -> list[str]:
        """The backgrounds from the bottom of every stack to its top: by yield, the least first.

        The order is the same in all pictures, so it goes by the sum over all histograms and regions.
        """
        names = self.of_kind("background")
        yields = dict.fromkeys(names, 0.0)
        for found in self.histograms.values():
            for name in names:
                if name in found:
                    yields[name] += float(found[name].nominal.sum())
        wanted = [name for name in self.plots.order if name in names]
        return sorted((name for name in names if name not in wanted), key=lambda name: yields[name]) + wanted[::-1]

    @cached_property
    def signals(self) -> list[str]:
        """The signals to overlay.

        Where the settings name none: of several models the point with the highest expected significance, four at
        most, and without a fit the middle one; of a single model its ends and its middle.
        """
        if self.plots.signals is not None:
            return matching(self.plots.signals, self.of_kind("signal"), "plots.signals")
        groups = list(self.models.values())
        if len(groups) == 1:
            group = groups[0]
            return [group[place].name for place in sorted({0, len(group) // 2, len(group) - 1})]
        known = {} if self.fit is None else {point.signal: point.significance.expected for point in self.fit.points}
        chosen = []
        for group in groups:
            best = max(group, key=lambda signal: known.get(signal.name) or 0.0)
            chosen.append(best.name if known.get(best.name) else group[len(group) // 2].name)
        return chosen[:_MOST_SIGNALS]

    @cached_property
    def _signals_of_scores(self) -> dict[str, list[str]]:
        """Histogram of a score under a hypothesis, such as score_800, to the points of that hypothesis."""
        found: dict[str, list[str]] = {}
        for score, evaluation in self.classifiers.items():
            for point in evaluation.points:
                values = "_".join(f"{value:g}" for value in point.parameters.values())
                found.setdefault(f"{score.partition(' (')[0]}_{values}", []).append(point.signal)
        return found

    def signals_of(self, histogram: str) -> list[str]:
        """Return the signals to overlay on one histogram: on the score under a hypothesis the points of it."""
        if self.plots.signals is not None:
            return self.signals
        found = [name for name in self._signals_of_scores.get(histogram, ()) if name in self.processes]
        return found[:_MOST_SIGNALS] or self.signals

    @cached_property
    def of_model(self) -> tuple[SystematicSettings, ...]:
        """What the model says of uncertainties beyond the variations in the histograms."""
        simulated = [name for name in self.kinds if name not in self.data_driven]
        return model_uncertainties(self.model, simulated, self.plots.era)

    @cached_property
    def yields(self) -> dict[str, RegionYields]:
        """Region to what is expected and seen in it."""
        found = {name: region_yields(self, name) for name in self.regions}
        return {name: each for name, each in found.items() if each is not None}

    def hides_data(self, region: str) -> bool:
        """Say whether a region's data are hidden, rather than nothing having been seen."""
        return self.blinded and region in self.signal_regions

    def caption(self, *lines: str, data: bool) -> Caption:
        """Return the words in a figure's corner; without data it is a simulation."""
        status = self.plots.status or ("" if data else "Simulation")
        era = () if self.plots.era is None else (self.plots.era,)
        return Caption(self.plots.experiment, status, self.plots.energy, self.luminosity, (*era, *lines))


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
    histograms: Mapping[str, Histogram], names: Sequence[str], region: str, of_model: Sequence[SystematicSettings] = ()
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
