"""Reading a model file `models/NAME.py`: a Python file that declares models and searches."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from colonnade.errors import ColonnadeError, ConfigError, nearest
from colonnade.training.declaration import Model, Search

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
    models = _declared(_names_of(place), Model)
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
    return _declared(_names_of(Path(path)), Search)


def _names_of(place: Path) -> dict[str, Any]:
    if not place.is_file():
        msg = f"There is no model file {place}."
        raise ConfigError(msg)
    # a model file may import modules of its project, such as those beside the analyses
    project = str(place.resolve().parent.parent)
    if project not in sys.path:
        sys.path.insert(0, project)
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
