"""What a workflow's YAML file may say."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Discriminator, Field, Tag, model_validator

from colonnade.config import Settings, parse_settings, read_yaml
from colonnade.errors import ConfigError
from colonnade.execution import CacheSettings, ExecutorSettings
from colonnade.execution.data_driven import DataDrivenSettings
from colonnade.inference import ScorerSettings
from colonnade.manifest.metadata import ERA
from colonnade.plotting import PlotSettings
from colonnade.statistics.resonance.search import BumpSettings
from colonnade.statistics.settings import ModelSettings


class CoffeaSettings(Settings):
    """A coffea processor as it is; paths are relative to the project's folder."""

    coffea: str = Field(description="path/name.py, or path/name.py:Class where the file holds several processors")
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of its __init__")
    files: tuple[str, ...] = Field(default=(), description="files that it reads: kept results depend on their content")
    axes: dict[Literal["process", "region", "variation"], str] = Field(
        default={}, description="which axes of its histograms stand for these"
    )
    nano_schema: str = Field(default="NanoAODSchema", alias="schema", description="a schema of coffea")


class _OfProcessor(Settings):
    """What a processor is made with."""

    parameters: dict[str, Any] = Field(default={}, description="keyword arguments of the processor")
    corrections: dict[str, str] = Field(default={}, description="name -> correctionlib file")
    files: dict[str, str] = Field(default={}, description="name -> another file that the processor reads")
    scorers: dict[str, str | ScorerSettings] = Field(
        default={},
        description="observable -> what makes it of the others: an .onnx file that colonnade trained, or a model that "
        "others trained with its inputs and outputs",
    )


_PER_ERA = tuple(_OfProcessor.model_fields)


class EraSettings(_OfProcessor):
    """What is particular to one era; every era gives the same names, and what all share stands outside of them."""

    luminosity: float = Field(gt=0, description="fb^-1, to which the era's simulation is scaled")


class DumpSettings(Settings):
    """What `colonnade dump` writes of each event."""

    regions: tuple[str, ...] = Field(default=(), description="keep events of any of these; empty: all selected ones")
    observables: tuple[str, ...] = Field(default=(), description="which to write; empty: all")
    shifts: tuple[str, ...] = Field(default=("nominal",), description="names on the variation axis, a folder each")
    data: bool = Field(default=True, description="write data, too, where they are not blinded")
    dtype: Literal["float64", "float32"] = "float64"


class SkimSettings(Settings):
    """What `colonnade skim` writes of each event that passes the preselection."""

    regions: tuple[str, ...] = Field(default=(), description="keep only events in any of these, under any shift")
    columns: tuple[str, ...] = Field(
        default=("*",), description="names or globs of columns, beside those that the analysis reads"
    )
    layout: Literal["ttree", "rntuple"] = "ttree"


# told apart by their kinds, so that a mistake is told of the one that is meant
_Processor = Annotated[
    Annotated[str, Tag("function-str")] | Annotated[CoffeaSettings, Tag("function-coffea")],
    Discriminator(lambda value: "function-str" if isinstance(value, str) else "function-coffea"),
]


class WorkflowSettings(_OfProcessor):
    """One analysis, from data to result. Paths are relative to the project's folder, that of the manifest."""

    title: str = Field(default="", description="one line for the report's head")
    manifest: str = Field(default="datasets.json", description="the dataset manifest")
    datasets: tuple[str, ...] = Field(default=("*",), description="names or globs of the manifest's datasets")
    processor: _Processor = Field(
        description="processors/name.py, or processors/name.py:Class; or {coffea: FILE.py:Class}"
    )
    tree_schema: str | None = Field(default=None, alias="schema", description="instead of detecting it")
    luminosity: float | None = Field(
        default=None,
        gt=0,
        description="fb^-1, to which simulation is scaled; what a coffea processor makes is not; with eras, their sum",
    )
    eras: dict[Annotated[str, Field(pattern=ERA)], EraSettings] = Field(
        default={}, description="data-taking period -> what is its own; the manifest says which each dataset is of"
    )
    unblind: bool = Field(default=False, description="fill data in signal regions")
    allow_loss: float = Field(default=0.0, ge=0, lt=1, description="fraction of events that may be lost")
    chunk_size: int = Field(default=100_000, gt=0, description="events read at once")
    executor: ExecutorSettings = ExecutorSettings()
    cache: CacheSettings = CacheSettings()
    model: ModelSettings | None = Field(default=None, description="the likelihood; without it no fit is made")
    bumps: BumpSettings | None = Field(default=None, description="fits of bumps on smooth backgrounds")
    data_driven: dict[str, DataDrivenSettings] = Field(
        default={}, description="name of a background -> how it is made of data"
    )
    dump: DumpSettings = DumpSettings()
    skim: SkimSettings = SkimSettings()
    plots: PlotSettings | None = Field(default=PlotSettings(), description="the figures; null: none are drawn")

    @model_validator(mode="after")
    def _fits_the_processor(self) -> WorkflowSettings:
        coffea = isinstance(self.processor, CoffeaSettings)
        if self.luminosity is None and (not coffea or self.model is not None):
            msg = "luminosity: this key is required" + (" by a model" if coffea else "")
            raise ValueError(msg)
        for key in (*_PER_ERA, "tree_schema", "eras") if coffea else ():
            if getattr(self, key):
                name = {"parameters": "arguments", "tree_schema": "schema"}.get(key, "files")
                instead = f"use processor.{name}"
                if key == "eras":
                    instead = "it scales by itself, and events.metadata gives what the fileset says of a dataset's era"
                msg = f"{key.removeprefix('tree_')}: a coffea processor has none; {instead}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _eras_are_alike(self) -> WorkflowSettings:
        total = math.fsum(era.luminosity for era in self.eras.values())
        if self.eras and self.luminosity != total:
            msg = f"luminosity: each era has its own, {total:g} fb^-1 in all; leave this key away"
            raise ValueError(msg)
        for key in _PER_ERA:
            of_each = {era: {*getattr(self, key), *getattr(each, key)} for era, each in self.eras.items()}
            for one, has in of_each.items():
                for other, lacks in of_each.items():
                    if has - lacks:
                        what = min(has - lacks)
                        msg = f"eras.{other}.{key}: {what} is missing, which the era {one} has"
                        raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Workflow:
    """A workflow file that has been read: where it lies, the project it belongs to, and what it says."""

    path: Path
    root: Path
    settings: WorkflowSettings

    @property
    def name(self) -> str:
        """The stem that the analysis has in every room of the project."""
        return self.path.stem

    @property
    def manifest(self) -> Path:
        """The dataset manifest."""
        return self.root / self.settings.manifest

    @property
    def coffea(self) -> CoffeaSettings | None:
        """What is said of a coffea processor, if the workflow runs one."""
        return None if isinstance(self.settings.processor, str) else self.settings.processor

    @property
    def luminosities(self) -> float | dict[str, float] | None:
        """Luminosity in fb^-1, of each era where there are several; None where a coffea processor needs none."""
        return {name: era.luminosity for name, era in self.settings.eras.items()} or self.settings.luminosity

    def of_era(self, name: str) -> Workflow:
        """Return the workflow with what an era has of its own in place of what all share."""
        era = self.settings.eras[name]
        changes = {key: {**getattr(self.settings, key), **getattr(era, key)} for key in _PER_ERA}
        return replace(self, settings=self.settings.model_copy(update=changes))

    @property
    def models(self) -> dict[str, str]:
        """The file of each scorer, relative to the project's folder."""
        return {name: each if isinstance(each, str) else each.path for name, each in self.settings.scorers.items()}


def load_workflow(
    path: Path,
    changes: Sequence[str] = (),
    *,
    executor: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    datasets: Sequence[str] = (),
) -> Workflow:
    """Read and validate a workflow.

    The project's folder is the nearest one, from the workflow's own upwards, that holds the manifest.

    Parameters
    ----------
    path
        The YAML file. ``include`` in it names other files, relative to it, whose settings it shares: mappings are
        joined key by key, and what the including file says goes before what a file that it includes says.
    changes
        What to change in it, as `key.key=value`, the value written as in the file.
    executor, workers, scheduler, datasets
        Instead of what it says of the datasets and of the executor: kind, worker processes, address of a scheduler.

    Raises
    ------
    ConfigError
        If a file can't be read, is not YAML, says something unknown or wrong, files include each other, or no manifest
        is found.
    """
    path = path.resolve()
    content = _content(path)
    given = {"kind": executor, "workers": workers, "scheduler": scheduler}
    changes = [*changes, *(f"executor.{key}={json.dumps(each)}" for key, each in given.items() if each is not None)]
    if datasets:
        changes.append(f"datasets={json.dumps(list(datasets))}")
    for change in changes:
        _change(content, change)
    _sum_luminosities(content)
    settings = parse_settings(WorkflowSettings, content, " with ".join([str(path), *changes]))
    for root in path.parents:
        if (root / settings.manifest).is_file():
            return Workflow(path, root, settings)
    msg = f"{path}: manifest = {settings.manifest!r} is neither beside the workflow nor in a folder above it."
    raise ConfigError(msg)


def _content(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what a file says, with what it includes."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        msg = f"{path}: a workflow is a mapping of settings; it needs at least processor and luminosity."
        raise ConfigError(msg)
    names = content.pop("include", [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = f"{path}: include: give the path of a file, relative to this one, or a list of such paths."
        raise ConfigError(msg)
    joined: dict[str, Any] = {}
    for name in names:
        place = (path.parent / name).resolve()
        if place in (*above, path):
            msg = f"{' includes '.join(map(str, (*above, path, place)))}: files can't include each other."
            raise ConfigError(msg)
        _join(joined, _content(place, (*above, path)))
    _join(joined, content)
    return joined


def _join(content: dict[str, Any], others: dict[str, Any]) -> None:
    """Put settings into others, in place: mappings are joined, anything else is replaced."""
    for key, value in others.items():
        mine = content.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            _join(mine, value)
        else:
            content[key] = value


def _sum_luminosities(content: dict[str, Any]) -> None:
    """Note the luminosity of all eras, where each says its own; what is wrong of them will be told."""
    eras = content.get("eras")
    eras = eras.values() if isinstance(eras, dict) else ()
    own = [each.get("luminosity") if isinstance(each, dict) else None for each in eras]
    known = [each for each in own if isinstance(each, int | float)]
    if own and len(known) == len(own):
        content.setdefault("luminosity", math.fsum(known))


def _change(content: dict[str, Any], change: str) -> None:
    """Set one value, deep in a workflow that was read."""
    place, sign, text = change.partition("=")
    keys = [key.strip() for key in place.split(".")]
    if not sign or not all(keys):
        msg = f"--set {change}: say which value as KEY=VALUE, such as model.poi=mu."
        raise ConfigError(msg)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"--set {change}: the value is not valid YAML."
        raise ConfigError(msg) from error
    inner: Any = content
    for key in keys[:-1]:
        # YAML reads the name of an era, such as 2016, as a number
        inner = inner.setdefault(next((each for each in inner if str(each) == key), key), {})
        if not isinstance(inner, dict):
            msg = f"--set {change}: {key} is not a mapping, so it has no {keys[keys.index(key) + 1]}."
            raise ConfigError(msg)
    inner[keys[-1]] = value
