"""Several models as one likelihood: channels side by side, and those parameters one that are said to be one."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.model import Model, Parameter


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
    shared = {*interest, *_chosen(common, correlate)}
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


def _chosen(common: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """Return the common parameters that names and globs stand for."""
    found: set[str] = set()
    for pattern in patterns:
        names = fnmatch.filter(common, pattern)
        if not names:
            listed = f"; common are {', '.join(common[:20])}" if common else ""
            msg = f"--correlate {pattern}: no two models have such a parameter{nearest(pattern, common)}{listed}."
            raise ConfigError(msg)
        found.update(names)
    return found


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
