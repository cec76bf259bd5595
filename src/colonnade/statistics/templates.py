"""Templates of the likelihood's channels, cut out of a run's histograms."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.eras import era_parts, era_variations, member_variations
from colonnade.statistics.results import Decision
from colonnade.statistics.settings import ChannelSettings, ModelSettings

Floats = NDArray[np.float64]
NOMINAL = "nominal"


@dataclass(frozen=True, slots=True)
class Process:
    """What the model needs to know of a process.

    Attributes
    ----------
    kind : {'data', 'background', 'signal'}
        Its kind.
    parameters : mapping
        Of a signal point, such as m_Zprime.
    cross_section_pb : float, optional
        Of a signal point, with k-factor and filter efficiency: a limit on the signal strength times this is
        one on the cross-section.
    alternatives : frozenset of str
        Its variations that other samples stand for.
    data_driven : bool
        Whether it is made of data, so that no luminosity scales it.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cross_section_pb: float | None = None
    alternatives: frozenset[str] = frozenset()
    data_driven: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """A run's histograms and what they mean.

    Attributes
    ----------
    histograms : mapping
        Histogram name -> process -> `hist.Hist` with axes region, variation and one more; scaled to the
        luminosity.
    processes : mapping of str to Process
        Every process that may be in the histograms.
    luminosity : float
        In fb^-1.
    signal_regions : frozenset of str
        Regions that are blinded.
    unblind : bool
        Whether data may be looked at in them.
    eras : mapping
        Era -> histogram name -> process -> what the histograms are the sums of; empty where there are no eras.
    """

    histograms: Mapping[str, Mapping[str, Any]]
    processes: Mapping[str, Process]
    luminosity: float
    signal_regions: frozenset[str] = frozenset()
    unblind: bool = False
    eras: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[str]:
        """Return the processes of a kind that are in some histogram, in the order of `processes`."""
        filled = {name for by_process in self.histograms.values() for name in by_process}
        return [name for name, each in self.processes.items() if each.kind == kind and name in filled]


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of one channel.

    Attributes
    ----------
    channel : str
        Its name.
    edges : tuple of float
        Edges of the bins.
    values, variances : mapping
        Process -> variation -> events of each bin, and the squares of their statistical errors, where the variation was
        filled.
    decisions : list of Decision
        What was done to them; who makes samples of them adds what is done then.
    """

    channel: str
    edges: tuple[float, ...]
    values: Mapping[str, Mapping[str, Floats]]
    variances: Mapping[str, Mapping[str, Floats]]
    decisions: list[Decision]


def matching(patterns: Sequence[str], known: Iterable[str], what: str) -> list[str]:
    """Return the known names that match any of the patterns, in their own order.

    Raises
    ------
    ConfigError
        If a pattern matches nothing.
    """
    names = list(known)
    for pattern in patterns:
        if pattern != "*" and not fnmatch.filter(names, pattern):
            known_names = f"; known: {', '.join(names)}" if names else ""
            msg = f"{what}: {pattern!r} is unknown{nearest(pattern, names)}{known_names}."
            raise ConfigError(msg)
    return [name for name in names if matches(name, patterns)]


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name matches any of some patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def channel_templates(inputs: Inputs, settings: ModelSettings, name: str, signal: str | None = None) -> Templates:
    """Cut a channel's templates out of the histograms: region, binning, flow, empty bins.

    Parameters
    ----------
    inputs, settings
        The histograms and the model.
    name
        The channel's.
    signal
        The signal point, where the channel's histogram or bins depend on it.

    Raises
    ------
    ConfigError
        If the histogram or region is unknown, the binning does not fit, or no background is in the channel.
    FitError
        If bins are to be chosen and the statistical error is too large even in a single one.
    """
    channel = settings.channels[name]
    where = f"The model's channel {name}"
    if signal is not None:
        channel = _for_signal(channel, inputs, signal, where)
    if channel.histogram not in inputs.histograms:
        hint = nearest(channel.histogram, inputs.histograms)
        msg = f"{where} asks for the histogram {channel.histogram!r}, which was not filled{hint}."
        raise ConfigError(msg)
    by_process = inputs.histograms[channel.histogram]
    backgrounds = [each for each in inputs.of_kind("background") if each in by_process]
    backgrounds = matching(channel.processes, backgrounds, where)
    signals = inputs.of_kind("signal") if signal is None else [signal]
    wanted = [*backgrounds, *signals, *inputs.of_kind("data")]
    region = channel.region or name
    decisions: list[Decision] = []
    values: dict[str, dict[str, Floats]] = {}
    variances: dict[str, dict[str, Floats]] = {}
    edges: Floats = np.empty(0)
    parts = era_parts(settings, inputs.eras)
    for process in wanted:
        filled = by_process.get(process)
        seen = inputs.processes[process].kind == "data"
        if filled is None or (seen and region not in list(filled.axes["region"])):
            continue
        edges, values[process], variances[process] = _cut(filled, channel, region, where)
        if parts and not seen:
            found = {era: each.get(channel.histogram, {}).get(process) for era, each in inputs.eras.items()}
            of_eras = {era: _cut(each, channel, region, where)[1] for era, each in found.items() if each is not None}
            for era, each in of_eras.items():
                each.update(member_variations(settings.systematics, each, f"{process} in {name}, {era}"))
            values[process] |= era_variations(parts, of_eras, values[process][NOMINAL])
    if not backgrounds:
        msg = f"{where} has no background; add one to the manifest or to the channel's `processes`."
        raise ConfigError(msg)
    total = np.sum([values[process][NOMINAL] for process in backgrounds], axis=0)
    if channel.bins is not None:
        error = np.sum([variances[process][NOMINAL] for process in backgrounds], axis=0)
        none = {NOMINAL: np.zeros_like(total)}
        expected = tuple(each.get(signal or "", none)[NOMINAL] for each in (values, variances))
        starts = _chosen(channel.bins.error, edges, expected, (total, error), f"{where}, signal {signal}")
        inner = ", ".join(f"{edges[start]:g}" for start in starts[1:]) or "none"
        what = f"inner edges of {channel.histogram} chosen by statistical error ({channel.bins.error:g}): {inner}"
        decisions.append(Decision("chosen bins", "", what, (f"{name}, {signal}",)))
    else:
        starts = _merged(total, where, edges, decisions, name)
    merged, errors = (
        {
            process: {variation: np.add.reduceat(each, starts) for variation, each in by_variation.items()}
            for process, by_variation in contents.items()
        }
        for contents in (values, variances)
    )
    for process, by_variation in merged.items():
        by_variation.update(member_variations(settings.systematics, by_variation, f"{process} in {name}"))
    return Templates(name, (*edges[starts].tolist(), float(edges[-1])), merged, errors, decisions)


def _for_signal(channel: ChannelSettings, inputs: Inputs, signal: str, where: str) -> ChannelSettings:
    """Put a signal point's parameters into the name of a channel's histogram."""
    parameters = inputs.processes[signal].parameters
    try:
        # "{:g}" for numbers: a mass of 130.0 is written 130
        texts = {key: f"{each:g}" if isinstance(each, int | float) else str(each) for key, each in parameters.items()}
        return channel.model_copy(update={"histogram": channel.histogram.format_map(texts)})
    except (KeyError, ValueError, IndexError) as error:
        msg = (
            f"{where}: the histogram {channel.histogram!r} can't be named for the signal {signal}; its parameters: "
            f"{', '.join(parameters) or 'none'} ({error})."
        )
        raise ConfigError(msg) from error


def _chosen(
    error: float, edges: Floats, signal: Sequence[Floats], background: Sequence[Floats], where: str
) -> list[int]:
    """Return where the bins begin that the statistical error allows, of values and variances."""
    from colonnade.statistics.binning import Sample, right_to_left

    fine = [Sample(edges[:-1], values, variances) for values, variances in (signal, background)]
    try:
        found = right_to_left(*fine, error=error, rest="apart")
    except FitError as wrong:
        msg = f"{where}: {wrong}"
        raise FitError(msg) from wrong
    starts = [0, *np.searchsorted(edges, found).tolist()]
    while len(starts) > 1 and background[0][: starts[1]].sum() <= 0:  # the rest holds what nothing bounds
        del starts[1]
    return starts


def _cut(
    filled: Any, channel: ChannelSettings, region: str, where: str
) -> tuple[Floats, dict[str, Floats], dict[str, Floats]]:
    """Return the edges of a channel, and its events and their variances by variation."""
    if filled.ndim != 3:
        msg = (
            f"{where}: the histogram {channel.histogram} has {filled.ndim - 2} axes; a channel needs one with one axis."
        )
        raise ConfigError(msg)
    regions = list(filled.axes["region"])
    if region not in regions:
        msg = (
            f"{where}: the histogram {channel.histogram} was not filled in the region "
            f"{region!r}{nearest(region, regions)}."
        )
        raise ConfigError(msg)
    axis = filled.axes[2]
    fine = np.asarray(axis.edges, dtype=np.float64)
    view = filled.view(flow=True)[regions.index(region)]
    low, high = int(axis.traits.underflow), int(axis.traits.overflow)
    bounds = _bounds(fine, channel, where)
    values, variances = (
        {
            variation: _rebinned(np.asarray(part[index], dtype=np.float64), low, high, bounds, flow=channel.flow)
            for index, variation in enumerate(filled.axes["variation"])
        }
        for part in (view["value"], view["variance"])
    )
    if not all(np.all(np.isfinite(each)) for part in (values, variances) for each in part.values()):
        msg = f"{where}: the histogram {channel.histogram} holds a number that is not finite."
        raise ConfigError(msg)
    return fine[bounds], values, variances


def _bounds(fine: Floats, channel: ChannelSettings, where: str) -> NDArray[np.intp]:
    """Return which of the fine edges are edges of the channel."""
    bins = len(fine) - 1
    if channel.edges is not None:
        tolerance = 1e-9 * (fine[-1] - fine[0])
        found = np.array([np.argmin(np.abs(fine - edge)) for edge in channel.edges], dtype=np.intp)
        for edge, index in zip(channel.edges, found, strict=True):
            if abs(fine[index] - edge) > tolerance:
                msg = (
                    f"{where}: {edge:g} is no bin edge of the histogram {channel.histogram}; the "
                    f"nearest is {fine[index]:g}."
                )
                raise ConfigError(msg)
        if channel.flow is None and (found[0] > 0 or found[-1] < bins):
            msg = (
                f"{where}: its edges, {channel.edges[0]:g} to {channel.edges[-1]:g}, are narrower than those of the "
                f"histogram {channel.histogram}, {fine[0]:g} to {fine[-1]:g}; say `flow: false` for a window that "
                "leaves out the events outside, or `flow: true` to add them to the first and last bin."
            )
            raise ConfigError(msg)
        return found
    step = channel.rebin or 1
    if bins % step:
        msg = f"{where}: the {bins} bins of {channel.histogram} can't be merged by {step}; give a divisor of {bins}."
        raise ConfigError(msg)
    return np.arange(0, bins + 1, step)


def _rebinned(values: Floats, low: int, high: int, bounds: NDArray[np.intp], *, flow: bool | None) -> Floats:
    size = len(values) - low - high
    inside = values[low : low + size]
    result = np.add.reduceat(inside[: bounds[-1]], bounds[:-1])
    if flow is not False:
        result[0] += inside[: bounds[0]].sum() + (values[0] if low else 0.0)
        result[-1] += inside[bounds[-1] :].sum() + (values[-1] if high else 0.0)
    return np.asarray(result)


def _merged(total: Floats, where: str, edges: Floats, decisions: list[Decision], name: str) -> list[int]:
    """Merge bins without background into their lower neighbour, the first into its upper; return where each begins."""
    if total.sum() <= 0:
        msg = f"{where} expects {total.sum():.3g} background events in all, too few for a likelihood; leave it out."
        raise ConfigError(msg)
    starts = list(range(len(total)))
    for position in reversed(range(1, len(starts))):
        if total[starts[position] : (*starts, len(total))[position + 1]].sum() <= 0:
            del starts[position]
    while len(starts) > 1 and total[: starts[1]].sum() <= 0:
        del starts[1]
    for start, stop in pairwise((*starts, len(total))):
        if stop - start > 1:
            what = (
                f"{stop - start} bins became one, {edges[start]:g} to {edges[stop]:g}, as one of them expects no "
                "background events"
            )
            decisions.append(Decision("merged bins", "", what, (name,)))
    return starts
