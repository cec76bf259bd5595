"""`colonnade dump`: what an analysis computes of each event, as parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FILE, FOLDER, changed_workflow, run_options


@click.command("dump")
@click.argument("workflow", type=FILE)
@click.option("--output", type=FOLDER, help="Where it goes; by default dumps/NAME in the project's folder.")
@run_options
def command(workflow: Path, output: Path | None, **how: Any) -> None:
    """Write the observables, weights and regions of each event that WORKFLOW's processor selects; see `dump` there.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.terminal import Terminal
    from colonnade.workflow.columns import make_dump

    loaded = changed_workflow(workflow, **how)
    make_dump(loaded, output or loaded.root / "dumps" / loaded.name, Terminal())
