"""Studies that a model file declares: searches for hyper-parameters, and comparisons of models."""

from __future__ import annotations

__all__ = ["Channel", "Comparison", "Search"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from colonnade.errors import ConfigError


@dataclass(frozen=True)
class Search:
    """Hyper-parameters to try.

    Attributes
    ----------
    axes
        Field of the model (`optimisation__learning_rate`, `network__hidden`, ...) to the values it takes.
    count
        So many combinations, drawn at random; None: all.
    base
        Which of the file's models is varied.
    """

    axes: Mapping[str, tuple[Any, ...]]
    count: int | None = None
    seed: int = 1
    base: str = "model"

    def __post_init__(self) -> None:
        for name, values in self.axes.items():
            if not values:
                msg = f"The search's axis {name} has no values."
                raise ConfigError(msg)


@dataclass(frozen=True)
class Channel:
    """A part of the events in which models are compared with cut and count.

    Attributes
    ----------
    name
        For the table.
    regions
        The regions that a cut on the score may choose from, together.
    counting
        The region that is the cut and count.
    """

    name: str
    regions: tuple[str, ...]
    counting: str


@dataclass(frozen=True)
class Comparison:
    """Models to compare on the same events.

    Attributes
    ----------
    models
        Names in the model file.
    channels
        Where they are compared.
    background_error
        Relative uncertainty of the background.
    require
        Model to (event feature, least value): the model is trained without events below, and can't select them.
    """

    models: tuple[str, ...]
    channels: tuple[Channel, ...]
    background_error: float = 0.2
    require: Mapping[str, tuple[str, float]] = field(default_factory=dict)
