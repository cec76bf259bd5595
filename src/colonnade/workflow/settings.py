"""What a workflow's YAML file may say."""

from __future__ import annotations

__all__ = ["Workflow", "WorkflowSettings", "load_workflow"]

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from colonnade.config import Settings, parse_settings, read_yaml
from colonnade.errors import ConfigError
from colonnade.execution import CacheSettings, ExecutorSettings
from colonnade.plotting import PlotSettings
from colonnade.statistics.settings import ModelSettings


class WorkflowSettings(Settings):
    """One analysis, from data to result. Paths are relative to the project's folder, that of the manifest."""

    title: str = Field(default="", description="one line for the report's head")
    manifest: str = Field(default="datasets.json", description="the dataset manifest")
    datasets: tuple[str, ...] = Field(default=("*",), description="names or globs of the manifest's datasets")
    processor: str = Field(description="processors/name.py, or processors/name.py:Class")
    parameters: dict[str, Any] = Field(default={}, description="keyword arguments of the processor")
    corrections: dict[str, str] = Field(default={}, description="name -> correctionlib file")
    tree_schema: str | None = Field(default=None, alias="schema", description="instead of detecting it")
    luminosity: float = Field(gt=0, description="fb^-1, to which simulation is scaled")
    unblind: bool = Field(default=False, description="fill data in signal regions")
    allow_loss: float = Field(default=0.0, ge=0, lt=1, description="fraction of events that may be lost")
    chunk_size: int = Field(default=100_000, gt=0, description="events read at once")
    executor: ExecutorSettings = ExecutorSettings()
    cache: CacheSettings = CacheSettings()
    model: ModelSettings | None = Field(default=None, description="the likelihood; without it no fit is made")
    plots: PlotSettings = PlotSettings()


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

    def override(
        self,
        *,
        executor: str | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        datasets: tuple[str, ...] = (),
    ) -> Workflow:
        """Return the workflow with what the command line says in place of what the file says."""
        given = {"kind": executor, "workers": workers, "scheduler": scheduler}
        changes = {key: value for key, value in given.items() if value is not None}
        updates: dict[str, Any] = {}
        if changes:
            merged = {**self.settings.executor.model_dump(mode="json"), **changes}
            updates["executor"] = parse_settings(ExecutorSettings, merged, "the command line")
        if datasets:
            updates["datasets"] = datasets
        return replace(self, settings=self.settings.model_copy(update=updates)) if updates else self


def load_workflow(path: Path) -> Workflow:
    """Read and validate a workflow.

    The project's folder is the nearest one, from the workflow's own upwards, that holds the manifest.

    Raises
    ------
    ConfigError
        If the file can't be read, is not YAML, says something unknown or wrong, or no manifest is found.
    """
    path = path.resolve()
    content = read_yaml(path)
    if not isinstance(content, dict):
        msg = f"{path}: a workflow is a mapping of settings; it needs at least processor and luminosity."
        raise ConfigError(msg)
    settings = parse_settings(WorkflowSettings, content, str(path))
    for root in path.parents:
        if (root / settings.manifest).is_file():
            return Workflow(path, root, settings)
    msg = f"{path}: manifest = {settings.manifest!r} is neither beside the workflow nor in a folder above it."
    raise ConfigError(msg)
