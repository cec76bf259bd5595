"""What a run will read: every file opened once, split into chunks, before any event is processed."""

from __future__ import annotations

__all__ = ["Chunk", "DatasetPlan", "FilePlan", "Plan", "make_plan", "split"]

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from colonnade.errors import ColonnadeError, InputError
from colonnade.events import SourceFile, inspect_file
from colonnade.execution.faults import back_off, is_transient, sentence, within
from colonnade.manifest import Dataset, Metadata

Inspect = Callable[[str, str | None, str | None], SourceFile]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of entries of one file, the unit of work.

    Attributes
    ----------
    index
        Its place among the dataset's chunks, which fixes the order of adding.
    file
        Index into the dataset's files.
    start, stop
        Entries, `stop` excluded.
    """

    index: int
    file: int
    start: int
    stop: int

    @property
    def events(self) -> int:
        """Number of events."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One file of a dataset: what opening it told, or why it can't be opened."""

    path: str
    source: SourceFile | None
    problem: str = ""


@dataclass(frozen=True)
class DatasetPlan:
    """One dataset: its files and chunks, in a fixed order."""

    name: str
    metadata: Metadata
    files: Sequence[FilePlan]
    chunks: Sequence[Chunk]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Events in the files that could be opened."""
        return sum(file.source.entries for file in self.files if file.source is not None)

    def event_metadata(self) -> dict[str, Any]:
        """Return what `events.metadata` tells the analysis about the dataset, in plain types."""
        plain: dict[str, Any] = self.metadata.model_dump(mode="json", exclude={"generate"}, exclude_none=True)
        return {**plain, **self.extra, "dataset": self.name}


@dataclass(frozen=True)
class Plan:
    """Every dataset of a run."""

    datasets: Sequence[DatasetPlan]

    @property
    def events(self) -> int:
        """Events in the files that could be opened."""
        return sum(dataset.events for dataset in self.datasets)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return sum(len(dataset.chunks) for dataset in self.datasets)


def split(entries: int, chunk_size: int) -> list[tuple[int, int]]:
    """Cut a file into ranges of nearly equal size, none above `chunk_size`.

    Examples
    --------
    >>> split(10, 4)
    [(0, 3), (3, 6), (6, 10)]
    >>> split(0, 4)
    []
    """
    count = math.ceil(entries / chunk_size)
    edges = [entries * position // count for position in range(count + 1)] if count else []
    return list(itertools.pairwise(edges))


def make_plan(
    datasets: Iterable[Dataset],
    chunk_size: int,
    *,
    schema: str | None = None,
    retries: int = 3,
    patience: float = 300.0,
    inspect: Inspect | None = None,
    threads: int = 16,
    advance: Callable[[int, int], None] | None = None,
) -> Plan:
    """Open every file once, in parallel, and split each into chunks.

    A file that can't be opened becomes part of the plan with its problem, to be written to the ledger; a
    dataset without a single usable file or event is an error.

    Parameters
    ----------
    datasets
        What to read.
    chunk_size
        The largest number of events in a chunk.
    schema
        The layout of the files, where neither the manifest nor the tree says it.
    retries
        How often a file is opened again after an error that may pass.
    patience
        Seconds after which opening is given up as stalled.
    inspect
        What opens a file; `colonnade.events.inspect_file`.
    threads
        How many files are opened at once.
    advance
        Called with the number of files opened and their total.

    Raises
    ------
    InputError
        If a dataset has no file that can be opened, or no event.
    """
    look = inspect or inspect_file
    work = [
        (dataset, path, tree, dataset.metadata.schema or schema)
        for dataset in datasets
        for path, tree in dataset.expand()
    ]

    def open_one(item: tuple[Dataset, str, str | None, str | None]) -> FilePlan:
        _, path, tree, layout = item
        return _opened(path, lambda: within(patience, path, lambda: look(path, tree, layout)), retries)

    found: dict[str, list[FilePlan]] = {}
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="colonnade-plan") as pool:
        for count, (item, file) in enumerate(zip(work, pool.map(open_one, work), strict=True), start=1):
            found.setdefault(item[0].name, []).append(file)
            if advance is not None:
                advance(count, len(work))
    plans = []
    for dataset in {item[0].name: item[0] for item in work}.values():
        files = found[dataset.name]
        _require_events(dataset, files)
        plans.append(DatasetPlan(dataset.name, dataset.metadata, files, _chunks(files, chunk_size), _extra(dataset)))
    return Plan(plans)


def _opened(path: str, look: Callable[[], SourceFile], retries: int) -> FilePlan:
    attempt = 0
    while True:
        attempt += 1
        try:
            return FilePlan(path, look())
        except (ColonnadeError, OSError) as error:
            if attempt > retries or not is_transient(error):
                return FilePlan(path, None, sentence(error))
            time.sleep(back_off(attempt))


def _require_events(dataset: Dataset, files: Sequence[FilePlan]) -> None:
    problems = [file.problem for file in files if file.source is None]
    if len(problems) == len(files):
        more = f" ({len(problems) - 1} more of its files can't be read either)" if len(problems) > 1 else ""
        msg = f"Dataset {dataset.name}: {problems[0]}{more}"
        raise InputError(msg)
    if not problems and not any(file.source.entries for file in files if file.source is not None):
        msg = f"Dataset {dataset.name} has no events: {files[0].path}{' and others' if len(files) > 1 else ''}."
        raise InputError(msg)


def _chunks(files: Sequence[FilePlan], chunk_size: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    for number, file in enumerate(files):
        if file.source is not None:
            for start, stop in split(file.source.entries, chunk_size):
                chunks.append(Chunk(len(chunks), number, start, stop))
    return chunks


def _extra(dataset: Dataset) -> dict[str, Any]:
    """Return metadata with an absolute path, as one relative to the manifest means nothing on a worker."""
    mask = dataset.luminosity_mask
    return {} if mask is None else {"luminosity_mask": str(mask)}
