"""correctionlib files by name, read when first used in a process and shared by all chunks there."""

from __future__ import annotations

__all__ = ["Corrections", "luminosity_mask"]

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError, nearest


class Corrections(Mapping[str, Any]):
    """Correction sets by name. It is pickled as the paths alone.

    Parameters
    ----------
    paths
        Name to correctionlib file (JSON, or JSON.gz).

    Raises
    ------
    ConfigError
        If a file does not exist.
    """

    def __init__(self, paths: Mapping[str, Path | str]) -> None:
        self._paths = {name: str(path) for name, path in paths.items()}
        for name, path in self._paths.items():
            if not Path(path).is_file():
                msg = f"the correction {name!r}: the file {path} does not exist."
                raise ConfigError(msg)

    @property
    def paths(self) -> dict[str, str]:
        """Name to file."""
        return dict(self._paths)

    def __getitem__(self, name: str) -> Any:
        if name not in self._paths:
            known = f"; known: {', '.join(self._paths)}" if self._paths else "; none is given"
            msg = f"the analysis asks for the correction {name!r}{nearest(name, self._paths)}{known}."
            raise ConfigError(msg)
        return _correction_set(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@functools.lru_cache(maxsize=64)
def _correction_set(path: str) -> Any:
    import correctionlib

    try:
        return correctionlib.CorrectionSet.from_file(path)
    except (RuntimeError, ValueError, OSError) as error:
        msg = f"{path} can't be read as a correctionlib file ({error})."
        raise ConfigError(msg) from error


@functools.lru_cache(maxsize=16)
def luminosity_mask(path: str) -> Any:
    """Return the function of run and luminosity block that a golden JSON file describes.

    Raises
    ------
    ConfigError
        If the file can't be read.
    """
    from coffea.lumi_tools import LumiMask

    try:
        return LumiMask(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"the luminosity mask {path} can't be read ({error})."
        raise ConfigError(msg) from error
