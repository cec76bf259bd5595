"""Writing a model in one format or all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from colonnade.errors import ConfigError, nearest
from colonnade.output import write_json
from colonnade.statistics.formats.convert import Differences, as_histfactory, tell, uses
from colonnade.statistics.model import Model
from colonnade.statistics.workspace import to_workspace

_ENDINGS = {
    "pyhf": "pyhf.json",
    "combine": "combine.txt",
    "hs3": "hs3.json",
    "root": "cabinetry.yml",
    "xml": "histfactory.xml",
}
FORMATS = tuple(_ENDINGS)


@dataclass(frozen=True, slots=True)
class Export:
    """One format of a model.

    Attributes
    ----------
    form : str
        Its name.
    path : Path
        The file to begin with.
    differences : dict
        Where the format's conventions differ from the model's: how, and of which parameters or processes.
    """

    form: str
    path: Path
    differences: Differences


def export_model(model: Model, folder: Path, name: str, forms: tuple[str, ...] = FORMATS) -> list[Export]:
    """Write a model in several formats.

    Parameters
    ----------
    model
        The model.
    folder
        Where.
    name
        Stem of the files: NAME.pyhf.json, NAME.combine.txt and NAME.combine.root, NAME.hs3.json, NAME.cabinetry.yml
        and NAME.cabinetry.root, NAME.histfactory.xml and its folder.
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
        exports.append(write_model(model, folder / f"{name}.{_ENDINGS[form]}", form))
    return exports


def write_model(model: Model, path: Path, form: str) -> Export:
    """Write a model in one of `FORMATS`; raises what `export_model` raises."""
    if form == "combine":
        from colonnade.statistics.formats.combine.write import to_combine

        return Export(form, path, to_combine(model, path))
    plain, differences = as_histfactory(model)
    if form == "hs3":
        from colonnade.statistics.formats.hs3 import root_names, to_hs3

        write_json(path, to_hs3(root_names(plain, differences)))
    elif form == "root":
        from colonnade.statistics.formats.root import to_cabinetry

        to_cabinetry(plain, path, differences)
    elif form == "xml":
        from colonnade.statistics.formats.xml import to_xml

        to_xml(plain, path, differences)
    else:
        write_json(path, to_workspace(plain))
    if form in ("pyhf", "xml"):  # a workspace can't mark log-normals: pyhf takes code 4 unless it is told code 1
        how = "a log-normal, which pyhf evaluates exactly with modifier_settings normsys code1, and nearly with code4"
        for _, _, modifier in uses(plain):
            if modifier.kind == "normsys" and modifier.interpolation == "code1":
                tell(differences, modifier.parameter, how)
    return Export(form, path, differences)
