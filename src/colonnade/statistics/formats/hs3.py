"""HS3, the HEP Statistics Serialization Standard, written: HistFactory channels of its version 0.2.

ROOT and pyhs3 read the same file as the same likelihood. Where they read the same words differently, others are
used: a Poisson measurement of bins is a shapefactor with Poisson distributions of its own, as ROOT takes the numbers of
a shapesys as relative and pyhs3 as absolute; a bin without statistical uncertainty has a constant parameter at 1 and
an error as large as its content. Numbers of distributions are constant parameters, as ROOT takes no exponent there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from colonnade.statistics.formats.exporting import Differences, kinds_of, names_of, refuse, tell, unused
from colonnade.statistics.model import Channel, Model, Modifier, Parameter, Sample

# pyhs3 calls an interpolation by its name, ROOT by a number, and of shapes knows only its code 4, which is code4p
_CODES: Mapping[str, Mapping[str, int]] = {"normsys": {"code1": 1, "code4": 4}, "histosys": {"code4p": 4}}
# what has distributions of its own for what was measured
_OWN = {"lumi", "shapesys"}


def root_names(model: Model, differences: Differences) -> Model:
    """Rename what ROOT can't call so: its names are of letters, digits and underscores, and no digit comes first.

    Parameters
    ----------
    model
        The model; its vectors of parameters get the names of `hs3_labels`.
    differences
        What changed is added.
    """
    words = names_of(model)
    new: dict[str, str] = {}
    for word in dict.fromkeys(words):
        plain = re.sub(r"\W", "_", word, flags=re.ASCII)
        plain = f"_{plain}" if plain[:1].isdigit() else plain
        if plain != word:
            plain = unused(plain, {*new.values(), *words})
        new[word] = plain
        if plain != word:
            tell(differences, word, f"is called {plain}, as ROOT's names have letters, digits and _ only")

    return model.renamed(new, new, new)


def to_hs3(model: Model) -> dict[str, Any]:
    """Write a model in HistFactory's words, as `as_histfactory` gives it, as HS3.

    Raises
    ------
    ConfigError
        If it holds what HS3 can't say: a statistical uncertainty shared by channels or beside another one, constraints
        that were measured elsewhere than at their nominal value.
    """
    parameters = {each.name: each for each in model.parameters}
    kinds = kinds_of(model)
    own = {
        each.name: f"{each.name}Constraint"
        for each in model.parameters
        if each.constraint != "none" and kinds[each.name] & _OWN
    }
    channels = [_channel(channel, parameters) for channel in model.channels]
    points: list[dict[str, Any]] = []
    axes: list[dict[str, Any]] = []
    constants: dict[str, float] = {}
    functions: list[dict[str, Any]] = []
    distributions: list[dict[str, Any]] = []
    for each in model.parameters:
        for label, init, fixed, (low, high) in zip(hs3_labels(each), each.inits, each.fixed, each.bounds, strict=True):
            points.append({"name": label, "value": init} | ({"const": True} if fixed else {}))
            axes.append({"name": label, "min": low, "max": high})
    for each in model.parameters:
        for label, seen, (low, high) in _measured(each):
            constants[label] = seen
            axes.append({"name": label, "min": low, "max": high})
        if each.name in own:
            _constrain(each, own[each.name], constants, functions, distributions)
        elif each.constraint != "none":
            _refuse_moved(each)
    points += [{"name": name, "value": value, "const": True} for name, value in constants.items()]
    data = [
        {
            "name": f"obsData_{channel.name}",
            "type": "binned",
            "axes": [_axis(channel)],
            "contents": model.observations[channel.name].tolist(),
        }
        for channel in model.channels
    ]
    names = [channel.name for channel in model.channels]
    likelihood: dict[str, Any] = {"name": "likelihood", "distributions": names, "data": [each["name"] for each in data]}
    if own:
        likelihood["aux_distributions"] = list(own.values())
    return {
        "metadata": {"hs3_version": "0.2.0", "packages": [{"name": "colonnade", "version": "0.1.0"}]},
        "distributions": [*channels, *distributions],
        **({"functions": functions} if functions else {}),
        "data": data,
        "domains": [{"name": "default_domain", "type": "product_domain", "axes": axes}],
        "parameter_points": [{"name": "default_values", "parameters": points}],
        "likelihoods": [likelihood],
        "analyses": [
            {
                "name": model.measurement,
                "likelihood": "likelihood",
                "domains": ["default_domain"],
                "init": "default_values",
                "parameters_of_interest": [model.poi] if model.poi else [],
            }
        ],
        "misc": {"ROOT_internal": _for_root(model, names)},
    }


def hs3_labels(parameter: Parameter) -> tuple[str, ...]:
    """HS3 names each component; brackets are no part of a name there."""
    if parameter.scalar:
        return (parameter.name,)
    return tuple(f"{parameter.name}_bin{index}" for index in range(parameter.size))


def _measured(parameter: Parameter) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Yield what was measured of each component, under the name that ROOT gives it, and where it may lie in toys."""
    columns = zip(hs3_labels(parameter), parameter.auxdata, parameter.widths, parameter.fixed, strict=False)
    for label, seen, width, fixed in columns:
        if not fixed:
            poisson = parameter.constraint == "poisson"
            reach = 10 * (np.sqrt(seen) + 1 if poisson else width)
            yield f"nom_{label}", seen, (max(0.0, seen - reach) if poisson else seen - reach, seen + reach)


def _for_root(model: Model, names: list[str]) -> dict[str, Any]:
    """Return how ROOT puts the channels together, and that it is to count events in bins."""
    category = {"index_cat": "channelCat", "indices": list(range(len(names))), "labels": names}
    tags = {"tags": ["BinnedLikelihood", "GenerateBinned"]}
    return {
        "ModelConfigs": {model.measurement: {"mcName": "ModelConfig", "pdfName": "simPdf"}},
        "attributes": {each: tags for name in names for each in (name, f"{name.removeprefix('model_')}_model")},
        "combined_datasets": {"obsData": category},
        "combined_distributions": {"simPdf": category | {"distributions": names}},
    }


def _axis(channel: Channel) -> dict[str, Any]:
    edges = channel.edges or tuple(float(index) for index in range(channel.bins + 1))
    return {"name": f"{channel.name}_observable", "edges": list(edges)}


def _channel(channel: Channel, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": channel.name, "type": "histfactory_dist", "axes": [_axis(channel)]}
    kinds = {
        parameters[m.parameter].constraint
        for sample in channel.samples
        for m in sample.modifiers
        if m.kind == "staterror"
    }
    if kinds:
        # ROOT reads it here, pyhs3 at each modifier
        spec["staterror"] = {"constraint_type": "Poisson" if kinds == {"poisson"} else "Gauss", "relThreshold": 0.0}
    return spec | {"samples": [_sample(channel, sample, parameters) for sample in channel.samples]}


def _sample(channel: Channel, sample: Sample, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    measured = [each for each in sample.modifiers if each.kind == "staterror"]
    if len(measured) > 1:
        refuse("HS3", f"a second statistical uncertainty of {sample.name} in {channel.name}")
    data: dict[str, Any] = {"contents": sample.yields.tolist()}
    for each in measured:
        parameter = parameters[each.parameter]
        if parameter.size != channel.bins:
            refuse("HS3", f"{each.parameter}, a statistical uncertainty shared by channels")
        # a constant parameter's error is as large as the content, so that its constraint is a plain constant
        data["errors"] = np.where(np.array(parameter.fixed), sample.yields, each.errors).tolist()
    modifiers = [one for each in sample.modifiers for one in _modifier(each, parameters)]
    return {"name": sample.name, "data": data, "modifiers": modifiers}


def _modifier(modifier: Modifier, parameters: Mapping[str, Parameter]) -> Iterator[dict[str, Any]]:
    name, kind = modifier.parameter, modifier.kind
    spec: dict[str, Any] = {"name": name, "type": kind}
    own = kind in _OWN and parameters[name].constraint != "none"
    held = {"constraint_name": f"{name}Constraint"} if own else {}
    if kind in ("normfactor", "lumi"):
        yield spec | {"type": "normfactor", "parameter": name} | held
    elif kind in ("normsys", "histosys"):
        sides: dict[str, Any] = {"hi": {"contents": modifier.up.tolist()}, "lo": {"contents": modifier.down.tolist()}}
        if kind == "normsys":
            sides = {"hi": float(modifier.up[0]), "lo": float(modifier.down[0])}
        data = sides | {"interpolation": modifier.interpolation}
        code = _CODES[kind][modifier.interpolation]
        yield spec | {"parameter": name, "interpolation": code, "constraint": "Gauss", "data": data}
    elif kind == "staterror":
        constraint = "Poisson" if parameters[name].constraint == "poisson" else "Gauss"
        yield spec | {"parameters": list(hs3_labels(parameters[name])), "constraint": constraint}
    else:
        yield {"name": name, "type": "shapefactor", "parameters": list(hs3_labels(parameters[name]))}
        if own:
            # ROOT takes a constraint with a factor: this one is the constant 1
            unit = f"{name}Constraint_unit"
            yield {"name": unit, "type": "normfactor", "parameter": unit} | held


def _constrain(
    parameter: Parameter,
    name: str,
    constants: dict[str, float],
    functions: list[dict[str, Any]],
    distributions: list[dict[str, Any]],
) -> None:
    """Add the distributions of what was measured of a normalisation, or of every bin of a shapesys."""
    if not parameter.scalar:
        constants[f"{name}_unit"] = 1.0
    factors: list[str] = []
    columns = zip(hs3_labels(parameter), parameter.widths, parameter.fixed, strict=True)
    for label, width in ((label, width) for label, width, fixed in columns if not fixed):
        factors.append(name if parameter.scalar else f"{label}Constraint")
        term: dict[str, Any]
        if parameter.constraint == "normal":
            constants[f"{label}_sigma"] = width
            term = {"type": "gaussian_dist", "x": label, "mean": f"nom_{label}", "sigma": f"{label}_sigma"}
        else:
            constants[f"{label}_tau"] = width
            functions.append({"name": f"{label}_mean", "type": "product", "factors": [label, f"{label}_tau"]})
            term = {"type": "poisson_dist", "x": f"nom_{label}", "mean": f"{label}_mean", "integer": False}
        distributions.append({"name": factors[-1]} | term)
    if not parameter.scalar:
        distributions.append({"name": name, "type": "product_dist", "factors": factors})


def _refuse_moved(parameter: Parameter) -> None:
    """Refuse a measurement elsewhere than at the nominal value, or of another width than its kind has."""
    poisson = parameter.constraint == "poisson"
    expected = parameter.widths if poisson else (1.0 if not parameter.scalar else 0.0,) * parameter.size
    unusual = parameter.below or (parameter.scalar and any(width != 1 for width in parameter.widths))
    if unusual or not np.allclose(parameter.auxdata, expected):
        refuse("HS3", f"that {parameter.name} was measured elsewhere than at its nominal value, or with another width")
