"""What each uncertainty of a model does to each process in each channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from colonnade.statistics.likelihood import Floats
from colonnade.statistics.model import Model, Modifier, Sample
from colonnade.statistics.results import Effect
from colonnade.statistics.templates import Decision

Kind = Literal["normalisation", "shape", "both", "bins", "pruned"]
_FREE = ("normfactor", "shapefactor", "formula")
_BINS = ("shapesys", "staterror", "mcstat")
# smaller relative changes are rounding
_NOTHING = 1e-9


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
