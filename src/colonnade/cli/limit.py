"""`colonnade limit`: CLs upper limits of any model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonnade.cli.common import FOLDER, print_json, print_notes, print_table
from colonnade.cli.models import model_options, read_target

if TYPE_CHECKING:
    from colonnade.statistics.limits import UpperLimits
    from colonnade.statistics.toys import ToyLimits


@click.command("limit")
@model_options
@click.option("--level", type=click.FloatRange(0.5, 1, min_open=True, max_open=True), default=0.95, show_default=True)
@click.option(
    "--method",
    type=click.Choice(["auto", "asymptotic", "toys"]),
    default="auto",
    show_default=True,
    help="auto adds pseudo-experiments where too few events are expected for the asymptotic formulas.",
)
@click.option("--toys", type=click.IntRange(min=100), default=2000, show_default=True, help="Of each hypothesis.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the pseudo-experiments.")
@click.option(
    "--keep",
    type=FOLDER,
    help="Folder for finished pseudo-experiments, so that an interrupted limit goes on where it was.",
)
@click.option("--blind", is_flag=True, help="Expected limits only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    targets: tuple[str, ...],
    *,
    level: float,
    method: str,
    toys: int,
    seed: int,
    keep: Path | None,
    blind: bool,
    as_json: bool,
    **which: Any,
) -> None:
    """Set upper limits on the signal strength of TARGET.

    TARGET is a pyhf workspace, HS3, a Combine datacard, HistFactory XML, a cabinetry configuration or the output folder
    of a run. Several datacards, as LABEL=CARD, are combined.
    """
    from colonnade.statistics import Likelihood
    from colonnade.statistics.settings import LimitSettings
    from colonnade.statistics.toys import find_limits
    from colonnade.terminal import Terminal

    model = read_target(targets, **which).model
    if not as_json:
        print_notes(Terminal(), model.notes)
    likelihood = Likelihood(model)
    settings = LimitSettings(level=level, method=method, toys=toys, seed=seed)  # type: ignore[arg-type]  # a click choice
    limits, found, rests = find_limits(likelihood, settings, observed=not blind, folder=keep)
    notes = [each.text for each in rests]
    if as_json:
        print_json(_content(limits, found) | {"notes": [*model.notes, *notes]})
    else:
        _print(model.poi, limits, found)
        print_notes(Terminal(), notes)


def _content(limits: UpperLimits, toys: ToyLimits | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "level": limits.level,
        "asymptotic": {"expected": list(limits.expected), "observed": limits.observed},
        "toys": None,
    }
    if toys is not None:
        content["toys"] = {
            "expected": list(toys.expected),
            "expected_errors": list(toys.expected_errors),
            "observed": toys.observed,
            "observed_error": toys.observed_error,
        }
    return content


def _print(poi: str, limits: UpperLimits, toys: ToyLimits | None) -> None:
    columns = ["", "asymptotic"] + ([] if toys is None else ["pseudo-experiments"])
    rows = []
    for index, sigma in enumerate(range(-2, 3)):
        rows.append([f"expected {sigma:+d} sigma" if sigma else "expected", f"{limits.expected[index]:.5g}"])
        if toys is not None:
            rows[-1].append(f"{toys.expected[index]:.4g} ± {toys.expected_errors[index]:.1g}")
    if limits.observed is not None:
        rows.append(["observed", f"{limits.observed:.5g}"])
        if toys is not None:
            rows[-1].append(f"{toys.observed:.4g} ± {toys.observed_error:.1g}")
    print_table(f"Upper limits on {poi} at {100 * limits.level:g} % (CLs)", columns, rows)
