"""Reading a model file `models/NAME.py`: a Python file that declares models and searches."""

from __future__ import annotations

__all__ = ["load_comparisons", "load_image_studies", "load_models", "load_scans", "load_searches"]

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from colonnade.errors import ColonnadeError, ConfigError, nearest
from colonnade.training.declaration import Model
from colonnade.training.image_declaration import ImageStudy
from colonnade.training.studies import Comparison, Search
from colonnade.training.transfer_declaration import MassScan

T = TypeVar("T")


def load_models(path: str | Path) -> dict[str, Model]:
    """Run a model file and collect what it declares, `NAME = Model(...)`, in its order.

    The one called `model` is what `colonnade train` trains; others are variants, for comparison.

    Raises
    ------
    ConfigError
        If the file can't be run or declares no `model`.
    """
    place = Path(path)
    names = _run(place)
    models = _declared(names, Model)
    if "model" not in models:
        msg = f"{place} declares no `model = Model(...)`{nearest('model', models)}."
        raise ConfigError(msg)
    return models


def load_searches(path: str | Path) -> dict[str, Search]:
    """Run a model file and collect the searches it declares.

    Raises
    ------
    ConfigError
        If the file can't be run.
    """
    return _declared(_run(Path(path)), Search)


def load_comparisons(path: str | Path) -> dict[str, Comparison]:
    """Run a model file and collect the comparisons it declares.

    Raises
    ------
    ConfigError
        If the file can't be run.
    """
    return _declared(_run(Path(path)), Comparison)


def load_image_studies(path: str | Path) -> dict[str, ImageStudy]:
    """Run a model file and collect the studies of networks on images it declares.

    Raises
    ------
    ConfigError
        If the file can't be run.
    """
    return _declared(_run(Path(path)), ImageStudy)


def load_scans(path: str | Path) -> dict[str, MassScan]:
    """Run a model file and collect the scans over masses it declares.

    Raises
    ------
    ConfigError
        If the file can't be run.
    """
    return _declared(_run(Path(path)), MassScan)


def _run(place: Path) -> dict[str, Any]:
    if not place.is_file():
        msg = f"There is no model file {place}."
        raise ConfigError(msg)
    try:
        return runpy.run_path(str(place))
    except ColonnadeError as error:
        msg = f"{place}: {error}"
        raise ConfigError(msg) from error
    except Exception as error:  # whatever the user's file raises
        msg = f"The model file {place} can't be run: {type(error).__name__}: {error}."
        raise ConfigError(msg) from error


def _declared(names: Mapping[str, Any], kind: type[T]) -> dict[str, T]:
    """Collect a file's values of a kind, those of its dictionaries included."""
    found = {name: value for name, value in names.items() if isinstance(value, kind)}
    for values in names.values():
        if isinstance(values, dict):
            found |= {str(key): value for key, value in values.items() if isinstance(value, kind)}
    return found
