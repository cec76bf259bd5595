"""`colonnade systematics`: what each uncertainty does to each process in each region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from colonnade.cli.common import print_json
from colonnade.cli.models import model_options, read_target

if TYPE_CHECKING:
    from colonnade.statistics.results import Effect


@click.command("systematics")
@model_options
@click.option("--region", "regions", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--process", "processes", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def command(
    targets: tuple[str, ...], regions: tuple[str, ...], processes: tuple[str, ...], *, as_json: bool, **which: Any
) -> None:
    """Show what each uncertainty does in TARGET: the output folder of a run, or a file that holds a model.

    For each region and process: the change of the yield at plus and minus one standard deviation, the largest change
    of a bin beyond that, whether both sides move the same way, and what was smoothed, symmetrised or left out and why.
    The largest come first.
    """
    from dataclasses import asdict

    from colonnade.statistics.systematics import effects_of
    from colonnade.statistics.templates import matching

    target = read_target(targets, **which)
    effects: Sequence[Effect] = effects_of(target.model, target.decisions)
    chosen_regions = matching(regions or ("*",), dict.fromkeys(each.channel for each in effects), "--region")
    chosen = matching(processes or ("*",), dict.fromkeys(each.process for each in effects), "--process")
    effects = [each for each in effects if each.channel in chosen_regions and each.process in chosen]
    if as_json:
        print_json([asdict(each) for each in effects])
    else:
        _print(effects)


def _print(effects: Sequence[Effect]) -> None:
    from rich.table import Table

    from colonnade.terminal import Terminal

    console = Terminal()
    if not effects:
        console.print("The model has no uncertainties.")
    for region in dict.fromkeys(each.channel for each in effects):
        mine = [each for each in effects if each.channel == region]
        table = Table(title=region, title_justify="left")
        for name in ("process", "uncertainty", "group", "yield", "bins", "remarks"):
            table.add_column(name, justify="right" if name in ("yield", "bins") else "left", overflow="fold")
        for process in dict.fromkeys(each.process for each in mine):
            rows = sorted((each for each in mine if each.process == process), key=lambda each: -each.size)
            for place, each in enumerate(rows):
                words = [process if place == 0 else "", each.parameter, each.group, each.yield_text, each.bins_text]
                table.add_row(*words, ", ".join(each.remarks), end_section=place == len(rows) - 1)
        console.print(table)
        for note, where in _notes(mine).items():
            console.print(f"  {note} ({where})")


def _notes(effects: Sequence[Effect]) -> dict[str, str]:
    """Return what building the model did, each with the uncertainties and processes it was done to."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in effects:
        for note in each.notes:
            found.setdefault(note, {}).setdefault(each.parameter, []).append(each.process)
    return {
        note: "; ".join(f"{name}: {', '.join(processes)}" for name, processes in places.items())
        for note, places in found.items()
    }
