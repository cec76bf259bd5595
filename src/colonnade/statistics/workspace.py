"""pyhf's JSON workspaces (schema 1.0.0), in and out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.faults import translated
from colonnade.statistics.model import DEFAULTS, Channel, Kind, Model, Modifier, Parameter, Sample, make_model

_VERSION = "1.0.0"


def to_workspace(model: Model) -> dict[str, Any]:
    """Write a model as a pyhf workspace.

    pyhf has one interpolation for all: code 4 for normsys and code 4p for histosys. A modifier that means
    another one (a Combine card's) keeps its values at plus and minus one standard deviation;
    docs/statistics.md says how far the two differ between and beyond.

    Raises
    ------
    ConfigError
        If the model holds Combine's bin-wise uncertainties or formulas; see `formats.as_histfactory`.
    """
    channels = [
        {
            "name": channel.name,
            "samples": [
                {
                    "name": sample.name,
                    "data": sample.yields.tolist(),
                    "modifiers": [_modifier_spec(modifier) for modifier in sample.modifiers],
                }
                for sample in channel.samples
            ],
        }
        for channel in model.channels
    ]
    kinds = {modifier.parameter: modifier.kind for _, _, modifier in model.uses()}
    parameters = [_parameter_spec(each, kinds[each.name]) for each in model.parameters]
    return {
        "channels": channels,
        "observations": [
            {"name": channel.name, "data": model.observations[channel.name].tolist()} for channel in model.channels
        ],
        "measurements": [
            {
                "name": model.measurement,
                "config": {"poi": model.poi, "parameters": [each for each in parameters if len(each) > 1]},
            }
        ],
        "version": _VERSION,
    }


def _modifier_spec(modifier: Modifier) -> dict[str, Any]:
    data: Any = None
    if modifier.kind == "normsys":
        data = {"hi": float(modifier.up[0]), "lo": float(modifier.down[0])}
    elif modifier.kind == "histosys":
        data = {"hi_data": modifier.up.tolist(), "lo_data": modifier.down.tolist()}
    elif modifier.kind in ("shapesys", "staterror"):
        data = modifier.errors.tolist()
    elif modifier.kind in ("mcstat", "formula"):
        msg = f"pyhf has no {modifier.kind} ({modifier.parameter}); turn the model into HistFactory's words first."
        raise ConfigError(msg)
    return {"name": modifier.parameter, "type": modifier.kind, "data": data}


def _parameter_spec(parameter: Parameter, kind: Kind) -> dict[str, Any]:
    """Only what differs from pyhf's own defaults, so that a plain model stays a plain workspace."""
    init, bounds, _ = DEFAULTS[kind]
    usual = parameter.widths if kind == "shapesys" else (init,) * len(parameter.auxdata)
    spec: dict[str, Any] = {"name": parameter.name}
    if kind == "lumi" or any(value != init for value in parameter.inits):
        spec["inits"] = list(parameter.inits)
    if kind == "lumi" or any(pair != bounds for pair in parameter.bounds):
        spec["bounds"] = [list(pair) for pair in parameter.bounds]
    if kind == "lumi" or (kind != "normfactor" and parameter.auxdata != usual):
        spec["auxdata"] = list(parameter.auxdata)
    if kind == "lumi":
        spec["sigmas"] = list(parameter.widths)
    if parameter.scalar and any(parameter.fixed):
        spec["fixed"] = True
    return spec


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out a warning of pyhf 0.7, which resolves its schemas by a part of jsonschema that is to go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
        yield


def from_workspace(spec: Any, *, measurement: str | None = None, source: str = "The workspace") -> Model:
    """Read a model from a pyhf workspace.

    Parameters
    ----------
    spec
        The workspace as plain data.
    measurement
        Which measurement; without it the first.
    source
        What messages call it.

    Raises
    ------
    ConfigError
        If it is another format, does not follow the schema, or can't be a model; see `make_model`.
    InputError
        If something in it is of a type or length that the schema does not tell.
    """
    import pyhf

    given = set(spec) if isinstance(spec, Mapping) else set()
    if "patches" in given:
        msg = f"{source} is a pyhf patchset, not a workspace; give it as --patchset beside its workspace."
        raise ConfigError(msg)
    if "channels" in given and "measurements" not in given:
        msg = f"{source} is a bare pyhf model without measurements, so no parameter of interest is known."
        raise ConfigError(msg)
    try:
        with quiet():
            pyhf.schema.validate(spec, "workspace.json", version=_VERSION)
    except pyhf.exceptions.InvalidSpecification as error:
        first = str(error).splitlines()[0].rstrip(".")
        msg = f"{source} is not a valid pyhf workspace: {first[:300]}."
        raise ConfigError(msg) from error
    with translated(f"{source} can't be a model"):
        return _model(spec, measurement, source)


def _model(spec: Mapping[str, Any], measurement: str | None, source: str) -> Model:
    names = [each["name"] for each in spec["measurements"]]
    if measurement is not None and measurement not in names:
        msg = f"{source} has no measurement {measurement}{nearest(measurement, names)}; it has {', '.join(names)}."
        raise ConfigError(msg)
    chosen = spec["measurements"][names.index(measurement) if measurement else 0]
    channels = [
        Channel(
            channel["name"],
            tuple(
                Sample(
                    sample["name"],
                    np.asarray(sample["data"], dtype=np.float64),
                    tuple(_modifier(modifier) for modifier in _once(sample["modifiers"])),
                )
                for sample in channel["samples"]
            ),
        )
        for channel in spec["channels"]
    ]
    observations = {each["name"]: np.asarray(each["data"], dtype=np.float64) for each in spec["observations"]}
    overrides = {each["name"]: each for each in chosen["config"]["parameters"]}
    kinds = {modifier.parameter: modifier.kind for c in channels for s in c.samples for modifier in s.modifiers}
    for name, kind in kinds.items():
        if kind == "lumi" and "auxdata" not in overrides.get(name, {}):
            msg = f"{source}: the luminosity {name} needs auxdata, sigmas, inits and bounds in the measurement."
            raise ConfigError(msg)
    notes = tuple(
        f"The sample {sample['name']} of {channel['name']} lists a modifier twice: the last one counts."
        for channel in spec["channels"]
        for sample in channel["samples"]
        if len(_once(sample["modifiers"])) < len(sample["modifiers"])
    )
    return make_model(
        channels,
        observations,
        chosen["config"]["poi"],
        overrides=overrides,
        measurement=chosen["name"],
        source=source,
        notes=notes,
    )


def _once(modifiers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the last of several modifiers of one name and type, as pyhf does."""
    return list({(each["type"], each["name"]): each for each in modifiers}.values())


def _modifier(spec: Mapping[str, Any]) -> Modifier:
    kind, name, data = spec["type"], spec["name"], spec["data"]
    if kind == "normsys":
        return Modifier("normsys", name, np.array([data["hi"]]), np.array([data["lo"]]), interpolation="code4")
    if kind == "histosys":
        up, down = (np.asarray(data[key], dtype=np.float64) for key in ("hi_data", "lo_data"))
        return Modifier("histosys", name, up, down, interpolation="code4p")
    if kind in ("shapesys", "staterror"):
        return Modifier(kind, name, errors=np.asarray(data, dtype=np.float64))
    return Modifier(kind, name)
