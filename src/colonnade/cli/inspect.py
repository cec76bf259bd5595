"""`colonnade inspect`: what a file of events holds, column by column."""

from __future__ import annotations

__all__ = ["command"]

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import click

from colonnade.errors import ColonnadeError

_GEV = frozenset({"pt", "mass", "energy", "px", "py", "pz", "sumEt", "et", "sumPt"})
_RADIAN = frozenset({"phi"})
_VALUES = 3


@dataclasses.dataclass(frozen=True)
class _Summary:
    """One column: its type, its unit where the schema knows it, its first values and its range."""

    column: str
    type: str = ""
    unit: str = ""
    values: list[Any] = dataclasses.field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None
    problem: str = ""


@click.command("inspect")
@click.argument("file")
@click.argument("columns", nargs=-1)
@click.option("--tree", help="The tree's name; by default the one that a schema expects, or the only one.")
@click.option("--schema", help="The file's layout; by default it is detected.")
@click.option("--entries", type=click.IntRange(min=1), default=1000, show_default=True, help="Events to read.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
def command(
    file: str, columns: tuple[str, ...], tree: str | None, schema: str | None, entries: int, as_json: bool
) -> None:
    """Show the columns of FILE (path or URL of a ROOT, parquet or CSV file): type, unit, first values and range.

    COLUMNS are names or globs, such as "Muon_*"; by default all. Momenta are shown in GeV, whatever the file has.
    """
    import fnmatch

    from colonnade.errors import InputError, nearest
    from colonnade.events import inspect_file

    source = inspect_file(file, tree, schema)
    names = sorted(source.columns)
    for pattern in columns:
        if not fnmatch.filter(names, pattern):
            msg = f"{file} has no column {pattern}{nearest(pattern, names)}."
            raise InputError(msg)
    chosen = [name for name in names if not columns or any(fnmatch.fnmatchcase(name, one) for one in columns)]
    found = list(_summaries(source, chosen, min(entries, source.entries)))
    if as_json:
        about = {"file": file, "tree": source.tree, "entries": source.entries, "schema": source.schema}
        about |= {"sumw": source.sumw, "notes": source.notes, "columns": [dataclasses.asdict(one) for one in found]}
        click.echo(json.dumps(about, indent=1, default=str))
    else:
        _print(source, found)


def _summaries(source: Any, names: list[str], stop: int) -> Iterator[_Summary]:
    import awkward as ak
    import numpy as np

    from colonnade.events import read_events

    for name in names:
        try:
            events = read_events(source, 0, stop, (name,), {})
            group, _, field = name.partition("_")
            inside = field and group in ak.fields(events) and field in ak.fields(events[group])
            values = events[group][field] if inside else events[name]
        except ColonnadeError as error:
            yield _Summary(name, problem=str(error))
            continue
        kind = str(ak.type(values)).partition(" * ")[2]
        flat = values
        while flat.ndim > 1:
            flat = ak.flatten(flat)
        numbers = np.empty(0)
        if not ak.fields(flat) and "string" not in kind and "datetime" not in kind:
            numbers = np.asarray(ak.drop_none(flat))
            numbers = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
        unit = "GeV" if field in _GEV else "rad" if field in _RADIAN else ""
        low, high = (numbers.min().item(), numbers.max().item()) if len(numbers) else (None, None)
        yield _Summary(name, kind, unit, ak.to_list(values[:_VALUES]), low, high)


def _print(source: Any, found: list[_Summary]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    tree = f", tree {source.tree}" if source.tree else ""
    click.echo(f"{source.path}{tree}: {source.entries:,} entries, schema {source.schema}, {source.size / 1e6:,.2f} MB")
    for note in source.notes:
        click.echo(note)
    table = Table("column", "type", "unit", "first values", "from", "to")
    for one in found:
        values = one.problem or ", ".join(_short(value) for value in one.values)
        table.add_row(
            escape(one.column), escape(one.type), one.unit, escape(values), _short(one.minimum), _short(one.maximum)
        )
    Console().print(table)


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        more = ", ..." if len(value) > _VALUES else ""
        return f"[{', '.join(_short(one) for one in value[:_VALUES])}{more}]"
    return str(value)
