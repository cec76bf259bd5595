r"""Overlapping samples of one process, stitched together by what was generated.

An inclusive sample and others that are binned in a generated quantity hold the same kind of events where they overlap.
The bounds of all cut the phase space into strata. In each stratum s the events of every sample i that reaches it stand
for the luminosities of all of them together,

.. math:: w_s = \frac{L}{\sum_{i \ni s} L_i}, \qquad L_i = \frac{\sum w}{\sigma_i k_i \epsilon_i},

so that the expectation is that of the cross-section, whatever the sizes of the samples (K. Ehatäht and C. Veelken,
Stitching Monte Carlo samples, arXiv:2106.04360).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, EventError
from colonnade.manifest.metadata import Metadata, normalisation

Box = Mapping[str, tuple[float, float]]


def strata_of(datasets: Mapping[str, Metadata]) -> dict[str, dict[str, Any]]:
    """Return for each stitched dataset the strata of its process and era, and which of them it reaches.

    Parameters
    ----------
    datasets
        Name to what each is.

    Returns
    -------
    dict
        By dataset: ``edges``, for each quantity the bounds of the strata, and ``reached``, numbers of strata.

    Raises
    ------
    ConfigError
        If a sample of a stitched process does not say what it holds, or no sample holds some stratum between others.
    """
    groups: dict[tuple[str, str | None, str | None], list[str]] = {}
    for name, about in datasets.items():
        groups.setdefault((about.process, about.era, about.varies), []).append(name)
    found: dict[str, dict[str, Any]] = {}
    for (process, _, _), group in groups.items():
        stitched = [name for name in group if datasets[name].stitch]
        if not stitched:
            continue
        if len(stitched) < len(group):
            other = next(name for name in group if name not in stitched)
            msg = (
                f"Dataset {other} of the process {process} has no `stitch`, which {stitched[0]} has; say which "
                "generated events it holds."
            )
            raise ConfigError(msg)
        boxes = {name: _box(datasets[name]) for name in group}
        quantities = dict.fromkeys(quantity for box in boxes.values() for quantity in box)
        edges = {
            quantity: sorted({bound for box in boxes.values() for bound in box.get(quantity, ())})
            for quantity in quantities
        }
        reached = {name: _reached(box, edges) for name, box in boxes.items()}
        count = math.prod(len(bounds) - 1 for bounds in edges.values())
        missing = sorted(set(range(count)) - set(itertools.chain(*reached.values())))
        if missing:
            where = stratum_name(missing[0], edges)
            msg = f"No dataset of the process {process} holds {where}; between others there is a gap."
            raise ConfigError(msg)
        found |= {name: {"edges": edges, "reached": each} for name, each in reached.items()}
    return found


def _box(metadata: Metadata) -> dict[str, tuple[float, float]]:
    return {
        quantity: (-math.inf if low is None else low, math.inf if high is None else high)
        for quantity, (low, high) in (metadata.stitch or {}).items()
    }


def _reached(box: Box, edges: Mapping[str, list[float]]) -> list[int]:
    """Return the numbers of the strata in a box; of a quantity that it does not name, it has all."""
    inside = []
    for quantity, bounds in edges.items():
        low, high = box.get(quantity, (-math.inf, math.inf))
        inside.append([place for place, (a, b) in enumerate(itertools.pairwise(bounds)) if low <= a and b <= high])
    shape = [len(bounds) - 1 for bounds in edges.values()]
    return [int(np.ravel_multi_index(places, shape)) for places in itertools.product(*inside)]


def stratum_name(number: int, edges: Mapping[str, list[float]]) -> str:
    """Return a stratum in words, such as ``100 <= LHE.HT < 200``."""
    places = np.unravel_index(number, [len(bounds) - 1 for bounds in edges.values()])
    return " and ".join(
        f"{bounds[place]:g} <= {quantity} < {bounds[place + 1]:g}"
        for (quantity, bounds), place in zip(edges.items(), places, strict=True)
    )


def stratum_of(events: Any, strata: Mapping[str, Any], where: str) -> npt.NDArray[np.int64]:
    """Return the number of each event's stratum.

    Parameters
    ----------
    events
        With the quantities, such as ``LHE.HT``: the member HT of events.LHE.
    strata
        As `strata_of` gives it.
    where
        The dataset, for messages.

    Raises
    ------
    EventError
        If an event is in none that the dataset reaches, or a quantity is not a number.
    """
    number = np.zeros(len(events), dtype=np.int64)
    outside = np.zeros(len(events), dtype=bool)
    for quantity, bounds in strata["edges"].items():
        values: Any = events
        for name in quantity.split("."):
            values = values[name]
        place = np.searchsorted(np.asarray(bounds), np.asarray(values, dtype=np.float64), side="right") - 1
        outside |= (place < 0) | (place >= len(bounds) - 1)
        number = number * (len(bounds) - 1) + place
    outside |= ~np.isin(number, strata["reached"])
    if outside.any():
        names = " or ".join(stratum_name(each, strata["edges"]) for each in strata["reached"][:4])
        msg = f"{int(outside.sum())} events of {where} are not in {names}, as its `stitch` says."
        raise EventError(msg)
    return number


def joint_factors(
    datasets: Mapping[str, Metadata],
    strata: Mapping[str, Mapping[str, Any]],
    sumw: Mapping[str, float],
    luminosity: float,
) -> dict[str, dict[int, float]]:
    """Return what the generator weights of each stratum of stitched datasets are multiplied by.

    Parameters
    ----------
    datasets
        Those of one process and era.
    strata
        As `strata_of` gives them.
    sumw
        The sum of weights that each dataset is normalised by.
    luminosity
        In fb^-1.
    """
    own = {name: 1.0 / normalisation(about, 1.0, sumw[name]) for name, about in datasets.items()}
    joint: dict[int, list[float]] = {}
    for name, each in own.items():
        for number in strata[name]["reached"]:
            joint.setdefault(number, []).append(each)
    return {name: {number: luminosity / math.fsum(joint[number]) for number in strata[name]["reached"]} for name in own}
