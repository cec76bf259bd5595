"""Reading events: what a file has, which columns an analysis touches, and those columns of an entry range."""

from __future__ import annotations

__all__ = ["inspect_file", "learn_columns", "read_events"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import awkward as ak

from colonnade.errors import InputError, MissingColumnError, nearest
from colonnade.events.assemble import Chunk, build_plan, eager_events, virtual_events
from colonnade.events.behaviors import NoSuchColumn
from colonnade.events.faults import reason, translated
from colonnade.events.files import Handle, is_remote, open_handle
from colonnade.events.readers import Raw
from colonnade.events.schemas import find_schema
from colonnade.events.source import SourceFile

#: Events that an analysis is run on to learn which columns it touches.
LEARNING_EVENTS = 1000


def inspect_file(path: str, tree: str | None = None, schema: str | None = None) -> SourceFile:
    """Open a file and tell what it holds.

    Parameters
    ----------
    path
        Local path or URL.
    tree
        The tree to read; by default the one its schema expects, or the only one.
    schema
        The schema's name; by default the one that its columns show.

    Raises
    ------
    InputError
        If the file is missing, unreadable, damaged or has no such tree.
    TransientInputError
        If its server does not answer at the moment.
    """
    handle = open_handle(str(path), tree, schema)
    reader, catalog = handle.reader, handle.catalog
    rules = find_schema(catalog.schema)
    lacking = [name for name in rules.expected if name not in catalog.columns]
    notes = (
        [f"{path} has no {', '.join(lacking)}: events can't be told apart or selected by run."]
        if lacking
        else []
    )
    with translated(f"{path}: the Runs tree can't be read", remote=is_remote(path)):
        sumw = reader.total("genEventSumw")
    return SourceFile(
        path=str(path),
        tree=handle.tree,
        entries=reader.entries,
        schema=catalog.schema,
        identity=reader.identity,
        size=reader.size,
        columns=catalog.names,
        sumw=sumw,
        notes=tuple(notes),
    )


def read_events(
    source: SourceFile,
    start: int,
    stop: int,
    columns: Sequence[str] | None,
    metadata: Mapping[str, Any],
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
        What ``events.metadata`` gives beside filename, entrystart and entrystop.

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
    handle = _open(source)
    chunk = _chunk(handle, source, start, stop)
    attrs = _attrs(source, start, stop, metadata, handle)
    if columns is None:
        return virtual_events(chunk, handle.catalog, attrs)
    key = tuple(columns)
    plan = handle.plans.get(key)
    if plan is None:
        plan = handle.plans[key] = build_plan(handle, key)
    return eager_events(chunk, plan, attrs)


def learn_columns(
    source: SourceFile, use: Callable[[ak.Array], object], metadata: Mapping[str, Any]
) -> tuple[str, ...]:
    """Find the columns that an analysis touches, by running it on a few events.

    Parameters
    ----------
    source
        A file that stands for its dataset.
    use
        The analysis.
    metadata
        As for `read_events`.

    Returns
    -------
    tuple of str
        The columns, sorted.

    Raises
    ------
    MissingColumnError
        If it asks for a column that the file does not have.
    """
    touched: set[str] = set()
    handle = _open(source)
    stop = min(source.entries, LEARNING_EVENTS)
    chunk = _chunk(handle, source, 0, stop)
    attrs = _attrs(source, 0, stop, metadata, handle)
    try:
        use(virtual_events(chunk, handle.catalog, attrs, touched.add))
    except NoSuchColumn as error:
        known = handle.catalog.names | handle.catalog.fields
        dataset = metadata.get("dataset")
        where = f"dataset {dataset}, " if dataset else ""
        msg = (
            f"{where}{source.path}, tree {source.tree}: there is no column {error.column}"
            f"{nearest(error.column, known)}, which the analysis asks for."
        )
        raise MissingColumnError(msg) from error
    return tuple(sorted(touched))


def _open(source: SourceFile) -> Handle:
    handle = open_handle(source.path, source.tree, source.schema)
    if handle.reader.identity != source.identity:
        msg = f"{source.path} is not the file that was planned with: it was replaced since; start the run again."
        raise InputError(msg)
    return handle


def _attrs(
    source: SourceFile, start: int, stop: int, metadata: Mapping[str, Any], handle: Handle
) -> dict[str, Any]:
    known = {
        **metadata,
        "filename": source.path,
        "treename": source.tree,
        "fileuuid": source.identity.partition(":")[0],
        "entrystart": start,
        "entrystop": stop,
    }
    return {"metadata": known, "@columns": handle.catalog.names}


def _chunk(handle: Handle, source: SourceFile, start: int, stop: int) -> Chunk:
    def read(names: Sequence[str]) -> Mapping[str, Raw]:
        try:
            return handle.reader.read(names, start, stop)
        except MemoryError:
            raise
        # damaged bytes make the libraries beneath raise nearly anything
        except Exception as error:
            where = f"{source.path}, tree {source.tree}, entries {start} to {stop}"
            for name in names:
                with translated(f"{where}, branch {name} can't be read", remote=is_remote(source.path)):
                    handle.reader.read([name], start, stop)
            with translated(f"{where} can't be read", remote=is_remote(source.path)):
                raise
            raise AssertionError(reason(error)) from error

    return Chunk(handle, start, stop, read)
