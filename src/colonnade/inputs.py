"""Files that a user names: regular ones, no larger than they may be, and unpacking to no more than they may."""

from __future__ import annotations

__all__ = ["check_nesting", "open_archive", "read_file", "require_file"]

import contextlib
import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from colonnade.errors import ColonnadeError, InputError
from colonnade.faults import translated

#: bytes of a text, a model or an archive, packed and unpacked
LARGEST = 1 << 31
#: brackets within brackets: readers written in C end the process where there are too many
_DEEPEST = 500
_GZIP = b"\x1f\x8b"


def require_file(path: Path | str, kind: type[ColonnadeError] = InputError, what: str = "") -> int:
    """Return the size of a file, which is a regular one: a pipe or a device would be waited for, or have no end.

    Raises
    ------
    InputError
        Or another `kind`: if there is no such file, or it is something else.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # a ValueError where the path holds a null byte
        reason = getattr(error, "strerror", None) or error
        msg = f"{what}{path} can't be read: {reason}."
        raise kind(msg) from error
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
        msg = f"{what}{path} can't be read: it is {found}, not a file."
        raise kind(msg)
    return status.st_size


def read_file(path: Path | str, kind: type[ColonnadeError] = InputError, largest: int = LARGEST) -> bytes:
    """Read a file, and unpack it where gzip packed it.

    Raises
    ------
    InputError
        Or another `kind`: if it can't be read, or holds more bytes than `largest`.
    """
    size = require_file(path, kind)
    if size > largest:
        msg = f"{path} can't be read: it has {size:,} bytes, and {largest:,} at most are read."
        raise kind(msg)
    try:
        content = Path(path).read_bytes()
        if not content.startswith(_GZIP):
            return content
        with gzip.open(io.BytesIO(content)) as stream:
            content = stream.read(largest + 1)
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror or error}."
        raise kind(msg) from error
    except (EOFError, zlib.error) as error:
        msg = f"{path} can't be unpacked: {error}; copy or make it again."
        raise kind(msg) from error
    if len(content) > largest:
        msg = f"{path} can't be read: it unpacks to more than {largest:,} bytes."
        raise kind(msg)
    return content


@contextlib.contextmanager
def open_archive(path: Path | str, what: str, largest: int = LARGEST) -> Iterator[zipfile.ZipFile]:
    """Give a ZIP archive that a run left, whose members, as it says itself, unpack to no more than `largest` bytes.

    Parameters
    ----------
    path
        The file.
    what
        What it holds, for messages.
    largest
        Bytes.

    Raises
    ------
    InputError
        If it is no such archive, unpacks to more, or can't be read in the block: a flipped bit makes the libraries
        beneath raise nearly anything.
    """
    require_file(path)
    again = "run the workflow again to write it anew"
    with translated(f"{path} can't be read as {what} ({again})"), zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > largest:
            msg = f"{path} would unpack to {size:,} bytes, and {largest:,} at most are read; make it again."
            raise InputError(msg)
        yield archive


def check_nesting(content: bytes, what: str, kind: type[ColonnadeError] = InputError) -> None:
    """Refuse a text whose brackets of any kind are nested deeper than any file of use has them.

    Raises
    ------
    InputError
        Or another `kind`: if they are.
    """
    import numpy as np

    letters = np.frombuffer(content, np.uint8)
    brackets = letters[np.isin(letters, np.frombuffer(b"([{)]}", np.uint8))]
    depth = np.cumsum(np.where(np.isin(brackets, np.frombuffer(b"([{", np.uint8)), 1, -1))
    # above the lowest before: a bracket that is closed twice, as texts have them, opens nothing
    if len(depth) and (depth - np.minimum.accumulate(np.minimum(depth, 0))).max() > _DEEPEST:
        msg = f"{what}: brackets are nested deeper than {_DEEPEST} levels."
        raise kind(msg)
