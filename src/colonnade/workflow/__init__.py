"""A YAML file to histograms, fit, plots and report, each step skipped when nothing it depends on changed."""

from __future__ import annotations

__all__ = ["Workflow", "load_run", "load_workflow", "run_workflow"]

from typing import TYPE_CHECKING

from colonnade.lazy import lazy

if TYPE_CHECKING:
    from colonnade.workflow.folder import load_run
    from colonnade.workflow.run import run_workflow
    from colonnade.workflow.settings import Workflow, load_workflow

__getattr__ = lazy(
    __name__,
    folder=("load_run",),
    run=("run_workflow",),
    settings=("Workflow", "load_workflow"),
)
