"""`colonnade fit`: significances and limits of a run, or the fit of any workspace."""

from __future__ import annotations

__all__ = ["command"]

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from colonnade.statistics.analysis import AnalysisResult


@click.command("fit")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(target: Path, *, as_json: bool) -> None:
    """Fit TARGET: the output folder of a run.

    The folder's workspace.json, patchset.json and fit.json are written anew.
    """
    from colonnade.statistics import refit

    result = refit(target)
    if as_json:
        _print_json(result)
    else:
        print_points(result)


def _print_json(result: AnalysisResult) -> None:
    import json

    from colonnade.statistics.results import fit_summary

    click.echo(json.dumps(fit_summary(result), indent=2))


def print_points(result: AnalysisResult) -> None:
    """Print a table of the signal points."""
    from rich.console import Console
    from rich.table import Table

    level = f"{100 * result.points[0].limits.level:g} %"
    state = "expected only" if result.blinded else "expected and observed"
    table = Table(title=f"{result.luminosity:g} fb⁻¹, {state}; upper limits on mu at {level}")
    table.add_column("signal")
    columns = ["Z exp.", "limit exp.", "-1 sigma", "+1 sigma"]
    if not result.blinded:
        columns += ["Z obs.", "limit obs.", "mu"]
    for column in columns:
        table.add_column(column, justify="right")
    for point in result.points:
        expected = point.limits.expected
        row = [point.signal, f"{point.expected.z:.2f}", *(f"{expected[index]:.3g}" for index in (2, 1, 3))]
        if point.observed is not None and point.limits.observed is not None:
            row += [
                f"{point.observed.z:.2f}",
                f"{point.limits.observed:.3g}",
                f"{point.mu_hat:.2f} ± {point.mu_error:.2f}",
            ]
        table.add_row(*row)
    Console().print(table)
