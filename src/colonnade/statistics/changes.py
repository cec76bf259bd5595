"""Changes of a model from outside: parameters frozen, set and bounded, channels masked."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.model import Channel, Model, Parameter


def change_model(
    model: Model,
    *,
    freeze: Sequence[str] = (),
    values: Mapping[str, float] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    mask: Sequence[str] = (),
) -> Model:
    """Return a model with other settings of its parameters, or without some of its channels.

    Parameters
    ----------
    model
        The model, which stays as it is.
    freeze
        Names or globs of parameters, of their components (``gamma[2]``) or of groups of parameters that are held at
        their initial value. The parameter of interest is frozen by its own name only, not by a glob.
    values
        Initial values by name.
    ranges
        Least and greatest values by name; an initial value outside of them moves to the nearer one.
    mask
        Names or globs of channels whose data do not count.

    Raises
    ------
    ConfigError
        If a name is unknown, a value lies outside its range, or no channel or no signal is left.
    """
    if mask:
        model = _masked(model, mask)
    parameters = {each.name: each for each in model.parameters}
    places = {label: (each.name, index) for each in model.parameters for index, label in enumerate(each.labels)}
    for label, bounds in (ranges or {}).items():
        low, high = bounds
        if not low < high:
            msg = f"The range of {label} is {low:g} to {high:g}; give the smaller number first."
            raise ConfigError(msg)
        _change(parameters, places, label, "bounds", bounds)
        name, index = places[label]
        _change(parameters, places, label, "inits", min(max(parameters[name].inits[index], low), high))
    for label, value in (values or {}).items():
        _change(parameters, places, label, "inits", value)
        name, index = places[label]
        low, high = parameters[name].bounds[index]
        if not low <= value <= high:
            msg = f"{label} = {value:g} is outside of its range, {low:g} to {high:g}; give it another range, too."
            raise ConfigError(msg)
    for label in _frozen(model, freeze, places):
        _change(parameters, places, label, "fixed", True)
    return replace(model, parameters=tuple(parameters.values()))


def _change(
    parameters: dict[str, Parameter], places: Mapping[str, tuple[str, int]], label: str, field: str, value: object
) -> None:
    if label not in places:
        msg = f"The model has no parameter {label}{nearest(label, places)}."
        raise ConfigError(msg)
    name, index = places[label]
    entries = list(getattr(parameters[name], field))
    entries[index] = value
    changes: Any = {field: tuple(entries)}
    parameters[name] = replace(parameters[name], **changes)


def _frozen(model: Model, names: Iterable[str], places: Mapping[str, tuple[str, int]]) -> list[str]:
    """Return the labels of the parameters that names, globs and groups stand for."""
    found: dict[str, None] = {}
    for name in names:
        members = {name} if name == model.poi else {name, *model.groups.get(name, ())}
        labels = [
            label
            for label, (parameter, _) in places.items()
            if parameter in members
            or label in members
            or (label != model.poi and any(fnmatch.fnmatchcase(each, name) for each in (label, parameter)))
        ]
        if not labels:
            known = [*places, *(parameter.name for parameter in model.parameters), *model.groups]
            msg = f"The model has no parameter and no group of parameters {name}{nearest(name, known)}."
            raise ConfigError(msg)
        found |= dict.fromkeys(labels)
    return list(found)


def _masked(model: Model, patterns: Sequence[str]) -> Model:
    names = [channel.name for channel in model.channels]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            msg = f"The model has no channel {pattern}{nearest(pattern, names)}; it has {', '.join(names[:20])}."
            raise ConfigError(msg)
    left = [c for c in model.channels if not any(fnmatch.fnmatchcase(c.name, pattern) for pattern in patterns)]
    if not left:
        msg = f"Masking {', '.join(patterns)} leaves no channel."
        raise ConfigError(msg)
    parameters = [each for each in (_kept(model, parameter, left) for parameter in model.parameters) if each.size]
    if model.poi and model.poi not in {each.name for each in parameters}:
        msg = f"Masking {', '.join(patterns)} leaves no channel in which {model.poi} does anything."
        raise ConfigError(msg)
    return replace(
        model,
        channels=tuple(left),
        parameters=tuple(parameters),
        observations={channel.name: model.observations[channel.name] for channel in left},
    )


def _kept(model: Model, parameter: Parameter, left: Sequence[Channel]) -> Parameter:
    """Return a parameter with the components that act on the channels which are left."""
    users = [channel for channel in model.channels if _acts(parameter.name, channel)]
    # the statistical uncertainties of several channels may be one parameter, with a component for each of their bins
    each_bin = not parameter.scalar and parameter.size == sum(channel.bins for channel in users)
    if not each_bin:
        keep = [any(channel in left for channel in users)] * parameter.size
    else:
        keep = [channel in left for channel in users for _ in range(channel.bins)]
    fields = ("inits", "bounds", "fixed", "auxdata", "widths", "below")
    chosen: Any = {
        field: tuple(value for value, wanted in zip(getattr(parameter, field), keep, strict=True) if wanted)
        for field in fields
        if getattr(parameter, field)
    }
    return replace(parameter, **chosen)


def _acts(name: str, channel: Channel) -> bool:
    return any(name in modifier.parameters for sample in channel.samples for modifier in sample.modifiers)
