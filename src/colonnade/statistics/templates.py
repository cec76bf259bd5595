"""Templates of the likelihood's channels, cut out of a run's histograms."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.statistics.eras import era_parts, era_variations, member_variations
from colonnade.statistics.settings import ChannelSettings, ChosenBins, ModelSettings

Floats = NDArray[np.float64]
NOMINAL = "nominal"
# variation -> (values, variances), each of shape (bins,)
_Cut = dict[str, tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was done to the model without being asked for by name; every one is in the report.

    Attributes
    ----------
    kind : str
        `merged bins`, `negative bin`, `symmetrised`, `smoothed`, `pruned`, `left out`, `asimov data`...
    subject : str
        The uncertainty or process it is about, or nothing.
    where : str
        Channel, and process where the subject is an uncertainty.
    what : str
        What was done and why; the same words for the same decision, so that they can be told together.
    """

    kind: str
    subject: str
    where: str
    what: str


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

    kind: Literal["data", "background", "signal"]
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
    """The templates of one channel: process -> variation -> (values, variances), each of shape (bins,).

    Attributes
    ----------
    channel : str
        Its name.
    edges : tuple of float
        Edges of the bins.
    by_process : mapping
        The templates.
    """

    channel: str
    edges: tuple[float, ...]
    by_process: Mapping[str, Mapping[str, tuple[Floats, Floats]]]


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


def channel_templates(
    inputs: Inputs, settings: ModelSettings, name: str, decisions: list[Decision], signal: str | None = None
) -> Templates:
    """Cut a channel's templates out of the histograms: region, binning, flow, empty bins.

    Parameters
    ----------
    inputs, settings
        The histograms and the model.
    name
        The channel's.
    decisions
        What is done to bins is added here.
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
    templates: dict[str, _Cut] = {}
    edges: Floats = np.empty(0)
    for process in wanted:
        filled = by_process.get(process)
        if filled is None:
            continue
        if inputs.processes[process].kind == "data" and region not in list(filled.axes["region"]):
            continue
        edges, templates[process] = _cut(filled, channel, region, where)
        if inputs.eras and inputs.processes[process].kind != "data":
            nominal, variance = templates[process][NOMINAL]
            found = {era: each.get(channel.histogram, {}).get(process) for era, each in inputs.eras.items()}
            cuts = {era: _cut(each, channel, region, where)[1] for era, each in found.items() if each is not None}
            made = _era_templates(inputs, settings, cuts, f"{process} in {name}", nominal)
            templates[process] |= {each: (values, variance) for each, values in made.items()}
    if not backgrounds:
        msg = f"{where} has no background; add one to the manifest or to the channel's `processes`."
        raise ConfigError(msg)
    total = np.sum([templates[process][NOMINAL] for process in backgrounds], axis=0)
    if channel.bins is not None:
        expected = templates.get(signal or "", {}).get(NOMINAL)
        starts = _chosen(channel.bins, edges, expected, total, f"{where}, signal {signal}")
        inner = ", ".join(f"{edges[start]:g}" for start in starts[1:]) or "none"
        what = f"inner edges of {channel.histogram} chosen by statistical error ({channel.bins.error:g}): {inner}"
        decisions.append(Decision("chosen bins", "", f"{name}, {signal}", what))
    else:
        starts = _merged(total[0], settings, where, edges, decisions, name)
    merged = {
        process: {
            variation: (np.add.reduceat(values, starts), np.add.reduceat(variances, starts))
            for variation, (values, variances) in by_variation.items()
        }
        for process, by_variation in templates.items()
    }
    for process, by_variation in merged.items():
        values = {variation: each for variation, (each, _) in by_variation.items()}
        made = member_variations(settings.systematics, values, f"{process} in {name}")
        by_variation |= {variation: (each, by_variation[NOMINAL][1]) for variation, each in made.items()}
    bounds = (*edges[starts].tolist(), float(edges[-1]))
    return Templates(name, bounds, merged)


def _era_templates(
    inputs: Inputs, settings: ModelSettings, cuts: Mapping[str, _Cut], what: str, nominal: Floats
) -> dict[str, Floats]:
    """Return the variations of a process that move one era's events."""
    of_eras = {}
    for era, cut in cuts.items():
        values = {each: contents for each, (contents, _) in cut.items()}
        of_eras[era] = values | member_variations(settings.systematics, values, f"{what}, {era}")
    return era_variations(era_parts(settings, inputs.eras), of_eras, nominal)


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
    bins: ChosenBins, edges: Floats, signal: tuple[Floats, Floats] | None, background: Floats, where: str
) -> list[int]:
    """Return where the bins begin that the statistical error allows."""
    from colonnade.statistics.binning import Sample, equal_signal, right_to_left  # compiles when first used

    expected = (np.zeros(len(edges) - 1),) * 2 if signal is None else signal
    fine = [Sample(edges[:-1], values, variances) for values, variances in (expected, background)]
    try:
        if bins.method == "right_to_left":
            found = right_to_left(*fine, error=bins.error, rest="apart")
        else:
            found = equal_signal(*fine, error=bins.error)
    except FitError as error:
        msg = f"{where}: {error}"
        raise FitError(msg) from error
    starts = [0, *np.searchsorted(edges, found).tolist()]
    while len(starts) > 1 and background[0][: starts[1]].sum() <= 0:  # the rest holds what nothing bounds
        del starts[1]
    return starts


def _cut(filled: Any, channel: ChannelSettings, region: str, where: str) -> tuple[Floats, _Cut]:
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
    result = {}
    for index, variation in enumerate(filled.axes["variation"]):
        result[variation] = tuple(
            _rebinned(np.asarray(each[index], dtype=np.float64), low, high, bounds, flow=channel.flow is not False)
            for each in (view["value"], view["variance"])
        )
        if not all(np.all(np.isfinite(each)) for each in result[variation]):
            msg = f"{where}: the histogram {channel.histogram} holds a number that is not finite."
            raise ConfigError(msg)
    return fine[bounds], result  # type: ignore[return-value]  # a pair by construction


def _bounds(fine: Floats, channel: ChannelSettings, where: str) -> NDArray[np.intp]:
    """Return which of the fine edges are edges of the channel."""
    bins = len(fine) - 1
    if channel.edges is not None:
        tolerance = 1e-9 * (fine[-1] - fine[0])
        found = np.array([np.argmin(np.abs(fine - edge)) for edge in channel.edges], dtype=np.intp)
        for edge, index in zip(channel.edges, found, strict=True):
            if abs(fine[index] - edge) > tolerance:
                msg = (
                    f"{where}: {edge:g} is no bin edge of the histogram {channel.histogram}; the nearest is "
                    f"{fine[index]:g}."
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


def _rebinned(values: Floats, low: int, high: int, bounds: NDArray[np.intp], *, flow: bool) -> Floats:
    size = len(values) - low - high
    inside = values[low : low + size]
    result = np.add.reduceat(inside[: bounds[-1]], bounds[:-1])
    if flow:
        result[0] += inside[: bounds[0]].sum() + (values[0] if low else 0.0)
        result[-1] += inside[bounds[-1] :].sum() + (values[-1] if high else 0.0)
    return np.asarray(result)


def _merged(
    total: Floats,
    settings: ModelSettings,
    where: str,
    edges: Floats,
    decisions: list[Decision],
    name: str,
) -> list[int]:
    """Merge bins without background into their lower neighbour, the first into its upper; return where each begins."""
    if total.sum() <= 0:
        msg = f"{where} expects {total.sum():.3g} background events in all, too few for a likelihood; leave it out."
        raise ConfigError(msg)
    empty = np.flatnonzero(total <= 0)
    if len(empty) and settings.empty_bins == "error":
        first = empty[0]
        msg = (
            f"{where} expects {total[first]:.3g} background events between {edges[first]:g} and {edges[first + 1]:g}; "
            "use wider bins, or `empty_bins: merge`."
        )
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
            decisions.append(Decision("merged bins", "", name, what))
    return starts
