"""Chunk results kept on disk, and made again when damaged."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from colonnade.config import Settings
from colonnade.events import KeptColumns, KnownPlaces
from colonnade.histograms import Histogram
from colonnade.serialisation import DamagedError, decode, encode
from colonnade.store import Store, StoreReport

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

    def prepare(self) -> None:
        """Make the folder, readable by this user alone, and see that it can be written to.

        Raises
        ------
        OutputError
            If not.
        """
        self.store.prepare()

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

    def present(self) -> set[str]:
        """Return the keys of all kept results."""
        return self.store.keys()

    def trim(self) -> int:
        """Remove the least recently used results and columns above their limits; return how many bytes went."""
        return self.store.trim() + (self.columns.store.trim() if self.columns is not None else 0)

    def reports(self) -> dict[str, StoreReport]:
        """Return what is kept: results, and columns."""
        return {"results": self.store.report(), "columns": self._kept_columns().report()}

    def clear(self) -> dict[str, int]:
        """Remove all that is kept, and what is known of files; return how many results and columns there were."""
        for name in ("files", _PLACES):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return {"results": self.store.clear(), "columns": self._kept_columns().clear()}

    def _kept_columns(self) -> Store:
        return KeptColumns(self.folder / _COLUMNS, 0).store  # this run's settings may not use what another one kept
