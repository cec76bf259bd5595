"""Several datacards as one: channels side by side, uncertainties of one name as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from colonnade.errors import ConfigError
from colonnade.statistics.formats.combine.card import Card, Shape, Systematic

Value = TypeVar("Value")


def combine_cards(cards: Mapping[str, Card]) -> Card:
    """Combine datacards, as Combine's ``combineCards.py`` does.

    Parameters
    ----------
    cards
        Label to card. The bin of a card of one bin gets the label as its name, the bins of other cards the label in
        front of theirs.

    Raises
    ------
    ConfigError
        If a process is signal in one card and background in another, or what one card says of a parameter contradicts
        another.
    """
    joint = Card(Path(" + ".join(str(card.path) for card in cards.values())))
    kinds: dict[str, bool] = {}
    for label, card in cards.items():
        names = {name: label if len(card.bins) == 1 else f"{label}_{name}" for name in card.bins}
        joint.bins += names.values()
        joint.observed |= {names[name]: count for name, count in card.observed.items()}
        joint.rates |= {(names[channel], process): rate for (channel, process), rate in card.rates.items()}
        joint.scaled |= {(names[channel], process): list(each) for (channel, process), each in card.scaled.items()}
        joint.statistics |= {names[name]: setting for name, setting in card.statistics.items()}
        joint.shapes |= {names[name]: _shapes(card, name) for name in card.bins}
        for process in card.processes:
            if kinds.setdefault(process, process in card.signals) != (process in card.signals):
                msg = f"{card.path}: the process {process} is signal in one card and background in another."
                raise ConfigError(msg)
        _add_systematics(joint, card, names)
        for group, members in card.groups.items():
            joint.groups.setdefault(group, set()).update(members)
        joint.frozen |= card.frozen
        joint.signals |= card.signals
        joint.notes += [f"{card.path}: {note}" for note in card.notes]
        _merge(joint.measured, card.measured, card)
        _merge(joint.free, card.free, card)
        _merge(joint.formulas, card.formulas, card)
    if not any(joint.shapes.values()):
        joint.shapes = {}
    return joint


def _shapes(card: Card, name: str) -> dict[str, Shape | None]:
    """Return where the templates of one bin lie, with its own name and folder written out."""
    if not card.shapes:
        return {"*": None}
    own = card.shapes.get(name, {})
    found = own if "*" in own else {**card.shapes.get("*", {}), **own}
    return {
        process: None
        if shape is None
        else Shape(
            str(card.path.parent.absolute() / shape.file.replace("$CHANNEL", name)),
            shape.nominal.replace("$CHANNEL", name),
            None if shape.varied is None else shape.varied.replace("$CHANNEL", name),
        )
        for process, shape in found.items()
    }


def _add_systematics(joint: Card, card: Card, names: Mapping[str, str]) -> None:
    for each in card.systematics:
        found = next((other for other in joint.systematics if (other.name, other.kind) == (each.name, each.kind)), None)
        if found is None:
            found = Systematic(each.name, each.kind, each.arguments)
            joint.systematics.append(found)
        if found.arguments != each.arguments:
            msg = f"{card.path}: the {each.kind} {each.name} has other numbers in another card."
            raise ConfigError(msg)
        found.effects |= {(names[channel], process): effect for (channel, process), effect in each.effects.items()}
        found.templates |= {(names[channel], process): name for (channel, process), name in each.templates.items()}


def _merge(mine: dict[str, Value], theirs: Mapping[str, Value], card: Card) -> None:
    for name, value in theirs.items():
        if mine.setdefault(name, value) != value:
            msg = f"{card.path}: the parameter {name} is another one in another card; give one another name."
            raise ConfigError(msg)
