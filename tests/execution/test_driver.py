"""Chunks are given out no faster than their results are added, quick ones in groups, to the same bits."""

from __future__ import annotations

import functools
import operator
import time
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import pytest

from colonnade.errors import EventError
from colonnade.events import SourceFile
from colonnade.execution.driver import drive
from colonnade.execution.merging import GROUP, fold
from colonnade.execution.plan import Chunk, DatasetPlan, FilePlan
from colonnade.execution.pools import Done
from colonnade.execution.progress import NO_PROGRESS
from colonnade.execution.work import ChunkError
from colonnade.manifest import Metadata


class SlowAdder:
    """A pool that is done with a chunk at once, and adds only when it has no chunk to do."""

    workers = 3

    def __init__(self) -> None:
        self.chunks: deque[Any] = deque()
        self.additions: deque[Any] = deque()
        self.together = self.held = self.peak = self.tasks = 0

    def process(self, tag: Any, tasks: Any) -> None:
        self.tasks += 1
        self.chunks.append(Done(tag, {"events": sum(task.stop - task.start for task in tasks), "sumw": 1.0}))
        self.together = max(self.together, len(self.chunks))

    def fold(self, tag: Any, total: Any, parts: Any) -> None:
        self.additions.append((tag, [*([] if total is None else [total]), *parts]))

    def completed(self, timeout: float) -> list[Done]:
        assert timeout >= 0
        if self.chunks:
            self.held += 1
            self.peak = max(self.peak, self.held)
            return [self.chunks.popleft()]
        tag, results = self.additions.popleft()
        self.held -= len(results) - 1
        return [Done(tag, {key: sum(one[key] for one in results) for key in results[0]})]

    def fetch(self, handle: Any) -> Any:
        self.held -= 1
        return handle


def plans(datasets: int, chunks: int) -> list[DatasetPlan]:
    source = SourceFile("a.root", "Events", 10 * chunks, "NanoAOD", "identity", 1, frozenset(), 1.0)
    return [
        DatasetPlan(
            f"d{number}",
            Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events"),
            [FilePlan(source.path, source)],
            [Chunk(f"d{number}", source, 10 * index, 10 * index + 10) for index in range(chunks)],
        )
        for number in range(datasets)
    ]


@pytest.mark.parametrize(("datasets", "chunks"), [(1, 400), (60, 1), (3, 70)])
def test_results_do_not_pile_up(datasets: int, chunks: int) -> None:
    pool = SlowAdder()
    outcomes = drive(pool, plans(datasets, chunks), retries=0, progress=NO_PROGRESS)
    assert [outcome.events for outcome in outcomes] == [10 * chunks] * datasets
    assert pool.together == min(datasets * chunks, 2 * pool.workers + 2)
    # at most two windows of results, the sums of their groups, and a sum in the making for each level of each tree
    window = 2 * (2 * pool.workers + 2)
    assert pool.peak <= window + (window // GROUP + 1) + 3 * datasets
    # once it is known that chunks are quick, and until few are left, a task is of several
    most = GROUP * pool.workers
    assert pool.tasks < datasets * chunks / GROUP + most + window + datasets
    assert (pool.tasks < datasets * chunks) == (chunks > 1)


class Failing:
    """A pool that adds at once, in which some chunks fail: `faults` holds the errors of each, one a try."""

    workers = 1

    def __init__(self, values: list[float], faults: dict[int, list[BaseException]]) -> None:
        self.values, self.faults = values, faults
        self.ended: deque[Done] = deque()
        self.sizes: list[int] = []

    def process(self, tag: Any, tasks: Any) -> None:
        self.sizes.append(len(tasks))
        total = None
        for place, task in enumerate(tasks):
            chunk = task.start // 10
            if self.faults.get(chunk):
                error = self.faults[chunk].pop(0)
                if isinstance(error, ChunkError):
                    error.place = place
                self.ended.append(Done(tag, error=error))
                return
            result = {"events": 10, "sumw": self.values[chunk]}
            total = result if total is None else fold(total, result)
        self.ended.append(Done(tag, total))

    def fold(self, tag: Any, total: Any, parts: Any) -> None:
        self.ended.append(Done(tag, fold(total, *parts)))

    def completed(self, timeout: float) -> list[Done]:
        if not self.ended:
            time.sleep(timeout)
        return [self.ended.popleft()] if self.ended else []

    def fetch(self, handle: Any) -> Any:
        return handle


def passing() -> ChunkError:
    return ChunkError("the connection was reset", transient=True, of_input=True)


DAMAGED = ChunkError("the basket is damaged", transient=False, of_input=True)
DIED = BrokenProcessPool()


@pytest.mark.parametrize(
    ("faults", "retries", "lost"),
    [
        ({}, 0, {}),
        ({30: [passing()], 31: [passing()], 37: [passing()]}, 1, {}),
        ({30: [passing(), passing()]}, 1, {30: "the connection was reset (tried 2 times)."}),
        ({30: [passing()], 43: [passing()]}, 0, {30: "the connection was reset", 43: "the connection was reset"}),
        ({39: [DAMAGED]}, 3, {39: "the basket is damaged"}),
        ({30: [RuntimeError("?")]}, 0, {}),  # whose it was is not known, so nobody is blamed
        ({30: [DIED]}, 3, {}),  # alone, the group is done
        ({30: [DIED, DIED], 60: [DIED]}, 3, {}),  # so it was one of its chunks, which is done alone
        ({33: [DIED] * 4}, 3, {33: "The worker process died each time"}),
    ],
)
def test_a_group_that_fails_is_done_chunk_by_chunk_to_the_same_bits(
    faults: dict[int, list[BaseException]], retries: int, lost: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.execution.driver._LONG", 1e12)  # all chunks count as quick
    monkeypatch.setattr("colonnade.execution.driver.back_off", lambda _: 0.0)
    rng = np.random.default_rng(2)
    values = list(rng.normal(size=100) * 10.0 ** rng.integers(-8, 8, 100))
    (work,) = plans(1, 100)
    pool = Failing(values, {chunk: list(errors) for chunk, errors in faults.items()})
    (outcome,) = drive(pool, [work], retries=retries, progress=NO_PROGRESS)
    expected = 0.0  # groups from left to right, and in them chunks
    for first in range(0, 100, GROUP):
        kept = [values[chunk] for chunk in range(first, min(first + GROUP, 100)) if chunk not in lost]
        expected += functools.reduce(operator.add, kept)
    assert outcome.sumw == expected
    assert outcome.events == 10 * (100 - len(lost))
    assert [loss.start // 10 for loss in outcome.losses] == list(lost)
    assert all(loss.reason.startswith(reason) for loss, reason in zip(outcome.losses, lost.values(), strict=True))
    assert pool.sizes.count(GROUP) >= 8


def test_an_analysis_that_fails_in_a_group_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colonnade.execution.driver._LONG", 1e12)
    error = ChunkError("the analysis failed", transient=False, of_input=False)
    with pytest.raises(EventError, match="the analysis failed"):
        drive(Failing([1.0] * 100, {30: [error]}), plans(1, 100), retries=3, progress=NO_PROGRESS)
