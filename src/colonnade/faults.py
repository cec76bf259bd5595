"""Errors that may pass when work is tried again, errors that stay, and what they say in one sentence."""

from __future__ import annotations

__all__ = [
    "TransientInputError", "back_off", "chain", "is_transient", "persistently", "reason", "sentence", "translated",
    "within",
]  # fmt: skip

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from colonnade.errors import ColonnadeError, InputError

# errors of the operating system that a second attempt may not meet
_PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN,
    errno.EHOSTUNREACH, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH,
    errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPIPE, errno.EREMOTEIO, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError)
# named by text, as the libraries that define them are not imported for this
_PASSING_NAMES = {
    "BrokenProcessPool", "CommClosedError", "FSTimeoutError", "IncompleteRead", "KilledWorker", "ProtocolError",
    "SSLError",
}  # fmt: skip
# what XRootD says, whose errors carry no number, of what may pass and of a file that is not there or not for this user
_PASSING_WORDS = ("operation expired", "socket", "connection", "timeout", "timed out", "redirect limit")
_LASTING_WORDS = ("no such file", "not found", "permission denied", "not authorized", "[3010]", "[3011]")
_LONGEST = 160
# how often to look whether the run was interrupted, in seconds
_LOOK = 0.2

T = TypeVar("T")


class TransientInputError(ColonnadeError):
    """An input can't be read at the moment (server, network); reading it again later may work."""


def is_transient(error: BaseException, *, remote: bool = False) -> bool:
    """Tell whether the same work may succeed when it is tried again.

    A dropped connection, a time-out, an I/O error of a device or too little memory may pass; a missing
    file, a missing branch, damaged bytes or an error of the analysis will not. An error that was raised
    from a passing one passes too.

    Parameters
    ----------
    error
        What the work raised.
    remote
        Whether it read a file on a server, where a short answer is more often a dropped connection than a
        damaged file.
    """
    decided = (_passes(link, remote=remote) for link in chain(error))
    return next((passes for passes in decided if passes is not None), False)


def _passes(error: BaseException, *, remote: bool) -> bool | None:
    """Return whether one error may pass; None where it does not say, and its cause decides."""
    if isinstance(error, _LASTING):
        return False
    if isinstance(error, TransientInputError | MemoryError | TimeoutError | ConnectionError):
        return True
    kind, status = type(error), getattr(error, "status", None)
    if any(base.__module__.partition(".")[0] == "aiohttp" for base in kind.__mro__):
        return status is None or status in {408, 425, 429} or status >= 500
    if kind.__name__ in _PASSING_NAMES or (isinstance(status, int) and status >= 500):
        return True
    return _os_error_passes(error, remote=remote) if isinstance(error, OSError) else (_lost(error) and remote) or None


def _os_error_passes(error: OSError, *, remote: bool) -> bool | None:
    if error.errno is not None:
        return error.errno in _PASSING
    text = str(error).casefold()
    if any(words in text for words in _LASTING_WORDS):
        return False
    return remote or any(words in text for words in _PASSING_WORDS) or None


def _lost(error: BaseException) -> bool:
    """Whether a connection was lost, as it looks further up: uproot takes an error for the answer, XRootD closes."""
    text = str(error)
    return (isinstance(error, TypeError) and "Error' object is not subscriptable" in text) or (
        isinstance(error, ValueError) and "I/O operation on closed file" in text
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error, the one that it was raised from, and so on."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__ or link.__context__


def reason(error: BaseException) -> str:
    """Return what an error says as part of a sentence, without a trailing stop."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error) is KeyError and error.args:
        return f"something in it has no {error}"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    lines = [line.strip() for line in str(error).splitlines()]
    # uproot continues a sentence on the next line, and adds the file's path and hints after that
    kept: list[str] = []
    for line in lines:
        if kept and (not line or not kept[-1].endswith(",")):
            break
        if line:
            kept.append(line)
    text = " ".join(kept).rstrip(".,:") or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@contextlib.contextmanager
def translated(what: str, *, remote: bool = False) -> Iterator[None]:
    """Turn whatever reading a file raises into one sentence.

    Parameters
    ----------
    what
        The start of the sentence: ``data/a.root can't be opened``.
    remote
        Whether the file is on a server.

    Raises
    ------
    TransientInputError
        If a later attempt may work.
    InputError
        If none will.
    """
    try:
        yield
    except (ColonnadeError, MemoryError):
        raise
    # damaged bytes make the libraries beneath raise nearly anything
    except Exception as error:
        kind = TransientInputError if is_transient(error, remote=remote) else InputError
        msg = f"{what}: {reason(error)}."
        raise kind(msg) from error


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


def persistently(
    seconds: float, what: str, act: Callable[[], T], retries: int, stop: threading.Event | None = None
) -> T:
    """Return what a function returns within some seconds, trying again after an error that may pass.

    Parameters
    ----------
    seconds, what, act, stop
        As `within` takes them.
    retries
        How often it is tried again; what it raises then is raised.
    """
    stop = stop or threading.Event()
    attempt = 0
    while True:
        attempt += 1
        try:
            return within(seconds, what, act, stop)
        except (ColonnadeError, OSError) as error:
            if attempt > retries or not is_transient(error) or stop.wait(back_off(attempt)):
                raise
