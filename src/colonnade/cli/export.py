"""`colonnade export`: one model in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FOLDER, print_notes
from colonnade.cli.models import model_options, read_target
from colonnade.errors import ConfigError


@click.command("export")
@model_options
@click.option(
    "--format",
    "forms",
    multiple=True,
    type=click.Choice(["pyhf", "combine", "hs3", "root", "xml"]),
    help="Only this format (repeatable); by default all.",
)
@click.option(
    "--output",
    type=FOLDER,
    help="Where the files go; by default TARGET/export of a run, or the folder of a file.",
)
def export(targets: tuple[str, ...], forms: tuple[str, ...], output: Path | None, **which: Any) -> None:
    """Write TARGET, a run's folder or a file that holds a model, as pyhf, Combine, HS3, ROOT with cabinetry, and XML.

    Several datacards, as LABEL=CARD, are combined. A format that can't say what the model holds is left out with the
    reason, unless it is asked for.
    """
    from colonnade.statistics.formats import FORMATS, export_model
    from colonnade.terminal import Terminal

    target = read_target(targets, **which)
    folder = output or (target.place / "export" if target.place.is_dir() else target.place.parent)
    console = Terminal()
    print_notes(console, target.model.notes)
    for form in forms or FORMATS:
        try:
            (export,) = export_model(target.model, folder, target.name, (form,))
        except ConfigError as error:
            if forms:
                raise
            console.print(f"{form:<8} not written: {error}", soft_wrap=True)
            continue
        console.print(f"{export.form:<8} {export.path}", soft_wrap=True)
        for how, names in export.differences.items():
            console.print(f"         {', '.join(names)}: {how}")
