"""`colonnade combine`: the models of several searches as one likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from colonnade.cli.common import FILE, print_notes
from colonnade.cli.models import labelled_paths, read_target
from colonnade.errors import ConfigError

if TYPE_CHECKING:
    from colonnade.statistics.model import Model


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
def command(targets: tuple[str, ...], correlate: tuple[str, ...], signal: str | None, output: Path) -> None:
    """Combine the models of several TARGETs: output folders of runs, or files that hold models, as PATH or LABEL=PATH.

    The channels of each get its label in front of their names; without one, the name of the folder or file is its
    label. Parameters of one name are different ones unless --correlate says that they are one.
    """
    from colonnade.statistics.formats.exporting import write_workspace
    from colonnade.statistics.joint import combine_models
    from colonnade.terminal import Terminal

    if len(targets) < 2:
        msg = f"{targets[0]} alone is no combination; give at least two runs or models."
        raise ConfigError(msg)
    models = {
        label: read_target([str(path)], signal=signal if path.is_dir() else None).model
        for label, path in labelled_paths(targets, lambda place: place.name.partition(".")[0]).items()
    }
    combined = combine_models(models, correlate)
    export = write_workspace(combined, output)
    console = Terminal()
    print_notes(console, combined.notes)
    size = f"{len(combined.channels)} channels, {len(combined.parameters)} parameters"
    console.print(f"{output}: {size}", soft_wrap=True)
    one = [name for name in (each.name for each in combined.parameters) if _users(models, name) > 1]
    console.print(f"  one in several models: {', '.join(one)}", soft_wrap=True)
    for each in export.differences:
        console.print(f"  {each.what}: {each.how}", soft_wrap=True)


def _users(models: Mapping[str, Model], name: str) -> int:
    return sum(any(each.name == name for each in model.parameters) for model in models.values())
