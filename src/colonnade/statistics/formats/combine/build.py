"""From the lines of datacards to a model, by Combine's conventions.

The conventions are those of Combine 10.6 (its documentation, "Datacards" and "Automatic statistical uncertainties", and
its source): the yield of a template is split from its shape and interpolated as an asymmetric log-normal; a shape is
the template divided by its sum, interpolated vertically, cut off at 1e-9 below and brought to the sum of 1 again;
``autoMCStats`` takes the templates as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm, poisson

from colonnade.errors import ConfigError
from colonnade.statistics.formats.combine.card import Card, Cell, Systematic
from colonnade.statistics.formats.combine.parsing import read_card
from colonnade.statistics.formats.combine.shapes import DATA, Template, Templates
from colonnade.statistics.formula import Formula
from colonnade.statistics.model import Channel, Floats, Interpolation, Model, Modifier, Sample, Treatment, make_model

Value = TypeVar("Value")
POI = "r"
Bools = NDArray[np.bool_]
# the range of the signal strength, and of constrained parameters by the kind of the line that makes them
_STRENGTH = (0.0, 20.0)
# (Combine declares 4 standard deviations for shapes, but lifts that bound while it fits)
_RANGES = {"lnU": (-1.0, 1.0), "shapeU": (-1.0, 1.0)}
_WIDE = (-7.0, 7.0)
# relative and absolute differences of sums that Combine takes as equal
_SAME_DATA, _SAME_RATE = 0.005, 0.01
# an effect on the yield of a template below this is taken as none
_NO_YIELD = 1e-3
# the parameters of single bins range over 7 standard deviations
_TAIL = float(norm.sf(7.0))


def read_combine(path: Path | Mapping[str, Path], mass: float | None = None) -> Model:
    """Read a datacard, or several, whose channels stand side by side.

    Uncertainties and parameters of one name are one.

    Parameters
    ----------
    path
        The card; or labels and cards. The bin of a card of one bin is then called by the label, the bins of other cards
        get the label in front of their names, as Combine's ``combineCards.py`` does.
    mass
        What ``$MASS`` in the names of templates stands for.

    Returns
    -------
    Model
        With the signal strength ``r``, between 0 and 20; without signal there is no parameter of interest.

    Raises
    ------
    InputError
        If a card or a file of templates can't be read.
    ConfigError
        If a card holds what Combine refuses or what can't be read here (the message names file and line), names a
        template that is not there, or contradicts another card; if sums and rates disagree by more than Combine allows.
    """
    paths = {"": path} if isinstance(path, Path) else path
    cards = {label: read_card(each) for label, each in paths.items()}
    settings: dict[str, dict[str, Any]] = {}
    formulas: dict[str, Formula] = {}
    signals: dict[str, bool] = {}
    groups: dict[str, set[str]] = {}
    for card in cards.values():
        _merge(settings, {name: dict(each) for name, each in (card.free | card.measured).items()}, card)
        _merge(formulas, card.formulas, card)
        _merge(signals, {process: process in card.signals for process in card.processes}, card)
        for group, members in card.groups.items():
            groups.setdefault(group, set()).update(members)
    settings.setdefault(POI, {"bounds": [_STRENGTH]})
    channels, observations, notes = [], {}, list[str]()
    for label, card in cards.items():
        build = _Build(card, Templates(card, mass), settings)
        for name in card.bins:
            called = name if not label else label if len(card.bins) == 1 else f"{label}_{name}"
            channel, observations[called] = build.channel(name, called)
            channels.append(channel)
        notes += [f"{card.path}: {note}" if label else note for note in card.notes]
    for name in set().union(*(card.frozen for card in cards.values())):
        settings.setdefault(name, {})["fixed"] = True
    used = {name for channel in channels for each in channel.samples for m in each.modifiers for name in m.parameters}
    measured = dict.fromkeys(name for card in cards.values() for name in card.measured if name not in used)
    return make_model(
        channels,
        observations,
        POI if any(signals.values()) else "",
        overrides=settings,
        source=" + ".join(str(card.path) for card in cards.values()),
        groups={name: tuple(sorted(members & used)) for name, members in groups.items()},
        notes=(*notes, *(f"the param {name} has no effect." for name in measured)),
    )


def _merge(mine: dict[str, Value], theirs: Mapping[str, Value], card: Card) -> None:
    for name, value in theirs.items():
        if mine.setdefault(name, value) != value:
            msg = f"{card.path}: {name} contradicts another card; give one another name."
            raise ConfigError(msg)


@dataclass
class _Build:
    """The model of a card in the making, and the settings of its parameters so far, which other cards share."""

    card: Card
    templates: Templates
    settings: dict[str, dict[str, Any]]
    acting: dict[Cell, list[Systematic]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for systematic in self.card.systematics:
            for cell in systematic.effects:
                self.acting.setdefault(cell, []).append(systematic)
        self.formulas = {name: each.substituted(self.card.formulas) for name, each in self.card.formulas.items()}

    def settle(self, name: str, **settings: Any) -> None:
        """Give the parameter of a line its settings, which must be those of another line with its name."""
        if self.settings.setdefault(name, settings) != settings:
            self._refuse(f"{name} contradicts another line, column or card; give one another name.")

    # ---- a bin of the card

    def channel(self, name: str, called: str) -> tuple[Channel, Floats]:
        """Return the channel of a bin, with the name that it is to have, and its observed events."""
        seen, edges = self._observed(name)
        automatic = self.card.statistics.get(name) if edges is not None else None
        samples, errors = [], []
        for (where, process), rate in self.card.rates.items():
            if where == name and rate != 0:
                sample, error = self._sample((name, process), rate, automatic, len(seen), counted=edges is None)
                samples.append(sample)
                errors.append(error)
        if automatic is not None and automatic[0] >= 0:
            samples = self._with_statistics(called, samples, errors, *automatic[:2])
        return Channel(called, tuple(samples), edges), seen

    def _observed(self, name: str) -> tuple[Floats, tuple[float, ...] | None]:
        stated = self.card.observed.get(name)
        if stated is None:
            self._refuse(f"the bin {name} has no observation.")
        if self.templates.counted(name):
            if stated < 0:
                self._refuse(f"the bin {name} counts {stated:g} events.")
            return np.array([stated]), None
        found = self.templates.get(name, DATA)
        total = found.total
        differs = total > 0.01 if stated == 0 else stated > 0 and abs(total / stated - 1) > _SAME_DATA
        if total != 0 and differs:
            self._refuse(f"the bin {name} states {stated:g} observed events, its histogram holds {total:g}.")
        return found.values, found.edges

    def _sample(
        self, cell: Cell, rate: float, automatic: tuple[float, bool, int] | None, bins: int, *, counted: bool
    ) -> tuple[Sample, Floats]:
        """Return the sample of a cell, and the errors of its bins."""
        channel, process = cell
        if counted != self.templates.counted(channel, process):
            self._refuse(f"of {process} and the data in the bin {channel} only one has a template.")
        modifiers = self._factors(cell)
        if counted:
            yields, errors = np.array([rate]), np.zeros(1)
        else:
            found = self._nominal(cell, rate, bins)
            scale = 1.0 if automatic is not None or rate == -1 else rate / found.total
            yields, errors = found.values * scale, found.errors * scale
        per_event = self._gamma(cell, rate, modifiers, given_by_template=automatic is not None and not counted)
        yields, errors = yields * per_event, errors * per_event
        shapes = []
        for each in self.acting.get(cell, ()):
            if each.kind.startswith("shape") and not self._is_yield(each, cell):
                shapes.append(each)
            else:
                modifiers += self._yield_effect(each, cell)
        if not counted:
            modifiers += self._shapes(cell, shapes, yields, 1 if automatic is None else automatic[2])
        how: Treatment = "plain" if counted else "normalised" if automatic is None else "cropped"
        return Sample(process, yields, tuple(modifiers), template=how), errors

    def _nominal(self, cell: Cell, rate: float, bins: int) -> Template:
        channel, process = cell
        found = self.templates.get(channel, process)
        if len(found.values) != bins:
            self._refuse(f"{process} in the bin {channel} has {len(found.values)} bins, the data have {bins}.")
        if found.total == 0:
            self._refuse(f"the template of {process} in the bin {channel} is empty, but its rate is {rate:g}.")
        if rate > 0 and abs(found.total - rate) > _SAME_RATE * max(1.0, rate):
            self._refuse(f"{process} in the bin {channel} has the rate {rate:g}, its template holds {found.total:g}.")
        return found

    def _refuse(self, what: str) -> NoReturn:
        msg = f"{self.card.path}: {what}"
        raise ConfigError(msg)

    # ---- factors on yields

    def _factors(self, cell: Cell) -> list[Modifier]:
        """Return the signal strength and the rateParams of a cell."""
        modifiers = [Modifier("normfactor", POI)] if cell[1] in self.card.signals else []
        for name in dict.fromkeys(self.card.scaled.get(cell, ())):
            formula = self.formulas.get(name)
            modifiers.append(Modifier("normfactor" if formula is None else "formula", name, formula=formula))
        return modifiers

    def _gamma(self, cell: Cell, rate: float, modifiers: list[Modifier], *, given_by_template: bool) -> float:
        """Add the gmN of a cell, and return what its yields are to be multiplied by for one event of the sideband."""
        found = [each for each in self.acting.get(cell, ()) if each.kind == "gmN"]
        if not found:
            return 1.0
        if len(found) > 1:
            self._refuse(f"{cell[1]} in the bin {cell[0]} has two gmN, {found[0].name} and {found[1].name}.")
        each = found[0]
        count, effect = each.arguments[0], each.number(cell)
        stated = float(self.templates.get(*cell).total) if rate == -1 else rate
        if abs(effect * count - stated) > max(0.05 * max(stated, 1.0), effect):
            self._refuse(
                f"the gmN {each.name} says {effect:g} x {count:g} events of {cell[1]} in {cell[0]}, not {stated:g}."
            )
        modifiers.append(Modifier("normfactor", each.name))
        self.settle(
            each.name,
            constraint="poisson",
            inits=[max(count, 0.5)],
            bounds=[_poisson_range(count)],
            auxdata=[count],
            factors=[1.0],
        )
        if given_by_template:
            return 1 / count if count > 0 else 1.0
        return effect / stated

    def _is_yield(self, each: Systematic, cell: Cell) -> bool:
        """Tell whether a ``shape?`` is a log-normal here, as there is no template of it."""
        return each.kind.endswith("?") and (
            self.templates.counted(*cell) or self.templates.find(*cell, f"{each.template(cell)}Up") is None
        )

    def _yield_effect(self, each: Systematic, cell: Cell) -> list[Modifier]:
        name, effect = each.name, each.effects[cell]
        if each.kind == "gmN" or effect == 0.0:
            return []
        if each.kind == "gmM":
            return self._gamma_measured(each, each.number(cell))
        if each.kind in ("trG", "unif"):
            return self._linear(each, each.number(cell))
        self._range(each)
        down, up = effect if isinstance(effect, tuple) else (1 / effect, effect)
        return [Modifier("normsys", name, np.array([up]), np.array([down]), interpolation="lnN")]

    def _range(self, each: Systematic) -> None:
        """Give the parameter of a line its range; lnU and shapeU are not constrained within theirs."""
        kind = each.kind.rstrip("?")
        found = self.settings.setdefault(each.name, {})
        if "bounds" not in found:
            found["bounds"] = [_RANGES.get(kind, _WIDE)]
            if kind.endswith("U"):
                found["constraint"] = "none"
        if "auxdata" in found or "inits" not in found:  # also of a line param, which sets another one
            found["inits"] = [0.0]

    def _gamma_measured(self, each: Systematic, width: float) -> list[Modifier]:
        """Return a factor with a Gamma constraint of mean 1 and a relative width, as a Poisson measurement."""
        self.settle(
            each.name,
            constraint="poisson",
            inits=[1.0],
            auxdata=[1 / width**2 - 1],
            factors=[1 / width**2],
            bounds=[(max(0.01, 1 - 5 * width), 1 + 5 * width)],
        )
        return [Modifier("normfactor", each.name)]

    def _linear(self, each: Systematic, effect: float) -> list[Modifier]:
        """Return a factor 1 + effect x, of a truncated Gaussian (trG) or uniform (unif) x."""
        low, high = each.arguments if each.kind == "unif" else _WIDE
        if each.kind == "trG":
            values = [each.number(cell) for cell in each.effects]
            low = max([low, *(-1 / value for value in values if value > 0)])
            high = min([high, *(-1 / value for value in values if value < 0)])
        self.settle(
            each.name,
            constraint="normal" if each.kind == "trG" else "none",
            inits=[0.0 if low <= 0 <= high else (low + high) / 2],
            bounds=[(low, high)],
            **({"auxdata": [0.0], "sigmas": [1.0]} if each.kind == "trG" else {}),
        )
        return [Modifier("formula", each.name, formula=Formula(f"1+{effect!r}*@0", (each.name,)))]

    # ---- shapes

    def _shapes(self, cell: Cell, acting: list[Systematic], yields: Floats, mode: int) -> list[Modifier]:
        kinds = {each.kind.rstrip("?U2") for each in acting}
        if len(kinds) > 1:
            self._refuse(f"{cell[1]} in the bin {cell[0]} has shapes of two kinds, {' and '.join(sorted(kinds))}.")
        region = min([1.0, *(each.number(cell) for each in acting)])
        return [one for each in acting for one in self._shape(each, cell, yields, region, mode)]

    def _shape(self, each: Systematic, cell: Cell, yields: Floats, region: float, mode: int) -> list[Modifier]:
        self._range(each)
        name, scale = each.template(cell), each.number(cell)
        nominal = self.templates.get(*cell)
        sides = [self.templates.get(*cell, f"{name}{side}") for side in ("Up", "Down")]
        for side, word in zip(sides, ("Up", "Down"), strict=True):
            if not side.total > 0 or len(side.values) != len(yields):
                held = f"{len(side.values)} bins and the sum {side.total:g}"
                self._refuse(f"the template {name}{word} of {cell[1]} in {cell[0]} has {held}.")
        modifiers: list[Modifier] = []
        kappas = [side.total / nominal.total for side in sides]
        if mode != 2 and max(abs(kappa - 1) for kappa in kappas) >= _NO_YIELD:
            up, down = (np.array([round(kappa**scale, 6)]) for kappa in kappas)  # as Combine rounds them
            modifiers.append(Modifier("normsys", each.name, up, down, interpolation="lnN"))
        total = yields.sum()
        factors = [total / nominal.total if mode == 2 else total / side.total for side in sides]
        up, down = (side.values * factor for side, factor in zip(sides, factors, strict=True))
        if len(yields) > 1 or mode == 2:
            kind: Interpolation = "log4p" if "N" in each.kind else "code4p"
            up, down = (moved(side, yields, scale, kind) for side in (up, down))
            modifiers.append(Modifier("histosys", each.name, up, down, interpolation=kind, region=region / scale))
        return modifiers

    # ---- statistics of the templates

    def _with_statistics(
        self, name: str, samples: list[Sample], errors: list[Floats], threshold: float, with_signal: bool
    ) -> list[Sample]:
        """Add a parameter for each bin, or for each process in bins of few effective events.

        A process of few effective events, whose error is not above its yield, gets a Poisson measurement; others a
        Gaussian one of the error itself.
        """
        pairs = list(zip(samples, errors, strict=True))
        counted = [pair for pair in pairs if with_signal or pair[0].name not in self.card.signals]
        total = np.sum([self._initial(sample) * sample.yields for sample, _ in counted], axis=0)
        variance = np.sum([(self._initial(sample) * error) ** 2 for sample, error in counted], axis=0)
        together = (variance > 0) & (_effective(total, variance) > threshold)
        apart = (variance > 0) & ~together
        return [
            replace(
                sample,
                modifiers=(*sample.modifiers, *self._bin_effects(name, sample, error, together, apart, threshold)),
            )
            for sample, error in pairs
        ]

    def _bin_effects(
        self, name: str, sample: Sample, error: Floats, together: Bools, apart: Bools, threshold: float
    ) -> Iterator[Modifier]:
        yields = sample.yields
        few = _effective(yields, error**2)
        measured = apart & (error > 0) & (yields > 0) & (yields >= 0.999 * error) & (few <= threshold)
        added = apart & (error > 0) & (yields >= 0) & ~measured
        if together.any():
            yield Modifier("mcstat", f"prop_bin{name}", errors=np.where(together, error, 0.0))
        if added.any():
            yield Modifier("mcstat", f"prop_bin{name}_{sample.name}", errors=np.where(added, error, 0.0))
        if measured.any():
            parameter = f"prop_bin{name}_{sample.name}_gamma"
            relative = 1 / np.sqrt(np.where(measured, few, 1.0))
            bounds = [
                (low / max(count, 1.0), high / max(count, 1.0))
                for count in np.where(measured, few, 1.0)
                for low, high in [_poisson_interval(float(count))]
            ]
            self.settings[parameter] = {"bounds": bounds}
            yield Modifier("shapesys", parameter, errors=np.where(measured, yields * relative, 0.0))

    def _initial(self, sample: Sample) -> float:
        """Return what multiplies the yields of a sample before any fit."""
        found = []
        for each in sample.modifiers:
            if each.kind == "formula" and each.formula is not None:
                values = np.array([[self._init(name)] for name in each.formula.parameters])
                found.append(float(each.formula(values)[0][0]))
            elif each.kind == "normfactor":
                found.append(self._init(each.parameter))
        return prod(found)

    def _init(self, name: str) -> float:
        found = self.settings.get(name, {})
        # Combine's sidebands begin one event above their count
        known = [count + 1 for count in found["auxdata"]] if "factors" in found else found.get("inits", [1.0])
        return float(known[0])


def moved(side: Floats, yields: Floats, scale: float, kind: Interpolation) -> Floats:
    """Return a template moved from the nominal one by a multiple of its distance, of its logarithm for log4p."""
    if scale == 1:
        return side
    if kind == "code4p":
        return np.asarray(yields + scale * (side - yields))
    both = (side > 0) & (yields > 0)
    return np.asarray(
        np.where(both, yields * np.divide(side, yields, out=np.ones_like(side), where=both) ** scale, side)
    )


def _effective(values: Floats, variances: Floats) -> Floats:
    """Return the number of events of weight 1 that have the same relative error, rounded."""
    return np.floor(0.5 + np.divide(values**2, variances, out=np.full_like(values, np.inf), where=variances > 0))


def _poisson_interval(count: float) -> tuple[float, float]:
    """Return the range of a mean that is measured as a count of at least 1: 7 standard deviations."""
    return float(chi2.ppf(_TAIL, 2 * count) / 2), float(chi2.isf(_TAIL, 2 * count + 2) / 2)


def _poisson_range(count: float) -> tuple[float, float]:
    """Return the range of the mean of a sideband of gmN: where the count has a probability above 1e-12."""
    low = count + 1.0 if count > 0 else 0.0
    while low > 0 and poisson.pmf(count, low) > 1e-12:
        low *= 0.8
    high = count + 1.0
    while poisson.pmf(count, high) > 1e-12:
        high *= 1.2
    return low, high
