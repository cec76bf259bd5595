"""Combine's datacards: read, combined and written.

Conventions are Combine's, release 10.6; docs/statistics.md says where they differ from HistFactory's.
"""

from __future__ import annotations

__all__ = ["read_combine"]

from collections.abc import Mapping
from pathlib import Path

from colonnade.statistics.formats.combine.build import model_of_cards
from colonnade.statistics.formats.combine.parsing import read_card
from colonnade.statistics.model import Model


def read_combine(path: Path | Mapping[str, Path], mass: float | None = None) -> Model:
    """Read a datacard, or several as one.

    Parameters
    ----------
    path
        The card; or labels and cards, whose bins are then named by their label, as Combine's ``combineCards.py`` does.
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
        If a card holds what Combine refuses or what can't be read here; the message names file and line. If one card
        contradicts another.
    """
    paths = {"": path} if isinstance(path, Path) else path
    return model_of_cards({label: read_card(each) for label, each in paths.items()}, mass)
