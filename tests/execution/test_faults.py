"""Which errors are tried again, and what a run makes of them."""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable
from typing import Any

import pytest

from colonnade.errors import EventError, InputError, MissingColumnError
from colonnade.execution import ExecutorSettings, Progress, run_datasets, work
from colonnade.execution import driver as driver_module
from colonnade.execution.work import ChunkError
from colonnade.faults import TransientInputError, is_transient
from colonnade.manifest import Dataset
from colonnade.terminal import Terminal


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        OSError(errno.EIO, "Input/output error"),
        OSError("[ERROR] Operation expired"),
        MemoryError(),
        TransientInputError("the server does not answer"),
        caused(InputError("can't be read"), ConnectionResetError()),
    ],
)
def test_passing_errors(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "denied"),
        OSError(errno.ENOSPC, "full"),
        InputError("damaged"),
        MissingColumnError("no such column"),
        EventError("no number"),
        ValueError("of the analysis"),
        caused(InputError("can't be read"), ValueError("bad bytes")),
    ],
)
def test_lasting_errors(error: Exception) -> None:
    assert not is_transient(error)


def test_what_stopped_a_chunk_travels() -> None:
    error = copy.copy(ChunkError("why", transient=True, of_input=False))
    assert (error.reason, error.transient, error.of_input) == ("why", True, False)


class Flaky:
    """Fails to read the second chunk so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
        self.attempts = 0
        read = work.read_events

        def flaky(source: Any, start: int, *more: Any, **others: Any) -> Any:
            if start == 100:
                self.attempts += 1
                if self.attempts <= times:
                    raise error
            return read(source, start, *more, **others)

        monkeypatch.setattr(work, "read_events", flaky)
        monkeypatch.setattr(driver_module, "back_off", lambda attempt: 0.001 * attempt)


def run(pairs: Any, dataset: Dataset, **more: Any) -> Any:
    settings = ExecutorSettings(kind="iterative", retries=3)
    return run_datasets(pairs.load()(), [dataset], luminosity=1.0, executor=settings, chunk_size=100, **more)


def test_an_error_that_passes_leaves_no_trace(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch, bits: Callable[[Any], bytes]
) -> None:
    dataset = simulated(sizes=(300,))
    clean = run(pairs, dataset)
    flaky = Flaky(monkeypatch, ConnectionResetError("dropped"), times=3)
    result = run(pairs, dataset)
    assert flaky.attempts == 4
    assert bits(result.histograms) == bits(clean.histograms)
    assert result.ledger == clean.ledger


def test_an_error_that_does_not_pass_is_a_loss_after_so_many_tries(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky(monkeypatch, ConnectionResetError("dropped"), times=99)
    entry = run(pairs, simulated(sizes=(300,))).ledger.datasets["zll"]
    assert flaky.attempts == 4
    (loss,) = entry.lost
    assert (loss.start, loss.stop) == (100, 200)
    assert "dropped" in loss.reason
    assert "tried 4 times" in loss.reason
    assert entry.events_processed == 200


def test_a_lasting_error_is_never_tried_again(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky(monkeypatch, InputError("zll_0.root is damaged."), times=99)
    entry = run(pairs, simulated(sizes=(300,), runs=True)).ledger.datasets["zll"]
    assert flaky.attempts == 1
    assert entry.lost[0].reason == "zll_0.root is damaged."
    assert entry.sumw == pytest.approx(3.0 * 200)


def test_losses_are_told_when_they_happen(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    class Telling(Progress):
        def say(self, text: str) -> None:
            lines.append(text)

        def begin(self, what: str, total: int) -> None: ...
        def advance(self, count: int, lost: int = 0) -> None: ...
        def end(self) -> None: ...

    Flaky(monkeypatch, InputError("zll_0.root is damaged."), times=99)
    run(pairs, simulated(sizes=(300,)), progress=Telling(Terminal(quiet=True)))
    assert any("entries 100-200" in line and "damaged" in line for line in lines)
