"""Backgrounds from data: transfer factors of events, how they are measured and kept, and the matrix method."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, EventError, nearest
from colonnade.output import replacing
from colonnade.processor.pieces import Floats, Mask, Region
from colonnade.processor.weights import finite

_SOURCES = "sources: "


class Transfers:
    """The transfer factors of events, with variations: what an analysis's `transfers` fills.

    The events of a region with ``transfer="ff"`` count with the factor ``ff`` times their weight, data too.

    Parameters
    ----------
    size
        Number of events.
    where
        Dataset, file and entries, for messages.
    wanted
        Tells of the name of a variation whether it is to be made; for shifted objects none is.
    """

    def __init__(self, size: int, where: str = "", *, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self._size, self._where, self._wanted = size, where, wanted
        self._factors: dict[str, dict[str, Floats]] = {}

    def add(self, name: str, factor: Any, up: Any = None, down: Any = None) -> None:
        """Give a factor, with variations that are called ``NAME_up`` and ``NAME_down``.

        Raises
        ------
        EventError
            If a value is missing, infinite or not a number.
        ConfigError
            If there is not one value an event, or the factor is given twice.
        """
        if name in self._factors:
            msg = f"the transfer factor {name!r} is given twice; give each its own name."
            raise ConfigError(msg)
        self._factors[name] = {"nominal": finite(factor, f"transfer factor {name}", self._size, self._where)}
        self.vary(name, name, up, down)

    def vary(self, name: str, source: str, up: Any = None, down: Any = None) -> None:
        """Give a further source of uncertainty of a factor: its values up and down.

        Factors that share a source move together.
        """
        for word, values in (("up", up), ("down", down)):
            if values is not None and self._wanted(f"{source}_{word}"):
                what = f"transfer factor {name} ({source} {word})"
                self._factors[name][f"{source}_{word}"] = finite(values, what, self._size, self._where)

    def apply(self, name: str, correction: Any, *inputs: Any) -> None:
        """Give the factor that `TransferFactor.write` wrote; the statistical error of each of its bins is a source.

        Parameters
        ----------
        name
            The factor's.
        correction
            ``self.corrections[FILE][NAME]``.
        *inputs
            What it is a function of, one value an event each, in the order of the axes.
        """
        text = correction.inputs[0].description or ""
        if not text.startswith(_SOURCES):
            msg = f"the correction {correction.name} is no transfer factor that measure_transfer made; use add()."
            raise ConfigError(msg)
        flat = [np.asarray(values, dtype=np.float64) for values in inputs]
        self.add(name, correction.evaluate("nominal", *flat))
        for source in text.removeprefix(_SOURCES).split():
            if self._wanted(f"{source}_up"):
                self.vary(name, source, *(correction.evaluate(f"{source}_{word}", *flat) for word in ("up", "down")))

    @property
    def variations(self) -> tuple[str, ...]:
        """The names of the variations of all factors."""
        names = dict.fromkeys(name for factor in self._factors.values() for name in factor)
        names.pop("nominal", None)
        return tuple(names)

    def negative(self, masks: Mapping[str, Mask], regions: Mapping[str, Region]) -> dict[str, Any]:
        """Return for each region with a factor how many of its events have one, and one that is negative."""
        found = {}
        for region, mask in masks.items():
            if name := regions[region].transfer:
                factor = self._of(name, region)["nominal"][mask]
                found[region] = np.array([len(factor), np.count_nonzero(factor < 0)])
        return found

    def spread(
        self, matrix: Floats, masks: Mapping[str, Mask], regions: Mapping[str, Region]
    ) -> Iterator[tuple[Floats, dict[str, Mask]]]:
        """Give the weights of regions that share a factor, and of those without one.

        Parameters
        ----------
        matrix
            Weights, shape (events, variations), the first one nominal.
        masks
            The events of each region.
        regions
            The regions as they are declared.

        Yields
        ------
        weights
            Shape (events, variations + those of factors).
        masks
            Of the regions that they are of.
        """
        names = self.variations
        for name in dict.fromkeys(regions[region].transfer for region in masks) or [""]:
            mine = {region: mask for region, mask in masks.items() if regions[region].transfer == name}
            factor = self._of(name, next(iter(mine))) if name else {}
            nominal = factor.get("nominal", np.ones(self._size))
            weights = matrix * nominal[:, np.newaxis] if name else matrix
            if names:
                varied = [matrix[:, 0] * factor.get(each, nominal) for each in names]
                weights = np.column_stack([weights, *varied])
            yield weights, mine

    def _of(self, name: str, region: str) -> dict[str, Floats]:
        if name not in self._factors:
            hint = nearest(name, self._factors)
            msg = f"region {region!r} needs the transfer factor {name!r}, which transfers() does not give{hint}."
            raise ConfigError(msg)
        return self._factors[name]


def require_apart(masks: Mapping[str, Mask], blinded: Sequence[str], regions: Mapping[str, Region], where: str) -> None:
    """Refuse data of a blinded region in a region with a transfer factor that is not blinded: it would tell of them.

    Raises
    ------
    EventError
        Naming both.
    """
    for hidden in blinded:
        for name, region in regions.items():
            if region.transfer and name not in blinded and np.any(masks[name] & masks[hidden]):
                msg = (
                    f"the region {name!r}, whose events count by a transfer factor, holds data of the blinded region "
                    f"{hidden!r} {where}; declare it with signal=True, too."
                )
                raise EventError(msg)


def matrix_weight(tight: Sequence[Any], real: Sequence[Any], fake: Sequence[Any]) -> Floats:
    r"""Return the weight of a loose event by which the tight events with a fake lepton are estimated.

    With the efficiencies r and f of real and fake loose leptons to be tight, the number of tight events with at least
    one fake is, for any number of leptons,

    .. math:: \sum_{loose} \Big[ T - \prod_i \frac{r_i\,(t_i - f_i)}{r_i - f_i} \Big],

    where t is 1 for a tight lepton and 0 for another, and T the product of all t (ATLAS, Eur. Phys. J. C 71 (2011)
    1577, section 5.2; the inverse of the matrix of two leptons is the product of the inverses of each).

    Parameters
    ----------
    tight, real, fake
        For each lepton of an event an array: whether it is tight, and its efficiencies.

    Raises
    ------
    EventError
        If real leptons are not more often tight than fake ones.
    """
    every, product = np.ones(len(tight[0])), np.ones(len(tight[0]))
    for passes, of_real, of_fake in zip(tight, real, fake, strict=True):
        t, r, f = (np.asarray(values, dtype=np.float64) for values in (passes, of_real, of_fake))
        if not np.all(r > f):
            msg = f"the matrix method needs real leptons to be tight more often than fakes; {np.sum(r <= f)} are not."
            raise EventError(msg)
        every *= t
        product *= r * (t - f) / (r - f)
    return every - product


@dataclass(frozen=True)
class TransferFactor:
    """A measured ratio in bins.

    Attributes
    ----------
    name
        What it is called.
    axes
        Name and edges of each axis.
    values, errors
        One a bin.
    notes
        What is unusual about it, one sentence each.
    """

    name: str
    axes: tuple[tuple[str, tuple[float, ...]], ...]
    values: Floats
    errors: Floats
    notes: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Write it as a correctionlib file (schema 2), with a source for the statistical error of each bin.

        Values outside the bins take the nearest bin's.
        """
        sources = [f"{self.name}_bin{number}" for number in range(self.values.size)]
        moved = {"nominal": self.values}
        for number, source in enumerate(sources):
            change = np.zeros_like(self.values)
            change.flat[number] = self.errors.flat[number]
            moved |= {f"{source}_up": self.values + change, f"{source}_down": self.values - change}
        bins: dict[str, Any] = {"nodetype": "multibinning", "flow": "clamp"}
        bins |= {"inputs": [name for name, _ in self.axes], "edges": [list(edges) for _, edges in self.axes]}
        items = [{"key": key, "value": {**bins, "content": each.ravel().tolist()}} for key, each in moved.items()]
        inputs = [{"name": "variation", "type": "string", "description": _SOURCES + " ".join(sources)}]
        inputs += [{"name": name, "type": "real"} for name, _ in self.axes]
        correction = {
            "name": self.name,
            "version": 1,
            "inputs": inputs,
            "output": {"name": "factor", "type": "real"},
            "data": {"nodetype": "category", "input": "variation", "content": items},
        }
        with replacing(path) as temporary:
            text = json.dumps({"schema_version": 2, "corrections": [correction]})
            temporary.write_text(text, encoding="utf-8")


def measure_transfer(
    name: str, passed: Any, failed: Any, minus: tuple[Sequence[Any], Sequence[Any]] = ((), ())
) -> TransferFactor:
    r"""Measure a transfer factor: passing over failing events in bins, less what simulation says is something else.

    The errors are those of independent numbers, :math:`\sigma^2 = (V_p + k^2 V_f) / f^2` for k = p / f.

    Parameters
    ----------
    name
        What to call it.
    passed, failed
        Histograms (`hist.Hist` of counts or with variances) on the same axes.
    minus
        Histograms of simulation to subtract from each.

    Raises
    ------
    ConfigError
        If nothing is left of the failing events in a bin, which is named.
    """
    axes = tuple((axis.name or f"x{place}", tuple(map(float, axis.edges))) for place, axis in enumerate(passed.axes))
    (p, p_variance), (f, f_variance) = (_less(one, others) for one, others in zip((passed, failed), minus, strict=True))
    if not np.all(f > 0):
        place = np.unravel_index(int(np.argmin(f)), f.shape)
        where = _where(axes, place)
        msg = f"The transfer factor {name} can't be measured: {f[place]:.3g} failing events are left in {where}."
        raise ConfigError(msg)
    values = p / f
    errors = np.sqrt(p_variance + values**2 * f_variance) / f
    notes = tuple(
        f"The transfer factor {name} is negative ({values[tuple(place)]:.3g}) in {_where(axes, place)}; it is kept."
        for place in np.argwhere(values < 0)
    )
    return TransferFactor(name, axes, values, errors, notes)


def _less(one: Any, others: Sequence[Any]) -> tuple[Floats, Floats]:
    values, variances = np.array(one.values(), dtype=np.float64), np.array(one.variances(), dtype=np.float64)
    for other in others:
        values -= other.values()
        variances += other.variances()
    return values, variances


def _where(axes: Sequence[tuple[str, tuple[float, ...]]], place: Any) -> str:
    bins = zip(axes, place, strict=True)
    return ", ".join(f"{name} {edges[int(i)]:g} to {edges[int(i) + 1]:g}" for (name, edges), i in bins)
