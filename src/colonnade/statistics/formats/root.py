"""ROOT histograms described by a cabinetry configuration or by HistFactory XML, out and back."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
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
from colonnade.statistics.formats.exporting import Differences, kinds_of, names_of, refuse, tell
from colonnade.statistics.model import DEFAULTS, Channel, Floats, Kind, Model, Parameter, Sample
from colonnade.statistics.workspace import from_workspace, quiet, to_workspace

_SAME = 1e-9
# how ROOT's HistFactory is to take statistical uncertainties: every bin, and Gaussian, as pyhf does
_STATISTICS = '<StatErrorConfig RelErrorThreshold="0" ConstraintType="Gaussian" />'


def to_cabinetry(model: Model, config: Path, differences: Differences) -> None:
    """Write a model as a cabinetry configuration, and its histograms as a ROOT file of the same name beside it.

    The histograms are at `REGION/SAMPLE/Nominal` and `REGION/SAMPLE/SYSTEMATIC_Up` and `_Down`; `cabinetry` builds the
    workspace from them by `templates.collect`, `templates.postprocess` and `workspace.build`, run beside the file.

    Parameters
    ----------
    model
        The model.
    config
        Path of the configuration, `NAME.yml`; the histograms go into `NAME.root`.
    differences
        Where cabinetry's conventions differ from the model's is added.

    Raises
    ------
    ConfigError
        If the model holds what a configuration can't say (shapesys, shapefactor).
    OutputError
        If a file can't be written.
    """
    systematics: list[dict[str, Any]] = []
    histograms: dict[str, tuple[Channel, Floats, Floats]] = {}
    for channel in model.channels:
        seen = model.observations[channel.name]
        histograms[f"{channel.name}/Data/Nominal"] = (channel, seen, np.sqrt(seen))
        for sample in channel.samples:
            measured = [modifier.errors for modifier in sample.modifiers if modifier.kind == "staterror"]
            errors = measured[0] if measured else np.zeros(channel.bins)
            histograms[f"{channel.name}/{sample.name}/Nominal"] = (channel, sample.yields, errors)
            systematics += _systematics(model, channel, sample, histograms, differences)
    root = config.with_suffix(".root")
    with replacing(root) as temporary, uproot.recreate(temporary) as file:
        for path, (channel, values, errors) in histograms.items():
            file[path] = histogram(channel, values, errors)
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
        spec["Systematics"] = systematics
    # a parameter is held constant by the entry that is called as it is
    for name, entry in {each["ModifierName"]: each for each in systematics}.items():
        entry["Name"] = name
    with replacing(config) as temporary:
        temporary.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")


def histogram(channel: Channel, values: Floats, errors: Floats) -> object:
    """Return a histogram of a channel's bins, numbered where their edges are not known."""
    import hist

    edges = channel.edges or tuple(float(index) for index in range(channel.bins + 1))
    filled = hist.Hist(hist.axis.Variable(edges, name="x", label="x"), storage=hist.storage.Weight())
    view = filled.view()
    view["value"], view["variance"] = values, errors**2
    return filled


def _samples(model: Model) -> list[dict[str, Any]]:
    regions: dict[str, list[str]] = {}
    for channel in model.channels:
        for sample in channel.samples:
            regions.setdefault(sample.name, []).append(channel.name)
    measured = {sample.name for _, sample, modifier in model.uses() if modifier.kind == "staterror"}
    samples: list[dict[str, Any]] = [{"Name": "Data", "SamplePath": "Data", "Data": True}]
    for name, found in regions.items():
        entry: dict[str, Any] = {"Name": name, "SamplePath": name, "Regions": found}
        samples.append(entry if name in measured else entry | {"DisableStaterror": True})
    return samples


def _normfactors(model: Model) -> list[dict[str, Any]]:
    places: dict[str, list[tuple[str, str]]] = {}
    for channel, sample, modifier in model.uses():
        if modifier.kind == "normfactor":
            places.setdefault(modifier.parameter, []).append((channel.name, sample.name))
    factors = []
    for name, where in places.items():
        regions, samples = (list(dict.fromkeys(each[index] for each in where)) for index in (0, 1))
        meant = {
            (channel.name, sample.name)
            for channel in model.channels
            for sample in channel.samples
            if channel.name in regions and sample.name in samples
        }
        if meant != set(where):
            refuse("A cabinetry configuration", f"where {name} acts: not on all samples of all regions")
        each = model.parameter(name)
        entry = {"Name": name, "Samples": samples, "Regions": regions}
        factors.append(entry | {"Nominal": each.inits[0], "Bounds": list(each.bounds[0])})
    return factors


def _systematics(
    model: Model,
    channel: Channel,
    sample: Sample,
    histograms: dict[str, tuple[Channel, Floats, Floats]],
    differences: Differences,
) -> Iterator[dict[str, Any]]:
    """Yield an entry for each uncertainty of a sample; its templates are added to the histograms."""
    total = sample.yields.sum()
    sides = {m.parameter: (m.up, m.down) for m in sample.modifiers if m.kind == "histosys"}
    norms = {m.parameter: m for m in sample.modifiers if m.kind == "normsys"}
    for name in dict.fromkeys([*norms, *sides]):
        factors = [float(norms[name].up[0]), float(norms[name].down[0])] if name in norms else [1.0, 1.0]
        if name in sides and channel.bins == 1:
            how = "a histosys of one bin became a normsys, which is not linear: the same at one standard deviation"
            tell(differences, name, how)
            factors = [factor * side.sum() / total for factor, side in zip(factors, sides[name], strict=True)]
        elif name in sides:
            if any(abs(side.sum() / total - 1) > _SAME for side in sides[name]):
                how = (
                    "a histosys that changes the yield was split into normsys and histosys: the yield goes as code 4, "
                    "not linearly; the same at one standard deviation"
                )
                tell(differences, name, how)
            for word, factor, side in zip(("Up", "Down"), factors, sides[name], strict=True):
                path = f"{channel.name}/{sample.name}/{name}_{word}"
                histograms[path] = (channel, factor * side, np.zeros(channel.bins))
            up, down = ({"VariationPath": f"{name}_{word}"} for word in ("Up", "Down"))
            yield _entry(name, channel, sample, "NormPlusShape", up, down)
            continue
        yield _normalisation(name, channel, sample, *factors)
    for modifier in sample.modifiers:
        if modifier.kind == "lumi":
            width = model.parameter(modifier.parameter).widths[0]
            how = "the luminosity became a normsys, which is not linear beyond one standard deviation"
            tell(differences, modifier.parameter, how)
            yield _normalisation(modifier.parameter, channel, sample, 1 + width, 1 - width)
        elif modifier.kind in ("shapesys", "shapefactor"):
            where = f"{modifier.parameter} of {sample.name} in {channel.name}"
            refuse("A cabinetry configuration", f"the {modifier.kind} {where}")


def _normalisation(name: str, channel: Channel, sample: Sample, up: float, down: float) -> dict[str, Any]:
    sides = ({"Normalization": float(factor - 1)} for factor in (up, down))
    return _entry(name, channel, sample, "Normalization", *sides)


def _entry(
    name: str, channel: Channel, sample: Sample, kind: str, up: dict[str, Any], down: dict[str, Any]
) -> dict[str, Any]:
    return {
        "Name": f"{name}_{channel.name}_{sample.name}",
        "ModifierName": name,
        "Type": kind,
        "Regions": [channel.name],
        "Samples": [sample.name],
        "Up": up,
        "Down": down,
    }


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
        with quiet():
            yield
    finally:
        log.setLevel(level)


# ---- HistFactory XML, by pyhf


def to_xml(model: Model, path: Path, differences: Differences) -> None:
    """Write a model as HistFactory XML: a file of the measurement, and a folder of the same name beside it.

    ``hist2workspace NAME.xml``, run in the folder of the file, makes a workspace of it.

    Parameters
    ----------
    model
        The model, in HistFactory's words.
    path
        Of the file, ``NAME.xml``; ``NAME/`` gets one file a channel and the histograms.
    differences
        Where the format's conventions differ from the model's is added.

    Raises
    ------
    ConfigError
        If a name has a slash, the luminosity is not called lumi, or its error is not that of a measurement of 1 in all.
    OutputError
        If a file can't be written.
    """
    from pyhf.writexml import writexml

    for name in names_of(model):
        if "/" in name:
            refuse("HistFactory XML", f"the name {name}, as a slash parts the folders of its ROOT file")
    kinds = kinds_of(model)
    for each in model.parameters:
        _tell_lost(each, kinds[each.name], differences)
    folder = path.with_suffix("")
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place) / folder.name
        inside.mkdir()
        top = writexml(to_workspace(model), str(inside), str(inside), "channel").decode("utf-8")
        for file in inside.glob("*.xml"):
            lines = file.read_text(encoding="utf-8").replace(f"{place}/", "").splitlines()
            first = next(index for index, line in enumerate(lines) if "<Data " in line)
            lines.insert(first + 1, f"  {_STATISTICS}")
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (*inside.iterdir(), Path(place) / "HistFactorySchema.dtd"):
            target = (folder if file.parent == inside else folder.parent) / file.name
            with replacing(target) as temporary:
                shutil.copyfile(file, temporary)
        with replacing(path) as temporary:
            temporary.write_text(top.replace(f"{place}/", ""), encoding="utf-8")


def _tell_lost(each: Parameter, kinds: set[Kind], differences: Differences) -> None:
    """Refuse what the format has no words for, and tell what is lost of a parameter."""
    kind = min(kinds)
    if (kind == "lumi") != (each.name == "lumi"):
        refuse("HistFactory XML", f"the {kind} {each.name}, as its one luminosity is called lumi")
    if each.below or (kind == "lumi" and each.auxdata != (1.0,)) or (kind, each.constraint) == ("staterror", "poisson"):
        refuse("HistFactory XML", f"how {each.name} was measured")
    if kind != "normfactor" and any(pair != DEFAULTS[kind][1] for pair in each.bounds):
        tell(differences, each.name, "its range is lost, as only those of normfactors are in the XML")
    if kind == "staterror":
        tell(differences, each.name, "is called staterror_CHANNEL when it is read back, as the XML has no name")


def from_xml(path: Path) -> Model:
    """Read the model of HistFactory XML.

    Paths in the XML are relative to where HistFactory ran: the folder of the file, or one above it, as with
    TRExFitter, which writes ``JOB/RooStats/JOB.xml`` with paths from above JOB. The nearest folder in which they exist
    is taken.

    Raises
    ------
    InputError
        If a file is missing or is no HistFactory XML.
    """
    from pyhf import readxml

    try:
        root = _base_folder(path)
        readxml.clear_filecache()
        with quiet():
            spec = readxml.parse(path, root)
    except Exception as error:
        if isinstance(error, InputError):
            raise
        msg = f"{path} can't be read as HistFactory XML with histograms of one dimension: {reason(error)}."
        raise InputError(msg) from error
    return from_workspace(spec, source=str(path))


def _base_folder(path: Path) -> Path:
    inputs = [Path(each) for each in re.findall(r"<Input>\s*(.*?)\s*</Input>", path.read_text(encoding="utf-8"))]
    missing = inputs
    for folder in path.resolve().parents:
        absent = [each for each in inputs if not (folder / each).is_file()]
        if not absent:
            return folder
        missing = min(absent, missing, key=len)
    msg = f"{path} names the file {missing[0]}, which is not in {path.parent} or a folder above it."
    raise InputError(msg)
