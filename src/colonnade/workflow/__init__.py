"""A YAML file to histograms, fit, plots and report, each step skipped when nothing it depends on changed."""

from __future__ import annotations

__all__ = ["Workflow", "load_run", "load_workflow", "run_workflow"]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonnade.workflow.folder import load_run
    from colonnade.workflow.run import run_workflow
    from colonnade.workflow.settings import Workflow, load_workflow

_HOME = {"Workflow": "settings", "load_run": "folder", "load_workflow": "settings", "run_workflow": "run"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"colonnade.workflow.{_HOME[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
