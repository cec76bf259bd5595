"""What a run will read: every file opened once, split into chunks, before any event is processed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from colonnade.errors import ColonnadeError, InputError, nearest
from colonnade.events import SourceFile, inspect_file
from colonnade.events.paths import checksum
from colonnade.execution.cache import KnownFiles, stamp
from colonnade.faults import TransientInputError, persistently, sentence, within
from colonnade.manifest import Dataset, Metadata
from colonnade.manifest.datasets import triggers_before
from colonnade.manifest.strata import strata_of
from colonnade.processes import processes_of, undisturbed, worker_processes

Inspect = Callable[[str, str | None, str | None, str | None], SourceFile]
_THREADS = 16
_CORES = len(os.sched_getaffinity(0))
# above so many files that nothing is known of, processes open them
_MANY = 100


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of entries of one file, the unit of work, as a worker needs it.

    Attributes
    ----------
    dataset
        Name of the dataset.
    source
        The file, without the list of its columns, which may be a thousand.
    start, stop
        Entries, `stop` excluded.
    key
        What the result is kept under; empty: it is not kept.
    layout
        Index into the job's columns.
    """

    dataset: str
    source: SourceFile
    start: int
    stop: int
    key: str = ""
    layout: int = 0

    @property
    def events(self) -> int:
        """Number of events."""
        return self.stop - self.start

    @property
    def where(self) -> str:
        """Dataset, file and entries, for messages."""
        return f"dataset {self.dataset}, {self.source.path}, entries {self.start}-{self.stop}"


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One file of a dataset: what opening it told, or why it can't be opened."""

    path: str
    source: SourceFile | None
    problem: str = ""
    steps: tuple[tuple[int, int], ...] | None = None

    @property
    def entries(self) -> int:
        """How many of its events are wanted: all, or those of the steps that a fileset names."""
        if self.steps is not None:
            return sum(stop - start for start, stop in self.steps)
        return 0 if self.source is None else self.source.entries


@dataclass(frozen=True)
class DatasetPlan:
    """One dataset: its files and chunks, in a fixed order."""

    name: str
    metadata: Metadata
    files: Sequence[FilePlan]
    chunks: Sequence[Chunk]
    extra: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] | None = None

    @property
    def events(self) -> int:
        """Events in the files that could be opened."""
        return sum(file.entries for file in self.files if file.source is not None)

    @property
    def opened(self) -> list[SourceFile]:
        """What opening told of the files that could be opened."""
        return [file.source for file in self.files if file.source is not None]

    def event_metadata(self) -> dict[str, Any]:
        """Return what `events.metadata` tells the analysis about the dataset, in plain types."""
        if self.given is not None:
            return {**self.given, "dataset": self.name}
        plain: dict[str, Any] = self.metadata.model_dump(mode="json", exclude={"generate"}, exclude_none=True)
        return {**plain, **self.extra, "dataset": self.name}


#: every dataset of a run
Plan = Sequence[DatasetPlan]


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


@dataclass(frozen=True)
class _Wanted:
    """A file to plan with."""

    dataset: Dataset
    path: str
    #: tree, schema and weight, as the manifest and the workflow say them
    asked: tuple[str | None, str | None, str | None]


def make_plan(
    datasets: Iterable[Dataset],
    chunk_size: int,
    *,
    schema: str | None = None,
    retries: int = 3,
    patience: float = 300.0,
    memory: Path | None = None,
    inspect: Inspect = inspect_file,
    advance: Callable[[int, int], None] | None = None,
) -> list[DatasetPlan]:
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
    memory
        A folder in which to note what opening files told; one that did not change since is not opened again.
    inspect
        What opens a file.
    advance
        Called with the number of files seen and their total.

    Raises
    ------
    InputError
        If a dataset has no file that can be opened, or no event.
    """
    wanted = [
        _Wanted(dataset, path, (tree, dataset.metadata.schema or schema, dataset.metadata.weight_column))
        for dataset in datasets
        for path, tree in dataset.expand()
    ]
    names = {item.dataset.name: item.dataset for item in wanted}
    known = {name: KnownFiles(memory, (name, str(dataset.folder))) for name, dataset in names.items()}
    look = functools.partial(_opened, inspect=inspect, patience=patience, retries=retries)
    found: dict[str, list[FilePlan]] = {name: [] for name in names}
    with contextlib.closing(_seen(wanted, known, look, patience)) as seen:
        for count, (item, file) in enumerate(seen, start=1):
            found[item.dataset.name].append(_prepared(file, item.dataset))
            if advance is not None:
                advance(count, len(wanted))
    for store in known.values():
        store.save()
    strata = strata_of({name: dataset.metadata for name, dataset in names.items()})
    plans = []
    for name, dataset in names.items():
        before = triggers_before(dataset, names.values())
        chunks = list(_chunks(name, found[name], chunk_size))
        # absolute, as a path relative to the manifest means nothing on a worker
        mask = dataset.luminosity_mask
        told = {"luminosity_mask": mask and str(mask), "strata": strata.get(name), "triggers_before": list(before)}
        extra = {key: value for key, value in told.items() if value}
        plan = DatasetPlan(name, dataset.metadata, found[name], chunks, extra, dataset.given)
        _require_events(plan)
        _require_weight(plan)
        _require_triggers(plan, before)
        plans.append(plan)
    return plans


def _seen(
    wanted: Sequence[_Wanted], known: Mapping[str, KnownFiles], look: Callable[..., FilePlan], patience: float
) -> Generator[tuple[_Wanted, FilePlan]]:
    """Give each file as it is known, or as opening it tells, in the order wanted."""
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(_THREADS, thread_name_prefix="colonnade-plan"))
        # before the threads are waited for: an interruption need not wait for a server that stalls
        stack.callback(stop.set)
        # a thread each for what waits for disks and servers, in portions, as a look at a file takes
        # microseconds
        looks = threads.map(lambda items: [_stamp(item.path, patience, stop) for item in items], _batched(wanted))
        marked = list(zip(wanted, itertools.chain.from_iterable(looks), strict=True))
        sources = [known[item.dataset.name].get(item.path, item.asked, mark) for item, mark in marked]
        unknown = [item for item, source in zip(wanted, sources, strict=True) if source is None]
        opener: Executor = threads
        if len(unknown) > _MANY and _CORES > 1:
            # opening is Python's work more than the disk's
            opener = stack.enter_context(processes_of(_CORES, context=worker_processes()))
        else:
            look = functools.partial(look, stop=stop)
        parts = zip(*((item.path, *item.asked) for item in unknown), strict=True)
        with undisturbed():
            opened = opener.map(look, *parts, chunksize=8)
        for (item, mark), source in zip(marked, sources, strict=True):
            if source is not None:
                yield item, FilePlan(item.path, source)
                continue
            file = next(opened)
            if file.source is not None:
                known[item.dataset.name].put(file.source, item.asked, mark)
            yield item, file


def _batched(wanted: Sequence[_Wanted]) -> Iterator[Sequence[_Wanted]]:
    size = max(1, min(100, len(wanted) // (4 * _THREADS)))
    return (wanted[start : start + size] for start in range(0, len(wanted), size))


def _stamp(path: str, patience: float, stop: threading.Event) -> list[Any] | None:
    if "://" not in path:
        return stamp(path)
    try:
        return within(patience, path, lambda: stamp(path), stop)
    except TransientInputError:  # it will be opened, and that will say why it can't be
        return None


def _opened(
    path: str,
    tree: str | None,
    schema: str | None,
    weight: str | None,
    *,
    inspect: Inspect,
    patience: float,
    retries: int,
    stop: threading.Event | None = None,
) -> FilePlan:
    try:
        source = persistently(patience, path, lambda: inspect(path, tree, schema, weight), retries, stop)
    except (ColonnadeError, OSError) as error:
        return FilePlan(path, None, sentence(error))
    return FilePlan(path, source)


def _require_events(plan: DatasetPlan) -> None:
    problems = [file.problem for file in plan.files if file.source is None]
    if len(problems) == len(plan.files):
        more = f" ({len(problems) - 1} more of its files can't be read either)" if len(problems) > 1 else ""
        msg = f"Dataset {plan.name}: {problems[0]}{more}"
        raise InputError(msg)
    if not problems and not plan.events:
        more = " and others" if len(plan.files) > 1 else ""
        msg = f"Dataset {plan.name} has no events: {plan.files[0].path}{more}."
        raise InputError(msg)


def _require_weight(plan: DatasetPlan) -> None:
    """Refuse to count simulated events whose weights can't be found, unless they are worth a luminosity as they are."""
    about = plan.metadata
    if about.kind == "data" or about.weight is not None or about.weighted_to is not None:
        return
    for source in plan.opened:
        if source.entries and "genWeight" not in source.columns:
            msg = (
                f"Dataset {plan.name}: {source.path} has no generator weight (genWeight), so what its events stand "
                'for is not known; name the column in the manifest ("weight": "EventWeight"), or say that each event '
                'counts once ("weight": "1").'
            )
            raise InputError(msg)


def require_known_weights(plan: DatasetPlan) -> None:
    """Refuse simulated events of which it is not known what they stand for.

    These are events with generator weights of which the manifest says that each counts once, and such that may be what
    a skim left, where nothing tells the sum of what was generated. Events without generator weights each count once,
    as the manifest says, and stand for themselves.

    Raises
    ------
    InputError
        Naming the dataset, and what to write into the manifest.
    """
    about, weighted = plan.metadata, [source for source in plan.opened if "genWeight" in source.columns]
    if about.weight == "1" and weighted:
        msg = (
            f"Dataset {plan.name}: {weighted[0].path} has generator weights (genWeight), by which events count, but "
            'the manifest says that each event counts once ("weight": "1"); leave "weight" away.'
        )
        raise InputError(msg)
    told = about.sumw is not None or about.weighted_to is not None or any(each.sumw is not None for each in plan.opened)
    if weighted and not told:
        msg = (
            f"Dataset {plan.name}: neither Runs trees of its files nor the manifest tell the sum of the weights of all "
            'generated events, by which the sample is normalised; give it in the manifest ("sumw": 1.5e6), or say that '
            'the files hold all of these events ("sumw": "events").'
        )
        raise InputError(msg)


def _require_triggers(plan: DatasetPlan, before: Mapping[str, str]) -> None:
    """Refuse data that can't be told from another dataset's; one file of many may lack a trigger that began later."""
    known: frozenset[str] = frozenset().union(*(source.columns for source in plan.opened))
    for trigger in (*plan.metadata.triggers, *before):
        if trigger not in known:
            of = f", of which the dataset {before[trigger]} takes events first" if trigger in before else ""
            msg = f"Dataset {plan.name}: none of its files has the trigger {trigger}{of}{nearest(trigger, known)}."
            raise InputError(msg)


def _chunks(dataset: str, files: Sequence[FilePlan], chunk_size: int) -> Iterator[Chunk]:
    for file in files:
        if file.source is not None:
            source = replace(file.source, columns=frozenset(), notes=())
            for first, last in file.steps or ((0, file.entries),):
                for start, stop in split(last - first, chunk_size):
                    yield Chunk(dataset, source, first + start, first + stop)


def _prepared(file: FilePlan, dataset: Dataset) -> FilePlan:
    """Return a file with the steps that a fileset names; one that is not the file it was made of is refused."""
    about, source = dataset.prepared_files.get(file.path), file.source
    if about is None or source is None:
        return file
    for key, found in (("num_entries", source.entries), ("uuid", source.identity.partition(":")[0])):
        if key in about and str(about[key]) != str(found):
            msg = (
                f"Dataset {dataset.name}: the fileset says {key} = {about[key]} of {file.path}, which has {found}; "
                "the file was replaced, so prepare the fileset again."
            )
            raise InputError(msg)
    for kind in ("adler32", "sha256"):
        if kind in about and (found := checksum(file.path, kind)) != str(about[kind]).lower():
            msg = f"{file.path} has the {kind} {found}, not {about[kind]} as the manifest says; copy it again."
            return FilePlan(file.path, None, msg)
    if "steps" not in about:
        return file
    steps = tuple(sorted((int(start), int(stop)) for start, stop in about["steps"]))
    apart = all(one[1] <= other[0] for one, other in itertools.pairwise(steps))
    inside = all(0 <= start < stop <= source.entries for start, stop in steps)
    if not (steps and apart and inside):
        msg = (
            f"Dataset {dataset.name}: the steps of {file.path} overlap, are empty or go beyond its {source.entries} "
            "entries; prepare the fileset again."
        )
        raise InputError(msg)
    return replace(file, steps=steps)
