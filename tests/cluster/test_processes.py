"""Faults of processes: workers, the run itself, the scheduler."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]


@pytest.mark.parametrize("kind", ["futures", "dask"])
def test_a_worker_killed_in_a_chunk(lab: Any, tell: Tell, kind: str) -> None:
    lab.simulate()
    clean = lab.clean()
    lab.at(100)
    process = lab.start(kind, 2)
    os.kill(lab.held(100), signal.SIGKILL)
    lab.release()
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    assert outcome.lost == []
    tell(f"a worker is killed (SIGKILL) in a chunk, {kind}", "the clean run's bits", "the chunk runs again elsewhere")


@pytest.mark.parametrize("kind", ["futures", "dask"])
def test_a_chunk_that_kills_every_worker(lab: Any, tell: Tell, kind: str) -> None:
    lab.simulate()
    lab.at(100, "kill")
    outcome = lab.run(kind, 2)
    assert outcome.code == 3, outcome.said
    (loss,) = outcome.lost
    assert (loss["start"], loss["stop"]) == (100, 200)
    assert "worker process died" in loss["reason"]
    entry = outcome.ledger["datasets"]["zll"]
    assert entry["events_processed"] == 450
    assert entry["sumw"] == pytest.approx(3.0 * 450)
    tell(
        f"a chunk kills every worker that gets it, {kind}",
        "exit 3, loss named",
        "it runs alone, so no other chunk is blamed; normalised to the rest",
    )


@pytest.mark.parametrize("kind", ["futures", "dask"])
def test_faults_among_many_quick_chunks(lab: Any, tell: Tell, kind: str) -> None:
    """Such chunks are done in groups; what goes wrong in one is still that chunk's."""
    lab.simulate(sizes=(600,))
    clean = lab.run("iterative", 1, cache=False, output="clean", chunk_size=5)
    lab.at(300)
    process = lab.start(kind, 2, cache=False, chunk_size=5)
    os.kill(lab.held(300), signal.SIGKILL)
    lab.release()
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean.bits
    lab.at(400, "kill")
    outcome = lab.run(kind, 2, cache=False, chunk_size=5)
    assert outcome.code == 3, outcome.said
    (loss,) = outcome.lost
    assert (loss["start"], loss["stop"]) == (400, 405)
    assert outcome.ledger["datasets"]["zll"]["events_processed"] == 595
    tell(
        f"many quick chunks: a worker is killed in one; another kills every worker, {kind}",
        "the clean run's bits; exit 3, loss named",
        "their group is done again, chunk by chunk",
    )


def test_a_worker_over_its_memory_limit(lab: Any, tell: Tell) -> None:
    lab.simulate()
    lab.at(100, "fill")
    outcome = lab.run("dask", 2, executor={"memory": "700MB", "retries": 0})
    assert outcome.code == 3, outcome.said
    (loss,) = outcome.lost
    assert (loss["start"], loss["stop"]) == (100, 200)
    assert "ran out of memory" in loss["reason"]
    tell("a worker goes over its memory limit, dask", "exit 3, loss named", "the nanny ends it; the chunk is lost")


@pytest.mark.parametrize("kind", ["iterative", "futures", "dask"])
def test_the_run_killed_and_resumed(lab: Any, tell: Tell, kind: str) -> None:
    lab.simulate(sizes=(300, 250, 350))
    clean = lab.clean()
    lab.seen()
    lab.at(200)
    process = lab.start(kind, 1)
    held = lab.held(200)
    before = set(lab.seen())
    process.kill()
    process.wait()
    lab.release()
    outcome = lab.run(kind, 2)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    after = lab.seen()
    assert len(before) >= 2
    # the first events are seen once more, as the columns are learned on them
    assert not [line for line in after if line in before and line != "zll 0"]
    if kind != "iterative":
        with pytest.raises(ProcessLookupError):  # no worker outlives its run
            os.kill(held, 0)
    tell(f"the run is killed (SIGKILL), then `--resume`, {kind}", "the clean run's bits", "only what is missing runs")


@pytest.mark.parametrize("kind", ["iterative", "futures", "dask"])
def test_interrupted(lab: Any, tell: Tell, kind: str) -> None:
    lab.simulate(sizes=(300, 250, 350))
    clean = lab.clean()
    lab.at(200)
    process = lab.start(kind, 1)
    lab.held(200)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    outcome = lab.finish(process)
    assert outcome.code == 130, outcome.said
    assert "chunks are safe in" in outcome.said
    assert "--resume" in outcome.said
    assert "Traceback" not in outcome.said
    lab.release()
    again = lab.run(kind, 2)
    assert again.bits == clean
    tell(f"Ctrl-C, then `--resume`, {kind}", "the clean run's bits", "it prints what is safe and how to go on")


def test_two_runs_at_once(lab: Any, tell: Tell) -> None:
    lab.simulate(sizes=(300, 250, 350))
    clean = lab.clean()
    lab.at(100)
    first = lab.start("futures", 2, output="first")
    lab.held(100)
    second = lab.start("futures", 2, output="second")
    other = lab.finish(second)
    lab.release()
    one = lab.finish(first)
    assert (one.code, other.code) == (0, 0), one.said + other.said
    assert one.bits == other.bits == clean
    assert not list((lab.root / "cache").rglob("*.part"))
    lab.seen()
    assert lab.run("iterative").bits == clean
    assert lab.seen() == []
    tell("two runs with one cache at the same time", "the clean run's bits, twice", "results are written whole")
