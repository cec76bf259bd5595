"""Commands on models of any kind beside `fit`: `limit`, `combine` and `systematics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonnade.cli.common import FILE, FOLDER, print_json, print_notes
from colonnade.cli.models import labelled_paths, model_options, read_target
from colonnade.errors import ConfigError
from colonnade.terminal import Terminal, print_table

if TYPE_CHECKING:
    from colonnade.statistics.results import Band, Effect, ToyBand


# what `limit --json` says of pseudo-experiments
_BY_TOYS = ("expected", "expected_errors", "observed", "observed_error")


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
def limit(
    targets: tuple[str, ...],
    *,
    keep: Path | None,
    blind: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Set upper limits on the signal strength of TARGET.

    TARGET is a pyhf workspace, HS3, a Combine datacard, HistFactory XML, a cabinetry configuration or the output folder
    of a run. Several datacards, as LABEL=CARD, are combined.
    """
    from colonnade.execution.progress import Progress, counted
    from colonnade.statistics import Likelihood
    from colonnade.statistics.settings import LimitSettings
    from colonnade.statistics.toys import find_limits

    settings = LimitSettings(**{name: options.pop(name) for name in ("level", "method", "toys", "seed")})
    model = read_target(targets, **options).model
    if not as_json:
        print_notes(Terminal(), model.notes)
    likelihood = Likelihood(model)
    progress = Progress(Terminal(stderr=True, quiet=as_json))
    with counted(progress, "pseudo-experiments") as report:
        found, rests = find_limits(likelihood, settings, observed=not blind, folder=keep, report=report)
    formulas = found.asymptotic or found
    notes = [each.text for each in rests]
    if as_json:
        print_json(
            {
                "level": settings.level,
                "asymptotic": {"expected": formulas.expected, "observed": formulas.observed},
                "toys": found.toys and {name: getattr(found.toys, name) for name in _BY_TOYS},
                "notes": [*model.notes, *notes],
            }
        )
    else:
        _print_limits(f"{model.poi} at {100 * settings.level:g} %", formulas, found.toys)
        print_notes(Terminal(), notes)


def _print_limits(what: str, limits: Band, toys: ToyBand | None) -> None:
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
    print_table(f"Upper limits on {what} (CLs)", columns, rows)


@click.command("combine")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option(
    "--correlate",
    multiple=True,
    metavar="NAME",
    help="Parameters of one name that are one parameter (name or glob; repeatable). The signal strength always is.",
)
@click.option("--signal", metavar="NAME", help="Which signal point of runs; by default their first.")
@click.option(
    "--output",
    type=FILE,
    default=Path("combined.pyhf.json"),
    show_default=True,
    help="The pyhf workspace to write, which fit, limit, systematics and export take.",
)
def combine(targets: tuple[str, ...], correlate: tuple[str, ...], signal: str | None, output: Path) -> None:
    """Combine the models of several TARGETs: output folders of runs, or files that hold models, as PATH or LABEL=PATH.

    The channels of each get its label in front of their names; without one, the name of the folder or file is its
    label. Parameters of one name are different ones unless --correlate says that they are one.
    """
    from colonnade.statistics.changes import combine_models
    from colonnade.statistics.formats.exporting import write_model

    if len(targets) < 2:
        msg = f"{targets[0]} alone is no combination; give at least two runs or models."
        raise ConfigError(msg)
    models = {
        label: read_target([str(path)], signal=signal if path.is_dir() else None).model
        for label, path in labelled_paths(targets, lambda place: place.name.partition(".")[0]).items()
    }
    combined = combine_models(models, correlate)
    export = write_model(combined, output, "pyhf")
    console = Terminal()
    print_notes(console, combined.notes)
    size = f"{len(combined.channels)} channels, {len(combined.parameters)} parameters"
    console.print(f"{output}: {size}", soft_wrap=True)
    owners = Counter(each.name for model in models.values() for each in model.parameters)
    one = [each.name for each in combined.parameters if owners[each.name] > 1]
    console.print(f"  one in several models: {', '.join(one)}", soft_wrap=True)
    for how, names in export.differences.items():
        console.print(f"  {', '.join(names)}: {how}", soft_wrap=True)


@click.command("systematics")
@model_options
@click.option("--region", "regions", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--process", "processes", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def systematics(
    targets: tuple[str, ...], regions: tuple[str, ...], processes: tuple[str, ...], *, as_json: bool, **which: Any
) -> None:
    """Show what each uncertainty does in TARGET: the output folder of a run, or a file that holds a model.

    For each region and process: the change of the yield at plus and minus one standard deviation, the largest change
    of a bin beyond that, whether both sides move the same way, and what was smoothed, symmetrised or left out and why.
    The largest come first.
    """
    from dataclasses import asdict

    from colonnade.statistics.effects import effects_of
    from colonnade.statistics.templates import matching

    target = read_target(targets, **which)
    effects: Sequence[Effect] = effects_of(target.model, target.decisions)
    chosen_regions = matching(regions or ("*",), dict.fromkeys(each.channel for each in effects), "--region")
    chosen = matching(processes or ("*",), dict.fromkeys(each.process for each in effects), "--process")
    effects = [each for each in effects if each.channel in chosen_regions and each.process in chosen]
    if as_json:
        print_json([asdict(each) for each in effects])
    else:
        _print_effects(effects)


def _print_effects(effects: Sequence[Effect]) -> None:
    console = Terminal()
    if not effects:
        console.print("The model has no uncertainties.")
    columns = ("process", "uncertainty", "group", "yield", "bins", "remarks")
    for region in dict.fromkeys(each.channel for each in effects):
        mine = [each for each in effects if each.channel == region]
        processes = list(dict.fromkeys(each.process for each in mine))
        rows: list[tuple[str, ...]] = []
        above = ""
        for each in sorted(mine, key=lambda each: (processes.index(each.process), -each.size)):
            words = ("" if each.process == above else each.process, each.parameter, each.group)
            rows.append((*words, each.yield_text, each.bins_text, ", ".join(each.remarks)))
            above = each.process
        print_table(region, columns, rows, left=set(columns) - {"yield", "bins"}, console=console)
        for note, where in _notes_of(mine).items():
            console.print(f"  {note} ({where})")


def _notes_of(effects: Sequence[Effect]) -> dict[str, str]:
    """Return what building the model did, each with the uncertainties and processes it was done to."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in effects:
        for note in each.notes:
            found.setdefault(note, {}).setdefault(each.parameter, []).append(each.process)
    return {
        note: "; ".join(f"{name}: {', '.join(processes)}" for name, processes in places.items())
        for note, places in found.items()
    }
