"""`colonnade datasets` checks what the manifest names and adds to it; `colonnade samples` makes simulated samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from colonnade.cli.common import FILE, manifest_option, say
from colonnade.errors import ColonnadeError, ConfigError, InputError
from colonnade.terminal import Terminal, print_table, visible

_ENDINGS = (".root", ".parquet", ".parq", ".csv")
_LISTS = (".txt", ".list", ".lst", ".lis")


@click.group("datasets")
def datasets() -> None:
    """Check the manifest's datasets, or add one."""


_COLUMNS = ("dataset", "file", "tree", "entries", "schema", "size", "problem")


@datasets.command("check")
@click.argument("names", nargs=-1)
@manifest_option
@click.option("--workers", type=click.IntRange(min=1), default=8, show_default=True, help="Files at once.")
@click.option("--events", is_flag=True, help="Look for events that are there twice, too.")
def check(names: tuple[str, ...], manifest: Path, workers: int, *, events: bool) -> None:
    """Open every file of the datasets NAMES (names or globs; by default all) and say what is in it.

    Exits with 2 if a file is missing or can't be used, or if events count twice.
    """
    from colonnade.manifest import load_manifest

    loaded = load_manifest(manifest)
    with ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(lambda job: _look_at(*job), _jobs(loaded.select(names or "*"))))
    cells = ((*row, Text(visible(problem), "red") if problem else Text("ok", "green")) for *row, problem in rows)
    print_table("Datasets", _COLUMNS, cells, left=set(_COLUMNS) - {"entries", "size"})
    bad = sum(bool(problem) for *_, problem in rows)
    if bad:
        msg = f"{bad} of {len(rows)} files can't be used; the table says why."
        raise InputError(msg)
    if events:
        _look_for_duplicates(loaded.select(names or "*"), workers)


def _look_for_duplicates(datasets: list[Any], workers: int) -> None:
    from colonnade.execution import ExecutorSettings, Progress
    from colonnade.execution.skimming import find_duplicates

    executor = ExecutorSettings(kind="futures", workers=workers)
    found = find_duplicates(datasets, executor=executor, progress=Progress(Terminal()))
    for twice in found.first:
        places = " and ".join(f"{name}, {path}" for name, path in twice.places)
        say(f"{':'.join(map(str, twice.event))} in {places}")
    found.check()
    say(f"{found.events:,} events, none of them twice")


def _jobs(datasets: Iterable[Any]) -> Iterator[tuple[Any, str, str | None, str]]:
    """Give every file to open, with its tree; of a dataset whose glob finds none the glob, and what is wrong."""
    for dataset in datasets:
        try:
            for path, tree in dataset.expand():
                yield dataset, path, tree, ""
        except ColonnadeError as error:
            yield dataset, ", ".join(dataset.files), None, str(error)


def _look_at(dataset: Any, path: str, tree: str | None, problem: str) -> tuple[str, ...]:
    """Return the row of a file: the cells of `_COLUMNS`, the last of them empty where nothing is wrong."""
    from colonnade.events import inspect_file

    inside = "://" not in path and Path(path).is_relative_to(dataset.folder)
    shown = str(Path(path).relative_to(dataset.folder)) if inside else path
    if not problem and "://" not in path and not Path(path).exists():
        remedy = f"run: colonnade samples {dataset.name}" if dataset.metadata.generate else "no such file"
        problem = f"missing; {remedy}"
    if not problem:
        try:
            source = inspect_file(path, tree, dataset.metadata.schema)
        except ColonnadeError as error:
            problem = str(error)
    if problem:
        return dataset.name, shown, tree or "", "", "", "", problem
    size = f"{source.size / 1e6:,.2f} MB"
    about = (source.tree, f"{source.entries:,}", source.schema, size)
    return dataset.name, shown, *about, "" if source.entries else "no events"


def _sum(text: str) -> float | str:
    return text if text == "events" else float(text)


@datasets.command("add")
@click.argument("name")
@click.argument("files", nargs=-1, required=True)
@manifest_option
@click.option("--process", help="Datasets of one process are added; by default NAME.")
@click.option("--kind", type=click.Choice(["data", "background", "signal"]), required=True)
@click.option("--xsec-pb", type=float, help="Cross-section in pb, for what is simulated.")
@click.option("--weighted-to", type=float, help="Instead: luminosity in fb^-1 that the events' weights stand for.")
@click.option("--k-factor", type=float, help="Higher order over that cross-section.")
@click.option("--filter-efficiency", type=float, help="Share of the cross-section that the sample holds.")
@click.option("--sumw", type=_sum, help="Sum of generator weights; events: that of the events in the files.")
@click.option("--era", help="Data-taking period, one of a workflow's eras.")
@click.option("--varies", metavar="NAME", help="Of an alternative sample: its variation, such as hdamp_up.")
@click.option("--luminosity", type=float, help="Integrated luminosity in fb^-1, for data.")
@click.option("--luminosity-mask", help="JSON file of certified luminosity blocks, for data.")
@click.option("--signal", multiple=True, metavar="KEY=VALUE", help="A signal parameter (repeatable).")
@click.option("--weight", help="Column with the generator's weight, where it is not genWeight; 1: there is none.")
@click.option("--server", metavar="URL", help="Server of a list of paths, such as root://eospublic.cern.ch.")
@click.option("--tree", help="The tree's name; by default what the first file shows.")
@click.option("--schema", help="The files' layout; by default it is detected.")
@click.option("--replace", is_flag=True, help="Overwrite an entry of this name.")
def add(name: str, files: tuple[str, ...], manifest: Path, replace: bool, **options: Any) -> None:
    """Write the dataset NAME with FILES into the manifest, and say what the first of them holds.

    FILES are paths, URLs, globs (quote them), folders, or lists of files in a text file, one a line, also as xrdfs ls
    writes them.

    Paths are written relative to the manifest's folder where they lie beneath it.
    """
    from colonnade.events import inspect_file
    from colonnade.manifest.datasets import add_dataset, relative_files

    words = _files(files, options.pop("server"))
    paths = relative_files(words, manifest.absolute().parent)
    metadata: dict[str, Any] = {"process": options.pop("process") or name, "kind": options.pop("kind")}
    metadata["signal"] = _parameters(options.pop("signal")) or None
    tree = options.pop("tree")
    metadata |= options
    written = {key: value for key, value in metadata.items() if value is not None}
    first = _first(words[0], required=tree is None)
    weight = None if metadata["weight"] == "1" else metadata["weight"]
    source = None if first is None else inspect_file(first, tree, metadata["schema"], weight)
    tree = tree or (source.tree if source is not None else None) or None
    added = add_dataset(manifest, name, dict.fromkeys(paths, tree), written, replace=replace)
    shown = f"{', '.join(paths[:5])}{', ...' if len(paths) > 5 else ''}"
    say(f"{manifest} has the dataset {name} ({shown}).")
    if source is not None:
        for line in _found(source, *added.select(name)):
            say(f"  {line}")


def _first(pattern: str, *, required: bool) -> str | None:
    """Return the first file that a path or glob names; None for those that come later."""
    import glob

    if "://" in pattern:
        return pattern if required and "*" not in pattern else None
    if Path(pattern).exists():
        return pattern
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - may be absolute
    if not found and required:
        msg = f"No file matches {pattern}; correct the path, or give --tree to add files that come later."
        raise InputError(msg)
    return found[0] if found else None


def _found(source: Any, dataset: Any) -> Iterator[str]:
    """Say what the first file of a dataset holds, and what is missing to scale its events."""
    tree = f"tree {source.tree}, " if source.tree else ""
    count = len(dataset.expand())
    more = f" (the first of {count} files)" if count > 1 else ""
    yield f"{source.path}{more}: {tree}{source.entries:,} events, schema {source.schema}"
    collections: dict[str, list[str]] = {}
    counted = {column[1:] for column in source.columns if column.startswith("n")}
    for column in sorted(source.columns):
        group, _, field = column.partition("_")
        group, field = (group, field) if field and group in counted else ("each event", column)
        collections.setdefault(group, []).append(field)
    for group, fields in sorted(collections.items(), key=lambda item: item[0] == "each event"):
        yield f"{group}: {', '.join(fields[:12])}{f' and {len(fields) - 12} more' if len(fields) > 12 else ''}"
    metadata = dataset.metadata
    weighted = "genWeight" in source.columns
    if metadata.kind == "data":
        if weighted:
            yield "the file has generator weights, as simulation does, and is read as data"
        if metadata.luminosity is None:
            yield "missing: the luminosity of the data (--luminosity), unless the workflow gives it"
    elif metadata.weight == "1":
        yield "simulation; each event counts once"
    elif not weighted:
        yield "missing: the generator weight; name its column (--weight), or say that there is none (--weight 1)"
    else:
        total = source.sumw if metadata.sumw is None else metadata.sumw
        said = f"{total:g}" if isinstance(total, float) else "that of the events in the files"
        if total is None and metadata.weighted_to is None:
            said = "missing (--sumw), or these files hold all generated events (--sumw events)"
        yield f"simulation, weighted by {metadata.weight or 'genWeight'}; sum of weights: {said}"
    yield from source.notes


def _files(words: Iterable[str], server: str | None) -> list[str]:
    """Return the files that words name: paths, globs and URLs as they are, folders and lists by what is in them.

    Raises
    ------
    InputError
        If a folder or a list names no file.
    """
    found: list[str] = []
    for word in words:
        place = Path(word)
        if "://" not in word and place.is_dir():
            inside = [f"{word.rstrip('/')}/*{ending}" for ending in _ENDINGS if next(place.glob(f"*{ending}"), None)]
        elif "://" not in word and place.is_file() and place.suffix in _LISTS:
            inside = list(_listed(place, server))
        else:
            inside = [word]
        if not inside:
            msg = f"{word} names no file of events ({', '.join(_ENDINGS)})."
            raise InputError(msg)
        found += inside
    return found


def _listed(place: Path, server: str | None) -> Iterator[str]:
    """Give the files of a list, one a line, as people write it or as ``xrdfs ls`` and ``xrdfs ls -l`` do."""
    for line in place.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or words[0].startswith("#") or not words[-1].endswith(_ENDINGS):
            continue
        path = words[-1]
        if "://" in path:
            yield path
        elif server is not None:
            yield f"{server.rstrip('/')}//{path.lstrip('/')}"
        else:
            yield path if path.startswith("/") else str(place.parent / path)


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


@click.command("samples")
@click.argument("names", nargs=-1)
@manifest_option
@click.option("--workflow", type=FILE, help="Make what this workflow reads, of its own manifest.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one for each core.")
@click.option("--events", type=click.IntRange(min=1), help="Events of each dataset, instead of the manifest's.")
@click.option("--force", is_flag=True, help="Make again what is up to date; overwrite files made elsewhere.")
def samples(
    names: tuple[str, ...],
    manifest: Path,
    workflow: Path | None,
    workers: int | None,
    events: int | None,
    *,
    force: bool,
) -> None:
    """Make the simulated datasets NAMES (names or globs; by default all) that are missing.

    A file whose settings have not changed is left as it is. The same seed gives the same events with any number
    of workers.
    """
    from colonnade.execution import Progress
    from colonnade.manifest import load_manifest
    from colonnade.samples import make_samples

    if workflow is not None:
        from colonnade.workflow import load_workflow

        read = load_workflow(workflow)
        manifest, names = read.manifest, names or read.settings.datasets
    loaded = load_manifest(manifest)
    wanted = loaded.select(names or "*")
    total = sum(events or d.metadata.generate.events for d in wanted if d.metadata.generate is not None)
    # on stderr, as Pythia and fastjet print to stdout, which is closed to them while they work
    progress = Progress(Terminal(stderr=True))
    progress.begin("events", total)
    try:
        made = make_samples(
            loaded,
            [dataset.name for dataset in wanted],
            workers=workers or os.cpu_count() or 1,
            events=events,
            force=force,
            progress=lambda _, made_now: progress.advance(made_now),
        )
    finally:
        progress.end()
    _report(made)


def _report(made: list[Any]) -> None:
    columns = ("dataset", "events", "sum of weights", "made σ [pb]", "stated σ [pb]", "file")
    rows = []
    for one in made:
        metadata, note = one.dataset.metadata, one.provenance
        section = (metadata.xsec_pb or 0.0) * metadata.k_factor * metadata.filter_efficiency
        numbers = (f"{note.events:,}", f"{note.sumw:,.6g}", f"{note.cross_section_pb:.4g}", f"{section:.4g}")
        rows.append((one.dataset.name, *numbers, "up to date" if one.skipped else "made"))
    print_table("Simulated samples", columns, rows, left=("dataset", "file"))
    # pseudo-data are counted, so that a filter's efficiency means nothing
    for warning in filter(None, (one.warning for one in made if one.dataset.metadata.kind != "data")):
        say(f"Note: {warning}.")
