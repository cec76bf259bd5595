"""The datasets of a manifest: reading, checking, choosing, adding."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, RootModel, ValidationInfo, field_validator

from colonnade.config import Settings, parse_settings, read_json
from colonnade.errors import ConfigError, InputError, nearest
from colonnade.manifest.metadata import NAME, Metadata
from colonnade.output import replacing

# what `coffea.dataset_tools` says of a file, and of a dataset, beside its files and metadata
_PREPARED = ("steps", "num_entries", "uuid", "adler32", "sha256")
_OF_COFFEA = {"treename", "preload", "form", "compressed_form", "format", "did"}
_GLOB = re.compile(r"[*?\[]")
_Name = Annotated[str, Field(min_length=1)]


class _Entry(Settings):
    """One dataset as the manifest writes it."""

    files: dict[_Name, _Name | None] = Field(min_length=1)
    metadata: Metadata

    @field_validator("metadata")
    @classmethod
    def _made_as_one_file(cls, value: Metadata, info: ValidationInfo) -> Metadata:
        files = info.data.get("files", {})
        path = next(iter(files), "")
        if value.generate is None or not files:
            return value
        if len(files) > 1 or _GLOB.search(path) or "://" in path or files[path] != "Events":
            msg = "a dataset with generate has exactly one local file, no glob, with the tree Events"
            raise ValueError(msg)
        return value


@dataclass(frozen=True)
class Dataset:
    """One entry of the manifest.

    Attributes
    ----------
    name
        The entry's key.
    files
        Path, glob or URL, relative to `folder`, to the tree's name (None: the file's only one).
    metadata
        What it is and what it is worth.
    folder
        The manifest's folder.
    given
        Of a coffea fileset, all metadata as they are, which `events.metadata` gives instead of `metadata`.
    prepared
        What a fileset says of a path beside its tree: ``steps``, the ranges of entries to read, and ``num_entries``,
        ``uuid``, ``adler32`` and ``sha256``, by which the file is known again.
    """

    name: str
    files: Mapping[str, str | None]
    metadata: Metadata
    folder: Path = Path()
    given: Mapping[str, Any] | None = None
    prepared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def prepared_files(self) -> dict[str, Mapping[str, Any]]:
        """What the fileset says of each file, by its absolute path."""
        return {self._matches(pattern)[0]: about for pattern, about in self.prepared.items()}

    def expand(self) -> list[tuple[str, str | None]]:
        """Return the absolute path (or URL) and tree of each file, globs expanded in sorted order.

        A plain path is returned whether it exists or not.

        Raises
        ------
        InputError
            If a glob matches no file.
        ConfigError
            If a file is named twice, also by a link, as its events would count twice.
        """
        found: dict[str, str | None] = {}
        places: dict[str, str] = {}
        for pattern, tree in self.files.items():
            for path in self._matches(pattern):
                other = places.setdefault(path if "://" in path else os.path.realpath(path), path)
                if path in found or other != path:
                    also = "" if other == path else f", also as {other}"
                    msg = f"Dataset {self.name} names the file {path} twice{also}; its events would count twice."
                    raise ConfigError(msg)
                found[path] = tree
        return list(found.items())

    def _matches(self, pattern: str) -> list[str]:
        if "://" in pattern:
            return self._remote(pattern)
        path = os.path.abspath(self.folder / pattern)  # noqa: PTH100 - links stay as the user named them
        if not _GLOB.search(pattern) or os.path.lexists(path):
            return [path]
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - the path may be absolute
        if not matches:
            msg = f"Dataset {self.name}: no file matches {path}; correct the pattern or make the files."
            raise InputError(msg)
        return matches

    def _remote(self, pattern: str) -> list[str]:
        """Return a URL, or those that a glob of an XRootD server matches."""
        if not pattern.startswith(("root://", "roots://")) or not _GLOB.search(pattern):
            return [pattern]
        import fsspec

        try:
            system, inside = fsspec.core.url_to_fs(pattern)
            matches = sorted(system.unstrip_protocol(path) for path in system.glob(inside))
        except (OSError, ValueError, ImportError) as error:
            msg = f"Dataset {self.name}: {pattern} can't be listed: {error}."
            raise InputError(msg) from error
        if not matches:
            msg = f"Dataset {self.name}: no file matches {pattern}; correct the pattern."
            raise InputError(msg)
        return matches

    @property
    def luminosity_mask(self) -> Path | None:
        """Absolute path of the JSON file of certified luminosity blocks, if the dataset has one."""
        mask = self.metadata.luminosity_mask
        return None if mask is None else (self.folder / mask).absolute()


@dataclass(frozen=True)
class Manifest:
    """Every dataset of a `datasets.json`, in the file's order."""

    path: Path
    datasets: Mapping[str, Dataset]

    def select(self, patterns: str | Iterable[str]) -> list[Dataset]:
        """Return the datasets that any name or glob names, in the manifest's order.

        Raises
        ------
        ConfigError
            If a pattern matches no dataset.

        Examples
        --------
        >>> metadata = Metadata(process="zll", kind="background", xsec_pb=1.0)
        >>> zll = Dataset("zll", {"zll.root": "Events"}, metadata)
        >>> [dataset.name for dataset in Manifest(Path("datasets.json"), {"zll": zll}).select("z*")]
        ['zll']
        """
        wanted: set[str] = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            matches = {name for name in self.datasets if name == pattern or fnmatch.fnmatchcase(name, pattern)}
            if not matches:
                msg = f"{self.path} has no dataset {pattern!r}{nearest(pattern, self.datasets)}."
                raise ConfigError(msg)
            wanted |= matches
        return [dataset for name, dataset in self.datasets.items() if name in wanted]


def load_manifest(path: Path | str) -> Manifest:
    """Read and validate a manifest.

    Raises
    ------
    ConfigError
        If the file can't be read, is not JSON, or an entry is wrong; names the JSON path, the value and what
        is allowed.
    """
    path = Path(path)
    return _parse(read_json(path), path)


def files_of(files: Any, tree: str | None, where: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the tree of each path, and what a prepared fileset says of it beside that.

    Parameters
    ----------
    files
        A path, a list of paths, or a mapping of paths to trees or to
        ``{"object_path", "steps", "num_entries", "uuid"}``, as `coffea.dataset_tools` prepares it; ``adler32`` or
        ``sha256`` may be there, too.
    tree
        Of paths without one.
    where
        What to call it in messages.

    Raises
    ------
    ConfigError
        If it is none of these, or a path is there twice.
    """
    listed = [files] if isinstance(files, str) else files
    if isinstance(listed, list | tuple):
        strange = [path for path in listed if not isinstance(path, str | Path)]
        if strange:
            msg = f"{where} lists {str(strange[0])[:60]!r}, which is no path of a file."
            raise ConfigError(msg)
        twice = [path for path in listed if listed.count(path) > 1]
        if twice:
            msg = f"{where} names the file {twice[0]} twice; its events would count twice."
            raise ConfigError(msg)
        listed = dict.fromkeys(listed)
    if not isinstance(listed, Mapping) or not listed:
        msg = f"{where} must be a list of paths or an object of path to tree, with at least one."
        raise ConfigError(msg)
    trees: dict[str, Any] = {}
    prepared = {}
    for path, each in listed.items():
        about = each.model_dump() if hasattr(each, "model_dump") else each
        if isinstance(about, Mapping):
            prepared[str(path)] = {key: about[key] for key in _PREPARED if about.get(key) is not None}
            about = about.get("object_path")
        trees[str(path)] = tree if about is None else about
    return trees, prepared


def _parse(content: Any, path: Path) -> Manifest:
    if not isinstance(content, dict) or not content:
        msg = f"{path}: must be an object of datasets, {{name: {{files, metadata}}}}, with at least one."
        raise ConfigError(msg)
    for name in content:
        if not NAME.fullmatch(name):
            msg = f"{path}: {name!r} can't name a dataset; use letters, digits and _.+-."
            raise ConfigError(msg)
    prepared = {}
    content = dict(content)
    for name, each in content.items():
        if isinstance(each, dict) and "files" in each:
            where = f"{path}: {name}.files"
            trees, prepared[name] = files_of(each["files"] or {}, each.get("treename"), where)
            content[name] = {**{key: each[key] for key in each if key not in _OF_COFFEA}, "files": trees}
    folder = path.absolute().parent
    datasets = {
        name: Dataset(name, entry.files, entry.metadata, folder, prepared=prepared[name])
        for name, entry in parse_settings(RootModel[dict[str, _Entry]], content, str(path)).root.items()
    }
    _check_agreement(datasets.values(), path)
    return Manifest(path, datasets)


def _check_agreement(datasets: Iterable[Dataset], path: Path) -> None:
    """Datasets of one process are added, so they must be of one kind and one signal point."""
    first: dict[str, Dataset] = {}
    for dataset in datasets:
        other = first.setdefault(dataset.metadata.process, dataset)
        for key in ("kind", "signal"):
            mine, theirs = getattr(dataset.metadata, key), getattr(other.metadata, key)
            if mine != theirs:
                msg = (
                    f"{path}: {dataset.name}.metadata.{key} = {json.dumps(mine)}: {other.name}, of the same "
                    f"process {dataset.metadata.process!r}, has {json.dumps(theirs)}."
                )
                raise ConfigError(msg)


def triggers_before(dataset: Dataset, datasets: Iterable[Dataset]) -> dict[str, str]:
    """Return the triggers of datasets of the same era that come before one, each with its dataset."""
    mine = dataset.metadata
    if mine.priority is None:
        return {}
    return {
        trigger: other.name
        for other in datasets
        if other.metadata.era == mine.era and (other.metadata.priority or mine.priority) < mine.priority
        for trigger in other.metadata.triggers
    }


def check_eras(datasets: Iterable[Dataset], declared: Collection[str]) -> None:
    """See that each dataset is of one of the eras that are declared, or, where there are none, that all are of one.

    Raises
    ------
    ConfigError
        Naming the first dataset that is not.
    """
    found: dict[str | None, str] = {}
    for dataset in datasets:
        era = dataset.metadata.era
        found.setdefault(era, dataset.name)
        if declared and era not in declared:
            what = "has no era" if era is None else f"is of the era {era!r}, which is not declared"
            hint = nearest(era or "", declared)
            msg = f"Dataset {dataset.name} {what}{hint}; the eras of the workflow are {', '.join(declared)}."
            raise ConfigError(msg)
    if not declared and len(found) > 1:
        first, second = ((each, f"of {era}" if era else "of no era") for era, each in list(found.items())[:2])
        msg = (
            f"The datasets {first[0]} ({first[1]}) and {second[0]} ({second[1]}) are of different eras; give the "
            "luminosity of each under `eras`, or choose the datasets of one."
        )
        raise ConfigError(msg)


def alternatives_of(datasets: Mapping[str, Metadata]) -> dict[str, dict[str, str]]:
    """Return for datasets that have alternative samples the names of these, by the variation that they stand for.

    Parameters
    ----------
    datasets
        Name to what each is.

    Raises
    ------
    ConfigError
        If an alternative sample has no dataset whose place it can take, or a dataset is left without one.
    """
    nominal: dict[tuple[str, str | None], list[str]] = {}
    varied: dict[tuple[str, str | None, str], list[str]] = {}
    for name, about in datasets.items():
        place = (about.process, about.era)
        if about.varies is None:
            nominal.setdefault(place, []).append(name)
        else:
            varied.setdefault((*place, about.varies), []).append(name)
    found: dict[str, dict[str, str]] = {}
    for (process, era, variation), samples in varied.items():
        replaced = nominal.get((process, era), [])
        if len(replaced) != len(samples):
            where = process if era is None else f"{process} in {era}"
            names = ", ".join(replaced) or "no dataset"
            msg = (
                f"Dataset {samples[0]} is the alternative {variation} of {where}, which has {names}; give one "
                f"alternative for each, not {len(samples)}."
            )
            raise ConfigError(msg)
        for one, sample in zip(replaced, samples, strict=True):
            found.setdefault(one, {})[variation] = sample
    return found


def add_dataset(
    path: Path | str,
    name: str,
    files: Mapping[str, str | None],
    metadata: Mapping[str, Any],
    *,
    replace: bool = False,
) -> Manifest:
    """Write an entry into a manifest, made if it is missing; the file changes at once or not at all.

    Parameters
    ----------
    path
        The manifest.
    name
        The entry's key.
    files
        Path or glob, relative to the manifest's folder, to tree.
    metadata
        As `Metadata` takes it.
    replace
        Whether an entry of this name may be overwritten.

    Raises
    ------
    ConfigError
        If the entry exists, or the manifest with it is not valid.
    OutputError
        If the file can't be written.
    """
    path = Path(path)
    content = read_json(path) if path.exists() else {}
    if isinstance(content, dict):
        if name in content and not replace:
            msg = f"{path} has a dataset {name!r} already; add --replace to overwrite it."
            raise ConfigError(msg)
        content[name] = {"files": dict(files), "metadata": dict(metadata)}
    manifest = _parse(content, path)
    indent = _indent_of(path)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _indent_of(path: Path) -> int:
    """Return the indentation that the file's author chose."""
    match = re.search(r"^( +)\"", path.read_text(encoding="utf-8"), re.MULTILINE) if path.exists() else None
    return len(match[1]) if match else 2


def relative_files(paths: Sequence[str], folder: Path) -> list[str]:
    """Return paths as a manifest in `folder` writes them: relative where beneath it, URLs as they are."""
    written = []
    for path in paths:
        if "://" in path:
            written.append(path)
            continue
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as the user named them
        base = folder.absolute()
        written.append(absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else str(absolute))
    return written
