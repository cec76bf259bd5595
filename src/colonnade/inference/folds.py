"""Which fold an event belongs to: a rule on its identity alone, so that training and scoring agree."""

from __future__ import annotations

__all__ = ["FOLD_RULE", "IDENTITY", "fold_of", "mix"]

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import MissingColumnError

# what names an event in every experiment's data
IDENTITY = ("run", "luminosityBlock", "event")
# the name by which a model's card carries the rule below
FOLD_RULE = "splitmix64(event + splitmix64(luminosityBlock + splitmix64(run))) mod folds"


def mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers over the whole range, one to one (splitmix64's finaliser).

    Parameters
    ----------
    value
        Any shape but a scalar (array arithmetic wraps modulo 2**64, as the algorithm wants).

    Notes
    -----
    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with Stafford's
    Mix13.
    """
    mixed = value + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def fold_of(identity: Mapping[str, Any] | Any, folds: int, salt: int = 0) -> NDArray[np.int64]:
    """Give each event its fold, from its run, luminosity block and event number only.

    Parameters
    ----------
    identity
        Anything that gives integer columns [N] by the names in `IDENTITY`: events, a table, a mapping.
    folds
        The number of folds.
    salt
        A number that makes an independent division of the same events (used to set validation events apart).

    Returns
    -------
    ndarray [N] of int64
        0 .. folds-1.

    Raises
    ------
    MissingColumnError
        If the events have no identity.
    """
    state: NDArray[np.uint64] | None = None
    for name in IDENTITY:
        try:
            column = np.asarray(identity[name])
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            msg = f"Events have no column '{name}', by which a model of {folds} folds knows those it saw."
            raise MissingColumnError(msg) from error
        number = column.astype(np.int64).view(np.uint64)
        state = mix(number + (np.uint64(salt) if state is None else state))
    assert state is not None  # noqa: S101 - IDENTITY is not empty
    return (state % np.uint64(folds)).astype(np.int64)
