"""What is kept on disk for later runs: results of chunks, and what opening files told."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from colonnade.config import Settings
from colonnade.errors import OutputError
from colonnade.events import KeptColumns, KnownPlaces, SourceFile
from colonnade.histograms import Histogram
from colonnade.output import replacing
from colonnade.serialisation import DamagedError, decode, encode
from colonnade.store import Store
from colonnade.versions import digest

_COLUMNS = "columns"
_PLACES = "places"


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
    columns
        How many gigabytes of unpacked columns are kept beside the results, for analyses that are changed and run
        again over the same events; 0 keeps none.
    """

    enabled: bool = True
    folder: str = ".colonnade/cache"
    gigabytes: float = Field(default=10.0, gt=0)
    columns: float = Field(default=0.0, ge=0)


@dataclass
class ResultCache:
    """Results under the hash of all they depend on.

    Attributes
    ----------
    folder
        Where.
    limit
        Bytes, above which the least recently used results are removed.
    declared
        The histograms of the analysis, which kept results are made of.
    columns
        Where unpacked columns are kept, if they are: for results that have to be made anew.
    store
        The files of the results.
    """

    folder: Path
    limit: int = 10 * 10**9
    declared: Sequence[Histogram] = ()
    columns: KeptColumns | None = None
    store: Store = field(init=False, repr=False)
    #: what was found in the headers of trees
    places: KnownPlaces = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.store = Store(self.folder, self.limit, ".result")
        self.places = KnownPlaces(self.folder / _PLACES)

    @classmethod
    def of(cls, settings: CacheSettings, root: Path, declared: Sequence[Histogram] = ()) -> ResultCache | None:
        """Return the cache that a workflow in `root` asks for; None if it wants none."""
        if not settings.enabled:
            return None
        folder = root / settings.folder
        columns = KeptColumns(folder / _COLUMNS, int(settings.columns * 1e9)) if settings.columns else None
        return cls(folder, int(settings.gigabytes * 1e9), declared, columns)

    def get(self, key: str) -> Any:
        """Return a kept result and note its use; None where there is none, or a damaged one, which is removed."""
        try:
            result = decode(self.store.path(key).read_bytes(), self.declared)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, DamagedError):
            self.store.drop(key)
            return None
        self.store.use(key)
        return result

    def put(self, key: str, result: Any) -> bool:
        """Keep a result; return whether that was possible."""
        try:
            blob = encode(result)
        except (TypeError, ValueError):
            return False
        return self.store.put(key, blob)

    def trim(self) -> int:
        """Remove the least recently used results and columns above their limits; return how many bytes went."""
        return self.store.trim() + (self.columns.store.trim() if self.columns is not None else 0)

    def reports(self) -> dict[str, tuple[int, int]]:
        """Return how many results and columns are kept, and how many bytes they have."""
        return {"results": self.store.report(), "columns": self._kept_columns().report()}

    def clear(self) -> None:
        """Remove all that is kept, and what is known of files."""
        for name in ("files", _PLACES):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.store.clear()
        self._kept_columns().clear()

    def _kept_columns(self) -> Store:
        return KeptColumns(self.folder / _COLUMNS, 0).store  # this run's settings may not use what another one kept


# of what is noted about files
_FORMAT = 3


def stamp(path: str) -> list[Any] | None:
    """Return what tells a file from its replacement without opening it; None where nothing does.

    Of a local file: its number, size and modification time. Of a file on a server: its size, and its
    modification time or tag, if the server gives one.
    """
    try:
        if "://" not in path:
            status = os.stat(path)  # noqa: PTH116 - a hundred thousand of them: no detour
            return [status.st_ino, status.st_size, status.st_mtime_ns]
        import fsspec

        system, inside = fsspec.core.url_to_fs(path)
        about = system.info(inside)
    except Exception:
        return None
    mark = next((about[name] for name in ("ETag", "mtime", "LastModified", "modtime") if about.get(name)), None)
    return None if mark is None or about.get("size") is None else [about["size"], str(mark)]


class KnownFiles:
    """Files of a dataset that an earlier run opened.

    Parameters
    ----------
    folder
        Where that is kept; None: nowhere.
    dataset
        The dataset's name and its manifest's folder.
    """

    def __init__(self, folder: Path | None, dataset: tuple[str, ...]) -> None:
        self._path = None if folder is None else folder / "files" / digest(_FORMAT, *dataset)
        self._records: dict[str, Sequence[Any]] = {}
        self._columns: list[list[str]] = []
        self._changed = False
        if self._path is not None:
            with contextlib.suppress(OSError, DamagedError):  # it is made anew
                self._columns, self._records = json.loads(decode(self._path.read_bytes()))
        self._sets = [frozenset(columns) for columns in self._columns]

    def get(self, path: str, asked: Sequence[str | None], seen: list[Any] | None) -> SourceFile | None:
        """Return what is known of a file, opened as it is asked for (tree, schema, weight), with this stamp still."""
        stamped, columns, notes, about = self._records.get(_key(path, asked), (None, 0, (), {}))
        if seen is None or stamped != seen:
            return None
        return SourceFile(**about, columns=self._sets[columns], notes=tuple(notes))

    def put(self, source: SourceFile, asked: Sequence[str | None], seen: list[Any] | None) -> None:
        """Note what opening a file told."""
        if seen is None or self._path is None:
            return
        if source.columns not in self._sets:
            self._sets.append(source.columns)
            self._columns.append(sorted(source.columns))
        about = {name: value for name, value in vars(source).items() if name not in ("columns", "notes")}
        record = [seen, self._sets.index(source.columns), source.notes, about]
        self._records[_key(source.path, asked)] = record
        self._changed = True

    def save(self) -> None:
        """Keep it, whole or not at all; where that is not possible, the next run opens the files again."""
        if self._path is not None and self._changed:
            content = encode(json.dumps([self._columns, self._records]))
            with contextlib.suppress(OutputError), replacing(self._path) as temporary:
                temporary.write_bytes(content)


def _key(path: str, asked: Sequence[str | None]) -> str:
    return "|".join((path, *(word or "" for word in asked)))
