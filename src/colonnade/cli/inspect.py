"""`colonnade inspect`: what a file of events holds, column by column, or what a model holds."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonnade.cli.common import FILE, print_json, print_notes, say
from colonnade.config import read_json
from colonnade.errors import ColonnadeError
from colonnade.terminal import Terminal, print_table

if TYPE_CHECKING:
    from colonnade.statistics.contents import Contents

_GEV = frozenset({"pt", "mass", "energy", "px", "py", "pz", "sumEt", "et", "sumPt"})
_RADIAN = frozenset({"phi"})
_VALUES = 3
_COLUMNS = ("column", "type", "unit", "values", "minimum", "maximum", "problem")
_MODELS = (".json", ".txt", ".card", ".xml", ".yml", ".yaml")


@click.command("inspect")
@click.argument("file")
@click.argument("columns", nargs=-1)
@click.option("--tree", help="The tree's name; by default the one that a schema expects, or the only one.")
@click.option("--schema", help="The file's layout; by default it is detected.")
@click.option("--entries", type=click.IntRange(min=1), default=1000, show_default=True, help="Events to read.")
@click.option("--patchset", type=FILE, help="Of a pyhf workspace: the file of its patches.")
@click.option("--patch", metavar="NAME", help="Of a pyhf workspace: which of the patches.")
@click.option("--measurement", metavar="NAME", help="Of a model: which measurement or analysis.")
@click.option("--mass", type=float, help="Of a datacard: what $MASS stands for.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
def inspect(
    file: str,
    columns: tuple[str, ...],
    *,
    tree: str | None,
    schema: str | None,
    entries: int,
    as_json: bool,
    **which: Any,
) -> None:
    """Show what FILE holds, a file of events (ROOT, parquet, CSV; path or URL) or one of a model in any format.

    Of events the columns: type, unit, first values and range. COLUMNS are names or globs, such as "Muon_*"; by default
    all. Momenta are shown in GeV, whatever the file has. Of a model, or of the folder of a run, the channels, processes
    and yields, and the parameters with their constraints and largest effects; COLUMNS are parameters then. What is
    unusual is said. Several datacards (LABEL=CARD) are shown as one. Of a pyhf patchset alone its patches are shown.
    """
    import fnmatch

    if _is_model(file) or Path(file).is_dir():
        cards = list(itertools.takewhile(_is_model, columns))
        _show_model((file, *cards), columns[len(cards) :], as_json=as_json, **which)
        return
    from colonnade.errors import InputError, nearest
    from colonnade.events import inspect_file
    from colonnade.events.schemas import find_schema

    source = inspect_file(file, tree, schema)
    names = sorted(source.columns)
    for pattern in columns:
        if not fnmatch.filter(names, pattern):
            msg = f"{file} has no column {pattern}{nearest(pattern, names)}."
            raise InputError(msg)
    chosen = [name for name in names if not columns or any(fnmatch.fnmatchcase(name, one) for one in columns)]
    # the columns of coffea's schemas keep the file's names
    plain = inspect_file(file, source.tree, "flat") if find_schema(source.schema).coffea else source
    found = list(_summaries(plain, chosen, min(entries, source.entries)))
    if as_json:
        about = {"file": file, "tree": source.tree, "entries": source.entries, "schema": source.schema}
        about |= {"sumw": source.sumw, "notes": source.notes, "columns": found}
        print_json(about)
    else:
        _print(source, found)


def _summaries(source: Any, names: list[str], stop: int) -> Iterator[dict[str, Any]]:
    """Describe each column: its type, its unit where the schema knows it, its first values and its range."""
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
            yield dict(zip(_COLUMNS, (name, "", "", [], None, None, str(error)), strict=True))
            continue
        kind = str(ak.type(values)).partition(" * ")[2]
        numbers = np.empty(0)
        if not ak.fields(values) and "string" not in kind and "datetime" not in kind:
            numbers = np.asarray(ak.flatten(values, axis=None))
            numbers = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
        unit = "GeV" if field in _GEV else "rad" if field in _RADIAN else ""
        low, high = (numbers.min().item(), numbers.max().item()) if len(numbers) else (None, None)
        found = (name, kind, unit, ak.to_list(values[:_VALUES]), low, high, "")
        yield dict(zip(_COLUMNS, found, strict=True))


def _print(source: Any, found: list[dict[str, Any]]) -> None:
    from colonnade.events.source import named

    size = f"{source.size / 1e6:,.2f} MB"
    say(f"{named(source.path, source.tree)}: {source.entries:,} entries, schema {source.schema}, {size}")
    for note in source.notes:
        say(note)
    columns = ("column", "type", "unit", "first values", "from", "to")
    rows = []
    for one in found:
        name, kind, unit, values, *span, problem = one.values()
        said = problem or ", ".join(_short(value) for value in values)
        rows.append((name, kind, unit, said, *map(_short, span)))
    print_table("", columns, rows, left=columns)


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        more = ", ..." if len(value) > _VALUES else ""
        return f"[{', '.join(_short(one) for one in value[:_VALUES])}{more}]"
    return str(value)


def _is_model(word: str) -> bool:
    return Path(word.removesuffix(".gz")).suffix in _MODELS


def _show_model(targets: tuple[str, ...], names: tuple[str, ...], *, as_json: bool, **which: Any) -> None:
    from colonnade.cli.models import read_target
    from colonnade.statistics.contents import contents_of
    from colonnade.statistics.templates import matching

    content = read_json(Path(targets[0])) if Path(targets[0].removesuffix(".gz")).suffix == ".json" else None
    if isinstance(content, dict) and "patches" in content:
        _show_patches(content, Path(targets[0]), names, as_json=as_json)
        return
    found = contents_of(read_target(targets, **which).model)
    chosen = matching(names or ("*",), dict.fromkeys(each.name for each in found.parameters), "parameter")
    found = dataclasses.replace(found, parameters=tuple(each for each in found.parameters if each.name in chosen))
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        _print_model(found)


def _show_patches(content: Any, path: Path, names: tuple[str, ...], *, as_json: bool) -> None:
    from colonnade.statistics.formats.reading import read_patchset
    from colonnade.statistics.templates import matching

    patches = read_patchset(content, path)
    chosen = matching(names or ("*",), dict.fromkeys(each.name for each in patches), "patch")
    rows = {each.name: dict(zip(patches.labels, each.values, strict=True)) for each in patches if each.name in chosen}
    if as_json:
        print_json({"file": str(path), "description": patches.description, "patches": rows})
        return
    say(f"{path}: {len(patches)} patches of a workspace; {patches.description}")
    say("Give the workspace with --patchset and --patch to see one of them.")
    columns = ("patch", *patches.labels)
    print_table("", columns, [(name, *map(_short, values.values())) for name, values in rows.items()], left=columns)


def _print_model(found: Contents) -> None:
    channels = ("channel", "bins", "observed", "process", "expected")
    rows: list[tuple[str, ...]] = []
    for channel in found.channels:
        head = [channel.name, str(channel.bins), f"{channel.observed:g}"]
        for name, value in channel.expected.items():
            rows.append((*head, name, f"{value:.5g}"))
            head = ["", "", ""]
    print_table("Channels", channels, rows, left=channels)
    columns = ("parameter", "constraint", "initial", "range", "acts on", "up", "down", "bins")
    rows = []
    for one in found.parameters:
        size = "" if one.components == 1 else f" ({one.components})"
        held = "constant" if one.fixed == one.components else "free" if one.constraint == "none" else one.constraint
        effects = [f"{100 * value:+.3g} %" if value else "" for value in (one.up, one.down)]
        effects.append(f"{100 * one.shape:.3g} %" if one.shape > 1e-9 else "")
        span = f"{one.low:g} to {one.high:g}"
        rows.append((one.name + size, held, f"{one.initial:g}", span, f"{one.processes}", *effects))
    print_table(f"Parameters; of interest: {found.poi or 'none'}", columns, rows, left=columns)
    print_notes(Terminal(), found.unusual)
