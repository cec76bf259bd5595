r"""From a run's histograms and the workflow's model settings to one likelihood a signal point.

The ABCD method inside the likelihood ties free yields by A = B C / D. With the nominal yields b (of each bin), c and d,
and a = b c / d, the channels expect

.. math:: A_i = a_i s_i \rho, \quad B_i = b_i s_i, \quad C = c\, \mu \rho, \quad D = d\, \mu,

so that A D = B C whatever the parameters are. All of it are factors, which every format can say; where B has several
bins, s is a factor of each of them (a shapefactor).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.effects import modifiers_of
from colonnade.statistics.eras import era_parts
from colonnade.statistics.model import Channel, Model, Modifier, Sample, make_model
from colonnade.statistics.results import Decision
from colonnade.statistics.settings import AbcdSettings, ModelSettings, NormalisationSettings
from colonnade.statistics.templates import NOMINAL, Inputs, Templates, channel_templates, matches, matching

Floats = NDArray[np.float64]
LUMINOSITY = "lumi"
_GROUPS = {
    "lumi": "luminosity",
    "staterror": "statistics",
    "normfactor": "normalisations",
    "shapefactor": "normalisations",
}


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """The model of one signal point.

    Attributes
    ----------
    signal : str
        The signal process.
    model : Model
        Its observations are data where they may be seen, and the background's prediction elsewhere.
    observed : frozenset of str
        The channels whose observations are data.
    decisions : tuple of Decision
        What was done to the templates.
    """

    signal: str
    model: Model
    observed: frozenset[str]
    decisions: tuple[Decision, ...]


# a channel's templates and the samples of its backgrounds
_Prepared = tuple[Templates, tuple[Sample, ...]]


class Builder:
    """Builds the models of all signal points; what they share is made once.

    Parameters
    ----------
    inputs
        The histograms.
    settings
        The model.

    Attributes
    ----------
    signals : list of str
        The signal processes chosen by the settings.

    Raises
    ------
    ConfigError
        If the settings name a histogram, region, process, variation or channel that is not there.
    """

    def __init__(self, inputs: Inputs, settings: ModelSettings) -> None:
        self.inputs, self.settings = inputs, settings
        self.signals = matching(settings.signals, inputs.of_kind("signal"), "The model's signals")
        if not self.signals:
            msg = "The model has no signal: no process of kind signal was filled; add one to the manifest."
            raise ConfigError(msg)
        parts = era_parts(settings, inputs.eras)
        plain = [each for each in settings.systematics if not each.by_era]
        # the luminosities of eras move what is not normalised by the fit, as the one of all does
        self._luminosities = {part.systematic.name for part in parts} & settings.luminosity_uncertainties.keys()
        self._systematics_of_all = [*plain, *(part.systematic for part in parts)]
        self._kept: dict[str, _Prepared] = {}
        self._group_of: dict[str, str] = {}
        self._check()

    def build(self, signal: str) -> BuiltModel:
        """Build the model of one signal point.

        Raises
        ------
        ConfigError
            If the signal is unknown or has no events in any channel.
        """
        if signal not in self.signals:
            msg = f"The model has no signal {signal!r}{nearest(signal, self.signals)}."
            raise ConfigError(msg)
        prepared = self._prepared(signal)
        decisions = [decision for templates, _ in prepared for decision in templates.decisions]
        channels = []
        for templates, backgrounds in prepared:
            sample = self._sample(replace(templates, decisions=decisions), signal, signal=True)
            channels.append(Channel(templates.channel, (sample, *backgrounds), templates.edges))
        if not any(channel.samples[0].yields.any() for channel in channels):
            msg = f"The signal {signal} has no events in any channel of the model; add a channel it reaches."
            raise ConfigError(msg)
        observations, observed = self._observations([templates for templates, _ in prepared], channels, decisions)
        relative = self.settings.luminosity_uncertainty
        overrides: dict[str, dict[str, object]] = {
            each.name: {"bounds": [each.bounds]} for each in self.settings.normalisations
        }
        if relative:
            overrides[LUMINOSITY] = {
                "auxdata": [1.0],
                "sigmas": [relative],
                "inits": [1.0],
                "bounds": [[max(0.0, 1 - 10 * relative), 1 + 10 * relative]],
            }
        model = make_model(
            channels,
            observations,
            self.settings.poi,
            overrides=overrides,
            measurement="colonnade",
            source=f"The model of {signal}",
        )
        return BuiltModel(signal, replace(model, groups=self._groups(model)), observed, tuple(decisions))

    def _prepared(self, signal: str) -> list[_Prepared]:
        """Prepare all channels for a signal point; those that no signal changes are made once."""
        channels = []
        for name, settings in self.settings.channels.items():
            own = signal if settings.depends_on_signal() else None
            if own is not None or name not in self._kept:
                templates = channel_templates(self.inputs, self.settings, name, own)
                self._kept[name] = templates, self._background_samples(templates)
            channels.append(self._kept[name])
        return channels

    def _groups(self, model: Model) -> dict[str, tuple[str, ...]]:
        """Group the parameters: those of the settings, then luminosity, statistics and free normalisations."""
        groups: dict[str, tuple[str, ...]] = {}
        for name, kind in {modifier.parameter: modifier.kind for _, _, modifier in model.uses()}.items():
            group = _GROUPS.get(kind) or self._group_of.get(name, "")
            if group and name != model.poi:
                groups[group] = (*groups.get(group, ()), name)
        return groups

    # ---- checking

    def _check(self) -> None:
        names = list(self.settings.channels)
        backgrounds = self.inputs.of_kind("background")
        processes = [*backgrounds, *self.inputs.of_kind("signal")]
        for systematic in self._systematics_of_all:
            what = f"The systematic {systematic.name}"
            matching(systematic.processes, processes, what)
            matching(systematic.regions, names, what)
            of_luminosity = systematic.name in self._luminosities
            taken = {self.settings.poi, *(() if of_luminosity else (LUMINOSITY,))}
            if systematic.name in taken or any(each.name in self._luminosities for each in self.settings.systematics):
                msg = f"{what} has the name of another parameter of the model; call it otherwise."
                raise ConfigError(msg)
        prepared = self._prepared(self.signals[0])
        _check_abcd(self.settings.abcd, {templates.channel: templates for templates, _ in prepared}, self.inputs)
        for each in self.settings.normalisations:
            self._check_normalisation(each, names, backgrounds, prepared)

    def _check_normalisation(
        self, normalisation: NormalisationSettings, names: list[str], backgrounds: list[str], prepared: list[_Prepared]
    ) -> None:
        what = f"The normalisation {normalisation.name}"
        chosen = matching(normalisation.processes, backgrounds, what)
        matching(normalisation.regions, names, what)
        by_channel = {templates.channel: templates.values for templates, _ in prepared}
        for region in matching(normalisation.control, names, f"{what}, control"):
            held = by_channel[region].keys() & chosen
            if not any(by_channel[region][process][NOMINAL].sum() > 0 for process in held):
                msg = f"{what}: its control region {region} holds no {' or '.join(chosen)}, so can't determine it."
                raise ConfigError(msg)

    # ---- samples

    def _background_samples(self, templates: Templates) -> tuple[Sample, ...]:
        samples = []
        for process in templates.values:
            if self.inputs.processes[process].kind != "background":
                continue
            sample = self._sample(templates, process, signal=False)
            if sample.yields.any():
                samples.append(sample)
            else:
                templates.decisions.append(
                    Decision("left out", process, "no events were selected", (templates.channel,))
                )
        return self._with_statistics(templates, samples)

    def _sample(self, templates: Templates, process: str, *, signal: bool) -> Sample:
        channel, settings = templates.channel, self.settings
        variations = templates.values.get(process, {NOMINAL: np.zeros(len(templates.edges) - 1)})
        values = variations[NOMINAL]
        negative = values < 0
        if negative.any():
            what = (
                f"{int(negative.sum())} bins of {len(values)} were below 0 (in all {values[negative].sum():.3g} "
                "events) and are taken as 0; their statistical uncertainty is kept"
            )
            templates.decisions.append(Decision("negative bin", process, what, (channel,)))
        variations = {name: np.where(negative, 0.0, each) for name, each in variations.items()}
        nominal = variations[NOMINAL]
        tied = [] if signal else _abcd_modifiers(settings.abcd, process, channel, len(values))
        if tied:
            return Sample(process, nominal, tuple(tied))
        free = [
            Modifier("normfactor", each.name)
            for each in settings.normalisations
            if not signal and matches(process, each.processes) and matches(channel, each.regions)
        ]
        modifiers = [Modifier("normfactor", settings.poi)] if signal else [*free]
        steady = bool(free) or self.inputs.processes[process].data_driven
        if settings.luminosity_uncertainty and not steady:
            modifiers.append(Modifier("lumi", LUMINOSITY))
        if nominal.any():
            modifiers += self._systematics(templates, process, variations, steady=steady)
            if signal and settings.statistical.enabled and settings.statistical.signal:
                modifiers.append(_staterror(channel, np.sqrt(templates.variances[process][NOMINAL])))
        return Sample(process, nominal, tuple(modifiers))

    def _systematics(
        self, templates: Templates, process: str, variations: Mapping[str, Floats], *, steady: bool
    ) -> list[Modifier]:
        """Return what the systematic uncertainties do to a process; `steady` is what no luminosity scales."""
        channel, known = templates.channel, self.inputs.processes[process]
        modifiers = []
        for systematic in self._systematics_of_all:
            if not (matches(process, systematic.processes) and matches(channel, systematic.regions)):
                continue
            if steady and systematic.name in self._luminosities:
                continue
            sides = [f"{systematic.variation}_{side}" for side in ("up", "down")]
            if known.data_driven and systematic.variation is not None and not variations.keys() & sides:
                continue  # no simulation that was subtracted moves with it
            found = modifiers_of(systematic, channel, process, variations, self.settings.pruning, templates.decisions)
            if found and systematic.group:
                self._group_of.update((each.parameter, systematic.group) for each in found)
            for name in sides if found else ():
                if name in known.alternatives & variations.keys():
                    self._doubt(templates, process, name, found[0].parameter)
            modifiers += found
        return modifiers

    def _doubt(self, templates: Templates, process: str, name: str, parameter: str) -> None:
        """Say where the statistical error of an alternative sample is larger than what it changes."""
        values, variances = templates.values[process], templates.variances[process]
        total = float(values[NOMINAL].sum())
        effect = abs(float(values[name].sum()) / total - 1)
        error = float(np.sqrt(float(variances[NOMINAL].sum()) + float(variances[name].sum()))) / total
        if error > effect:
            what = (
                f"the alternative sample {name} changes the yield by {effect:.2%}, less than the statistical "
                f"error of {error:.2%}"
            )
            templates.decisions.append(Decision("statistics", parameter, what, (f"{process} in {templates.channel}",)))

    def _with_statistics(self, templates: Templates, samples: list[Sample]) -> tuple[Sample, ...]:
        """Give the backgrounds of a channel their common statistical uncertainty, bin by bin."""
        # of what is tied by A = B C / D the data of the channels are the statistics
        abcd, channel = self.settings.abcd, templates.channel
        own = [each for each in samples if not _abcd_modifiers(abcd, each.name, channel, 1)]
        if not self.settings.statistical.enabled or not own:
            return tuple(samples)
        variances = {sample.name: templates.variances[sample.name][NOMINAL] for sample in own}
        total = np.sum([sample.yields for sample in own], axis=0)
        relative = np.sqrt(np.sum(list(variances.values()), axis=0)) / np.where(total > 0, total, 1.0)
        threshold = self.settings.statistical.threshold
        small = relative < threshold
        if small.any():
            what = f"{int(small.sum())} bins of {len(small)} have less than {threshold:g} relative uncertainty"
            templates.decisions.append(Decision("pruned", "statistics", what, (channel,)))
        tied = [each for each in samples if each.name not in variances]
        if not small.all():
            errors = {name: np.where(small, 0.0, np.sqrt(each)) for name, each in variances.items()}
            own = [replace(each, modifiers=(*each.modifiers, _staterror(channel, errors[each.name]))) for each in own]
        return (*own, *tied)

    # ---- data

    def _observations(
        self, prepared: list[Templates], channels: list[Channel], decisions: list[Decision]
    ) -> tuple[dict[str, Floats], frozenset[str]]:
        data = self.inputs.of_kind("data")
        observations: dict[str, Floats] = {}
        observed = set()
        for templates, channel in zip(prepared, channels, strict=True):
            region = self.settings.channels[channel.name].region or channel.name
            blind = region in self.inputs.signal_regions and not self.inputs.unblind
            seen = [templates.values[name][NOMINAL] for name in data if name in templates.values]
            if seen and not blind:
                observations[channel.name] = np.sum(seen, axis=0)
                observed.add(channel.name)
                continue
            observations[channel.name] = np.sum([sample.yields for sample in channel.samples[1:]], axis=0)
            reason = "its data are blinded" if seen else "there are no data"
            what = f"the predicted background stands for data, as {reason}"
            decisions.append(Decision("asimov data", "", what, (channel.name,)))
        return observations, frozenset(observed)


def _staterror(channel: str, errors: Floats) -> Modifier:
    return Modifier("staterror", f"staterror_{channel}", errors=errors)


def _abcd_modifiers(settings: Sequence[AbcdSettings], process: str, channel: str, bins: int) -> list[Modifier]:
    """Return the free factors of a process in a channel; none where it is tied to no others there."""
    for each in settings:
        if each.process == process and channel in each.channels:
            _, b, _, d = each.channels
            shape = Modifier("normfactor" if bins == 1 else "shapefactor", f"{process}_{b}")
            ratio, below = (Modifier("normfactor", f"{process}_{name}") for name in ("ratio", d))
            return [[shape, ratio], [shape], [below, ratio], [below]][each.channels.index(channel)]
    return []


def _check_abcd(settings: Sequence[AbcdSettings], templates: Mapping[str, Templates], inputs: Inputs) -> None:
    """See that the four channels are there and fit together.

    Raises
    ------
    ConfigError
        If not, or if nothing is left of the process in one of B, C and D.
    """
    for each in settings:
        what = f"model.abcd of {each.process}"
        made = [name for name, process in inputs.processes.items() if process.data_driven]
        if each.process not in made:
            msg = f"{what}: `data_driven` makes no such process{nearest(each.process, made)}."
            raise ConfigError(msg)
        for channel in each.channels:
            if channel not in templates:
                msg = f"{what}: the model has no channel {channel!r}{nearest(channel, templates)}."
                raise ConfigError(msg)
        a, b = (templates[channel].edges for channel in each.channels[:2])
        if a != b:
            msg = f"{what}: the channels {each.channels[0]} and {each.channels[1]} must have the same bins."
            raise ConfigError(msg)
        for channel in each.channels[1:]:
            content = templates[channel].values.get(each.process)
            if content is None or content[NOMINAL].sum() <= 0:
                msg = f"{what}: no events of it are left in the channel {channel}, so A = B C / D says nothing."
                raise ConfigError(msg)
