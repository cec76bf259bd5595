"""A Combine datacard as plain data; several as one: channels side by side, uncertainties of one name as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from colonnade.errors import ConfigError

Value = TypeVar("Value")
Cell = tuple[str, str]  # a bin and a process
Effect = float | tuple[float, float]  # one number of a systematic uncertainty, or its values down and up


@dataclass(frozen=True, slots=True)
class Shape:
    """Where templates lie: a file, the name of the nominal template, and of those that are varied, if any."""

    file: str
    nominal: str
    varied: str | None


@dataclass(slots=True)
class Systematic:
    """A systematic uncertainty with a number for each cell.

    Attributes
    ----------
    name, kind : str
        The first two words of its line.
    arguments : tuple of float
        What stands between the kind and the cells: N of gmN, the range of unif.
    effects : dict
        What it does to each cell; cells without an effect are absent.
    templates : dict
        The name under which the templates of a cell are looked up, where an edit renamed the uncertainty.
    """

    name: str
    kind: str
    arguments: tuple[float, ...] = ()
    effects: dict[Cell, Effect] = field(default_factory=dict)
    templates: dict[Cell, str] = field(default_factory=dict)

    def number(self, cell: Cell) -> float:
        """Return the one number of a cell; raises ConfigError where there are two."""
        effect = self.effects[cell]
        if isinstance(effect, tuple):
            msg = f"the {self.kind} {self.name} of {cell[1]} in {cell[0]} has two values, where one is meant."
            raise ConfigError(msg)
        return effect


@dataclass(frozen=True, slots=True)
class FreeParameter:
    """A parameter that a rateParam or extArg line creates.

    Attributes
    ----------
    value : float
        Where it begins.
    bounds : pair of float, optional
        Its range; without one it is free.
    constant : bool
        Whether it stays at its value.
    """

    value: float
    bounds: tuple[float, float] | None = None
    constant: bool = False


@dataclass(slots=True)
class Card:
    """What the lines of one datacard, or of several combined, say.

    Attributes
    ----------
    path : Path
        The file.
    bins : list of str
        In their order.
    observed : dict
        Observed events of each bin; -1 where the histogram tells.
    rates : dict
        Expected events of each cell, in the card's order; -1 where the histogram tells.
    signals : set of str
        The processes with a number of 0 or below.
    shapes : dict
        Bin (or ``*``) to process (or ``*``) to where its templates lie; None where they are none (FAKE).
    systematics : list of Systematic
        In the card's order.
    measured : dict
        Lines ``param``: mean, widths below and above it, and the range, if any.
    free : dict
        Parameters of rateParam and extArg lines.
    formulas : dict
        Functions of parameters: the expression and the names of its arguments.
    scaled : dict
        Cells to the names of the parameters and formulas that multiply their yields.
    statistics : dict
        Bins to the threshold, whether signal counts for it, and the mode of autoMCStats.
    groups : dict
        Groups of parameters, by name.
    frozen : set of str
        Parameters that an edit freezes.
    notes : list of str
        What the card says that is allowed, but unusual.
    """

    path: Path
    bins: list[str] = field(default_factory=list)
    observed: dict[str, float] = field(default_factory=dict)
    rates: dict[Cell, float] = field(default_factory=dict)
    signals: set[str] = field(default_factory=set)
    shapes: dict[str, dict[str, Shape | None]] = field(default_factory=dict)
    systematics: list[Systematic] = field(default_factory=list)
    measured: dict[str, tuple[float, float, float, tuple[float, float] | None]] = field(default_factory=dict)
    free: dict[str, FreeParameter] = field(default_factory=dict)
    formulas: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    scaled: dict[Cell, list[str]] = field(default_factory=dict)
    statistics: dict[str, tuple[float, bool, int]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def processes(self) -> list[str]:
        """The processes, in their order."""
        return list(dict.fromkeys(process for _, process in self.rates))

    @property
    def parameters(self) -> set[str]:
        """The names of all parameters that a group or an edit can name."""
        return {each.name for each in self.systematics} | set(self.measured) | set(self.free)


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
