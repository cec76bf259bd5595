"""A Combine datacard as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from colonnade.errors import ConfigError

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
