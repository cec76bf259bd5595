"""`colonnade datasets`: check what the manifest names, or add to it."""

from __future__ import annotations

__all__ = ["command"]

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from colonnade.errors import ColonnadeError, ConfigError, InputError

_manifest = click.option(
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("datasets.json"),
    show_default=True,
    help="The file that names the datasets.",
)


@click.group("datasets")
def command() -> None:
    """Check the manifest's datasets, or add one."""


@dataclass(frozen=True)
class _Row:
    """One file of a dataset, as the table shows it."""

    dataset: str
    file: str
    tree: str = ""
    entries: str = ""
    schema: str = ""
    size: str = ""
    problem: str = ""


@command.command("check")
@click.argument("names", nargs=-1)
@_manifest
@click.option("--workers", type=click.IntRange(min=1), default=8, show_default=True, help="Files at once.")
def check(names: tuple[str, ...], manifest: Path, workers: int) -> None:
    """Open every file of the datasets NAMES (names or globs; by default all) and say what is in it.

    Exits with 2 if a file is missing or can't be used.
    """
    from colonnade.manifest import load_manifest

    loaded = load_manifest(manifest)
    with ThreadPoolExecutor(workers) as pool:
        rows = [row for found in pool.map(_look_at, _jobs(loaded.select(names or "*"))) for row in [found]]
    _print(rows)
    bad = sum(bool(row.problem) for row in rows)
    if bad:
        msg = f"{bad} of {len(rows)} files can't be used; the table says why."
        raise InputError(msg)


def _jobs(datasets: Iterable[Any]) -> Iterable[tuple[Any, str, str | None] | _Row]:
    """Give every file to open; a dataset whose glob finds none is a row at once."""
    for dataset in datasets:
        try:
            for path, tree in dataset.expand():
                yield dataset, path, tree
        except ColonnadeError as error:
            yield _Row(dataset.name, ", ".join(dataset.files), problem=str(error))


def _look_at(job: tuple[Any, str, str | None] | _Row) -> _Row:
    from colonnade.events import inspect_file

    if isinstance(job, _Row):
        return job
    dataset, path, tree = job
    shown = _short(path, dataset.folder)
    if "://" not in path and not Path(path).exists():
        remedy = f"run: colonnade samples {dataset.name}" if dataset.metadata.generate else "no such file"
        return _Row(dataset.name, shown, tree or "", problem=f"missing; {remedy}")
    try:
        source = inspect_file(path, tree, dataset.metadata.schema)
    except ColonnadeError as error:
        return _Row(dataset.name, shown, tree or "", problem=str(error))
    problem = "" if source.entries else "no events"
    size = f"{source.size / 1e6:,.2f} MB"
    return _Row(dataset.name, shown, source.tree, f"{source.entries:,}", source.schema, size, problem)


def _short(path: str, folder: Path) -> str:
    return path if "://" in path or not Path(path).is_relative_to(folder) else str(Path(path).relative_to(folder))


def _print(rows: list[_Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Datasets", title_justify="left")
    for heading in ("dataset", "file", "tree", "entries", "schema", "size", "problem"):
        numeric = heading in {"entries", "size"}
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        problem = f"[red]{_plain(row.problem)}[/red]" if row.problem else "[green]ok[/green]"
        table.add_row(row.dataset, row.file, row.tree, row.entries, row.schema, row.size, problem)
    Console().print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@command.command("add")
@click.argument("name")
@click.argument("files", nargs=-1, required=True)
@_manifest
@click.option("--process", help="Datasets of one process are added; by default NAME.")
@click.option("--kind", type=click.Choice(["data", "background", "signal"]), required=True)
@click.option("--xsec", type=float, help="Cross-section in pb, for what is simulated.")
@click.option("--weighted-to", type=float, help="Instead: luminosity in fb^-1 that the events' weights stand for.")
@click.option("--k-factor", type=float, help="Higher order over that cross-section.")
@click.option("--filter-efficiency", type=float, help="Share of the cross-section that the sample holds.")
@click.option("--sumw", type=float, help="Sum of generator weights, where the files don't tell it.")
@click.option("--luminosity", type=float, help="Integrated luminosity in fb^-1, for data.")
@click.option("--luminosity-mask", help="JSON file of certified luminosity blocks, for data.")
@click.option("--signal", multiple=True, metavar="KEY=VALUE", help="A signal parameter (repeatable).")
@click.option("--tree", help="The tree's name; by default what the first file shows.")
@click.option("--schema", help="The files' layout; by default it is detected.")
@click.option("--replace", is_flag=True, help="Overwrite an entry of this name.")
def add(name: str, files: tuple[str, ...], manifest: Path, replace: bool, **options: Any) -> None:
    """Write the dataset NAME with FILES (paths or globs; quote globs) into the manifest.

    Paths are written relative to the manifest's folder where they lie beneath it.
    """
    from colonnade.manifest import add_dataset, relative_files

    paths = relative_files(files, manifest.absolute().parent)
    tree = options.pop("tree") or _tree_of(files[0], options["schema"])
    metadata: dict[str, Any] = {"process": options.pop("process") or name, "kind": options.pop("kind")}
    metadata["xsec_pb"] = options.pop("xsec")
    metadata["signal"] = _parameters(options.pop("signal")) or None
    metadata |= options
    written = {key: value for key, value in metadata.items() if value is not None}
    add_dataset(manifest, name, dict.fromkeys(paths, tree), written, replace=replace)
    click.echo(f"{manifest} has the dataset {name} ({', '.join(paths)}).")


def _tree_of(pattern: str, schema: str | None) -> str | None:
    """Return the tree of the first file that a path or glob names."""
    import glob

    from colonnade.events import inspect_file

    found = [pattern] if "://" in pattern or Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - may be absolute
    if not found:
        msg = f"No file matches {pattern}; correct the path, or give --tree to add files that come later."
        raise InputError(msg)
    return inspect_file(found[0], None, schema).tree or None


def _parameters(words: tuple[str, ...]) -> dict[str, float | str]:
    parameters: dict[str, float | str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals or not value:
            msg = f"--signal {word}: write KEY=VALUE, such as m_Zprime=130."
            raise ConfigError(msg)
        try:
            parameters[key] = float(value)
        except ValueError:
            parameters[key] = value
    return parameters
