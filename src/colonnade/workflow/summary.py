"""The few lines that a run ends with."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from colonnade.execution import Result


def print_summary(console: Console, directory: Path, result: Result) -> None:
    """Print what came out, what was lost, and where everything is."""
    fit = directory / "fit.json"
    if fit.exists():
        console.print(_limits(json.loads(fit.read_text(encoding="utf-8"))))
    lost = result.ledger.lost
    if lost:
        events = sum(entry.events_expected - entry.events_processed for entry in result.ledger.datasets.values())
        ranges = "1 range" if len(lost) == 1 else f"{len(lost):,} ranges"
        share = f"{events:,} events ({result.ledger.lost_fraction:.3%})"
        console.print(f"Lost: {share} in {ranges} of files; see ledger.json.", style="red", highlight=False)
    else:
        events = sum(entry.events_processed for entry in result.ledger.datasets.values())
        console.print(f"No event lost: {events:,} processed.", style="green", highlight=False)
    console.print(f"Result: {directory}", soft_wrap=True, highlight=False)
    console.print(f"Open:   {directory / 'report.html'}", soft_wrap=True, highlight=False)


def _limits(fit: dict[str, object]) -> Table:
    table = Table(title="Signal points", title_justify="left", header_style="bold")
    table.add_column("signal")
    table.add_column("expected Z", justify="right")
    table.add_column("expected limit on mu", justify="right")
    table.add_column("68 % band", justify="right")
    observed = not fit["blinded"]
    if observed:
        table.add_column("observed limit", justify="right")
    points = fit["points"]
    assert isinstance(points, list)  # noqa: S101 - for the type checker
    for point in points:
        limits = point["limit"]["expected"]
        row = [
            point["signal"],
            f"{point['significance']['expected']:.2f}",
            f"{limits[2]:.3g}",
            f"{limits[1]:.3g} to {limits[3]:.3g}",
        ]
        if observed:
            row.append(f"{point['limit']['observed']:.3g}")
        table.add_row(*row)
    return table
