"""What opening a file once told, kept for the next run, for as long as the file is the same."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colonnade.errors import OutputError
from colonnade.events import SourceFile
from colonnade.output import replacing

_FORMAT = 2


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
        name = hashlib.blake2b("\0".join(dataset).encode(), digest_size=16).hexdigest()
        self._path = None if folder is None else folder / "files" / f"{name}.json"
        self._records: dict[str, list[Any]] = {}
        self._columns: list[frozenset[str]] = []
        self._changed = False
        self._load()

    def get(self, path: str, asked: Sequence[str | None], seen: list[Any] | None) -> SourceFile | None:
        """Return what is known of a file, opened as it is asked for (tree, schema, weight), with this stamp still."""
        record = self._records.get(_key(path, asked))
        if record is None or seen is None or record[0] != seen:
            return None
        _, found_tree, entries, found_schema, identity, size, columns, sumw, weight, notes = record
        return SourceFile(
            path, found_tree, entries, found_schema, identity, size, self._columns[columns], sumw, weight, tuple(notes)
        )

    def put(self, source: SourceFile, asked: Sequence[str | None], seen: list[Any] | None) -> None:
        """Note what opening a file told."""
        if seen is None or self._path is None:
            return
        if source.columns not in self._columns:
            self._columns.append(source.columns)
        fields = dataclasses.astuple(source)[1:-4]
        columns = self._columns.index(source.columns)
        record = [seen, *fields, columns, source.sumw, source.weight, list(source.notes)]
        self._records[_key(source.path, asked)] = record
        self._changed = True

    def save(self) -> None:
        """Keep it, whole or not at all; where that is not possible, the next run opens the files again."""
        if self._path is None or not self._changed:
            return
        content = {
            "format": _FORMAT,
            "columns": [sorted(columns) for columns in self._columns],
            "files": self._records,
        }
        text = json.dumps(content)
        with contextlib.suppress(OutputError), replacing(self._path) as temporary:
            temporary.write_text(f"{_digest(text)}\n{text}", encoding="utf-8")

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            digest, _, text = self._path.read_text(encoding="utf-8").partition("\n")
        except (OSError, ValueError):
            return
        if digest != _digest(text):  # damaged: it is made anew
            return
        content = json.loads(text)
        if content["format"] == _FORMAT:
            self._columns = [frozenset(columns) for columns in content["columns"]]
            self._records = content["files"]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _key(path: str, asked: Sequence[str | None]) -> str:
    return "|".join((path, *(word or "" for word in asked)))
