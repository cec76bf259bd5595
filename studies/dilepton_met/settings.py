"""What the study compares: the models of `models/dilepton_met.py`, by channel, with cut and count."""

from __future__ import annotations

__all__ = ["COMPARISONS", "Channel", "Comparison"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.dilepton_met import theories, variants, weightings


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


comparison = Comparison(
    models=("model", *variants, *weightings, *theories),
    channels=tuple(Channel(flavour, (f"SR_{flavour}",), f"CC_{flavour}") for flavour in ("ee", "mm")),
    background_error=0.2,
    require={"dropped": ("n_jets", 1.0)},
)

COMPARISONS = {"comparison": comparison}
