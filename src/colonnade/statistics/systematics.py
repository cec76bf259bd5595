"""What each uncertainty of a model does to each process in each channel."""

from __future__ import annotations

__all__ = ["Effect", "effects_of"]

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from colonnade.statistics.likelihood import Floats
from colonnade.statistics.model import Model, Modifier, Sample
from colonnade.statistics.templates import Decision

Kind = Literal["normalisation", "shape", "both", "bins", "pruned"]
_FREE = ("normfactor", "shapefactor", "formula")
_BINS = ("shapesys", "staterror", "mcstat")
# smaller changes are shown as none, in percent
_SHOWN = 0.005
# smaller relative changes are rounding
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Effect:
    """What one uncertainty does to one process in one channel.

    Attributes
    ----------
    parameter, channel, process : str
        Which.
    group : str
        The first group of uncertainties that the parameter is in, such as theory, jets, luminosity or statistics;
        empty where it is in none.
    kind : {'normalisation', 'shape', 'both', 'bins', 'pruned'}
        What it moves: the yield, the shape at a fixed yield, both, each bin on its own, or nothing as it was left out.
    up, down : float
        Relative change of the yield at plus and minus one standard deviation; of `bins` the uncertainty of the sum.
    shape : float
        Largest relative change of a bin beyond that of the yield, of either side.
    sides : {'both', 'one-sided', 'mirrored'}
        Whether the sides differ in sign, both move the yield the same way, or one was filled and the other mirrors it.
    notes : tuple of str
        What building the model did to it and why: smoothed, symmetrised, pruned.
    """

    parameter: str
    channel: str
    process: str
    group: str
    kind: Kind = "pruned"
    up: float = 0.0
    down: float = 0.0
    shape: float = 0.0
    sides: Literal["both", "one-sided", "mirrored"] = "both"
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> float:
        """The largest of the relative changes, by which effects are ordered."""
        return max(abs(self.up), abs(self.down), self.shape)

    @property
    def yield_text(self) -> str:
        """The change of the yield in percent: ``+3.1 −2.9 %``, or ``±2 %`` where the sides are alike."""
        if self.kind == "pruned":
            return "left out"
        up, down = _percent(self.up), _percent(self.down)
        if up == down == "0":
            return "–"
        return f"±{up[1:]} %" if up[1:] == down[1:] and up[0] != down[0] else f"{up} {down} %"

    @property
    def bins_text(self) -> str:
        """The largest change of a bin beyond that of the yield, in percent; of `bins` the largest uncertainty."""
        largest = _percent(self.shape)
        return "–" if largest == "0" else f"{largest[1:]} %"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else there is to say, in a word each: bin by bin, one-sided, mirrored, smoothed, pruned."""
        own = ("bin by bin",) if self.kind == "bins" else ()
        side = () if self.sides == "both" else (self.sides,)
        done = (each.partition(":")[0] for each in self.notes)
        return tuple(dict.fromkeys((*own, *side, *done)))


def _percent(change: float) -> str:
    """Write a relative change in percent with its sign and two digits, or as 0 where it is less than 0.005 %."""
    value = 100 * change
    if abs(value) < _SHOWN:
        return "0"
    text = f"{value:+.2g}" if abs(value) < 100 else f"{value:+.0f}"
    return text.replace("-", "−")


def effects_of(model: Model, decisions: Iterable[Decision] = ()) -> tuple[Effect, ...]:
    """Return what each constrained parameter does to each process in each channel.

    The modifiers of one parameter are taken together, as HistFactory combines them: differences of templates are added
    to the nominal one, and factors multiply the sum (K. Cranmer et al., CERN-OPEN-2012-016, section 2).

    Parameters
    ----------
    model
        The model.
    decisions
        What building it did; effects that were left out are listed with the reason.

    Returns
    -------
    tuple of Effect
        By channel and process in the model's order.
    """
    groups = {name: group for group, names in reversed(list(model.groups.items())) for name in names}
    told: dict[str, dict[str, list[Decision]]] = {}
    for decision in decisions:
        told.setdefault(decision.where, {}).setdefault(decision.subject, []).append(decision)
    found = []
    for channel in model.channels:
        for sample in channel.samples:
            modifiers: dict[str, list[Modifier]] = {}
            for modifier in sample.modifiers:
                if modifier.kind not in _FREE:
                    modifiers.setdefault(modifier.parameter, []).append(modifier)
            notes = told.get(f"{sample.name} in {channel.name}", {})
            for name in dict.fromkeys((*modifiers, *notes)):
                effect = _effect(
                    Effect(name, channel.name, sample.name, groups.get(name, "")), model, sample, modifiers
                )
                found.append(_noted(effect, notes.get(name, [])))
    return tuple(found)


def _effect(blank: Effect, model: Model, sample: Sample, modifiers: Mapping[str, list[Modifier]]) -> Effect:
    """Fill in what the modifiers of a parameter do to a sample."""
    nominal = sample.yields
    total = float(nominal.sum())
    mine = modifiers.get(blank.parameter, [])
    if not mine or total <= 0:
        return blank
    if all(each.kind in _BINS for each in mine):
        errors = np.sqrt(np.sum([each.errors**2 for each in mine], axis=0))
        size = float(np.sqrt(np.sum(errors**2))) / total
        largest = float(np.max(errors[nominal > 0] / nominal[nominal > 0], initial=0.0))
        return replace(blank, kind="bins", up=size, down=-size, shape=largest)
    up, down = (_template(model, nominal, mine, side) for side in (1, -1))
    changes = [float(each.sum()) / total - 1 for each in (up, down)]
    shape = max(_shape(each, nominal) for each in (up, down))
    moves = max(map(abs, changes)) > _NOTHING
    kind: Kind = "both" if moves and shape > _NOTHING else "shape" if shape > _NOTHING else "normalisation"
    one_sided = moves and min(map(abs, changes)) > _NOTHING and changes[0] * changes[1] > 0
    return replace(
        blank, kind=kind, up=changes[0], down=changes[1], shape=shape, sides="one-sided" if one_sided else "both"
    )


def _template(model: Model, nominal: Floats, modifiers: Iterable[Modifier], side: Literal[1, -1]) -> Floats:
    """Return a sample's template with a parameter one standard deviation above or below."""
    template, factor = nominal.copy(), 1.0
    for each in modifiers:
        if each.kind == "histosys":
            template = template + (each.up if side > 0 else each.down) - nominal
        elif each.kind == "normsys":
            factor *= float((each.up if side > 0 else each.down)[0])
        elif each.kind == "lumi":
            factor *= 1 + side * model.parameter(each.parameter).widths[0]
    return np.asarray(template * factor)


def _shape(template: Floats, nominal: Floats) -> float:
    """Return the largest relative change of a bin beyond that of the yield."""
    expected = nominal * (template.sum() / nominal.sum())
    some = expected > 0
    return float(np.max(np.abs(template[some] / expected[some] - 1), initial=0.0))


def _noted(effect: Effect, told: Iterable[Decision]) -> Effect:
    notes = tuple(f"{each.kind}: {each.what}" for each in told)
    mirrored = any(each.kind == "symmetrised" and "mirrors" in each.what for each in told)
    return replace(effect, notes=notes, sides="mirrored" if mirrored else effect.sides)
