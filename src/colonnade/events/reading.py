"""Reading events: what a file has, which columns an analysis touches, and those columns of an entry range."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

import awkward as ak

from colonnade.errors import ColonnadeError, InputError, MissingColumnError
from colonnade.events.behaviors import NoSuchColumnError, UnlearnedColumnError, missing_sentence
from colonnade.events.catalog import ingredients
from colonnade.events.chunk import (
    EntryRange,
    Plan,
    build_plan,
    make_events,
)
from colonnade.events.files import Handle, forget_handle, open_handle, open_known
from colonnade.events.kept import KeptColumns, KnownPlaces
from colonnade.events.paths import is_remote
from colonnade.events.schemas import find_schema
from colonnade.events.source import Raw, SourceFile, named
from colonnade.faults import is_transient, translated

T = TypeVar("T")

#: Events that an analysis is run on to learn which columns it touches.
LEARNING_EVENTS = 1000
#: Where the sum of the generator's weights of all events that were made is kept, newest name first.
_SUMW = ("genEventSumw", "genEventSumw_")


def inspect_file(
    path: str, tree: str | None = None, schema: str | None = None, weight: str | None = None
) -> SourceFile:
    """Open a file and tell what it holds.

    Parameters
    ----------
    path
        Local path or URL.
    tree
        The tree to read; by default the one its schema expects, or the only one.
    schema
        The schema's name; by default the one that its columns show.
    weight
        The source column to read as ``genWeight``; by default the one that the schema knows.

    Raises
    ------
    InputError
        If the file is missing, unreadable, damaged or has no such tree.
    TransientInputError
        If its server does not answer at the moment.
    ConfigError
        If there is no such schema.
    """
    path = str(path)
    handle = open_handle(path, tree, schema, weight)
    reader, catalog = handle.reader, handle.catalog
    with translated(f"{path}: the Runs tree can't be read", remote=is_remote(path)):
        totals = [total for name in _SUMW if (total := reader.total(name)) is not None]
    return SourceFile(
        path=path,
        tree=handle.tree,
        entries=reader.entries,
        schema=catalog.schema,
        identity=handle.identity,
        size=reader.size,
        columns=catalog.names,
        sumw=totals[0] if totals else None,
        weight=weight,
        notes=_notes(handle),
    )


def read_events(
    source: SourceFile,
    start: int,
    stop: int,
    columns: Sequence[str] | None,
    metadata: Mapping[str, Any],
    *,
    threads: int = 1,
    kept: KeptColumns | None = None,
    places: KnownPlaces | None = None,
) -> ak.Array:
    """Read events of one file.

    Parameters
    ----------
    source
        The file, as `inspect_file` saw it.
    start, stop
        The entry range, stop exclusive.
    columns
        The canonical columns to read, all in one go; None for events whose every column is read when it is
        touched, which is right for anything and slower.
    metadata
        What ``events.metadata`` gives beside filename, treename, fileuuid, entrystart and entrystop.
    threads
        How many columns are unpacked at a time, for cores that have nothing else to do.
    kept
        Where unpacked columns are kept, if they are.
    places
        Where it is kept what was found in the headers of trees, if it is.

    Returns
    -------
    ak.Array
        stop - start records; momenta in GeV, angles in radians.

    Raises
    ------
    InputError
        If the file can't be read, or is not the one that was inspected.
    MissingColumnError
        If it does not have one of the columns.
    TransientInputError
        If its server does not answer at the moment.
    """
    handle = open_source(source, columns, places)
    chunk = _chunk(handle, source, start, stop, threads, kept)
    if find_schema(source.schema).coffea:
        from colonnade.events.nanoevents import events_of_coffea

        return events_of_coffea(source, start, stop, columns or (), metadata, chunk, threads=threads)
    attrs = _attrs(source, start, stop, metadata, handle)
    return make_events(chunk, _plan(handle, None if columns is None else tuple(columns), attrs["metadata"]), attrs)


def learn_columns(
    source: SourceFile,
    use: Callable[[ak.Array], object],
    metadata: Mapping[str, Any],
    places: KnownPlaces | None = None,
) -> tuple[str, ...]:
    """Find the columns that an analysis touches, by running it on a few events.

    Parameters
    ----------
    source
        A file that stands for its dataset.
    use
        The analysis.
    metadata, places
        As for `read_events`.

    Returns
    -------
    tuple of str
        The columns, sorted.

    Raises
    ------
    MissingColumnError
        If it asks for a column that the file does not have.
    InputError, TransientInputError
        As from `read_events`.
    """
    touched: set[str] = set()
    handle = open_source(source, sorted(source.columns), places)
    stop = min(source.entries, LEARNING_EVENTS)
    chunk = _chunk(handle, source, 0, stop)
    if find_schema(source.schema).coffea:
        from colonnade.events.nanoevents import events_of_coffea, touched_branches

        noted: list[Any] = []
        _materialize(use(events_of_coffea(source, 0, stop, (), metadata, chunk, touched=noted)))
        return touched_branches(noted)
    attrs = {**_attrs(source, 0, stop, metadata, handle), "@learning": True}
    try:
        _materialize(use(make_events(chunk, _plan(handle, None, metadata), attrs, touched.add)))
    except NoSuchColumnError as error:
        raise MissingColumnError(str(error)) from error
    return _needed(handle, touched)


def use_events(
    use: Callable[[ak.Array], T],
    source: SourceFile,
    start: int,
    stop: int,
    columns: Sequence[str] | None,
    metadata: Mapping[str, Any],
    *,
    threads: int = 1,
) -> T:
    """Read events with the learned columns and use them; where those don't suffice, with whatever it takes.

    What an analysis touches may depend on the data: a rare event may need a column that the events it was
    learned from did not. Then the same events are read again, each column when it is touched. An error of the
    analysis itself comes up either way.

    Parameters
    ----------
    use
        The analysis. It may be called twice.
    source, start, stop, columns, metadata, threads
        As for `read_events`.

    Raises
    ------
    MissingColumnError
        If it asks for a column that the file does not have.
    """
    try:
        if columns is not None:
            events = read_events(source, start, stop, columns, metadata, threads=threads)
            try:
                return use(events)
            # a missing column shows in many ways: as itself, as a vector without one of its coordinates, ...
            except Exception as error:
                if isinstance(error, ColonnadeError) and not isinstance(error, UnlearnedColumnError):
                    raise
        return use(read_events(source, start, stop, None, metadata, threads=threads))
    except NoSuchColumnError as error:
        raise MissingColumnError(str(error)) from error


def _materialize(result: object) -> None:
    """Touch what an analysis returns: an array that is a mere selection has not been read until then."""
    if isinstance(result, ak.Array):
        ak.materialize(result)
    elif isinstance(result, Mapping):
        for value in result.values():
            _materialize(value)
    elif isinstance(result, (list, tuple, set)):
        for value in result:
            _materialize(value)


def _needed(handle: Handle, touched: set[str]) -> tuple[str, ...]:
    """Return the columns to read, from what was touched; a group's counter only if nothing else tells it."""
    columns = {name for name in touched if not name.endswith(":")}
    catalog = handle.catalog
    counted = {catalog.columns[name].group for name in columns if catalog.columns[name].source is not None}
    made = {name: column.made for name, column in catalog.columns.items() if column.made}
    for name in columns & made.keys():
        columns |= ingredients(name, made)
    for name in touched:
        group = name.removesuffix(":")
        if name.endswith(":") and group not in counted:
            columns.add(f"n{group}")
    return tuple(sorted(columns))


def _notes(handle: Handle) -> tuple[str, ...]:
    """Say what a user should know of a file that can be read."""
    expected = find_schema(handle.catalog.schema).expected
    lacking = [name for name in expected if name not in handle.catalog.columns]
    notes = list(handle.notes)
    if lacking:
        notes.append(f"{handle.path} has no {', '.join(lacking)}: its events can't be told apart or selected by run.")
    if handle.catalog.twice:
        notes.append(
            f"{handle.path} has two columns for {', '.join(handle.catalog.twice[:8])}: the first is read; "
            "schema flat gives all of them under their own names."
        )
    return tuple(notes)


def open_source(source: SourceFile, columns: Sequence[str] | None = None, places: KnownPlaces | None = None) -> Handle:
    """Open a file that was inspected, or return it where this process has it open already.

    Raises
    ------
    InputError
        If it is not the file that was inspected.
    """
    if columns is None or places is None:
        handle = open_handle(source.path, source.tree or None, source.schema, source.weight)
    else:
        handle = open_known(source, columns, places)
    if handle.identity != source.identity:
        msg = f"{source.path} is not the file that was planned with: it was replaced; start the run again."
        raise InputError(msg)
    return handle


def _plan(handle: Handle, columns: tuple[str, ...] | None, metadata: Mapping[str, Any]) -> Plan:
    """Return how columns are read, or None of them before it is touched."""
    if columns not in handle.plans:
        for name in columns or ():
            if name not in handle.catalog.columns:
                raise MissingColumnError(missing_sentence(metadata, name, handle.catalog.known))
        with translated(f"{named(handle.path, handle.tree)} can't be read", remote=is_remote(handle.path)):
            handle.plans[columns] = build_plan(handle.catalog, handle.reader, columns)
    plan: Plan = handle.plans[columns]
    return plan


def known_metadata(source: SourceFile, start: int, stop: int, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``events.metadata`` of an entry range gives."""
    return {
        **metadata,
        "filename": source.path,
        "treename": source.tree,
        "fileuuid": source.identity.partition(":")[0],
        "entrystart": start,
        "entrystop": stop,
    }


def _attrs(source: SourceFile, start: int, stop: int, metadata: Mapping[str, Any], handle: Handle) -> dict[str, Any]:
    known = known_metadata(source, start, stop, metadata)
    # what starts with @ stays behind when events are pickled
    return {"metadata": known, "@catalog": handle.catalog, "@title": functools.partial(_title, handle)}


def _title(handle: Handle, group: str) -> str | None:
    """Return what a ROOT file says of a collection, in the title of its counter."""
    file = handle.reader.file
    if file is None:
        return None
    counter = file.uproot[handle.tree].get(f"n{group}", None)
    return getattr(counter, "title", None)


@functools.lru_cache(maxsize=2)
def _executor(threads: int) -> Executor | None:
    return ThreadPoolExecutor(threads, thread_name_prefix="unpack") if threads > 1 else None


def branches_of(
    handle: Handle, source: SourceFile, start: int, stop: int, threads: int = 1
) -> Callable[[Sequence[str], Collection[str]], Mapping[str, Raw]]:
    """Return what reads source columns of an entry range as they are in the file, some of them without offsets.

    Raises
    ------
    InputError
        If the file does not hold the range; and, when columns are read, if one can't be, naming it.
    """
    where = _place(source, start, stop)
    if not 0 <= start <= stop <= source.entries:
        msg = f"{where}: this tree has {source.entries} entries."
        raise InputError(msg)
    remote = is_remote(source.path)

    def read(names: Sequence[str], without_offsets: Collection[str]) -> Mapping[str, Raw]:
        try:
            return handle.reader.read(names, start, stop, without_offsets=without_offsets, executor=_executor(threads))
        except MemoryError:
            raise
        # damaged bytes make the libraries beneath raise nearly anything
        except Exception as error:
            if is_transient(error, remote=remote):
                forget_handle(source.path)
            else:
                # one by one, to name the one at fault
                for name in names if not isinstance(error, RecursionError) else ():
                    with translated(f"{where}, branch {name} can't be read", remote=remote):
                        handle.reader.read([name], start, stop)
            with translated(f"{where} can't be read", remote=remote):
                raise

    return read


def _chunk(
    handle: Handle, source: SourceFile, start: int, stop: int, threads: int = 1, kept: KeptColumns | None = None
) -> EntryRange:
    read = branches_of(handle, source, start, stop, threads)
    place = f"{source.identity}|{source.size}|{source.tree}|{start}|{stop}"
    where = _place(source, start, stop)
    return EntryRange(handle.catalog, stop - start, read if kept is None else kept.through(read, place), where)


def _place(source: SourceFile, start: int, stop: int) -> str:
    return f"{named(source.path, source.tree)}, entries {start} to {stop}"
