"""`colonnade compare-coffea`: the same processor by coffea's Runner, number by number."""

from __future__ import annotations

from pathlib import Path

import click

from colonnade.cli.common import FILE


@click.command("compare-coffea")
@click.argument("workflow", type=FILE)
@click.argument("original", type=FILE, required=False)
def command(workflow: Path, original: Path | None) -> None:
    """Compare what WORKFLOW makes with what coffea's own Runner makes, key by key and bin by bin.

    WORKFLOW runs a coffea processor; or an analysis that was made from one, which the workflow ORIGINAL runs: then the
    histograms of one name are compared. Exits with 2 at the first difference, naming it.
    """
    from colonnade.workflow import load_workflow
    from colonnade.workflow.compare import compare_coffea

    count = compare_coffea(load_workflow(workflow), None if original is None else load_workflow(original))
    click.echo(f"No difference: {count:,} numbers agree with coffea's.")
