"""HS3, the HEP Statistics Serialization Standard, in and out: HistFactory channels of its version 0.2.

What HS3 has no word for is written so that its value is the same: the luminosity is a normfactor with a Gaussian
auxiliary distribution; a bin without statistical uncertainty has a constant parameter at 1 and an error as large as
its content, which is what pyhf takes too.
"""

from __future__ import annotations

__all__ = ["from_hs3", "hs3_labels", "to_hs3"]

from collections.abc import Mapping
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.model import Channel, Floats, Model, Modifier, Parameter, Sample, make_model

_CODES = ("code1", "code4", "code0", "code4p")


def to_hs3(model: Model) -> dict[str, Any]:
    """Write a model as HS3.

    Raises
    ------
    ConfigError
        If it holds what HS3 can't say: Combine's bin-wise uncertainties and asymmetric log-normals, a statistical
        uncertainty shared by channels, constraints that were measured elsewhere than at their nominal value.
    """
    labels = {each.name: each for each in model.parameters}
    distributions: list[dict[str, Any]] = []
    data: list[dict[str, Any]] = []
    for channel in model.channels:
        axis = _axis(channel)
        samples = [_sample(channel, sample, labels) for sample in channel.samples]
        distributions.append({"name": channel.name, "type": "histfactory_dist", "axes": [axis], "samples": samples})
        contents = model.observations[channel.name].tolist()
        data.append({"name": f"{channel.name}_data", "type": "binned", "axes": [axis], "contents": contents})
    aux = []
    for parameter in model.parameters:
        if _constrained_factor(model, parameter.name):
            aux.append(_auxiliary(parameter))
        elif parameter.constraint != "none":
            _refuse_moved(parameter)
    names = [each["name"] for each in distributions]
    likelihood: dict[str, Any] = {
        "name": "likelihood",
        "distributions": names,
        "data": [f"{name}_data" for name in names],
    }
    if aux:
        likelihood["aux_distributions"] = [each["name"] for each in aux]
    components = [
        (label, init, pair, fixed)
        for each in model.parameters
        for label, init, pair, fixed in zip(hs3_labels(each), each.inits, each.bounds, each.fixed, strict=True)
    ]
    return {
        "metadata": {"hs3_version": "0.2.0", "packages": [{"name": "colonnade", "version": "0.1.0"}]},
        "distributions": [*distributions, *aux],
        "data": data,
        "domains": [
            {
                "name": "domain",
                "type": "product_domain",
                "axes": [{"name": label, "min": pair[0], "max": pair[1]} for label, _, pair, _ in components],
            }
        ],
        "parameter_points": [
            {
                "name": "nominal",
                "parameters": [
                    {"name": label, "value": init} | ({"const": True} if fixed else {})
                    for label, init, _, fixed in components
                ],
            }
        ],
        "likelihoods": [likelihood],
        "analyses": [
            {
                "name": model.measurement,
                "likelihood": "likelihood",
                "domains": ["domain"],
                "init": "nominal",
                "parameters_of_interest": [model.poi] if model.poi else [],
            }
        ],
    }


def hs3_labels(parameter: Parameter) -> tuple[str, ...]:
    """HS3 names each component; brackets are no part of a name there."""
    if parameter.scalar:
        return (parameter.name,)
    return tuple(f"{parameter.name}_bin{index}" for index in range(parameter.size))


def _axis(channel: Channel) -> dict[str, Any]:
    edges = channel.edges or tuple(float(index) for index in range(channel.bins + 1))
    return {"name": f"{channel.name}_observable", "edges": list(edges)}


def _sample(channel: Channel, sample: Sample, labels: Mapping[str, Parameter]) -> dict[str, Any]:
    measured = [each for each in sample.modifiers if each.kind == "staterror"]
    if len(measured) > 1:
        msg = f"HS3 has one statistical uncertainty a channel, and {sample.name} in {channel.name} has more."
        raise ConfigError(msg)
    data: dict[str, Any] = {"contents": sample.yields.tolist()}
    for each in measured:
        parameter = labels[each.parameter]
        if parameter.size != channel.bins:
            msg = f"HS3 has no statistical uncertainty shared by channels, as {each.parameter} is."
            raise ConfigError(msg)
        # a constant parameter's error is as large as the content, so that its constraint is a plain constant
        data["errors"] = np.where(np.array(parameter.fixed), sample.yields, each.errors).tolist()
    modifiers = [_modifier_spec(channel, sample, each, labels[each.parameter]) for each in sample.modifiers]
    return {"name": sample.name, "data": data, "modifiers": modifiers}


def _modifier_spec(channel: Channel, sample: Sample, modifier: Modifier, parameter: Parameter) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": modifier.parameter, "type": modifier.kind}
    if modifier.kind in ("normfactor", "lumi"):
        return spec | {"type": "normfactor", "parameter": modifier.parameter}
    if modifier.kind in ("normsys", "histosys"):
        return spec | _interpolated(channel, sample, modifier)
    if modifier.kind == "mcstat":
        msg = (
            f"HS3 has no bin-wise uncertainty of Combine's kind ({modifier.parameter}); convert the model first "
            "(`as_histfactory`)."
        )
        raise ConfigError(msg)
    spec["parameters"] = list(hs3_labels(parameter))
    if modifier.kind == "staterror":
        spec["constraint"] = "Gauss"
    elif modifier.kind == "shapesys":
        values = np.where(np.array(parameter.fixed), sample.yields, modifier.errors)
        if np.any(values <= 0):
            msg = f"HS3 can't say a shapesys on an empty bin ({modifier.parameter} of {sample.name})."
            raise ConfigError(msg)
        spec |= {"constraint": "Poisson", "data": {"vals": values.tolist()}}
    return spec


def _interpolated(channel: Channel, sample: Sample, modifier: Modifier) -> dict[str, Any]:
    if modifier.interpolation not in _CODES:
        msg = (
            f"HS3 has no asymmetric log-normal of Combine's kind ({modifier.parameter} of {sample.name} in "
            f"{channel.name}); convert the model first (`as_histfactory`)."
        )
        raise ConfigError(msg)
    sides: dict[str, Any]
    if modifier.kind == "normsys":
        sides = {"hi": float(modifier.up[0]), "lo": float(modifier.down[0])}
    else:
        sides = {"hi": {"contents": modifier.up.tolist()}, "lo": {"contents": modifier.down.tolist()}}
    data = sides | {"interpolation": modifier.interpolation}
    return {"parameter": modifier.parameter, "constraint": "Gauss", "data": data}


def _constrained_factor(model: Model, name: str) -> bool:
    parameter = model.parameter(name)
    if parameter.constraint == "none":
        return False
    return any(
        modifier.parameter == name and modifier.kind in ("lumi", "normfactor")
        for channel in model.channels
        for sample in channel.samples
        for modifier in sample.modifiers
    )


def _auxiliary(parameter: Parameter) -> dict[str, Any]:
    name = f"{parameter.name}_constraint"
    if parameter.constraint == "normal":
        return {
            "name": name,
            "type": "gaussian_dist",
            "x": parameter.auxdata[0],
            "mean": parameter.name,
            "sigma": parameter.widths[0],
        }
    if parameter.widths[0] != 1:
        msg = f"HS3 can't scale the Poisson measurement of {parameter.name}."
        raise ConfigError(msg)
    return {"name": name, "type": "poisson_dist", "x": parameter.auxdata[0], "mean": parameter.name}


def _refuse_moved(parameter: Parameter) -> None:
    expected = parameter.widths if parameter.constraint == "poisson" else parameter.inits
    if not np.allclose(parameter.auxdata, expected):
        msg = f"HS3 can't say that {parameter.name} was measured elsewhere than at its nominal value."
        raise ConfigError(msg)


# ---- reading


def from_hs3(spec: Any, *, source: str = "The HS3 file") -> Model:
    """Read a model from HS3: the likelihood of its first analysis.

    Raises
    ------
    ConfigError
        If it is not HS3, has no parameter of interest, or holds a distribution or modifier that is no HistFactory's.
    """
    for key in ("metadata", "distributions", "likelihoods", "analyses", "data"):
        if not isinstance(spec, Mapping) or not spec.get(key):
            msg = f"{source} is not an HS3 file that can be fitted: it has no {key}."
            raise ConfigError(msg)
    analysis = spec["analyses"][0]
    if not analysis.get("parameters_of_interest"):
        msg = f"{source}: the analysis {analysis['name']} names no parameter of interest."
        raise ConfigError(msg)
    likelihood = _named(spec["likelihoods"], analysis["likelihood"], "likelihood", source)
    distributions = {each["name"]: each for each in spec["distributions"]}
    data = {each["name"]: each for each in spec["data"]}
    points = _parameters(spec, analysis.get("init"))
    overrides: dict[str, dict[str, object]] = {}
    channels, observations = [], {}
    for name, data_name in zip(likelihood["distributions"], likelihood["data"], strict=True):
        if name not in distributions or data_name not in data:
            msg = f"{source}: the likelihood refers to {name} and {data_name}, of which one is missing."
            raise ConfigError(msg)
        channels.append(_channel(distributions[name], overrides, points, source))
        observations[name] = np.asarray(data[data_name]["contents"], dtype=np.float64)
    for name in likelihood.get("aux_distributions") or []:
        _read_auxiliary(_named(spec["distributions"], name, "distribution", source), overrides, points, source)
    _bounds(spec, analysis, channels, overrides, points)
    channels = [_with_lumi(channel, overrides) for channel in channels]
    return make_model(
        channels,
        observations,
        analysis["parameters_of_interest"][0],
        overrides=overrides,
        measurement=analysis["name"],
        source=source,
    )


def _named(entries: list[Any], name: str, what: str, source: str) -> Mapping[str, Any]:
    known = {each["name"]: each for each in entries}
    if name not in known:
        msg = f"{source}: there is no {what} {name}{nearest(name, known)}."
        raise ConfigError(msg)
    found: Mapping[str, Any] = known[name]
    return found


def _parameters(spec: Mapping[str, Any], init: str | None) -> dict[str, Mapping[str, Any]]:
    for point in spec.get("parameter_points") or []:
        if init is None or point["name"] == init:
            return {each["name"]: each for each in point["parameters"]}
    return {}


def _channel(
    spec: Mapping[str, Any],
    overrides: dict[str, dict[str, object]],
    points: Mapping[str, Mapping[str, Any]],
    source: str,
) -> Channel:
    if spec.get("type") != "histfactory_dist":
        msg = f"{source}: {spec['name']} is a {spec.get('type')}; only histfactory_dist can be read as a channel."
        raise ConfigError(msg)
    axis = spec["axes"][0]
    if "edges" in axis:
        edges = tuple(float(edge) for edge in axis["edges"])
    else:
        edges = tuple(np.linspace(axis["min"], axis["max"], axis["nbins"] + 1).tolist())
    samples = []
    for each in spec["samples"]:
        yields = np.asarray(each["data"]["contents"], dtype=np.float64)
        errors = np.asarray(each["data"].get("errors", np.zeros(len(yields))), dtype=np.float64)
        where = f"{source}: {each['name']} in {spec['name']}"
        modifiers = tuple(
            _modifier(modifier, yields, errors, overrides, points, where) for modifier in each.get("modifiers", [])
        )
        samples.append(Sample(each["name"], yields, modifiers))
    return Channel(spec["name"], tuple(samples), edges)


def _modifier(
    spec: Mapping[str, Any],
    yields: Floats,
    errors: Floats,
    overrides: dict[str, dict[str, object]],
    points: Mapping[str, Mapping[str, Any]],
    where: str,
) -> Modifier:
    kind, data = spec["type"], spec.get("data") or {}
    if kind == "normfactor":
        return Modifier("normfactor", spec["parameter"])
    if kind in ("normsys", "histosys"):
        if spec.get("constraint", "Gauss") != "Gauss":
            msg = f"{where}: the {kind} {spec['name']} has a {spec['constraint']} constraint; only Gauss can be read."
            raise ConfigError(msg)
        code = data.get("interpolation", "code4" if kind == "normsys" else "code4p")
        if code not in _CODES:
            msg = f"{where}: the {kind} {spec['name']} has the interpolation {code}, which is not known."
            raise ConfigError(msg)
        if kind == "normsys":
            up, down = np.array([data["hi"]]), np.array([data["lo"]])
        else:
            up, down = (np.asarray(data[side]["contents"], dtype=np.float64) for side in ("hi", "lo"))
        return Modifier(kind, spec["parameter"], up, down, interpolation=code)
    if kind in ("shapefactor", "shapesys", "staterror"):
        components = spec.get("parameters") or [f"{spec['name']}_bin{index}" for index in range(len(yields))]
        name = _common_name(components)
        fixed = np.array([bool(points.get(component, {}).get("const")) for component in components])
        overrides.setdefault(name, {})["components"] = components
        if kind == "shapefactor":
            return Modifier("shapefactor", name)
        values = np.asarray(data["vals"], dtype=np.float64) if kind == "shapesys" else errors
        return Modifier(kind, name, errors=np.where(fixed, 0.0, values))
    msg = f"{where}: the modifier {spec['name']} is a {kind}, which is not known."
    raise ConfigError(msg)


def _common_name(components: list[str]) -> str:
    stems = {component.rpartition("_bin")[0] for component in components}
    if len(stems) == 1 and "" not in stems:
        return stems.pop()
    return components[0]


def _read_auxiliary(
    spec: Mapping[str, Any],
    overrides: dict[str, dict[str, object]],
    points: Mapping[str, Mapping[str, Any]],
    source: str,
) -> None:
    def number(value: Any) -> float:
        if isinstance(value, str):
            return float(points[value]["value"])
        return float(value)

    if spec["type"] == "gaussian_dist":
        overrides.setdefault(spec["mean"], {}).update(
            {"constraint": "normal", "auxdata": [number(spec["x"])], "sigmas": [number(spec["sigma"])]}
        )
    elif spec["type"] == "poisson_dist":
        overrides.setdefault(spec["mean"], {}).update(
            {"constraint": "poisson", "auxdata": [number(spec["x"])], "factors": [1.0]}
        )
    else:
        msg = f"{source}: the auxiliary distribution {spec['name']} is a {spec['type']}, which can't be read."
        raise ConfigError(msg)


def _bounds(
    spec: Mapping[str, Any],
    analysis: Mapping[str, Any],
    channels: list[Channel],
    overrides: dict[str, dict[str, object]],
    points: Mapping[str, Mapping[str, Any]],
) -> None:
    """Take over initial values and bounds of every parameter, by its components' names."""
    axes = {
        axis["name"]: axis
        for domain in spec.get("domains") or []
        if domain["name"] in analysis.get("domains", [])
        for axis in domain["axes"]
    }
    names = {m.parameter for channel in channels for sample in channel.samples for m in sample.modifiers}
    for name in names:
        config = overrides.setdefault(name, {})
        found = config.pop("components", [name])
        components = [str(each) for each in found] if isinstance(found, list) else [name]
        if all(component in axes and "min" in axes[component] for component in components):
            config["bounds"] = [(axes[each]["min"], axes[each]["max"]) for each in components]
        if all(component in points for component in components):
            config["inits"] = [float(points[each]["value"]) for each in components]
            if any(points[each].get("const") for each in components):
                config["fixed"] = [bool(points[each].get("const")) for each in components]


def _with_lumi(channel: Channel, overrides: Mapping[str, Mapping[str, object]]) -> Channel:
    """Call a normfactor that is held by a Gaussian measurement lumi, as pyhf does."""
    samples = tuple(
        Sample(
            sample.name,
            sample.yields,
            tuple(
                Modifier("lumi", m.parameter)
                if m.kind == "normfactor" and overrides.get(m.parameter, {}).get("constraint") == "normal"
                else m
                for m in sample.modifiers
            ),
        )
        for sample in channel.samples
    )
    return Channel(channel.name, samples, channel.edges)
