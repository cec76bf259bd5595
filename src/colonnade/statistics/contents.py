"""What a model holds, and what is unusual about it, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from colonnade.statistics.effects import effects_of
from colonnade.statistics.likelihood import Likelihood
from colonnade.statistics.model import Model, Modifier
from colonnade.statistics.results import Effect

# an effect at one standard deviation that is as large as all there is
_HUGE = 1.0
# relative changes below this are rounding
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class ChannelContent:
    """A channel: its bins, events expected of each process at the initial values, and observed."""

    name: str
    bins: int
    observed: float
    expected: dict[str, float]


@dataclass(frozen=True, slots=True)
class ParameterContent:
    """A parameter and what it does.

    Attributes
    ----------
    name : str
        Its name.
    components : int
        How many numbers it is: 1, or one a bin.
    constraint : {'none', 'normal', 'poisson'}
        Of what kind of measurement it comes; none leaves it free.
    kinds : tuple of str
        The kinds of modifiers that it drives.
    initial, low, high : float
        Its (first component's) initial value and range.
    fixed : int
        How many components stay at their values.
    processes : int
        How many processes, each channel counted, it acts on.
    up, down : float
        The largest relative changes of a process's yield at plus and minus one standard deviation; 0 of free ones.
    shape : float
        The largest relative change of a bin beyond that.
    """

    name: str
    components: int
    constraint: str
    kinds: tuple[str, ...]
    initial: float
    low: float
    high: float
    fixed: int
    processes: int
    up: float = 0.0
    down: float = 0.0
    shape: float = 0.0


@dataclass(frozen=True, slots=True)
class Contents:
    """A model's channels, parameters, and sentences about what is unusual."""

    poi: str
    channels: tuple[ChannelContent, ...]
    parameters: tuple[ParameterContent, ...]
    unusual: tuple[str, ...]


def contents_of(model: Model) -> Contents:
    """Return what a model holds.

    Unusual are: processes and bins without expected events, events where none are expected, negative yields; parameters
    with the same effect up and down (where a minimum can be taken for one that is none), with both effects on the same
    side, with one of more than 100 %, without any, or with the very effects of another parameter; and what the model's
    source says.
    """
    likelihood = Likelihood(model)
    expected = likelihood.expected_samples(likelihood.inits)
    channels = tuple(
        ChannelContent(
            channel.name,
            channel.bins,
            float(model.observations[channel.name].sum()),
            {name: float(values.sum()) for name, values in expected[channel.name].items()},
        )
        for channel in model.channels
    )
    effects: dict[str, list[Effect]] = {}
    for each in effects_of(model):
        effects.setdefault(each.parameter, []).append(each)
    used: dict[str, list[tuple[str, Modifier]]] = {}
    for channel, sample, modifier in model.uses():
        for name in modifier.parameters:
            used.setdefault(name, []).append((f"{sample.name} in {channel.name}", modifier))
    parameters = []
    for one in model.parameters:
        mine = effects.get(one.name, [])
        parameters.append(
            ParameterContent(
                one.name,
                one.size,
                one.constraint,
                tuple(dict.fromkeys(modifier.kind for _, modifier in used.get(one.name, []))),
                one.inits[0],
                *one.bounds[0],
                sum(one.fixed),
                len({where for where, _ in used.get(one.name, [])}),
                max((each.up for each in mine), key=abs, default=0.0),
                max((each.down for each in mine), key=abs, default=0.0),
                max((each.shape for each in mine), default=0.0),
            )
        )
    unusual = [*model.notes, *_of_yields(model, likelihood), *_of_effects(model, effects, used), *_twins(used)]
    return Contents(model.poi, channels, tuple(parameters), tuple(unusual))


def _of_yields(model: Model, likelihood: Likelihood) -> Iterator[str]:
    total = likelihood.expected(likelihood.inits)
    for channel in model.channels:
        for sample in channel.samples:
            if not np.any(sample.yields):
                yield f"{sample.name} in {channel.name} has no events."
            elif np.any(sample.yields < 0):
                count = int(np.sum(sample.yields < 0))
                yield f"{sample.name} in {channel.name} has {count} bins below zero."
        here = total[likelihood.channels[channel.name]]
        empty = ~np.any([sample.yields > 0 for sample in channel.samples], axis=0)
        seen = model.observations[channel.name] > 0
        for index in np.flatnonzero(empty):
            words = f"{model.observations[channel.name][index]:g} are observed" if seen[index] else "none are observed"
            yield f"Nothing is expected in bin {index} of {channel.name}, where {words}."
        if np.any(here[~empty] <= 0):
            yield f"{channel.name} expects less than nothing in {int(np.sum(here[~empty] <= 0))} bins."
        if not np.any(seen):
            yield f"{channel.name} has no observed events."


def _of_effects(
    model: Model, effects: dict[str, list[Effect]], used: dict[str, list[tuple[str, Modifier]]]
) -> Iterator[str]:
    for parameter in model.parameters:
        mine = [each for each in effects.get(parameter.name, []) if each.kind != "bins"]
        if not mine:
            continue
        if all(each.size < _NOTHING for each in mine):
            yield f"{parameter.name} has no effect on anything."
            continue
        sides = [m for _, m in used[parameter.name] if m.kind in ("normsys", "histosys")]
        if sides and all(np.allclose(m.up, m.down, rtol=_NOTHING, atol=0) for m in sides):
            yield f"{parameter.name} does the same up and down, so that a fit may stop where it begins: a saddle point."
        sided = [each for each in mine if each.sides == "one-sided"]
        if sided:
            yield f"{parameter.name} moves the yield to one side only: {_places(sided)}."
        huge = [each for each in mine if each.size > _HUGE]
        if huge:
            yield f"{parameter.name} has an effect of more than 100 %: {_places(huge)}."


def _places(effects: Sequence[Effect], most: int = 3) -> str:
    names = [f"{each.process} in {each.channel}" for each in effects]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _twins(used: dict[str, list[tuple[str, Modifier]]]) -> Iterator[str]:
    """Tell of parameters that do the same to the same processes."""
    known: dict[tuple[object, ...], str] = {}
    for name, mine in used.items():
        if any(modifier.kind not in ("normsys", "histosys") for _, modifier in mine):
            continue
        key = tuple(
            (where, modifier.kind, modifier.interpolation, modifier.up.tobytes(), modifier.down.tobytes())
            for where, modifier in mine
        )
        if key in known:
            yield f"{name} has the very effects of {known[key]}."
        known.setdefault(key, name)
