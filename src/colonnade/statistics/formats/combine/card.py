"""A Combine datacard as plain data, and what its lines ``nuisance edit`` change.

The commands and arguments of the edits are those of Combine's documentation, "Nuisance edit": patterns of channels and
processes are regular expressions that must match whole names, ``*`` stands for all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.formula import Formula

Cell = tuple[str, str]  # a bin and a process
Effect = float | tuple[float, float]  # one number of a systematic uncertainty, or its values down and up
_LOGARITHMIC = ("lnN", "lnU")
_LINEAR = ("trG", "unif")


def refuse(what: str) -> NoReturn:
    """Raise the error of a card that Combine refuses or that can't be read here; `read_card` says in which line."""
    raise ConfigError(what)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where templates lie: a file, the name of the nominal template, and of those that are varied, if any."""

    file: str
    nominal: str
    varied: str | None = None


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

    def template(self, cell: Cell) -> str:
        """Return the name under which the templates of a cell are looked up."""
        return self.templates.get(cell, self.name)

    def number(self, cell: Cell) -> float:
        """Return the one number of a cell; raises ConfigError where there are two."""
        effect = self.effects[cell]
        if isinstance(effect, tuple):
            refuse(f"the {self.kind} {self.name} of {cell[1]} in {cell[0]} has two values, where one is meant.")
        return effect


@dataclass(slots=True)
class Card:
    """What the lines of a datacard say.

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
    measured, free : dict
        Parameters of lines ``param``, and of rateParam and extArg lines: what `make_model` is to be told of each.
    formulas : dict of str to Formula
        Functions of parameters, and of other functions.
    scaled : dict
        Cells to the names of the parameters and formulas that multiply their yields.
    statistics : dict
        Bins to the threshold, whether signal counts for it, and the mode of autoMCStats.
    groups : dict
        Groups of parameters, by name.
    idle : set of str
        Names of flatParam and discrete lines, which act on nothing here.
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
    measured: dict[str, dict[str, object]] = field(default_factory=dict)
    free: dict[str, dict[str, object]] = field(default_factory=dict)
    formulas: dict[str, Formula] = field(default_factory=dict)
    scaled: dict[Cell, list[str]] = field(default_factory=dict)
    statistics: dict[str, tuple[float, bool, int]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    idle: set[str] = field(default_factory=set)
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


# ---- lines ``nuisance edit``


def edit(card: Card, words: list[str]) -> None:
    """Carry out one line.

    Parameters
    ----------
    card
        The card as read so far; it is changed.
    words
        The command and its arguments.

    Raises
    ------
    ConfigError
        If the command is unknown, arguments are missing, nothing matches (without the option ``ifexists``), or the
        change can't be made.
    """
    commands: dict[str, tuple[int, Callable[[Card, list[str]], None]]] = {
        "add": (5, _add),
        "drop": (3, _drop),
        "rename": (2, _rename),
        "changepdf": (2, _change_kind),
        "merge": (4, _edit_merge),
        "split": (7, _split),
        "freeze": (1, _freeze),
        "flip": (3, _flip),
    }
    command, *arguments = words
    if command not in commands:
        refuse(f"the nuisance edit {command!r} is unknown{nearest(command, commands)}; known: {', '.join(commands)}.")
    count, act = commands[command]
    if len(arguments) < count:
        refuse(f"the nuisance edit {command} needs {count} arguments, not {len(arguments)}.")
    act(card, arguments)


def _cells(card: Card, process: str, channel: str) -> list[Cell]:
    where = ".*" if channel == "*" else channel.replace("+", r"\+")
    which = ".*" if process == "*" else process
    return [cell for cell in card.rates if re.fullmatch(where, cell[0]) and re.fullmatch(which, cell[1])]


def _chosen(card: Card, arguments: list[str], name: str, *, strict: bool = False) -> list[tuple[Systematic, Cell]]:
    """Return what a line is about: pairs of an uncertainty and a cell, which it need not act on.

    Its first arguments are the patterns of process and channel. That there are none is an error where the line does
    not say ``ifexists`` and, unless `strict`, names channels.
    """
    process, channel, *options = arguments
    named = [each for each in card.systematics if re.fullmatch(name, each.name)]
    found = [(each, cell) for each in named for cell in _cells(card, process, channel)]
    if not found and (strict or channel != "*"):
        _missing(options, f"{name} of {process} in {channel}")
    return found


def _missing(options: list[str], what: str) -> None:
    if "ifexists" not in options:
        refuse(f"a nuisance edit of {what} finds nothing; add ifexists where that may be.")


def _add(card: Card, arguments: list[str]) -> None:
    process, channel, name, kind, word, *options = arguments
    down, _, up = word.rpartition("/")
    effect = (float(down), float(up)) if down else float(up)
    _put(card, _cells(card, process, channel), name, kind, effect, options)


def _systematic(card: Card, name: str, kind: str, arguments: tuple[float, ...] = ()) -> Systematic:
    """Return the uncertainty of a name and kind, which is a new one if there is none."""
    for each in card.systematics:
        if (each.name, each.kind) == (name, kind):
            return each
    card.systematics.append(Systematic(name, kind, arguments))
    return card.systematics[-1]


def _put(card: Card, cells: list[Cell], name: str, kind: str, effect: Effect, options: list[str]) -> None:
    other = next((each.kind for each in card.systematics if each.name == name and each.kind != kind), None)
    if other is not None:
        refuse(f"the nuisance edit adds a {kind} {name}, which is a {other} already.")
    found = _systematic(card, name, kind)
    if effect in (0.0, 1.0):
        return
    for cell in cells:
        present = found.effects.get(cell, 0.0)
        if present in (0.0, 1.0) or "overwrite" in options:
            found.effects[cell] = effect
        elif "addq" in options:
            found.effects[cell] = _in_quadrature(kind, present, effect)
        else:
            refuse(f"the nuisance edit adds {name} of {cell[1]} in {cell[0]}, which is there; say addq or overwrite.")


def _in_quadrature(kind: str, one: Effect, other: Effect) -> Effect:
    if isinstance(one, tuple) or isinstance(other, tuple):
        first = one if isinstance(one, tuple) else (1 / one, one)
        second = other if isinstance(other, tuple) else (1 / other, other)
        low, high = (_in_quadrature(kind, *pair) for pair in zip(first, second, strict=True))
        return float(low), float(high)  # type: ignore[arg-type]  # numbers, as both of each pair are
    if kind not in _LOGARITHMIC or math.log(one) * math.log(other) < 0:
        refuse(f"the {kind} {one:g} and {other:g} can't be added in quadrature.")
    size = math.exp(math.hypot(math.log(one), math.log(other)))
    return size if one > 1 else 1 / size


def _drop(card: Card, arguments: list[str]) -> None:
    for each, cell in _chosen(card, arguments, arguments[2]):
        each.effects.pop(cell, None)


def _rename(card: Card, arguments: list[str]) -> None:
    if len(arguments) == 2:
        _rename_everywhere(card, *arguments)
        return
    old, new = arguments[2:4]
    for each, cell in _chosen(card, arguments, re.escape(old), strict=True):
        _check_kind(each)
        if cell in each.effects:
            target = _systematic(card, new, each.kind, each.arguments)
            target.effects[cell] = each.effects.pop(cell)
            target.templates[cell] = each.templates.get(cell, old)


def _rename_everywhere(card: Card, old: str, new: str) -> None:
    found = [each for each in card.systematics if each.name == old]
    if not found and old not in card.measured:
        refuse(f"the nuisance edit renames {old}, which is not there{nearest(old, sorted(card.parameters))}.")
    for each in found:
        _check_kind(each)
        for cell in each.effects:
            each.templates.setdefault(cell, old)
        each.name = new
    if old in card.measured:
        card.measured[new] = card.measured.pop(old)
        card.formulas = {name: formula.renamed({old: new}) for name, formula in card.formulas.items()}


def _check_kind(each: Systematic) -> None:
    if each.kind in ("gmN", "trG"):
        refuse(f"the {each.kind} {each.name} can't be renamed by a nuisance edit; rename it in its line.")


def _change_kind(card: Card, arguments: list[str]) -> None:
    name, new = arguments[:2]
    for each in card.systematics:
        if each.kind == new or not re.fullmatch(name, each.name):
            continue
        if "shape" in each.kind and "shape" in new:
            each.kind = new
        elif all(kind in (*_LOGARITHMIC, *_LINEAR) for kind in (each.kind, new)):
            if (each.kind in _LINEAR) != (new in _LINEAR):
                change = math.log if new in _LINEAR else math.exp
                each.effects = {cell: change(each.number(cell)) for cell in each.effects}
            each.kind = new
        else:
            refuse(f"the {each.kind} {each.name} can't be changed to {new}.")


def _edit_merge(card: Card, arguments: list[str]) -> None:
    for each, cell in _chosen(card, arguments, arguments[3]):
        if cell in each.effects:
            _put(card, [cell], arguments[2], each.kind, each.effects.pop(cell), ["addq"])


def _split(card: Card, arguments: list[str]) -> None:
    for each, cell in _chosen(card, arguments, arguments[2]):
        if each.effects.pop(cell, 0.0) not in (0.0, 1.0):
            for target, value in zip(arguments[3:5], arguments[5:7], strict=True):
                _put(card, [cell], target, each.kind, float(value), ["overwrite"])


def _freeze(card: Card, arguments: list[str]) -> None:
    found = {name for name in card.parameters if re.fullmatch(arguments[0], name)}
    if not found:
        _missing(arguments, arguments[0])
    card.frozen |= found


def _flip(card: Card, arguments: list[str]) -> None:
    directions = {"p2n", "n2p"} & set(arguments)
    if not directions:
        refuse("the nuisance edit flip needs the option p2n, n2p or both.")
    for each, cell in _chosen(card, arguments, arguments[2]):
        if each.kind != "lnN":
            refuse(f"the nuisance edit flip takes lnN only; {each.name} is a {each.kind}.")
        if cell in each.effects:
            each.effects[cell] = _flipped(each.effects[cell], directions)


def _flipped(effect: Effect, directions: set[str]) -> Effect:
    """Turn the effect round where its direction (of two values that of the one down) is one to be turned."""
    size = 1 / effect[0] if isinstance(effect, tuple) else effect
    if not (size > 1 and "p2n" in directions) and not (size < 1 and "n2p" in directions):
        return effect
    return (1 / effect[0], 1 / effect[1]) if isinstance(effect, tuple) else 1 / effect
