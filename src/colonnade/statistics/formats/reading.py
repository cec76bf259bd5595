"""Reading a model from whatever format a file has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from colonnade.config import read_json
from colonnade.errors import ConfigError, InputError, nearest
from colonnade.inputs import read_file
from colonnade.statistics.model import Model
from colonnade.statistics.workspace import from_workspace, quiet

# what a file is, and what may be said beside it
_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "pyhf": ("a pyhf workspace", ("patchset", "patch", "measurement")),
    "hs3": ("a HS3 file", ("measurement",)),
    "combine": ("a datacard", ("mass",)),
    "xml": ("HistFactory XML", ()),
    "root": ("a cabinetry configuration", ()),
}


def read_model(
    path: Path | Mapping[str, Path],
    *,
    patchset: Path | None = None,
    patch: str | None = None,
    measurement: str | None = None,
    mass: float | None = None,
) -> Model:
    """Read a model from a file: a pyhf workspace, HS3, a Combine card, HistFactory XML, a cabinetry configuration.

    Parameters
    ----------
    path
        The file, whose ending and content tell its format; or labels and datacards, which are combined.
    patchset, patch
        A file of pyhf patches and the name of the one to apply (without it the file must hold just one).
    measurement
        Which measurement of a workspace, or which analysis of HS3.
    mass
        What ``$MASS`` in a datacard stands for.

    Raises
    ------
    InputError
        If a file can't be read.
    ConfigError
        If the content is no model, or a patch does not apply.
    """
    paths = [path] if isinstance(path, Path) else list(path.values())
    first, kind = paths[0], _kind(paths[0])
    other = None if isinstance(path, Path) else next((each for each in paths if _kind(each) != "combine"), None)
    if other is not None:
        msg = f"{other} is no datacard, and only datacards can be combined."
        raise ConfigError(msg)
    spec = read_json(first) if kind == "json" else None
    if kind == "json":
        kind = "hs3" if isinstance(spec, Mapping) and "distributions" in spec else "pyhf"
    what, takes = _KINDS[kind]
    given = {"patchset": patchset, "patch": patch, "measurement": measurement, "mass": mass}
    stray = next((option for option, value in given.items() if value is not None and option not in takes), None)
    if stray is not None:
        msg = f"{first} is {what}, where --{stray} says nothing; leave it away."
        raise ConfigError(msg)
    if kind == "combine":
        from colonnade.statistics.formats.combine import read_combine

        return read_combine(path, mass)
    if kind in ("xml", "root"):
        from colonnade.statistics.formats.root import from_cabinetry, from_xml

        return from_xml(first) if kind == "xml" else from_cabinetry(first)
    if kind == "hs3":
        from colonnade.statistics.formats.hs3_reading import from_hs3

        return from_hs3(spec, measurement=measurement, source=str(first))
    if patchset is not None:
        spec = read_patched(spec, first, patchset, patch)
    elif patch is not None:
        msg = f"The patch {patch} needs its file: give --patchset too."
        raise ConfigError(msg)
    return from_workspace(spec, measurement=measurement, source=str(first))


def _kind(path: Path) -> str:
    """Tell a file's format from its ending, and of other endings whether it is JSON or a datacard."""
    if not path.is_file():
        msg = f"{path} does not exist or is a folder; give a file that holds a model."
        raise InputError(msg)
    endings = {".txt": "combine", ".card": "combine", ".xml": "xml", ".yml": "root", ".yaml": "root", ".json": "json"}
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix in endings:
        return endings[suffix]
    start = read_file(path)[:4096].lstrip()
    return "json" if start.startswith((b"{", b"[")) else "combine" if b"imax" in start or b"kmax" in start else "json"


def read_patchset(content: Any, path: Path) -> Any:
    """Return the content of a file as a pyhf patchset.

    Raises
    ------
    ConfigError
        If it is none.
    """
    import pyhf

    with quiet():
        try:
            return pyhf.PatchSet(content)
        except (pyhf.exceptions.InvalidSpecification, pyhf.exceptions.InvalidPatchSet, KeyError, TypeError) as error:
            msg = f"{path} is not a pyhf patchset: {str(error).splitlines()[0][:200].rstrip('.')}."
            raise ConfigError(msg) from error


def read_patched(spec: Any, path: Path, patchset: Path, patch: str | None) -> Any:
    """Apply a patch of a pyhf patchset (or a plain JSON patch) to a workspace.

    Raises
    ------
    ConfigError
        If the file is no patchset, has no such patch, or the patch does not apply.
    """
    import jsonpatch

    operations = read_json(patchset)
    if not isinstance(operations, list):
        patches = read_patchset(operations, patchset)
        names = [each.name for each in patches]
        if patch is None and len(names) > 1:
            msg = f"{patchset} holds {len(names)} patches; choose one with --patch ({', '.join(names[:8])}...)."
            raise ConfigError(msg)
        chosen = names[0] if patch is None else patch
        if chosen not in names:
            msg = f"{patchset} has no patch {chosen}{nearest(chosen, names)}; it has {', '.join(names[:20])}."
            raise ConfigError(msg)
        operations = json.loads(patches[chosen].to_string())
    try:
        return jsonpatch.apply_patch(spec, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        msg = f"The patch of {patchset} does not apply to {path}: {str(error).splitlines()[0][:200].rstrip('.')}."
        raise ConfigError(msg) from error
