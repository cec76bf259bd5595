"""Giving chunks to a pool, adding what comes back in the fixed order, trying again what may pass."""

from __future__ import annotations

__all__ = ["Outcome", "drive"]

import heapq
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

from colonnade.errors import ColonnadeError, EventError
from colonnade.execution.faults import ChunkError, back_off, sentence
from colonnade.execution.ledger import Loss
from colonnade.execution.merging import Addition, MergeTree
from colonnade.execution.plan import Chunk, Plan
from colonnade.execution.pools import Done, Pool
from colonnade.execution.progress import Progress
from colonnade.execution.work import Task

# how often a dataset's sum may be made anew when workers that held parts of it are lost
_RESTARTS = 5


@dataclass(frozen=True)
class Outcome:
    """What became of one dataset: its merged result (None: nothing) and what is lost."""

    result: Any
    losses: tuple[Loss, ...]
    events: int
    sumw: float


@dataclass(frozen=True)
class _Item:
    """A chunk of a dataset on its way through a pool; `round` counts the restarts of the dataset's sum."""

    dataset: int
    chunk: int
    round: int


@dataclass(frozen=True)
class _Step:
    """An addition on its way through a pool."""

    dataset: int
    addition: Addition
    round: int


class _DatasetWork:
    """One dataset in the making."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.tree = MergeTree(chunks)
        self.round = 0
        self.lost: dict[int, str] = {}
        self.counted: set[int] = set()

    def restart(self) -> None:
        self.tree = MergeTree(self.chunks)
        self.round += 1
        self.lost.clear()


class _Driver:
    """The state of one run."""

    def __init__(
        self,
        pool: Pool,
        plan: Plan,
        layouts: Mapping[tuple[int, int], int],
        retries: int,
        progress: Progress,
    ) -> None:
        self.pool, self.plan, self.layouts, self.retries, self.progress = pool, plan, layouts, retries, progress
        self.work = [_DatasetWork(len(dataset.chunks)) for dataset in plan.datasets]
        self.queue: deque[_Item] = deque(
            _Item(place, chunk, 0) for place, work in enumerate(self.work) for chunk in range(work.chunks)
        )
        self.later: list[tuple[float, int, _Item]] = []
        self.attempts: dict[tuple[int, int], int] = {}
        self.suspects: deque[_Item] = deque()
        self.flying: set[_Item] = set()
        self.adding = 0
        self.results: dict[int, Any] = {}
        self.sources = [
            [None if file.source is None else file.source for file in dataset.files] for dataset in plan.datasets
        ]
        self._slim()

    def _slim(self) -> None:
        """A task needs no list of the thousand columns a file has."""
        for sources in self.sources:
            for number, source in enumerate(sources):
                if source is not None:
                    sources[number] = replace(source, columns=frozenset())

    def run(self) -> None:
        while len(self.results) < len(self.work):
            self._submit()
            timeout = 0.5
            if self.later and not self.flying and not self.adding:
                timeout = max(0.0, min(timeout, self.later[0][0] - time.monotonic()))
            for done in self.pool.completed(timeout):
                if isinstance(done.tag, _Step):
                    self._added(done.tag, done)
                else:
                    self._processed(done.tag, done)  # type: ignore[arg-type]  # the only other tag
            self._gather()

    def _submit(self) -> None:
        """Keep the workers busy, and no more: what waits in the pool is out of our hands and in its memory."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            self.queue.appendleft(heapq.heappop(self.later)[2])
        if self.suspects:
            # one of these killed a process: alone, it is known by its deed
            if not self.flying:
                self._start(self.suspects.popleft())
            return
        window = 2 * self.pool.workers + 2
        while self.queue and len(self.flying) < window:
            self._start(self.queue.popleft())

    def _start(self, item: _Item) -> None:
        if item.round != self.work[item.dataset].round:
            return
        dataset = self.plan.datasets[item.dataset]
        chunk = dataset.chunks[item.chunk]
        source = self.sources[item.dataset][chunk.file]
        assert source is not None  # noqa: S101 - chunks are made of files that were opened
        task = Task(dataset.name, source, chunk.start, chunk.stop, self.layouts[item.dataset, chunk.file])
        self.flying.add(item)
        self.pool.process(item, task)

    def _processed(self, item: _Item, done: Done) -> None:
        alone = len(self.flying) == 1 and not self.queue
        self.flying.discard(item)
        work = self.work[item.dataset]
        if item.round != work.round:
            return
        if done.error is None:
            self._count(item)
            self._add(item.dataset, work.tree.offer(item.chunk, done.handle))
        else:
            self._failed(item, done.error, alone=alone)

    def _count(self, item: _Item) -> None:
        work = self.work[item.dataset]
        if item.chunk not in work.counted:
            work.counted.add(item.chunk)
            self.progress.advance(self._chunk(item).events)

    def _chunk(self, item: _Item) -> Chunk:
        return self.plan.datasets[item.dataset].chunks[item.chunk]

    def _failed(self, item: _Item, error: BaseException, *, alone: bool) -> None:
        fault = _fault(error)
        if isinstance(error, BrokenProcessPool) and not alone:
            self.suspects.append(item)
            return
        if not fault.transient and not fault.of_input:
            raise EventError(fault.reason) from error
        place = item.dataset, item.chunk
        self.attempts[place] = attempt = self.attempts.get(place, 0) + 1
        if fault.transient and attempt <= self.retries:
            if isinstance(error, BrokenProcessPool):
                self.suspects.append(item)
                return
            heapq.heappush(self.later, (time.monotonic() + back_off(attempt), item.chunk, item))
            return
        reason = fault.reason
        if fault.transient and attempt > 1:
            reason = f"{reason.rstrip('.')} (tried {attempt} times)."
        self._lose(item, reason)

    def _lose(self, item: _Item, reason: str) -> None:
        work, chunk = self.work[item.dataset], self._chunk(item)
        dataset = self.plan.datasets[item.dataset]
        work.lost[item.chunk] = reason
        if item.chunk not in work.counted:
            work.counted.add(item.chunk)
            self.progress.advance(0, lost=chunk.events)
            path = dataset.files[chunk.file].path
            self.progress.say(f"Lost: dataset {dataset.name}, {path}, entries {chunk.start}-{chunk.stop}: {reason}")
        self._add(item.dataset, work.tree.skip(item.chunk))

    def _add(self, dataset: int, additions: Sequence[Addition]) -> None:
        for addition in additions:
            self.adding += 1
            self.pool.fold(_Step(dataset, addition, self.work[dataset].round), addition.total, addition.parts)

    def _added(self, step: _Step, done: Done) -> None:
        self.adding -= 1
        work = self.work[step.dataset]
        if step.round != work.round:
            return
        if done.error is None:
            self._add(step.dataset, work.tree.added(step.addition, done.handle))
        elif isinstance(done.error, ColonnadeError):
            raise done.error
        else:
            self._restart(step.dataset, done.error)

    def _restart(self, dataset: int, error: BaseException) -> None:
        """Make a dataset's sum anew: workers that held parts of it are gone and the parts can't be made again there."""
        work = self.work[dataset]
        if work.round >= _RESTARTS:
            fault = _fault(error)
            msg = f"Dataset {self.plan.datasets[dataset].name}: its results can't be added: {fault.reason}"
            raise EventError(msg) from error
        work.restart()
        self.queue.extend(_Item(dataset, chunk, work.round) for chunk in range(work.chunks))

    def _gather(self) -> None:
        for place, work in enumerate(self.work):
            if work.tree.finished and place not in self.results:
                try:
                    self.results[place] = None if work.tree.root is None else self.pool.fetch(work.tree.root)
                except Exception as error:  # noqa: BLE001 - a lost worker raises many kinds
                    self._restart(place, error)
                work.tree.root = None

    def outcome(self, place: int) -> Outcome:
        dataset, work, result = self.plan.datasets[place], self.work[place], self.results[place]
        losses = []
        for number in sorted(work.lost):
            chunk = dataset.chunks[number]
            losses.append(Loss(dataset.files[chunk.file].path, chunk.start, chunk.stop, work.lost[number]))
        events = 0 if result is None else int(result["events"])
        return Outcome(result, tuple(losses), events, 0.0 if result is None else float(result["sumw"]))


def _fault(error: BaseException) -> ChunkError:
    """Return any error of a task as what stopped a chunk."""
    if isinstance(error, ChunkError):
        return error
    if isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker":
        reason = "The worker process died while it worked on these events; it was killed, or ran out of memory."
        return ChunkError(reason, transient=True, of_input=True)
    return ChunkError(sentence(error), transient=True, of_input=True)


def drive(
    pool: Pool,
    plan: Plan,
    layouts: Mapping[tuple[int, int], int],
    retries: int,
    progress: Progress,
) -> list[Outcome]:
    """Have every chunk of a plan processed and added.

    Parameters
    ----------
    pool
        Who works; it has taken in the job.
    plan
        What to do.
    layouts
        (dataset, file) to index into the job's columns.
    retries
        How often a chunk is tried again after an error that may pass.
    progress
        What is told meanwhile.

    Raises
    ------
    EventError
        If the analysis fails, or returns what does not add.
    """
    driver = _Driver(pool, plan, layouts, retries, progress)
    driver.run()
    return [driver.outcome(place) for place in range(len(plan.datasets))]
