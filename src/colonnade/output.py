"""Writing results: a reader sees the old file or the new one, never half of either.

What a process that was killed left half-written is swept by the next run: temporary files and folders are each held by
a lock, which ends with the process however that ends, so nothing that lives is ever swept, on whatever machine it does.
"""

from __future__ import annotations

__all__ = ["claim", "claim_folder", "held_alone", "replacing", "sweep", "write_json"]

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colonnade.errors import OutputError

#: what holds the lock of a folder
_HELD = ".held"
#: seconds after which a folder that holds no lock yet was left by a process that is no more
_UNHELD = 3600.0


def claim(folder: Path, prefix: str, suffix: str) -> tuple[int, Path]:
    """Make a temporary file that no other process sweeps while the handle is open.

    Returns
    -------
    handle : int
        Open for writing; to be closed.
    path : Path
        Where it is.

    Raises
    ------
    OSError
        If it can't be made.
    """
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # it was swept before it was held


@contextlib.contextmanager
def claim_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Give a private folder, which goes when the block ends; earlier ones of killed processes go now.

    Raises
    ------
    OSError
        If it can't be made.
    """
    where = parent or Path(tempfile.gettempdir())
    sweep(where, prefix)
    folder = Path(tempfile.mkdtemp(dir=where, prefix=prefix))
    handle = os.open(folder / _HELD, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(where: Path, prefix: str, suffix: str = "") -> None:
    """Remove what `claim` and `claim_folder` made under names that begin and end so, where nobody holds it."""
    found: list[str] = []
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        found += [each.path for each in entries if each.name.startswith(prefix) and each.name.endswith(suffix)]
    for path in map(Path, found):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.getuid() or path.is_symlink():
                continue
            if path.is_file():
                with held_alone(path):
                    path.unlink()
            elif (path / _HELD).exists():
                with held_alone(path / _HELD):
                    shutil.rmtree(path, ignore_errors=True)
            elif time.time() - status.st_mtime > _UNHELD:
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def held_alone(path: Path, flags: int = os.O_NOFOLLOW | os.O_NONBLOCK) -> Iterator[int]:
    """Hold a file's lock, and give its handle; the flags are further ones to open it with.

    Raises
    ------
    OSError
        If another process does, or the file can't be opened.
    """
    handle = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file; it becomes the file when the block ends well.

    The folder is made when missing. When the block fails, nothing is left and an older file stays as it was. What a
    process left that was killed in such a block is removed by the next.

    Raises
    ------
    OutputError
        If the file can't be written: a read-only folder, a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f".{path.stem}.", path.suffix)
        handle, temporary = claim(path.parent, f".{path.stem}.", path.suffix)
        try:
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)  # mkstemp makes a private file; the result is an ordinary one
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror or error}."
        raise OutputError(msg) from error


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON, atomically; NaN and infinity are refused, as they are not JSON.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
