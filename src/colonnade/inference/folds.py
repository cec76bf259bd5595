"""Which fold an event belongs to: a rule on its identity alone, so that training and scoring agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import MissingColumnError
from colonnade.kinematics.related import mixed

# what names an event in every experiment's data
IDENTITY = ("run", "luminosityBlock", "event")
# the name by which a model's card carries the rule below
FOLD_RULE = "splitmix64(event + splitmix64(luminosityBlock + splitmix64(run))) mod folds"


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
        state = mixed(number + (np.uint64(salt) if state is None else state))
    assert state is not None  # noqa: S101 - IDENTITY is not empty
    return (state % np.uint64(folds)).astype(np.int64)
