"""Changes of models from outside: parameters frozen, set and bounded, channels masked; several models as one."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any, TypeVar

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.model import Channel, Model, Parameter
from colonnade.statistics.templates import matching

Value = TypeVar("Value")


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
    for label, (low, high) in (ranges or {}).items():
        if not low < high:
            msg = f"The range of {label} is {low:g} to {high:g}; give the smaller number first."
            raise ConfigError(msg)
        each, index = _component(parameters, places, label)
        inits = _with(each.inits, index, min(max(each.inits[index], low), high))
        parameters[each.name] = replace(each, bounds=_with(each.bounds, index, (low, high)), inits=inits)
    for label, value in (values or {}).items():
        each, index = _component(parameters, places, label)
        low, high = each.bounds[index]
        if not low <= value <= high:
            msg = f"{label} = {value:g} is outside of its range, {low:g} to {high:g}; give it another range, too."
            raise ConfigError(msg)
        parameters[each.name] = replace(each, inits=_with(each.inits, index, value))
    for label in _frozen(model, freeze, places):
        each, index = _component(parameters, places, label)
        parameters[each.name] = replace(each, fixed=_with(each.fixed, index, True))
    return replace(model, parameters=tuple(parameters.values()))


def _component(
    parameters: Mapping[str, Parameter], places: Mapping[str, tuple[str, int]], label: str
) -> tuple[Parameter, int]:
    if label not in places:
        msg = f"The model has no parameter {label}{nearest(label, places)}."
        raise ConfigError(msg)
    name, index = places[label]
    return parameters[name], index


def _with(values: tuple[Value, ...], index: int, value: Value) -> tuple[Value, ...]:
    return (*values[:index], value, *values[index + 1 :])


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
    masked = matching(patterns, [channel.name for channel in model.channels], "--mask")
    left = tuple(channel for channel in model.channels if channel.name not in masked)
    parameters = tuple(each for each in (_kept(model, each, left) for each in model.parameters) if each.size)
    if not left or (model.poi and model.poi not in {each.name for each in parameters}):
        what = f"channel in which {model.poi} does anything" if left else "channel"
        msg = f"Masking {', '.join(patterns)} leaves no {what}."
        raise ConfigError(msg)
    observations = {channel.name: model.observations[channel.name] for channel in left}
    return replace(model, channels=left, parameters=parameters, observations=observations)


def _kept(model: Model, parameter: Parameter, left: Sequence[Channel]) -> Parameter:
    """Return a parameter with the components that act on the channels which are left."""
    used = {channel.name for channel, _, modifier in model.uses() if parameter.name in modifier.parameters}
    users = [channel for channel in model.channels if channel.name in used]
    keep = [any(channel in left for channel in users)] * parameter.size
    # the statistical uncertainties of several channels may be one parameter, with a component for each of their bins
    if not parameter.scalar and parameter.size == sum(channel.bins for channel in users):
        keep = [channel in left for channel in users for _ in range(channel.bins)]
    fields = ("inits", "bounds", "fixed", "auxdata", "widths", "below")
    chosen: Any = {field: tuple(compress(getattr(parameter, field), keep)) for field in fields}
    return replace(parameter, **chosen)


def combine_models(models: Mapping[str, Model], correlate: Sequence[str] = ()) -> Model:
    """Combine models into one, whose likelihood is their product with each shared constraint counted once.

    Parameters
    ----------
    models
        Label to model. Channels get the label in front of their name: ``LABEL_CHANNEL``.
    correlate
        Names or globs of the parameters of one name that are one parameter. The parameter of interest always is. All
        others of one name are different parameters, and get the label in front of their names, too.

    Returns
    -------
    Model
        The combination.

    Raises
    ------
    ConfigError
        If the models' parameters of interest differ, a name or glob is that of no common parameter, what the models
        say of a parameter that is to be one contradicts, or a label makes a name that is taken.
    """
    interest = {model.poi for model in models.values()}
    if len(interest) > 1:
        named = ", ".join(f"{model.poi or 'none'} in {label}" for label, model in models.items())
        msg = f"The models have different parameters of interest: {named}; a combination needs one name for it."
        raise ConfigError(msg)
    owners: dict[str, list[str]] = {}
    for label, model in models.items():
        for parameter in model.parameters:
            owners.setdefault(parameter.name, []).append(label)
    common = [name for name, labels in owners.items() if len(labels) > 1]
    shared = {*interest, *matching(correlate, common, "--correlate")}
    apart = {name for name in common if name not in shared}
    for name in apart:
        taken = next((label for label in owners[name] if f"{label}_{name}" in owners), None)
        if taken is not None:
            msg = f"{name} of {taken} would become {taken}_{name}, which is another parameter; give another label."
            raise ConfigError(msg)
    parts = {label: _apart(model, label, apart) for label, model in models.items()}
    parameters: dict[str, Parameter] = {}
    groups: dict[str, dict[str, None]] = {}
    for label, part in parts.items():
        for parameter in part.parameters:
            known = parameters.get(parameter.name)
            parameters[parameter.name] = parameter if known is None else _as_one(known, parameter, label)
        for group, names in part.groups.items():
            groups.setdefault(group, {}).update(dict.fromkeys(names))
    return Model(
        channels=tuple(channel for part in parts.values() for channel in part.channels),
        parameters=tuple(parameters.values()),
        poi=interest.pop(),
        observations={name: seen for part in parts.values() for name, seen in part.observations.items()},
        measurement="combination",
        groups={group: tuple(names) for group, names in groups.items()},
        notes=tuple(f"{label}: {note}" for label, part in parts.items() for note in part.notes),
    )


def _as_one(one: Parameter, other: Parameter, label: str) -> Parameter:
    """Return the parameter that two are, within the wider of their bounds."""
    if not (one.scalar and other.scalar):
        msg = f"--correlate {one.name}: it is a parameter for each bin, which is that of one model only; leave it out."
        raise ConfigError(msg)
    for what in ("constraint", "auxdata", "widths", "below"):
        mine, theirs = getattr(one, what), getattr(other, what)
        if mine != theirs:
            msg = (
                f"The parameter {one.name} of {label} is another one ({what} {theirs} for {mine}); leave it out of "
                "--correlate, or give it one meaning."
            )
            raise ConfigError(msg)
    (low, high), (least, most) = one.bounds[0], other.bounds[0]
    return replace(one, bounds=((min(low, least), max(high, most)),), fixed=(one.fixed[0] and other.fixed[0],))


def _apart(model: Model, label: str, apart: set[str]) -> Model:
    """Put a label in front of the names of a model's channels, and of those of its parameters that are its own."""
    own = [each.name for each in model.parameters if each.name in apart]
    formulas = [modifier.parameter for _, _, modifier in model.uses() if modifier.formula is not None]
    names = {name: f"{label}_{name}" for name in (*own, *formulas)}
    return model.renamed(names, {channel.name: f"{label}_{channel.name}" for channel in model.channels})
