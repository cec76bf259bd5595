"""Chunk results kept on disk: written whole, safe for several runs at once, bounded, and recomputed when damaged."""

from __future__ import annotations

__all__ = ["CacheReport", "CacheSettings", "ResultCache"]

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from colonnade.config import Settings
from colonnade.errors import OutputError
from colonnade.execution.codec import DamagedError, decode, encode
from colonnade.histograms import Histogram

_SUFFIX = ".result"
# a temporary file older than this was left by a process that is no more
_STALE = 24 * 3600.0


class CacheSettings(Settings):
    """Whether and where results are kept.

    Attributes
    ----------
    enabled
        Whether results are kept at all.
    folder
        Where, relative to the project's folder. Workers on other machines keep results if they see it too.
    gigabytes
        How much is kept; beyond that the least recently used goes.
    """

    enabled: bool = True
    folder: str = ".colonnade/cache"
    gigabytes: float = Field(default=10.0, gt=0)


@dataclass(frozen=True)
class CacheReport:
    """What a cache holds: how many results, of how many bytes, and when the oldest and newest were last used."""

    entries: int
    size: int
    oldest: float | None
    newest: float | None


@dataclass
class ResultCache:
    """Results under the hash of all they depend on.

    A result is written to a temporary file and renamed, so a reader sees a whole one or none, and two runs
    that make the same one do no harm. A write that fails is not an error: the result is only not kept.

    Attributes
    ----------
    folder
        Where.
    limit
        Bytes, above which the least recently used results are removed.
    declared
        The histograms of the analysis, which kept results are made of.
    """

    folder: Path
    limit: int = 10 * 10**9
    declared: Sequence[Histogram] = ()
    _written: int = field(default=0, repr=False)

    def prepare(self) -> None:
        """Make the folder, readable by this user alone, and see that it can be written to.

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
        except OSError as error:
            msg = f"{self.folder} can't be written ({error.strerror or error}), so no result is kept there."
            raise OutputError(msg) from error

    def get(self, key: str) -> Any:
        """Return a kept result and note its use; None where there is none, or a damaged one, which is removed."""
        path = self._path(key)
        try:
            result = decode(path.read_bytes(), self.declared)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, DamagedError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return result

    def put(self, key: str, result: Any) -> bool:
        """Keep a result; return whether that was possible."""
        path = self._path(key)
        temporary = None
        try:
            blob = encode(result)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
            temporary = Path(name)
            with os.fdopen(handle, "wb") as stream:
                stream.write(blob)  # not forced to the disk: what a power cut leaves is found to be damaged
            temporary.replace(path)
        except (OSError, TypeError, ValueError):
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            return False
        self._written += len(blob)
        if self._written > self.limit // 20:
            self._written = 0
            self.trim()
        return True

    def present(self) -> set[str]:
        """Return the keys of all kept results."""
        return {path.name.removesuffix(_SUFFIX) for path, _ in self._entries()}

    def trim(self) -> int:
        """Remove the least recently used results above the limit; return how many bytes went.

        One process does this at a time; another goes on with its work.
        """
        with self._alone() as alone:
            if not alone:
                return 0
            entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime)
            excess = sum(status.st_size for _, status in entries) - self.limit
            removed = 0
            for path, status in entries:
                if removed >= excess:
                    break
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                removed += status.st_size
            return max(removed, 0)

    def report(self) -> CacheReport:
        """Return what is kept."""
        statuses = [status for _, status in self._entries()]
        times = [status.st_mtime for status in statuses]
        size = sum(status.st_size for status in statuses)
        return CacheReport(len(statuses), size, min(times, default=None), max(times, default=None))

    def clear(self) -> int:
        """Remove every kept result, and what is known of files; return how many results there were."""
        count = 0
        shutil.rmtree(self.folder / "files", ignore_errors=True)
        for path, _ in self._entries():
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                count += 1
        return count

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{_SUFFIX}"

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Give every kept result with its status; remove what writers that are no more left."""
        now = time.time()
        for branch in self._scan(self.folder):
            if not (len(branch.name) == 2 and branch.is_dir(follow_symlinks=False)):
                continue
            for entry in self._scan(Path(branch.path)):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(_SUFFIX):
                        yield Path(entry.path), status
                    elif entry.name.endswith(".part") and now - status.st_mtime > _STALE:
                        Path(entry.path).unlink()

    @staticmethod
    def _scan(folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except OSError:
            return []

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        try:
            handle = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(handle)
