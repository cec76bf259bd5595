"""ROOT histograms with a cabinetry configuration, out and back."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uproot
import yaml

from colonnade.config import read_yaml
from colonnade.errors import ConfigError, InputError
from colonnade.faults import reason
from colonnade.output import replacing
from colonnade.statistics.formats.convert import Difference
from colonnade.statistics.model import Channel, Floats, Model, Modifier, Sample
from colonnade.statistics.workspace import from_workspace

_SAME = 1e-9


def to_cabinetry(model: Model, config: Path) -> tuple[Difference, ...]:
    """Write a model as a cabinetry configuration, and its histograms as a ROOT file of the same name beside it.

    The histograms are at `REGION/SAMPLE/Nominal` and `REGION/SAMPLE/SYSTEMATIC_Up` and `_Down`; `cabinetry` builds the
    workspace from them by `templates.collect`, `templates.postprocess` and `workspace.build`, run beside the file.

    Parameters
    ----------
    model
        The model.
    config
        Path of the configuration, `NAME.yml`; the histograms go into `NAME.root`.

    Returns
    -------
    tuple of Difference
        Where cabinetry's conventions differ from the model's.

    Raises
    ------
    ConfigError
        If the model holds what a configuration can't say (shapesys, shapefactor).
    OutputError
        If a file can't be written.
    """
    differences: dict[Difference, None] = {}
    columns = [(channel, sample) for channel in model.channels for sample in channel.samples]
    systematics: list[dict[str, Any]] = []
    histograms: dict[str, tuple[Channel, Floats, Floats]] = {}
    for channel in model.channels:
        seen = model.observations[channel.name]
        histograms[f"{channel.name}/Data/Nominal"] = (channel, seen, np.sqrt(seen))
    for channel, sample in columns:
        errors = np.zeros(channel.bins)
        for modifier in sample.modifiers:
            if modifier.kind == "staterror":
                errors = modifier.errors
        histograms[f"{channel.name}/{sample.name}/Nominal"] = (channel, sample.yields, errors)
        systematics += _systematics(model, channel, sample, histograms, differences)
    root = config.with_suffix(".root")
    with replacing(root) as temporary, uproot.recreate(temporary) as file:
        for path, (channel, values, errors) in histograms.items():
            file[path] = _histogram(channel, values, errors)
    spec: dict[str, Any] = {
        "General": {
            "Measurement": model.measurement,
            "POI": model.poi,
            "HistogramFolder": "histograms/",
            "InputPath": f"{root.name}:{{RegionPath}}/{{SamplePath}}/{{VariationPath}}",
            "VariationPath": "Nominal",
        },
        "Regions": [{"Name": channel.name, "RegionPath": channel.name} for channel in model.channels],
        "Samples": _samples(model),
        "NormFactors": _normfactors(model),
    }
    fixed = [{"Name": each.name, "Value": each.inits[0]} for each in model.parameters if each.scalar and each.fixed[0]]
    if fixed:
        spec["General"]["Fixed"] = fixed
    if systematics:
        spec["Systematics"] = _grouped(systematics)
    with replacing(config) as temporary:
        temporary.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return tuple(differences)


def _histogram(channel: Channel, values: Floats, errors: Floats) -> object:
    import hist

    edges = channel.edges or tuple(float(index) for index in range(channel.bins + 1))
    filled = hist.Hist(hist.axis.Variable(edges, name="x", label="x"), storage=hist.storage.Weight())
    view = filled.view()
    view["value"], view["variance"] = values, errors**2
    return filled


def _samples(model: Model) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(sample.name for channel in model.channels for sample in channel.samples))
    samples: list[dict[str, Any]] = [{"Name": "Data", "SamplePath": "Data", "Data": True}]
    for name in names:
        regions = [channel.name for channel in model.channels if any(s.name == name for s in channel.samples)]
        measured = any(
            modifier.kind == "staterror"
            for channel in model.channels
            for sample in channel.samples
            if sample.name == name
            for modifier in sample.modifiers
        )
        entry: dict[str, Any] = {"Name": name, "SamplePath": name}
        if len(regions) < len(model.channels):
            entry["Regions"] = regions
        if not measured:
            entry["DisableStaterror"] = True
        samples.append(entry)
    return samples


def _normfactors(model: Model) -> list[dict[str, Any]]:
    factors = []
    for parameter in model.parameters:
        where = [
            (channel.name, sample.name)
            for channel in model.channels
            for sample in channel.samples
            for m in sample.modifiers
            if m.kind == "normfactor" and m.parameter == parameter.name
        ]
        if not where:
            continue
        regions, samples = (list(dict.fromkeys(each[index] for each in where)) for index in (0, 1))
        present = {
            (channel.name, sample.name)
            for channel in model.channels
            for sample in channel.samples
            if channel.name in regions and sample.name in samples
        }
        if present != set(where):
            msg = f"A cabinetry configuration can't say where {parameter.name} acts: not on all samples of all regions."
            raise ConfigError(msg)
        factors.append(
            {
                "Name": parameter.name,
                "Samples": samples,
                "Regions": regions,
                "Nominal": parameter.inits[0],
                "Bounds": list(parameter.bounds[0]),
            }
        )
    return factors


def _systematics(
    model: Model,
    channel: Channel,
    sample: Sample,
    histograms: dict[str, tuple[Channel, Floats, Floats]],
    differences: dict[Difference, None],
) -> list[dict[str, Any]]:
    entries = []
    shapes = {m.parameter: m for m in sample.modifiers if m.kind == "histosys"}
    norms = {m.parameter: m for m in sample.modifiers if m.kind == "normsys"}
    for name in dict.fromkeys([*norms, *shapes]):
        norm = norms.get(name)
        up, down = (1.0, 1.0) if norm is None else (float(norm.up[0]), float(norm.down[0]))
        if name not in shapes or channel.bins == 1:
            if name in shapes:
                up, down = (f * s.sum() / sample.yields.sum() for f, s in _both(up, down, shapes[name]))
            entries.append(_normalisation(name, channel, sample, up, down))
            continue
        total = sample.yields.sum()
        if any(abs(side.sum() / total - 1) > _SAME for side in (shapes[name].up, shapes[name].down)):
            differences[
                Difference(
                    name,
                    "a histosys that changes the yield was split into normsys and histosys: the yield goes as code 4, "
                    "not linearly; the same at one standard deviation",
                )
            ] = None
        for side, (factor, template) in zip(("Up", "Down"), _both(up, down, shapes[name]), strict=True):
            path = f"{channel.name}/{sample.name}/{name}_{side}"
            histograms[path] = (channel, factor * template, np.zeros(channel.bins))
        entries.append(
            {
                "Name": f"{name}_{channel.name}",
                "ModifierName": name,
                "Type": "NormPlusShape",
                "Regions": [channel.name],
                "Samples": [sample.name],
                "Up": {"VariationPath": f"{name}_Up"},
                "Down": {"VariationPath": f"{name}_Down"},
            }
        )
    for modifier in sample.modifiers:
        if modifier.kind == "lumi":
            width = model.parameter(modifier.parameter).widths[0]
            differences[
                Difference(
                    modifier.parameter,
                    "the luminosity became a normsys, which is not linear beyond one standard deviation",
                )
            ] = None
            entries.append(_normalisation(modifier.parameter, channel, sample, 1 + width, 1 - width))
        elif modifier.kind in ("shapesys", "shapefactor", "mcstat"):
            msg = (
                f"A cabinetry configuration can't say the {modifier.kind} {modifier.parameter} of {sample.name} in "
                f"{channel.name}."
            )
            raise ConfigError(msg)
    return entries


def _both(up: float, down: float, shape: Modifier) -> tuple[tuple[float, Floats], tuple[float, Floats]]:
    return (up, shape.up), (down, shape.down)


def _normalisation(name: str, channel: Channel, sample: Sample, up: float, down: float) -> dict[str, Any]:
    return {
        "Name": name,
        "ModifierName": name,
        "Type": "Normalization",
        "Regions": [channel.name],
        "Samples": [sample.name],
        "Up": {"Normalization": float(up - 1)},
        "Down": {"Normalization": float(down - 1)},
    }


def _grouped(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge entries that differ in their samples or regions only, and give each its own name."""
    by_samples: dict[str, dict[str, Any]] = {}
    for entry in entries:
        key = str({k: v for k, v in entry.items() if k != "Samples"})
        if key in by_samples:
            by_samples[key]["Samples"] += entry["Samples"]
        else:
            by_samples[key] = dict(entry)
    by_regions: dict[str, dict[str, Any]] = {}
    for entry in by_samples.values():
        key = str({k: v for k, v in entry.items() if k != "Regions"})
        if entry["Type"] == "Normalization" and key in by_regions:
            by_regions[key]["Regions"] += entry["Regions"]
        else:
            by_regions[key] = dict(entry)
    result, used = [], dict[str, int]()
    for entry in by_regions.values():
        name = entry["Name"]
        used[name] = used.get(name, 0) + 1
        result.append(entry | {"Name": name if used[name] == 1 else f"{name}_{used[name]}"})
    return result


def from_cabinetry(config: Path) -> Model:
    """Read the model of a cabinetry configuration over histograms, built by cabinetry itself.

    Raises
    ------
    InputError
        If a file of histograms can't be read.
    ConfigError
        If the configuration is wrong.
    """
    import cabinetry

    spec = read_yaml(config)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        try:
            cabinetry.configuration.validate(spec)
            path = str(spec["General"]["InputPath"])
            general = spec["General"] | {
                "HistogramFolder": folder,
                "InputPath": path if Path(path).is_absolute() else str(config.parent / path),
            }
            spec = spec | {"General": general}
            cabinetry.templates.collect(spec)
            cabinetry.templates.postprocess(spec)
            workspace = cabinetry.workspace.build(spec)
        except (OSError, uproot.KeyInFileError) as error:
            msg = f"{config}: its histograms can't be read: {str(error).splitlines()[0]}."
            raise InputError(msg) from error
        # a configuration that was not thought of makes cabinetry and pyhf raise nearly anything
        except Exception as error:
            msg = f"{config} is no cabinetry configuration that can be built: {reason(error)}."
            raise ConfigError(msg) from error
    return from_workspace(workspace, source=str(config))


@contextmanager
def _quiet() -> Iterator[None]:
    # cabinetry tells of every empty bin, which is no news here
    log = logging.getLogger("cabinetry")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
            yield
    finally:
        log.setLevel(level)
