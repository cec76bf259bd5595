"""The manifest, `datasets.json`: what data exist, what each is worth, how a simulated one is made.

The file is a coffea fileset, so plain coffea reads it as it is:
`{name: {"files": {path or glob: tree}, "metadata": {...}}}`. Paths are relative to the manifest's folder.
"""

from __future__ import annotations

__all__ = [
    "Dataset",
    "Filter",
    "Generate",
    "Manifest",
    "Metadata",
    "add_dataset",
    "load_manifest",
    "normalisation",
    "relative_files",
]

import fnmatch
import glob
import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, create_model, field_validator

from colonnade.config import Settings, parse_settings, read_json
from colonnade.errors import ConfigError, EventError, InputError, nearest
from colonnade.output import replacing

Kind = Literal["data", "background", "signal"]
Range = tuple[float, float | None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_GLOB = re.compile(r"[*?\[]")


class Filter(Settings):
    """Which hard processes are kept, before showers; kept events only are written and counted.

    The cross-section of what is kept is `xsec_pb * filter_efficiency`. A range is a lower and an upper bound,
    the upper one null where there is none.

    Attributes
    ----------
    leptons
        At least this many electrons and muons with pT > 8 GeV and |eta| < 2.7.
    mll
        Mass of the two hardest electrons or muons, in GeV.
    met
        Transverse momentum of everything invisible together, in GeV.
    mt2
        m_T2 of the two hardest electrons or muons and what is invisible, taken as massless, in GeV.
    boson_pt
        Transverse momentum of the hard process's first Z, W or H, in GeV.
    invert
        Keep exactly what would have been dropped.
    """

    leptons: int = Field(default=0, ge=0, le=4)
    mll: Range | None = None
    met: Range | None = None
    mt2: Range | None = None
    boson_pt: Range | None = None
    invert: bool = False

    @field_validator("mll", "met", "mt2", "boson_pt")
    @classmethod
    def _ordered(cls, value: Range | None) -> Range | None:
        if value is not None and (value[0] < 0 or (value[1] is not None and value[1] <= value[0])):
            msg = "must be a lower and a higher bound in GeV, or null for the higher"
            raise ValueError(msg)
        return value


class Generate(Settings):
    """How `colonnade samples` makes a simulated dataset.

    Attributes
    ----------
    settings
        Pythia settings, each `"Name = value"`, on top of 13 TeV proton collisions.
    events
        How many events are written.
    seed
        Same seed, same events, with any number of processes.
    slha
        Lines of an SLHA spectrum, for models that need one.
    filter
        Which generated events are kept.
    weight
        `unit`, or `shat_squared`: the matrix element is multiplied by (s-hat / TeV^2)^2 while sampling, so
        events still weigh the same.
    negative_weights
        The share of events that carry a negative weight, as next-to-leading-order generators make them.
    content
        Collections beside the usual ones: `FatJet`, `Particle`.
    """

    settings: tuple[str, ...] = Field(min_length=1)
    events: int = Field(gt=0, le=1_000_000_000)
    seed: int = Field(ge=1, le=1_000_000_000)
    slha: tuple[str, ...] = ()
    filter: Filter = Filter()
    weight: Literal["unit", "shat_squared"] = "unit"
    negative_weights: float = Field(default=0.0, ge=0.0, lt=0.5)
    content: tuple[Literal["FatJet", "Particle"], ...] = ()

    @field_validator("settings")
    @classmethod
    def _assignments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            if not re.match(r"\s*[\w:+-]+\s*=\s*\S", line):
                msg = f"{line!r} is not of the form 'Name = value'"
                raise ValueError(msg)
            if line.strip().startswith("Random:"):
                msg = f"{line!r} would break reproducibility; give the seed beside the settings"
                raise ValueError(msg)
        return value


# `schema` is the manifest's word for the input's layout; pydantic's own, deprecated `schema` is unused here
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message='Field name "schema"', category=UserWarning)

    class Metadata(Settings):
        """What a dataset is and what it is worth.

        Attributes
        ----------
        process
            Datasets of one process are added; their kind must agree.
        kind
            `data`, `background` or `signal`.
        weighted_to
            Luminosity in fb^-1 to which the weights of simulated events are scaled already, instead of a cross-section:
            for tables whose weight is the number of events expected.
        xsec_pb
            Cross-section in pb; required of what is simulated and not weighted already, refused for data.
        k_factor
            Higher-order over the given cross-section.
        filter_efficiency
            The share of the cross-section that the sample holds.
        sumw
            Sum of the generator weights of the whole sample; else the files' `Runs` tree tells it, else the
            events that were processed.
        luminosity
            Integrated luminosity in fb^-1, for data.
        luminosity_mask
            Path of a JSON file of certified luminosity blocks, relative to the manifest, for data.
        signal
            Parameters of a signal point, such as `m_Zprime`.
        schema
            Layout of the files; else it is detected from the tree.
        generate
            How `colonnade samples` makes the file.
        source
            Where the numbers come from; for the reader.
        """

        process: str
        kind: Kind
        weighted_to: float | None = Field(default=None, gt=0)
        xsec_pb: float | None = Field(default=None, gt=0, validate_default=True)
        k_factor: float = Field(default=1.0, gt=0)
        filter_efficiency: float = Field(default=1.0, gt=0, le=1)
        sumw: float | None = None
        luminosity: float | None = Field(default=None, gt=0)
        luminosity_mask: str | None = None
        signal: Mapping[str, float | str] = Field(default_factory=dict)
        schema: str | None = None  # type: ignore[assignment]  # replaces pydantic's deprecated method
        generate: Generate | None = None
        source: str | None = None

        @field_validator("process")
        @classmethod
        def _process_names_a_histogram(cls, value: str) -> str:
            if not _NAME.fullmatch(value) or "__" in value:
                msg = "must be letters, digits and _.+- without a double underscore (it names histograms)"
                raise ValueError(msg)
            return value

        @field_validator("xsec_pb")
        @classmethod
        def _cross_section_fits_kind(cls, value: float | None, info: ValidationInfo) -> float | None:
            kind = info.data.get("kind")
            if kind == "data" and value is not None:
                msg = "data have no cross-section; remove this key or give another kind"
                raise ValueError(msg)
            weighted = info.data.get("weighted_to") is not None
            if kind in {"background", "signal"} and value is None and not weighted:
                msg = f"a {kind} needs its cross-section in pb, greater than 0"
                raise ValueError(msg)
            if weighted and value is not None:
                msg = "events that are weighted_to a luminosity have it in their weights; give one of both"
                raise ValueError(msg)
            return value

        @field_validator("k_factor", "filter_efficiency", "sumw", "generate", "weighted_to")
        @classmethod
        def _only_of_simulation(cls, value: Any, info: ValidationInfo) -> Any:
            if info.data.get("kind") == "data" and value is not None:
                msg = "data are counted as they are; remove this key or give another kind"
                raise ValueError(msg)
            if info.field_name == "sumw" and value == 0:
                msg = "a sum of weights of 0 can't normalise anything"
                raise ValueError(msg)
            return value

        @field_validator("luminosity", "luminosity_mask")
        @classmethod
        def _only_of_data(cls, value: Any, info: ValidationInfo) -> Any:
            if info.data.get("kind") in {"background", "signal"} and value is not None:
                msg = "only data have a luminosity; the workflow sets what simulation is scaled to"
                raise ValueError(msg)
            return value

        @field_validator("signal")
        @classmethod
        def _only_of_signal(cls, value: Mapping[str, float | str], info: ValidationInfo) -> Any:
            if value and info.data.get("kind") in {"data", "background"}:
                msg = "only a dataset of kind 'signal' has signal parameters"
                raise ValueError(msg)
            return value


class _Entry(Settings):
    """One dataset as the manifest writes it."""

    files: dict[str, str | None] = Field(min_length=1)
    metadata: Metadata

    @field_validator("files")
    @classmethod
    def _paths_have_words(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for path, tree in value.items():
            if not path.strip() or (tree is not None and not tree.strip()):
                msg = "a file needs a path and a tree (null: the file's only one)"
                raise ValueError(msg)
        return value

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
    """

    name: str
    files: Mapping[str, str | None]
    metadata: Metadata
    folder: Path = Path()

    def expand(self) -> list[tuple[str, str | None]]:
        """Return the absolute path (or URL) and tree of each file, globs expanded in sorted order.

        A plain path is returned whether it exists or not.

        Raises
        ------
        InputError
            If a glob matches no file.
        ConfigError
            If a file is named twice, as its events would count twice.
        """
        found: dict[str, str | None] = {}
        for pattern, tree in self.files.items():
            for path in self._matches(pattern):
                if path in found:
                    msg = f"Dataset {self.name} names the file {path} twice; its events would count twice."
                    raise ConfigError(msg)
                found[path] = tree
        return list(found.items())

    def _matches(self, pattern: str) -> list[str]:
        if "://" in pattern:
            return [pattern]
        path = os.path.abspath(self.folder / pattern)  # noqa: PTH100 - links stay as the user named them
        if not _GLOB.search(pattern) or os.path.lexists(path):
            return [path]
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - the path may be absolute
        if not matches:
            msg = f"Dataset {self.name}: no file matches {path}; correct the pattern or make the files."
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


def _parse(content: Any, path: Path) -> Manifest:
    if not isinstance(content, dict) or not content:
        msg = f"{path}: must be an object of datasets, {{name: {{files, metadata}}}}, with at least one."
        raise ConfigError(msg)
    for name in content:
        _check_name(name, path)
    fields: dict[str, Any] = {f"entry{index}": (_Entry, Field(alias=name)) for index, name in enumerate(content)}
    # one model with a field for each dataset, so that an error's path starts with the dataset's name
    entries = parse_settings(create_model("_Entries", __base__=Settings, **fields), content, str(path))
    datasets: dict[str, Dataset] = {}
    for field, name in zip(fields, content, strict=True):
        entry: _Entry = getattr(entries, field)
        datasets[name] = Dataset(name, entry.files, entry.metadata, path.absolute().parent)
    _check_agreement(datasets.values(), path)
    return Manifest(path, datasets)


def _check_name(name: str, path: Path) -> None:
    if not _NAME.fullmatch(name):
        msg = f"{path}: {name!r} can't name a dataset; use letters, digits and _.+-."
        raise ConfigError(msg)


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


def normalisation(metadata: Metadata, luminosity: float, sumw: float) -> float:
    """Return what a simulated event's generator weight is multiplied by; 1 for data.

    N = L sigma k epsilon, shared over the sum of weights: L [fb^-1] * 1000 * sigma [pb] * k * epsilon / sumw. Events
    whose weights are scaled to a luminosity L0 already count L / L0 times their weight, over the part that was
    processed.

    Parameters
    ----------
    metadata
        The dataset's.
    luminosity
        In fb^-1.
    sumw
        Sum of generator weights of the events that the result holds before any cut; of events that are `weighted_to`
        a luminosity, the part of them that was processed.

    Raises
    ------
    EventError
        If the sum of weights is 0 or not a number.

    Examples
    --------
    >>> normalisation(Metadata(process="zz", kind="background", xsec_pb=0.5), luminosity=2.0, sumw=4000.0)
    0.25
    """
    if metadata.kind == "data":
        return 1.0
    if metadata.weighted_to is not None and sumw > 0:
        return luminosity / metadata.weighted_to / sumw
    if metadata.xsec_pb is None:  # the settings see to it; said for direct construction and for mypy
        msg = f"Process {metadata.process} has no cross-section, so it can't be normalised."
        raise ConfigError(msg)
    if not math.isfinite(sumw) or sumw == 0:
        msg = f"Process {metadata.process} can't be normalised: its sum of generator weights is {sumw}."
        raise EventError(msg)
    return luminosity * 1000.0 * metadata.xsec_pb * metadata.k_factor * metadata.filter_efficiency / sumw


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
