"""`colonnade export`: one model in every format."""

from __future__ import annotations

__all__ = ["command", "model_of"]

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from colonnade.statistics.formats import Export
    from colonnade.statistics.model import Model


@click.command("export")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--signal", metavar="NAME", help="Which signal point of a run; by default its first.")
@click.option(
    "--format",
    "forms",
    multiple=True,
    type=click.Choice(["pyhf", "combine", "hs3", "root"]),
    help="Only this format (repeatable); by default all four.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go; by default TARGET/export, or the folder of a file.",
)
def command(
    target: Path,
    signal: str | None,
    forms: tuple[str, ...],
    output: Path | None,
) -> None:
    """Write TARGET, a run's folder or a file that holds a model, as pyhf, Combine, HS3 and ROOT with cabinetry."""
    from rich.console import Console

    from colonnade.statistics.formats import FORMATS, export_model

    model, name = model_of(target, signal)
    folder = output or (target / "export" if target.is_dir() else target.parent)
    exports = export_model(model, folder, name, forms or FORMATS)
    console = Console()
    for export in exports:
        console.print(f"{export.form:<8} {export.path}", highlight=False, soft_wrap=True)
        for each in _summed(export):
            console.print(f"         {each}", highlight=False)


def model_of(target: Path, signal: str | None) -> tuple[Model, str]:
    """Return the model of a run's folder or of a file, and the stem of the files that it is written to."""
    if target.is_dir():
        from colonnade.statistics.analysis import point_model
        from colonnade.statistics.build import Builder
        from colonnade.statistics.step import load_run

        builder = Builder(*load_run(target))
        built = point_model(builder, signal or builder.signals[0])
        return built.model, built.signal
    from colonnade.statistics.formats import read_model

    return read_model(target), target.stem.partition(".")[0]


def _summed(export: Export) -> list[str]:
    """Tell the same difference of several parameters once."""
    by_how: dict[str, list[str]] = {}
    for each in export.differences:
        by_how.setdefault(each.how, []).append(each.what)
    return [f"{', '.join(names)}: {how}" for how, names in by_how.items()]
