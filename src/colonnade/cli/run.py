"""`colonnade run`: a workflow, from events to report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FILE, FOLDER, changed_workflow, run_options


@click.command("run")
@click.argument("workflow", type=FILE)
@click.option("--output", type=FOLDER, help="Where the result goes; by default results/NAME in the project's folder.")
@run_options
@click.option("--resume", is_flag=True, help="Go on with an interrupted or lossy run of the output folder.")
def command(workflow: Path, output: Path | None, *, resume: bool, **how: Any) -> None:
    """Run WORKFLOW, a YAML file: events, histograms, fit, plots and report.

    Exits with 3 if more events were lost than the workflow allows; what could be made is there and says so.
    """
    from colonnade.workflow import run_workflow

    run_workflow(changed_workflow(workflow, **how), output, resume=resume)
