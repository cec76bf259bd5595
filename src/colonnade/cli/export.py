"""`colonnade export`: one model in every format."""

from __future__ import annotations

__all__ = ["command"]

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from colonnade.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

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
@click.option("--check", is_flag=True, help="Read every file back and compare it with the model.")
@click.option(
    "--pyhs3",
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="With --check: evaluate HS3 with pyhs3 too, in the environment of this Python.",
)
@click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --check: write the table as Markdown, too.",
)
def command(
    target: Path,
    signal: str | None,
    forms: tuple[str, ...],
    output: Path | None,
    *,
    check: bool,
    pyhs3: Path | None,
    table: Path | None,
) -> None:
    """Write TARGET, a run's folder or a file that holds a model, as pyhf, Combine, HS3 and ROOT with cabinetry."""
    from rich.console import Console

    from colonnade.statistics.formats import FORMATS, export_model

    if pyhs3 is not None and forms and "hs3" not in forms:
        msg = "--pyhs3 evaluates HS3, which is not among the formats asked for; add --format hs3."
        raise ConfigError(msg)
    model, name = _model(target, signal)
    folder = output or (target / "export" if target.is_dir() else target.parent)
    exports = export_model(model, folder, name, forms or FORMATS)
    console = Console()
    for export in exports:
        console.print(f"{export.form:<8} {export.path}", highlight=False, soft_wrap=True)
        for each in _summed(export):
            console.print(f"         {each}", highlight=False)
    if check or table is not None or pyhs3 is not None:
        _check(console, model, name, exports, pyhs3, table)


def _model(target: Path, signal: str | None) -> tuple[Model, str]:
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


def _check(
    console: Console, model: Model, name: str, exports: list[Export], pyhs3: Path | None, table: Path | None
) -> None:
    """Read every export back, print how far it is from the model, and fail where that is more than promised."""
    from rich.table import Table

    from colonnade.errors import FitError
    from colonnade.statistics.closure_table import cells, closure_rows, markdown

    rows, version = closure_rows(model, exports, pyhs3=pyhs3)
    shown = Table(title="Read back, and compared with the model")
    for column in ("format", "ln L", "beyond", "mu/err", "error", "Z", "limits", "holds"):
        shown.add_column(column, justify="left" if column == "format" else "right")
    for row in rows:
        shown.add_row(*cells(row))
    console.print(shown)
    if table is not None:
        from importlib.metadata import version as version_of

        from colonnade.output import replacing

        words = " ".join(["colonnade", "export", *sys.argv[2:]])
        versions = [f"{each} {version_of(each)}" for each in ("pyhf", "cabinetry", "uproot")]
        page = markdown(
            rows, model, name=name, command=words, versions=[*versions, *([f"pyhs3 {version}"] if version else [])]
        )
        with replacing(table) as temporary:
            temporary.write_text(page, encoding="utf-8")
    bad = [row.name for row in rows if not row.holds]
    if bad:
        msg = f"The formats {', '.join(bad)} are further from the model than is promised; see the table."
        raise FitError(msg)
