"""Systematic uncertainties as modifiers: symmetrised, smoothed and pruned, each decision recorded; and what they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.model import Model, Modifier, Sample
from colonnade.statistics.results import Decision, Effect
from colonnade.statistics.settings import PruningSettings, SystematicSettings
from colonnade.statistics.templates import NOMINAL

Floats = NDArray[np.float64]
Kind = Literal["normalisation", "shape", "both", "bins", "pruned"]
_FREE = ("normfactor", "shapefactor", "formula")
_BINS = ("shapesys", "staterror", "mcstat")
# smaller relative changes are rounding
_NOTHING = 1e-9
# a normalisation effect can't take the yield to zero or below, where its logarithm ends
_LEAST = 0.01


def modifiers_of(
    systematic: SystematicSettings,
    channel: str,
    process: str,
    variations: Mapping[str, Floats],
    pruning: PruningSettings,
    decisions: list[Decision],
) -> list[Modifier]:
    """Return what a systematic uncertainty does to one process in one channel.

    Parameters
    ----------
    systematic
        Its settings.
    channel, process
        Where.
    variations
        The process's templates by variation name; the nominal one has no negative bin and is not all zero.
    pruning
        Effects smaller than this are left out.
    decisions
        Everything done is added here.

    Raises
    ------
    ConfigError
        If the variation is in none of the process's histograms.
    """
    name = systematic.name
    if systematic.decorrelate != "none":
        name = f"{name}_{channel if systematic.decorrelate == 'channel' else process}"
    if systematic.type == "shapesys":
        errors = (systematic.size or 0.0) * variations[NOMINAL]
        return [Modifier("shapesys", f"{name}_{channel}_{process}", errors=errors)]
    if systematic.up is not None:
        up, down = systematic.up, systematic.down or 1 / systematic.up
        return [_normsys(name, *(_mean(up, down) if systematic.symmetrise == "mean" else (up, down)))]
    effect = _Variation(systematic, name, f"{process} in {channel}", variations, pruning, decisions)
    return effect.modifiers()


def _mean(up: float, down: float) -> tuple[float, float]:
    """Return the factors of the mean effect of both sides."""
    mean = float(np.sqrt(up / down))
    return mean, 1 / mean


def _normsys(name: str, up: float, down: float) -> Modifier:
    return Modifier("normsys", name, np.array([up]), np.array([down]), interpolation="code4")


@dataclass(frozen=True, slots=True)
class _Variation:
    """The effect of one filled variation on one process in one channel."""

    systematic: SystematicSettings
    name: str
    where: str
    variations: Mapping[str, Floats]
    pruning: PruningSettings
    decisions: list[Decision]

    @property
    def nominal(self) -> Floats:
        return self.variations[NOMINAL]

    def note(self, kind: str, what: str) -> None:
        decision = Decision(kind, self.name, what, (self.where,))
        if decision not in self.decisions:
            self.decisions.append(decision)

    def modifiers(self) -> list[Modifier]:
        nominal, symmetric = self.nominal, self.systematic.symmetrise == "mean"
        sides = self._both_sides()
        up, down = (self._ratio(side) for side in sides)
        if symmetric:
            up, down = _mean(up, down)
        if self.systematic.type == "normsys" or len(nominal) == 1:
            return self._normalisation(up, down)
        above, below = (self._shape(side) for side in sides)
        if symmetric:
            half = (above - below) / 2
            above, below = np.maximum(nominal + half, 0), np.maximum(nominal - half, 0)
        kept = self._normalisation(up, down)
        threshold = self.pruning.shape
        change = np.maximum(np.abs(above - nominal), np.abs(below - nominal))
        if np.all(change <= threshold * nominal + 1e-12 * nominal.sum()):
            self.note("pruned", f"the shape effect is below {threshold:g} of every bin")
            return kept
        return [*kept, Modifier("histosys", self.name, above, below, interpolation="code4p")]

    def _both_sides(self) -> tuple[Floats, Floats]:
        variation = self.systematic.variation
        up, down = (self.variations.get(f"{variation}_{side}") for side in ("up", "down"))
        given = up if up is not None else down
        if given is None:
            known = {each.removesuffix("_up").removesuffix("_down") for each in self.variations}
            # less those that are made of eras
            filled = sorted(each for each in known - {NOMINAL} if "@" not in each)
            listed = f"; filled: {', '.join(filled)}" if filled else "; none was filled"
            msg = (
                f"The systematic {self.systematic.name}: the variation {variation!r} of {self.where} was not "
                f"filled{nearest(str(variation), filled)}{listed}."
            )
            raise ConfigError(msg)
        given = np.maximum(given, 0.0)
        if up is None or down is None:
            self.note("symmetrised", "only one side was filled; the other mirrors its shape and yield")
            mirrored = _mirror(given, self.nominal)
            return (mirrored, given) if up is None else (given, mirrored)
        if self.systematic.symmetrise == "mean":
            self.note("symmetrised", "both sides were replaced by their mean effect")
        return given, np.maximum(down, 0.0)

    def _ratio(self, template: Floats) -> float:
        ratio = float(template.sum() / self.nominal.sum())
        if ratio < _LEAST:
            self.note("negative yield", f"a variation leaves less than {_LEAST:g} of the yield, which is taken")
            return _LEAST
        return ratio

    def _normalisation(self, up: float, down: float) -> list[Modifier]:
        threshold = self.pruning.normalisation
        if max(abs(up - 1), abs(down - 1)) < threshold:
            self.note("pruned", f"the normalisation effect is below {threshold:g}")
            return []
        if (up - 1) * (down - 1) > 0 and min(abs(up - 1), abs(down - 1)) > threshold:
            self.note("one-sided", "both variations move the yield the same way; kept as they are")
        return [_normsys(self.name, up, down)]

    def _shape(self, template: Floats) -> Floats:
        nominal, total = self.nominal, template.sum()
        shape = template * nominal.sum() / total if total > 0 else nominal
        if self.systematic.smooth:
            if len(nominal) < 3:
                self.note("smoothed", "not smoothed, as there are fewer than three bins")
                return shape
            self.note("smoothed", "the ratio to the nominal template was smoothed (353QH, twice)")
            shape = _smoothed(shape, nominal)
            if shape.sum() > 0:
                shape = shape * nominal.sum() / shape.sum()
        return np.asarray(shape)


def _mirror(template: Floats, nominal: Floats) -> Floats:
    """Mirror yield and shape around the nominal template, each by its difference."""
    ratio = template.sum() / nominal.sum()
    if ratio <= 0:
        return nominal
    shape = np.maximum(2 * nominal - template / ratio, 0.0)
    scale = nominal.sum() / shape.sum() if shape.sum() > 0 else 1.0
    return np.asarray(shape * scale * max(2 - ratio, _LEAST))


def _smoothed(template: Floats, nominal: Floats) -> Floats:
    from cabinetry.smooth import smooth_353qh_twice

    ratio = np.divide(template, nominal, out=np.ones_like(nominal), where=nominal > 0)
    return np.asarray(np.maximum(np.asarray(smooth_353qh_twice(ratio)), 0.0) * nominal)


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
        for where in decision.where:
            told.setdefault(where, {}).setdefault(decision.subject, []).append(decision)
    found = []
    for channel in model.channels:
        for sample in channel.samples:
            modifiers: dict[str, list[Modifier]] = {}
            for modifier in sample.modifiers:
                if modifier.kind not in _FREE:
                    modifiers.setdefault(modifier.parameter, []).append(modifier)
            notes = told.get(f"{sample.name} in {channel.name}", {})
            for name in dict.fromkeys((*modifiers, *notes)):
                effect = Effect(name, channel.name, sample.name, groups.get(name, ""))
                effect = _filled(effect, model, sample, modifiers.get(name, []))
                mine = notes.get(name, [])
                mirrored = any(each.kind == "symmetrised" and "mirrors" in each.what for each in mine)
                texts = tuple(f"{each.kind}: {each.what}" for each in mine)
                found.append(replace(effect, notes=texts, sides="mirrored" if mirrored else effect.sides))
    return tuple(found)


def _filled(blank: Effect, model: Model, sample: Sample, mine: Sequence[Modifier]) -> Effect:
    """Fill in what the modifiers of a parameter do to a sample."""
    nominal = sample.yields
    total = float(nominal.sum())
    if not mine or total <= 0:
        return blank
    if all(each.kind in _BINS for each in mine):
        errors = np.sqrt(np.sum([each.errors**2 for each in mine], axis=0))
        size = float(np.sqrt(np.sum(errors**2))) / total
        largest = float(np.max(errors[nominal > 0] / nominal[nominal > 0], initial=0.0))
        return replace(blank, kind="bins", up=size, down=-size, shape=largest)
    templates = [_template(model, nominal, mine, side) for side in (1, -1)]
    up, down = (float(each.sum()) / total - 1 for each in templates)
    shape = max(_shape_change(each, nominal) for each in templates)
    moves = max(abs(up), abs(down)) > _NOTHING
    kind: Kind = "both" if moves and shape > _NOTHING else "shape" if shape > _NOTHING else "normalisation"
    one_sided = min(abs(up), abs(down)) > _NOTHING and up * down > 0
    return replace(blank, kind=kind, up=up, down=down, shape=shape, sides="one-sided" if one_sided else "both")


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


def _shape_change(template: Floats, nominal: Floats) -> float:
    """Return the largest relative change of a bin beyond that of the yield."""
    expected = nominal * (template.sum() / nominal.sum())
    some = expected > 0
    return float(np.max(np.abs(template[some] / expected[some] - 1), initial=0.0))
