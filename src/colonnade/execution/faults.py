"""Which errors may pass when a chunk is tried again, and how long to wait before that."""

from __future__ import annotations

__all__ = ["ChunkError", "back_off", "is_transient", "sentence", "within"]

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from colonnade.errors import ColonnadeError
from colonnade.events import TransientInputError

_PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN,
    errno.EHOSTUNREACH, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH,
    errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPIPE, errno.EREMOTEIO, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError)
# named by text, as the libraries that define them are not imported for this
_PASSING_NAMES = {
    "ClientConnectionError", "ClientConnectorError", "ClientError", "ClientOSError", "ClientPayloadError",
    "FSTimeoutError", "KilledWorker", "BrokenProcessPool", "CommClosedError", "IncompleteRead", "ProtocolError",
    "RemoteDisconnected", "ServerDisconnectedError", "ServerTimeoutError", "SSLError",
}  # fmt: skip
_XROOTD_PASSING = ("operation expired", "socket", "connection", "timeout", "timed out", "redirect limit")

# how often to look whether the run was interrupted, in seconds
_LOOK = 0.2

T = TypeVar("T")


class ChunkError(Exception):
    """What stopped a chunk, in a form that travels between processes.

    Attributes
    ----------
    reason
        The sentence for the ledger.
    transient
        Whether trying again may help.
    of_input
        Whether an input file is to blame; else it is the analysis, and the run stops.
    place
        Which of the task's chunks it was.
    """

    def __init__(self, reason: str, *, transient: bool, of_input: bool, place: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.of_input = of_input
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return _chunk_error, (self.reason, self.transient, self.of_input, self.place)


def _chunk_error(reason: str, transient: bool, of_input: bool, place: int) -> ChunkError:
    return ChunkError(reason, transient=transient, of_input=of_input, place=place)


def is_transient(error: BaseException) -> bool:
    """Say whether the same work may succeed when it is tried again.

    A dropped connection, a time-out, an I/O error of a device or too little memory may pass; a missing
    file, a missing branch, damaged bytes or an error of the analysis will not. An error that was raised
    from a passing one passes too.
    """
    if isinstance(error, TransientInputError):
        return True
    for link in _chain(error):
        if isinstance(link, _LASTING):
            return False
        if isinstance(link, MemoryError | TimeoutError | ConnectionError):
            return True
        status = getattr(link, "status", None)
        if type(link).__name__ in _PASSING_NAMES or (isinstance(status, int) and status >= 500):
            return True
        if isinstance(link, OSError):
            text = str(link).casefold()
            if link.errno in _PASSING or any(word in text for word in _XROOTD_PASSING):
                return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__ or link.__context__


def sentence(error: BaseException) -> str:
    """Return what an error says as one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ColonnadeError):
        return text
    text = text if len(text) <= 300 else f"{text[:297]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def back_off(attempt: int, base: float = 0.5, ceiling: float = 30.0) -> float:
    """Return the seconds to wait before trying again: doubled each time, up to a ceiling.

    Parameters
    ----------
    attempt
        How often it has been tried, from 1.

    Examples
    --------
    >>> [back_off(attempt) for attempt in (1, 2, 3, 10)]
    [0.5, 1.0, 2.0, 30.0]
    """
    return float(min(ceiling, base * 2 ** (attempt - 1)))


def within(seconds: float, what: str, act: Callable[[], T], stop: threading.Event | None = None) -> T:
    """Return what a function returns, or give it up when it takes too long.

    A file server that stalls can block a read for longer than any job lives, and no library promises
    otherwise. What is given up goes on in a thread that nobody waits for.

    Parameters
    ----------
    seconds
        How long to wait.
    what
        The start of the sentence for what is given up: ``root://host/a.root``.
    act
        The function.
    stop
        Gives it up at once when it is set, as the run has been interrupted.

    Raises
    ------
    TransientInputError
        If it has not ended by then.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(act())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="colonnade-read", daemon=True)
    thread.start()
    end = time.monotonic() + seconds
    while thread.is_alive() and (left := end - time.monotonic()) > 0 and not (stop is not None and stop.is_set()):
        thread.join(left if stop is None else min(left, _LOOK))
    if failure:
        raise failure[0]
    if not outcome:
        msg = f"{what} gave no answer within {seconds:g} s."
        raise TransientInputError(msg)
    return outcome[0]
