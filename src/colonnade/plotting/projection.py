"""Filled histograms as arrays, and sums of processes in one region with their uncertainties."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boost_histogram
import numpy as np
from numpy.typing import NDArray

from colonnade.statistics.eras import EraPart, era_variations, member_variations
from colonnade.statistics.settings import ModelSettings, SystematicSettings
from colonnade.statistics.templates import matches

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One declared axis of a histogram.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,).
    label, unit : str
        As declared: the label ends with the unit, if there is one.
    bins : tuple of str
        Names of the bins, where the axis has no scale.
    flow : tuple of bool
        Whether it counts what lies below and above.
    """

    edges: Floats
    label: str
    unit: str
    bins: tuple[str, ...]
    flow: tuple[bool, bool]


@dataclass(frozen=True)
class Histogram:
    """A filled histogram as arrays; a `hist.Hist` makes a new view at each look.

    Attributes
    ----------
    regions, variations : tuple of str
        Of the first two axes.
    axes : tuple of Axis
        The declared ones.
    values, variances : numpy.ndarray
        Shape (regions, variations, bins with flow...).
    """

    regions: tuple[str, ...]
    variations: tuple[str, ...]
    axes: tuple[Axis, ...]
    values: Floats
    variances: Floats

    @classmethod
    def of(cls, histogram: Any) -> Histogram:
        """Take apart a `hist.Hist` with axes region, variation and one or more declared ones."""
        view = histogram.view(flow=True)
        regions, variations, *declared = histogram.axes
        return cls(
            tuple(regions),
            tuple(variations),
            tuple(axis_of(axis) for axis in declared),
            np.asarray(view.value)[: len(regions), : len(variations)],
            np.asarray(view.variance)[: len(regions), : len(variations)],
        )

    @property
    def nominal(self) -> Floats:
        """Shape (regions, bins with flow...): events without any variation."""
        return np.asarray(self.values[:, self.variations.index("nominal")])

    def inside(self, contents: Floats) -> Floats:
        """Return the contents of one region, shape (variations, bins with flow...), without the flow."""
        sizes = zip(self.axes, contents.shape[1:], strict=True)
        bins = (slice(int(axis.flow[0]), size - int(axis.flow[1])) for axis, size in sizes)
        return contents[(slice(None), *bins)]

    def by_era(
        self,
        process: str,
        eras: Mapping[str, Histogram],
        parts: Sequence[EraPart],
        replaced: Collection[str | None],
    ) -> Histogram:
        """Return the same with a variation for each parameter that moves eras, in place of some that move all.

        Parameters
        ----------
        process
            Its process.
        eras
            Its parts by era.
        parts
            The parameters.
        replaced
            The variations that these replace.
        """
        kept = [place for place, name in enumerate(self.variations) if _source(name)[0] not in replaced]
        made: dict[str, Floats] = {}
        for place, region in enumerate(self.regions):
            mine = [part for part in parts if _applies(part.systematic, process, region)]
            filled = [part.systematic.model_copy(update={"variation": part.variation}) for part in mine]
            of_eras = {}
            for era, each in eras.items():
                found = dict(zip(each.variations, each.values[place], strict=True))
                of_eras[era] = found | member_variations(filled, found, f"{process} in {region}, {era}")
            for name, values in era_variations(mine, of_eras, self.nominal[place]).items():
                made.setdefault(name, self.nominal.copy())[place] = values
        nominal = np.repeat(self.variances[:, [self.variations.index("nominal")]], len(made), axis=1)
        return Histogram(
            self.regions,
            (*(self.variations[place] for place in kept), *made),
            self.axes,
            np.concatenate([self.values[:, kept], *(each[:, None] for each in made.values())], axis=1),
            np.concatenate([self.variances[:, kept], nominal], axis=1),
        )

    def integral(self) -> Histogram:
        """Return the same with all bins, flow included, in one."""
        over = tuple(range(2, self.values.ndim))
        axis = Axis(np.asarray([0.0, 1.0]), "", "", (), (False, False))
        return Histogram(
            self.regions, self.variations, (axis,),
            self.values.sum(axis=over)[..., None], self.variances.sum(axis=over)[..., None],
        )  # fmt: skip


def axis_of(axis: Any) -> Axis:
    """Describe a declared axis of hist."""
    label = str(axis.label or axis.name)
    parsed = re.search(r"\[([^\[\]]*)\]$", label)
    unit = "" if parsed is None else parsed[1]
    flow = (bool(axis.traits.underflow), bool(axis.traits.overflow))
    if axis.traits.continuous:
        return Axis(np.asarray(axis.edges, dtype=float), label, unit, (), flow)
    if isinstance(axis, boost_histogram.axis.Integer):  # counts: a bin of width one around each number
        return Axis(np.asarray(axis.edges, dtype=float) - 0.5, label, unit, (), flow)
    bins = tuple(str(value) for value in axis)
    return Axis(np.arange(len(bins) + 1.0), label, unit, bins, flow)


def _applies(each: SystematicSettings, process: str, region: str) -> bool:
    return matches(process, each.processes) and matches(region, each.regions)


@dataclass(frozen=True)
class Projection:
    """Sums over processes in one region, over n bins without flow.

    Attributes
    ----------
    values, variances : numpy.ndarray
        Shape (n,): events, and the square of their statistical error.
    up, down : numpy.ndarray
        Shape (n,): systematic variations, added in quadrature; both 0 or more.
    outside : float
        Events in no bin.
    """

    values: Floats
    variances: Floats
    up: Floats
    down: Floats
    outside: float

    @property
    def total_up(self) -> Floats:
        """Shape (n,): statistical and systematic uncertainty above."""
        return np.sqrt(self.variances + self.up**2)

    @property
    def total_down(self) -> Floats:
        """Shape (n,): statistical and systematic uncertainty below."""
        return np.sqrt(self.variances + self.down**2)


def model_uncertainties(
    model: ModelSettings | None, simulated: Sequence[str], era: str | None = None
) -> tuple[SystematicSettings, ...]:
    """Return what a model says beyond the variations in the histograms: normalisations, and how members are combined.

    Those of the luminosity move simulated processes. Of the sum of eras those that move eras differently are in the
    histograms, too; of one era they are here.
    """
    if model is None:
        return ()
    here = [each for each in model.systematics if era is not None or not each.by_era]
    found = [each for each in here if each.combine or (each.type == "normsys" and each.up is not None)]
    of_era = {
        name: size[era] for name, size in model.luminosity_uncertainties.items() if era is not None and era in size
    }
    sizes = {name: (1 + size, 1 / (1 + size)) for name, size in of_era.items()}
    if model.luminosity_uncertainty:
        sizes["luminosity"] = 1 + model.luminosity_uncertainty, 1 - model.luminosity_uncertainty
    return (
        *found,
        *(
            SystematicSettings(name=name, type="normsys", up=up, down=down, processes=tuple(simulated))
            for name, (up, down) in sizes.items()
        ),
    )


def project(
    histograms: Mapping[str, Histogram],
    names: Sequence[str],
    region: str,
    of_model: Sequence[SystematicSettings] = (),
) -> Projection | None:
    r"""Add processes in one region, with their variations.

    Variations of one name move all processes together, so they are added with their signs first. The
    differences from the nominal prediction, of both directions of source k, then give

    .. math:: u_i = \sqrt{\sum_k \max(\Delta^+_{ki}, \Delta^-_{ki}, 0)^2},
              d_i = \sqrt{\sum_k \min(\Delta^+_{ki}, \Delta^-_{ki}, 0)^2} .

    Members of one uncertainty are combined to such a source as the model says, process by process, see
    `colonnade.statistics.eras`.

    Parameters
    ----------
    histograms
        Process to histogram.
    names
        The processes to add; those without this region do not count.
    region
        The region.
    of_model
        What the model says beyond the variations.

    Returns
    -------
    Projection or None
        None where no process has the region.
    """
    chosen = [name for name in names if name in histograms and region in histograms[name].regions]
    if not chosen:
        return None
    nominal: dict[str, Floats] = {}
    variances: list[Floats] = []
    outside = 0.0
    shifts: dict[str, dict[str, Floats]] = {}
    for name in chosen:
        histogram = histograms[name]
        place, variations = histogram.regions.index(region), histogram.variations
        values, errors = (histogram.inside(each[place]) for each in (histogram.values, histogram.variances))
        central = variations.index("nominal")
        nominal[name] = values[central]
        variances.append(errors[central])
        outside += float(histogram.values[place, central].sum() - values[central].sum())
        for variation, varied in _combined(dict(zip(variations, values, strict=True)), name, region, of_model).items():
            source, direction = _source(variation)
            if direction:
                both = shifts.setdefault(source, {})
                both[direction] = both.get(direction, np.zeros(())) + varied - values[central]
    for each in of_model:
        if each.up is None or each.type != "normsys":
            continue
        moved = [nominal[name] for name in chosen if _applies(each, name, region)]
        if moved:
            total = np.sum(moved, axis=0)
            shifts[f"normalisation {each.name}"] = {
                "up": total * (each.up - 1),
                "down": total * ((each.down or 1 / each.up) - 1),
            }
    total = np.sum(list(nominal.values()), axis=0)
    up, down = np.zeros_like(total), np.zeros_like(total)
    for both in shifts.values():
        deltas = np.stack(list(both.values()))
        if len(both) == 1:  # given in one direction: the other one is its mirror image
            deltas = np.concatenate([deltas, -deltas])
        up += np.maximum(deltas.max(axis=0), 0) ** 2
        down += np.minimum(deltas.min(axis=0), 0) ** 2
    return Projection(total, np.sum(variances, axis=0), np.sqrt(up), np.sqrt(down), outside)


def _combined(
    variations: dict[str, Floats], process: str, region: str, of_model: Sequence[SystematicSettings]
) -> dict[str, Floats]:
    """Return variations with what their members are combined to; the strong coupling is part of that."""
    members = [each for each in of_model if each.combine and _applies(each, process, region)]
    made = member_variations(members, variations, f"{process} in {region}")
    parts = {f"{each.alpha_s}_{side}" for each in members for side in ("up", "down")}
    return {name: values for name, values in (variations | made).items() if name not in parts}


def _source(variation: str) -> tuple[str, str]:
    """Split the name of a variation into source and direction; the nominal one has no direction."""
    parsed = re.fullmatch(r"(.+?)_?(up|down|Up|Down)", variation)
    return (parsed[1], parsed[2].casefold()) if parsed is not None else (variation, "")
