"""`colonnade sync`: two sets of events compared, event by event."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from colonnade.cli.common import FILE, say


@click.command("sync")
@click.argument("mine", type=FILE)
@click.argument("theirs", type=FILE)
@click.option("--tolerance", default=1e-6, show_default=True, type=click.FloatRange(min=0), help="Relative.")
@click.option("--tree", help="The tree of ROOT files, where there are several.")
def command(mine: Path, theirs: Path, tolerance: float, tree: str | None) -> None:
    """Compare the events of MINE and THEIRS: ROOT, parquet or CSV files, matched by run, block and event.

    Names the first event and quantity that differ, and counts the rest; exits with 1 if anything differs.
    """
    from colonnade.workflow.sync import shown, synchronise

    report = synchronise(mine, theirs, relative=tolerance, tree=tree)
    say(f"{report.common:,} events on both sides, {len(report.counts)} quantities compared")
    for side, events in (("mine", report.only_mine), ("theirs", report.only_theirs)):
        if events:
            say(f"{len(events):,} events only in {side}, the first of them {shown(events[0])}")
    if report.left_out:
        say(f"not compared, as one side lacks them: {', '.join(report.left_out)}")
    if report.first is not None:
        first = report.first
        say(f"first difference: event {shown(first.event)}, {first.quantity}: {first.mine} and {first.theirs}")
        for name, count in report.counts.items():
            if count:
                say(f"  {name}: differs in {count:,} events")
    elif report.same:
        say("no difference")
    sys.exit(0 if report.same else 1)
