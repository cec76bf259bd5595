"""Files under keys in one folder: written whole, safe for several runs at once, bounded in size."""

from __future__ import annotations

__all__ = ["Store"]

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from colonnade.errors import OutputError
from colonnade.output import claim, held_alone, sweep


@dataclass
class Store:
    """Files under keys.

    A file is written to a temporary one and renamed, so a reader sees a whole one or none, and two runs that
    write the same one do no harm. A write that fails is not an error: the file is only not kept.

    Attributes
    ----------
    folder
        Where.
    limit
        Bytes, above which the least recently used files are removed.
    suffix
        How the files end.
    """

    folder: Path
    limit: int
    suffix: str
    _written: int = field(default=0, repr=False)

    def prepare(self) -> None:
        """Make the folder, readable by this user alone, see that it can be written to, and sweep what killed runs left.

        Raises
        ------
        OutputError
            If not.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            for branch in self.folder.glob("??"):
                sweep(branch, ".", ".part")
        except OSError as error:
            msg = f"{self.folder} can't be written ({error.strerror or error}), so no result is kept there."
            raise OutputError(msg) from error

    def path(self, key: str) -> Path:
        """Return where the file of a key is, or would be."""
        return self.folder / key[:2] / f"{key}{self.suffix}"

    def use(self, key: str) -> None:
        """Note that a file was used."""
        with contextlib.suppress(OSError):
            os.utime(self.path(key))

    def drop(self, key: str) -> None:
        """Remove a file that is no good."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def put(self, key: str, *parts: bytes | memoryview) -> bool:
        """Write a file from parts; return whether that was possible."""
        path = self.path(key)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = claim(path.parent, ".", ".part")
            with os.fdopen(handle, "wb") as stream:
                for part in parts:  # not forced to the disk: what a power cut leaves is found to be damaged
                    self._written += stream.write(part)
                stream.flush()
                temporary.replace(path)
        except OSError:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            return False
        if self._written > self.limit // 20:
            self._written = 0
            self.trim()
        return True

    def keys(self) -> set[str]:
        """Return the keys of all files."""
        return {path.name.removesuffix(self.suffix) for path, _ in self._entries()}

    def trim(self) -> int:
        """Remove the least recently used files above the limit; return how many bytes went.

        One process does this at a time; another goes on with its work.
        """
        removed = 0
        with contextlib.suppress(OSError), held_alone(self.folder / ".lock", os.O_CREAT):
            entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime)
            excess = sum(status.st_size for _, status in entries) - self.limit
            for path, status in entries:
                if removed >= excess:
                    break
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                removed += status.st_size
        return removed

    def report(self) -> tuple[int, int]:
        """Return how many files there are, and how many bytes they have."""
        sizes = [status.st_size for _, status in self._entries()]
        return len(sizes), sum(sizes)

    def clear(self) -> None:
        """Remove every file."""
        for path, _ in self._entries():
            with contextlib.suppress(OSError):
                path.unlink()

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Give every file with its status."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"??/*{self.suffix}"):
                with contextlib.suppress(OSError):
                    yield path, path.lstat()
