"""The memory of a run does not grow with its chunks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]


def peak(lab: Any, kind: str, chunks: int) -> int:
    """Return the most memory that a run and all its workers had together, in bytes."""
    lab.datasets.clear()
    lab.simulate(f"d{chunks}", (20 * chunks,))
    process = lab.start(kind, 2, cache=False, chunk_size=20, output=f"{kind}-{chunks}")
    run, most = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            family = [run, *run.children(recursive=True)]
            most = max(most, sum(one.memory_full_info().pss for one in family))
        except psutil.Error:
            pass
        time.sleep(0.05)
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.ledger["datasets"][f"d{chunks}"]["events_processed"] == 20 * chunks
    return most


@pytest.mark.parametrize("kind", ["iterative", "futures", "dask"])
def test_a_thousand_chunks_take_the_memory_of_fifty(lab: Any, tell: Tell, kind: str) -> None:
    # a chunk's result is 0.4 MB: kept until the end, a thousand would be 0.4 GB
    text = lab.project.analysis.read_text()
    assert "Regular(40, 0, 200)" in text
    lab.project.analysis.write_text(text.replace("Regular(40, 0, 200)", "Regular(12_500, 0, 200)"))
    few, many = (peak(lab, kind, chunks) for chunks in (50, 1000))
    assert many < 1.2 * few, f"{few / 1e6:.0f} MB at 50 chunks, {many / 1e6:.0f} MB at 1,000"
    tell(f"twenty times the chunks, {kind}", "within 20 % of the memory", "a sum a level is alive")
