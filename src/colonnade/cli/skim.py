"""`colonnade skim`: the events that an analysis selects, as ROOT files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FILE, FOLDER, changed_workflow, run_options


@click.command("skim")
@click.argument("workflow", type=FILE)
@click.option("--output", type=FOLDER, help="Where it goes; by default skims/NAME in the project's folder.")
@run_options
def command(workflow: Path, output: Path | None, **how: Any) -> None:
    """Write the events that pass WORKFLOW's preselection to ROOT files with a manifest of their own; see `skim` there.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.terminal import Terminal
    from colonnade.workflow.columns import make_skim

    loaded = changed_workflow(workflow, **how)
    make_skim(loaded, output or loaded.root / "skims" / loaded.name, Terminal())
