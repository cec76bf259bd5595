"""Chunks are given out no faster than their results are added."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from colonnade.events import SourceFile
from colonnade.execution.driver import Assignment, drive
from colonnade.execution.plan import Chunk, DatasetPlan, FilePlan
from colonnade.execution.pools import Done
from colonnade.execution.progress import NO_PROGRESS
from colonnade.manifest import Metadata


class SlowAdder:
    """A pool that is done with a chunk at once, and adds only when it has no chunk to do."""

    name = "slow"
    workers = 3

    def __init__(self) -> None:
        self.chunks: deque[Any] = deque()
        self.additions: deque[Any] = deque()
        self.together = self.held = self.peak = 0

    def process(self, tag: Any, task: Any) -> None:
        self.chunks.append(Done(tag, {"events": task.stop - task.start, "sumw": 1.0}))
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


@pytest.mark.parametrize(("datasets", "chunks"), [(1, 400), (60, 1), (3, 70)])
def test_results_do_not_pile_up(datasets: int, chunks: int) -> None:
    source = SourceFile("a.root", "Events", 10 * chunks, "NanoAOD", "identity", 1, frozenset(), 1.0)
    assignments = [
        Assignment(
            DatasetPlan(
                f"d{number}",
                Metadata(process="zll", kind="background", xsec_pb=1.0),
                [FilePlan(str(Path("a.root")), source)],
                [Chunk(index, 0, 10 * index, 10 * index + 10) for index in range(chunks)],
            ),
            {0: 0},
        )
        for number in range(datasets)
    ]
    pool = SlowAdder()
    outcomes = drive(pool, assignments, retries=0, progress=NO_PROGRESS)
    assert [outcome.events for outcome in outcomes] == [10 * chunks] * datasets
    assert pool.together == min(datasets * chunks, 2 * pool.workers + 2)
    # at most two windows of results, and a sum in the making for each level of the tree of each dataset
    assert pool.peak <= 2 * (2 * pool.workers + 2) + 3 * datasets
