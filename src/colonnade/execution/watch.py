"""Files that an analysis opens while it processes events: those that no key holds are noticed.

What Python itself opens is seen, by an audit hook; a library that opens files in C is not.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colonnade.execution.project import installed_folders

# code, compiled code, and what the system tells of itself
_CODE = {".py", ".pyc", ".so", ".nbi", ".nbc"}
_SYSTEM = tuple(Path(folder) for folder in ("/proc", "/sys", "/dev", "/etc", "/usr"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_this = threading.local()


@contextmanager
def watched() -> Iterator[set[str]]:
    """Give the set of paths that this thread opens for reading in the block."""
    _listen()
    opened: set[str] = set()
    _this.opened = opened
    try:
        yield opened
    finally:
        _this.opened = None


def undeclared(opened: Collection[str], known: Collection[str]) -> list[str]:
    """Return the files among those that were opened that are neither known, nor code, nor the system's."""
    found = []
    foreign = (*installed_folders(), *_SYSTEM, Path(sys.base_prefix).resolve())
    for name in sorted(opened):
        path = Path(name).resolve()
        if str(path) in known or path.suffix in _CODE or name in sys.path:
            continue
        if not any(path.is_relative_to(folder) for folder in foreign):
            found.append(str(path))
    return found


@functools.cache
def _listen() -> None:
    sys.addaudithook(_hear)  # for the life of the process: there is no way to take it back


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open":
        return
    opened = getattr(_this, "opened", None)
    path, _, flags = arguments
    if opened is not None and isinstance(path, str | bytes) and not (flags or 0) & _WRITING:
        opened.add(os.fsdecode(path))
