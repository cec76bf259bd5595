"""Which trouble with a file passes and which stays, in one sentence each."""

from __future__ import annotations

__all__ = ["TransientInputError", "is_transient", "reason", "translated"]

import contextlib
import errno
from collections.abc import Iterator

from colonnade.errors import ColonnadeError, InputError

#: Operating-system errors that a second attempt may not meet.
_PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.EPIPE,
        errno.EREMOTEIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
#: How XRootD, whose errors carry no number, says that a file is not there or not for this user.
_LASTING = ("no such file", "not found", "permission denied", "not authorized", "[3010]", "[3011]")
_LONGEST = 160


class TransientInputError(ColonnadeError):
    """An input can't be read at the moment (server, network); reading it again later may work."""


def is_transient(error: BaseException, *, remote: bool = False) -> bool:
    """Tell whether reading again may work.

    Parameters
    ----------
    error
        What reading raised.
    remote
        Whether the file is on a server, where a short answer is more often a dropped connection than a
        damaged file.
    """
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)):
        return False
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if any(base.__module__.partition(".")[0] == "aiohttp" for base in type(error).__mro__):
        status = getattr(error, "status", None)
        return status is None or status in {408, 425, 429} or status >= 500
    if isinstance(error, OSError):
        if error.errno is not None:
            return error.errno in _PASSING
        return remote and not any(words in str(error).casefold() for words in _LASTING)
    # what a lost connection looks like further up: uproot takes an error for the server's answer, XRootD closes
    text = str(error)
    return remote and (
        (isinstance(error, TypeError) and "Error' object is not subscriptable" in text)
        or (isinstance(error, ValueError) and "I/O operation on closed file" in text)
    )


def reason(error: BaseException) -> str:
    """Return what an error says as part of a sentence, without a trailing stop."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
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
