"""A YAML file to histograms, fit, plots and report, each step skipped when nothing it depends on changed."""

from __future__ import annotations

__all__ = ["Workflow", "load_workflow", "run_workflow"]

from colonnade.workflow.run import run_workflow
from colonnade.workflow.settings import Workflow, load_workflow
