"""Filesets as coffea's users write them: any metadata, lists of files, and what `coffea.dataset_tools` prepares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from colonnade.config import read_json
from colonnade.errors import ConfigError
from colonnade.manifest.datasets import Dataset, files_of
from colonnade.manifest.metadata import NAME, Metadata

# what coffea puts into the metadata of a chunk
_RESERVED = ("dataset", "filename", "treename", "entrystart", "entrystop", "fileuuid")


def load_fileset(path: Path | str) -> list[Dataset]:
    """Read a fileset from a JSON file, which may be compressed by gzip.

    Raises
    ------
    ConfigError
        If the file can't be read or is no fileset.
    """
    path = Path(path)
    return as_datasets(read_json(path), path.absolute().parent, str(path))


def as_datasets(fileset: Any, folder: Path | None = None, source: str = "the fileset") -> list[Dataset]:
    """Return the datasets of a fileset; whatever their metadata say is handed on to the processor.

    Parameters
    ----------
    fileset
        ``{dataset: files}`` or ``{dataset: {"files": files, "treename": ..., "metadata": {...}}}``. The files are a
        list of paths, or a mapping of paths to trees or to ``{"object_path", "steps", "num_entries", "uuid"}``.
    folder
        What relative paths are relative to; by default the working directory.
    source
        What to call it in messages.

    Raises
    ------
    ConfigError
        If it is no fileset, or names a file twice.
    """
    fileset = _plain(fileset)
    if not isinstance(fileset, Mapping) or not fileset:
        msg = f"{source}: a fileset is an object {{dataset: {{files, metadata}}}} with at least one dataset."
        raise ConfigError(msg)
    return [_dataset(str(name), _plain(entry), folder or Path.cwd(), source) for name, entry in fileset.items()]


def _plain(value: Any) -> Any:
    """Return a specification of `coffea.dataset_tools` as plain data."""
    return value.model_dump() if hasattr(value, "model_dump") else value


def _dataset(name: str, entry: Any, folder: Path, source: str) -> Dataset:
    entry = entry if isinstance(entry, Mapping) and "files" in entry else {"files": entry}
    files, given = entry["files"], entry.get("metadata") or {}
    if not isinstance(given, Mapping):
        msg = f"{source}: {name}.metadata is not an object."
        raise ConfigError(msg)
    reserved = [key for key in _RESERVED if key in given]
    if reserved:
        msg = f"{source}: {name}.metadata.{reserved[0]}: the framework gives this itself; rename the key."
        raise ConfigError(msg)
    trees, prepared = files_of(files, entry.get("treename"), f"{source}: {name}.files")
    return Dataset(
        name,
        trees,
        _metadata(name, given),
        folder,
        given=dict(given),
        prepared=prepared,
    )


def _metadata(name: str, given: Mapping[str, Any]) -> Metadata:
    """Return what the framework needs to know: process, kind, signal parameters; guessed where they are not given.

    A coffea processor scales its histograms itself, so events count as they are.
    """
    process, kind, signal = (given.get(key) for key in ("process", "kind", "signal"))
    known: dict[str, Any] = {"process": process if isinstance(process, str) else name, "kind": "background"}
    if kind in ("data", "background", "signal"):
        known["kind"] = kind
    if not NAME.fullmatch(known["process"]) or "__" in known["process"]:
        known["process"] = re.sub(r"__+|[^A-Za-z0-9_.+-]+", "_", known["process"]).lstrip("_.+-") or "dataset"
    if known["kind"] != "data":
        known["weighted_to"] = 1.0
    try:
        return Metadata(**known, **({"signal": signal} if kind == "signal" and signal else {}))
    except ValidationError:
        return Metadata(**known)
