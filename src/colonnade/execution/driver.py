"""Giving chunks to a pool, adding what comes back in the fixed order, trying again what may pass.

Neighbouring chunks that take little time are done in one task and added there: a worker then has one result
to hand on, and whoever gives out the tasks has that many fewer. Which chunks those can be is part of the order
of adding, so it makes no difference to the bits whether they were.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from typing import Any

from colonnade.errors import ColonnadeError, EventError
from colonnade.execution.ledger import Loss, Outcome
from colonnade.execution.merging import GROUP, Addition, MergeTree
from colonnade.execution.plan import DatasetPlan
from colonnade.execution.pools import Done, Pool
from colonnade.execution.progress import Progress
from colonnade.execution.work import ChunkError
from colonnade.faults import back_off, sentence

# how often a dataset's sum may be made anew when workers that held parts of it are lost
_RESTARTS = 5
# how long a group may take, in seconds, as progress should be seen, and little be done twice when a chunk fails; and
# how long before the end there are none, as one worker would be left with its group when the others are done
_LONG = 4.0
# from how many chunks a second on all are given out in groups, as giving them out is what takes the time
_MANY = 50.0


@dataclass(frozen=True)
class _Item:
    """Chunks of a dataset on their way through a pool: one, or a group; `turn` counts the restarts of its sum."""

    dataset: int
    chunks: range
    turn: int

    def singly(self) -> list[_Item]:
        return [replace(self, chunks=range(chunk, chunk + 1)) for chunk in self.chunks]


@dataclass(frozen=True)
class _Step:
    """An addition on its way through a pool."""

    dataset: int
    addition: Addition
    turn: int


@dataclass
class _DatasetWork:
    """One dataset in the making."""

    plan: DatasetPlan
    turn: int = 0
    lost: dict[int, str] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tree = MergeTree(len(self.plan.chunks))

    def groups(self, place: int) -> list[_Item]:
        count = len(self.plan.chunks)
        return [_Item(place, range(first, min(first + GROUP, count)), self.turn) for first in range(0, count, GROUP)]

    def outcome(self, result: Any) -> Outcome:
        lost = [(self.plan.chunks[number], reason) for number, reason in sorted(self.lost.items())]
        return Outcome(result, tuple(Loss(each.source.path, each.start, each.stop, reason) for each, reason in lost))


class _Driver:
    """The state of one run."""

    def __init__(self, pool: Pool, plans: Sequence[DatasetPlan], retries: int, progress: Progress) -> None:
        self.pool, self.retries, self.progress = pool, retries, progress
        self.work = [_DatasetWork(plan) for plan in plans]
        self.queue: deque[_Item] = deque()
        self.queued = 0  # chunks in the queue
        for place, work in enumerate(self.work):
            self._enqueue(work.groups(place))
        self.started, self.done = time.monotonic(), 0
        self.later: list[tuple[float, int, int, _Item]] = []
        self.attempts: dict[tuple[int, int], int] = {}
        self.suspects: deque[_Item] = deque()
        self.alone: _Item | None = None
        self.flying: set[_Item] = set()
        self.adding = 0
        self.results: dict[int, Any] = {}

    def run(self) -> list[Outcome]:
        self._gather()  # a dataset without chunks is done
        while len(self.results) < len(self.work):
            self._submit()
            timeout = 0.5
            if self.later and not self.flying and not self.adding:
                timeout = max(0.0, min(timeout, self.later[0][0] - time.monotonic()))
            for done in self.pool.completed(timeout):
                if isinstance(done.tag, _Step):
                    self._added(done.tag, done)
                elif isinstance(done.tag, _Item):
                    self._processed(done.tag, done)
            self._gather()
        return [work.outcome(self.results[place]) for place, work in enumerate(self.work)]

    def _submit(self) -> None:
        """Keep the workers busy, and no more: what waits in the pool takes its memory."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            self._enqueue([heapq.heappop(self.later)[3]], first=True)
        if self.suspects or self.alone is not None:
            # one of these killed a process; each is tried alone, so that the one is known
            if not self.flying:
                self.alone = self.suspects.popleft()
                self._start(self.alone)
            return
        window = 2 * self.pool.workers + 2
        # results that are made faster than added would pile up
        room = 2 * window - sum(work.tree.loose for work in self.work)
        while self.queue and len(self.flying) < min(window, room):
            self._start(self._next())
        if self.queue and not self.flying and not self.adding:
            self._start(self._next())  # what is loose waits for it

    def _enqueue(self, items: Sequence[_Item], *, first: bool = False) -> None:
        if first:
            self.queue.extendleft(reversed(items))
        else:
            self.queue.extend(items)
        self.queued += sum(len(item.chunks) for item in items)

    def _next(self) -> _Item:
        """Take a group off the queue, or one chunk where chunks take long or workers would be idle at the end."""
        item = self.queue.popleft()
        elapsed, done = time.monotonic() - self.started, self.done
        all_at_once = GROUP * self.pool.workers  # chunks, if each worker had a group
        long = all_at_once * elapsed >= done * _LONG and done <= elapsed * _MANY
        few = self.queued * elapsed < min(all_at_once * elapsed, done * _LONG)
        if len(item.chunks) > 1 and (long or few):
            item, *others = item.singly()
            self.queue.extendleft(reversed(others))
        self.queued -= len(item.chunks)
        return item

    def _start(self, item: _Item) -> None:
        work = self.work[item.dataset]
        if item.turn == work.turn:
            self.flying.add(item)
            self.pool.process(item, [work.plan.chunks[chunk] for chunk in item.chunks])
        elif item is self.alone:
            self.alone = None

    def _processed(self, item: _Item, done: Done) -> None:
        self.flying.discard(item)
        alone = item is self.alone
        if alone:
            self.alone = None
        work = self.work[item.dataset]
        if item.turn != work.turn:
            return
        if done.error is not None:
            self._failed(item, done.error, alone=alone)
            return
        self.done += len(item.chunks)
        for chunk in item.chunks:
            if chunk not in work.shown:
                work.shown.add(chunk)
                self.progress.advance(work.plan.chunks[chunk].events)
        if len(item.chunks) == 1:
            additions = work.tree.offer(item.chunks.start, done.handle)
        else:
            additions = work.tree.offer_group(item.chunks.start // GROUP, done.handle)
        self._add(item.dataset, additions)

    def _failed(self, item: _Item, error: BaseException, *, alone: bool) -> None:
        died = isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"
        if died and not alone:
            self.suspects.append(item)
            return
        if len(item.chunks) > 1:
            others = item.singly()
            if died:
                self.suspects.extend(others)
                return
            if not isinstance(error, ChunkError):  # which of them it was is not known
                self._enqueue(others, first=True)
                return
            item = others.pop(error.place)
            self._enqueue(others, first=True)
        fault = _fault(error, died=died)
        if not fault.transient and not fault.of_input:
            raise EventError(fault.reason) from error
        chunk = item.chunks.start
        place = item.dataset, chunk
        self.attempts[place] = attempt = self.attempts.get(place, 0) + 1
        # a worker that died of a chunk when it had nothing else to do will do so again
        retries = min(self.retries, 1) if died else self.retries
        if fault.transient and attempt <= retries:
            if died:
                self.suspects.append(item)
            else:
                due = time.monotonic() + back_off(attempt)
                heapq.heappush(self.later, (due, item.dataset, chunk, item))
            return
        reason = fault.reason
        if fault.transient and attempt > 1:
            reason = f"{reason.rstrip('.')} (tried {attempt} times)."
        self._lose(item.dataset, chunk, reason)

    def _lose(self, dataset: int, number: int, reason: str) -> None:
        work = self.work[dataset]
        chunk = work.plan.chunks[number]
        work.lost[number] = reason
        if number not in work.shown:
            work.shown.add(number)
            self.progress.advance(0, lost=chunk.events)
            self.progress.say(f"Lost: {chunk.where}: {reason}")
        self._add(dataset, work.tree.skip(number))

    def _add(self, dataset: int, additions: Sequence[Addition]) -> None:
        for addition in additions:
            self.adding += 1
            step = _Step(dataset, addition, self.work[dataset].turn)
            self.pool.fold(step, addition.total, addition.parts)

    def _added(self, step: _Step, done: Done) -> None:
        self.adding -= 1
        work = self.work[step.dataset]
        if step.turn != work.turn:
            return
        if done.error is None:
            self._add(step.dataset, work.tree.added(step.addition, done.handle))
        elif isinstance(done.error, ColonnadeError):
            raise done.error
        else:
            self._restart(step.dataset, done.error)

    def _restart(self, dataset: int, error: BaseException) -> None:
        """Make a dataset's sum anew.

        Workers that held parts of it are gone, and the parts can't be made again there: their input is, too.
        """
        work = self.work[dataset]
        if work.turn >= _RESTARTS:
            msg = f"Dataset {work.plan.name}: its results can't be added: {sentence(error)}"
            raise EventError(msg) from error
        self.work[dataset] = work = replace(work, turn=work.turn + 1, lost={})
        self._enqueue(work.groups(dataset))

    def _gather(self) -> None:
        for place, work in enumerate(self.work):
            if work.tree.finished and place not in self.results:
                root, work.tree.root = work.tree.root, None
                try:
                    self.results[place] = None if root is None else self.pool.fetch(root)
                except ColonnadeError:
                    raise
                except Exception as error:
                    self._restart(place, error)


def _fault(error: BaseException, *, died: bool) -> ChunkError:
    """Return any error of a task as what stopped a chunk."""
    if isinstance(error, ChunkError):
        return error
    if died:
        reason = "The worker process died each time it worked on these events; it was killed or ran out of memory."
        return ChunkError(reason, transient=True, of_input=True)
    return ChunkError(sentence(error), transient=True, of_input=True)


def drive(pool: Pool, plans: Sequence[DatasetPlan], *, retries: int, progress: Progress) -> list[Outcome]:
    """Have every chunk of the datasets processed and added.

    Parameters
    ----------
    pool
        Who works; it has taken in the job.
    plans
        What to do; each chunk with the layout of its columns, and its key where results are kept.
    retries
        How often a chunk is tried again after an error that may pass.
    progress
        What is told meanwhile.

    Returns
    -------
    list
        What became of each dataset.

    Raises
    ------
    EventError
        If the analysis fails, or returns what does not add.
    """
    return _Driver(pool, plans, retries, progress).run()
