"""Writing results: a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

__all__ = ["replacing", "write_json"]

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colonnade.errors import OutputError
from colonnade.leftovers import claim, sweep


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
