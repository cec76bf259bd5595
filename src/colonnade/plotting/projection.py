"""Processes added in one region, with their statistical and systematic uncertainties."""

from __future__ import annotations

__all__ = ["FlatUncertainty", "Projection", "flat_uncertainties", "project"]

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from colonnade.config import parse_settings
from colonnade.errors import ColonnadeError
from colonnade.plotting.filled import Axis, Filled
from colonnade.plotting.folder import RunFolder

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FlatUncertainty:
    """A relative uncertainty on whole processes, from the workflow's model.

    Attributes
    ----------
    name : str
        Of the nuisance parameter.
    up, down : float
        Factors on the yield.
    processes, regions : tuple of str
        Names or globs.
    """

    name: str
    up: float
    down: float
    processes: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)

    def applies(self, process: str, region: str) -> bool:
        """Say whether it moves a process in a region."""
        return any(fnmatchcase(process, each) for each in self.processes) and any(
            fnmatchcase(region, each) for each in self.regions
        )


@dataclass(frozen=True)
class Projection:
    """Sums over processes in one region, over n bins without flow.

    Attributes
    ----------
    values, variances : numpy.ndarray
        Shape (n,): events, and the square of their statistical error.
    up, down : numpy.ndarray
        Shape (n,): systematic variations, added in quadrature; both 0 or more.
    below, above : float
        Events outside the axis.
    """

    values: Floats
    variances: Floats
    up: Floats
    down: Floats
    below: float = 0.0
    above: float = 0.0

    @property
    def total_up(self) -> Floats:
        """Shape (n,): statistical and systematic uncertainty above."""
        return np.sqrt(self.variances + self.up**2)

    @property
    def total_down(self) -> Floats:
        """Shape (n,): statistical and systematic uncertainty below."""
        return np.sqrt(self.variances + self.down**2)


def flat_uncertainties(folder: RunFolder) -> tuple[FlatUncertainty, ...]:
    """Return the normalisation uncertainties of the workflow's model, as provenance.json has it.

    Those that come as histogram variations are found in the histograms.
    """
    from colonnade.statistics.settings import ModelSettings

    content = folder.config.get("model")
    if not isinstance(content, dict):
        return ()
    try:
        model = parse_settings(ModelSettings, content, "model")
    except ColonnadeError:  # written by another version: the fit is done, the picture has less of a band
        return ()
    found = [
        FlatUncertainty(each.name, each.up, each.down or 1 / each.up, each.processes, each.regions)
        for each in model.systematics
        if each.type == "normsys" and each.up is not None
    ]
    if model.luminosity_uncertainty:
        size = model.luminosity_uncertainty
        found.append(FlatUncertainty("luminosity", 1 + size, 1 - size))
    return tuple(found)


def project(
    histograms: Mapping[str, Filled],
    names: Sequence[str],
    region: str,
    flat: Sequence[FlatUncertainty] = (),
    overflow: bool = False,
) -> Projection | None:
    r"""Add processes in one region, with their variations.

    Variations of one name move all processes together, so they are added with their signs first. The
    differences from the nominal prediction, of both directions of source k, then give

    .. math:: u_i = \sqrt{\sum_k \max(\Delta^+_{ki}, \Delta^-_{ki}, 0)^2},
              d_i = \sqrt{\sum_k \min(\Delta^+_{ki}, \Delta^-_{ki}, 0)^2} .

    Parameters
    ----------
    histograms
        Process to histogram.
    names
        The processes to add; those without this region do not count.
    region
        The region.
    flat
        Relative uncertainties on whole processes.
    overflow
        Whether what lies outside the axis is added to its outer bins (of one-dimensional histograms).

    Returns
    -------
    Projection or None
        None where no process has the region.
    """
    chosen = [name for name in names if name in histograms and region in histograms[name].regions]
    if not chosen:
        return None
    axes = histograms[chosen[0]].axes
    nominal: dict[str, Floats] = {}
    variances: list[Floats] = []
    outside = np.zeros(2)
    shifts: dict[str, dict[str, Floats]] = {}
    for name in chosen:
        histogram = histograms[name]
        place, variations = histogram.regions.index(region), histogram.variations
        values, beyond = _inside(histogram.values[place], axes, overflow)
        errors, _ = _inside(histogram.variances[place], axes, overflow)
        central = variations.index("nominal")
        nominal[name] = values[central]
        variances.append(errors[central])
        outside += beyond[:, central]
        for index, variation in enumerate(variations):
            source, direction = _source(variation)
            if direction:
                both = shifts.setdefault(source, {})
                both[direction] = both.get(direction, np.zeros(())) + values[index] - values[central]
    for each in flat:
        moved = [nominal[name] for name in chosen if each.applies(name, region)]
        if moved:
            total = np.sum(moved, axis=0)
            shifts[f"normalisation {each.name}"] = {
                "up": total * (each.up - 1),
                "down": total * (each.down - 1),
            }
    total = np.sum(list(nominal.values()), axis=0)
    up, down = np.zeros_like(total), np.zeros_like(total)
    for both in shifts.values():
        deltas = np.stack(list(both.values()))
        if len(both) == 1:  # given in one direction: the other one is its mirror image
            deltas = np.concatenate([deltas, -deltas])
        up += np.maximum(deltas.max(axis=0), 0) ** 2
        down += np.minimum(deltas.min(axis=0), 0) ** 2
    return Projection(
        total, np.sum(variances, axis=0), np.sqrt(up), np.sqrt(down), float(outside[0]), float(outside[1])
    )


def _source(variation: str) -> tuple[str, str]:
    """Split the name of a variation into source and direction; the nominal one has no direction."""
    parsed = re.fullmatch(r"(.+?)_?(up|down|Up|Down)", variation)
    return (parsed[1], parsed[2].casefold()) if parsed is not None else (variation, "")


def _inside(values: Floats, axes: Sequence[Axis], overflow: bool) -> tuple[Floats, Floats]:
    """Drop the flow bins of all but the first axis (the variations), or fold them into the outer bins.

    Returns
    -------
    inside
        Shape (variations, n, ...).
    outside
        Shape (2, variations): what was below and above the axis, of one-dimensional histograms.
    """
    inner = values
    outside = np.zeros((2, len(values)))
    for number, axis in enumerate(axes, start=1):
        first, last = int(axis.flow[0]), inner.shape[number] - int(axis.flow[1])
        inner = inner[(slice(None),) * number + (slice(first, last),)]
        if len(axes) == 1:
            outside[0], outside[1] = values[:, :first].sum(axis=1), values[:, last:].sum(axis=1)
            # names have no neighbours to be added to
            if overflow and not axis.bins:
                inner = inner.copy()
                inner[:, 0] += outside[0]
                inner[:, -1] += outside[1]
    return inner, outside
