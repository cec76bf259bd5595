"""`colonnade columns`: the training columns of an analysis, as parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FILE, FOLDER, changed_workflow, run_options


@click.command("columns")
@click.argument("workflow", type=FILE)
@click.option(
    "--model",
    type=FILE,
    help="The model whose features are written; by default models/NAME.py, else every observable.",
)
@click.option("--output", type=FOLDER, help="Where the columns go; by default columns/NAME in the project's folder.")
@run_options
def command(workflow: Path, model: Path | None, output: Path | None, **how: Any) -> None:
    """Write the observables, weights and regions that WORKFLOW's processor computes, one row an event."""
    from colonnade.terminal import Terminal
    from colonnade.training import load_models
    from colonnade.workflow.columns import make_columns

    loaded = changed_workflow(workflow, **how)
    own = loaded.root / "models" / f"{loaded.name}.py"
    declared = model or (own if own.is_file() else None)
    models = load_models(declared).values() if declared is not None else ()
    make_columns(loaded, tuple(models), output or loaded.root / "columns" / loaded.name, Terminal())
