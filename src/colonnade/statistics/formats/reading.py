"""Reading a model from whatever format a file has."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from colonnade.config import read_json
from colonnade.errors import ConfigError, InputError, nearest
from colonnade.statistics.model import Model
from colonnade.statistics.workspace import from_workspace


def read_model(
    path: Path | Mapping[str, Path],
    *,
    form: str | None = None,
    patchset: Path | None = None,
    patch: str | None = None,
    measurement: str | None = None,
    mass: float | None = None,
) -> Model:
    """Read a model from a file: a pyhf workspace, HS3, a Combine card, HistFactory XML, a cabinetry configuration.

    Parameters
    ----------
    path
        The file; or labels and datacards, which are combined.
    form
        pyhf, hs3, combine, xml or root; without it the file's ending and content tell.
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
    kinds = {each: form or _kind(each) for each in ([path] if isinstance(path, Path) else path.values())}
    first, kind = next(iter(kinds.items()))
    other = next((each for each, found in kinds.items() if found != "combine"), first)
    if kinds[other] != "combine" and (len(kinds) > 1 or not isinstance(path, Path)):
        msg = f"{other} is no datacard, and only datacards can be combined."
        raise ConfigError(msg)
    if kind not in ("json", "pyhf"):
        _refuse_patches(first, patchset, patch, measurement)
    if kind == "combine":
        from colonnade.statistics.formats.combine import read_combine

        return read_combine(path, mass)
    assert isinstance(path, Path)  # noqa: S101 - for the type checker: several are datacards
    if mass is not None:
        msg = f"{path} is no datacard, so there is no $MASS in it."
        raise ConfigError(msg)
    if kind == "xml":
        from colonnade.statistics.formats.xml import from_xml

        return from_xml(path)
    if kind == "root":
        from colonnade.statistics.formats.root import from_cabinetry

        return from_cabinetry(path)
    spec = read_json(path)
    if kind == "hs3" or (kind == "json" and isinstance(spec, Mapping) and "distributions" in spec):
        from colonnade.statistics.formats.hs3_reading import from_hs3

        _refuse_patches(path, patchset, patch)
        return from_hs3(spec, measurement=measurement, source=str(path))
    if patchset is not None:
        spec = read_patched(spec, path, patchset, patch)
    elif patch is not None:
        msg = f"The patch {patch} needs its file: give --patchset too."
        raise ConfigError(msg)
    return from_workspace(spec, measurement=measurement, source=str(path))


def _kind(path: Path) -> str:
    """Tell a file's format from its ending, and of other endings whether it is JSON or a datacard."""
    if not path.is_file():
        msg = f"{path} does not exist or is a folder; give a file that holds a model."
        raise InputError(msg)
    endings = {".txt": "combine", ".card": "combine", ".xml": "xml", ".yml": "root", ".yaml": "root", ".json": "json"}
    if path.suffix in endings:
        return endings[path.suffix]
    with path.open("rb") as file:
        start = file.read(4096).lstrip()
    return "json" if start.startswith((b"{", b"[")) else "combine" if b"imax" in start or b"kmax" in start else "json"


def _refuse_patches(path: Path, patchset: Path | None, patch: str | None, measurement: str | None = None) -> None:
    if patchset is not None or patch is not None:
        msg = f"{path} is no pyhf workspace, so no patch can be applied to it."
        raise ConfigError(msg)
    if measurement is not None:
        msg = f"{path} holds one measurement only; leave --measurement away."
        raise ConfigError(msg)


def read_patched(spec: Any, path: Path, patchset: Path, patch: str | None) -> Any:
    """Apply a patch of a pyhf patchset (or a plain JSON patch) to a workspace.

    Raises
    ------
    ConfigError
        If the file is no patchset, has no such patch, or the patch does not apply.
    """
    import jsonpatch
    import pyhf

    content = read_json(patchset)
    if isinstance(content, list):
        operations = content
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
            try:
                patches = pyhf.PatchSet(content)
            except (
                pyhf.exceptions.InvalidSpecification,
                pyhf.exceptions.InvalidPatchSet,
                KeyError,
                TypeError,
            ) as error:
                msg = f"{patchset} is not a pyhf patchset: {str(error).splitlines()[0][:200].rstrip('.')}."
                raise ConfigError(msg) from error
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
