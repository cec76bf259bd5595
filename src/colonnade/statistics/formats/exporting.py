"""Writing a model in one format or all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from colonnade.errors import ConfigError, nearest
from colonnade.output import write_json
from colonnade.statistics.formats.convert import Difference, as_histfactory
from colonnade.statistics.model import Model
from colonnade.statistics.workspace import to_workspace

FORMATS = ("pyhf", "combine", "hs3", "root", "xml")


@dataclass(frozen=True, slots=True)
class Export:
    """One format of a model.

    Attributes
    ----------
    form : str
        Its name.
    path : Path
        The file to begin with.
    differences : tuple of Difference
        Where the format's conventions differ from the model's.
    """

    form: str
    path: Path
    differences: tuple[Difference, ...]


def export_model(model: Model, folder: Path, name: str, forms: tuple[str, ...] = FORMATS) -> list[Export]:
    """Write a model.

    Parameters
    ----------
    model
        The model.
    folder
        Where.
    name
        Stem of the files: NAME.json (pyhf), NAME.txt and NAME.shapes.root (Combine), NAME.hs3.json, NAME.yml and
        NAME.root (cabinetry), NAME.histfactory.xml and its folder (HistFactory).
    forms
        Some of `FORMATS`.

    Raises
    ------
    ConfigError
        If a format is unknown, or can't say what the model holds.
    OutputError
        If a file can't be written.
    """
    exports = []
    for form in forms:
        if form not in FORMATS:
            msg = f"The format {form!r} is unknown{nearest(form, FORMATS)}; known: {', '.join(FORMATS)}."
            raise ConfigError(msg)
        exports.append(_export(model, folder, name, form))
    return exports


def _export(model: Model, folder: Path, name: str, form: str) -> Export:
    if form == "combine":
        from colonnade.statistics.formats.combine.write import to_combine

        path = folder / f"{name}.combine.txt"
        return Export(form, path, to_combine(model, path))
    if form == "pyhf":
        return write_workspace(model, folder / f"{name}.pyhf.json")
    plain, differences = as_histfactory(model)
    if form == "hs3":
        from colonnade.statistics.formats.hs3 import root_names, to_hs3

        path = folder / f"{name}.hs3.json"
        plain, renamed = root_names(plain)
        differences += renamed
        write_json(path, to_hs3(plain))
    elif form == "xml":
        from colonnade.statistics.formats.xml import to_xml

        path = folder / f"{name}.histfactory.xml"
        differences += to_xml(plain, path) + _interpolations(plain)
    else:
        from colonnade.statistics.formats.root import to_cabinetry

        path = folder / f"{name}.cabinetry.yml"
        differences += to_cabinetry(plain, path)
    return Export(form, path, differences)


def write_workspace(model: Model, path: Path) -> Export:
    """Write a model as a pyhf workspace.

    Raises
    ------
    ConfigError
        If pyhf can't say what the model holds.
    OutputError
        If the file can't be written.
    """
    plain, differences = as_histfactory(model)
    write_json(path, to_workspace(plain))
    return Export("pyhf", path, differences + _interpolations(plain))


def _interpolations(model: Model) -> tuple[Difference, ...]:
    """Tell of log-normals, which a workspace can't mark: pyhf takes code 4 for all unless it is told code 1."""
    names = {
        modifier.parameter
        for channel in model.channels
        for sample in channel.samples
        for modifier in sample.modifiers
        if modifier.kind == "normsys" and modifier.interpolation == "code1"
    }
    how = "a log-normal, which pyhf evaluates exactly with modifier_settings normsys code1, and nearly with code4"
    return tuple(Difference(name, how) for name in sorted(names))
