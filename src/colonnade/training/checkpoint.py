"""How far a training is: the history, the best weights so far, and a file to go on from."""

from __future__ import annotations

__all__ = ["Checkpoint"]

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from colonnade.output import replacing

Entry = TypeVar("Entry")


class Checkpoint(Generic[Entry]):
    """The state of a training, kept in memory and, if asked for, in a file that is written whole.

    Parameters
    ----------
    entry
        The dataclass of what is noted of each epoch or step.
    network, optimiser
        What is trained, by what; both are set to their kept state where there is one of the same key.
    path
        The file; None keeps nothing.
    key
        What the training depends on: a file of another key is not used.

    Attributes
    ----------
    history : list
        The entries so far.
    best : int
        The number of the best entry, 0 before the first.
    best_state : dict
        The network's weights at the best entry.
    """

    def __init__(self, entry: type[Entry], network: Any, optimiser: Any, path: Path | None, key: str) -> None:
        self._entry, self._network, self._optimiser, self._path, self._key = entry, network, optimiser, path, key
        self.history: list[Entry] = []
        self.best, self._merit = 0, -float("inf")
        self.best_state: dict[str, Any] = copy.deepcopy(network.state_dict())
        if path is not None and path.is_file():
            self._resume(path)

    def _resume(self, path: Path) -> None:
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            if kept["key"] != self._key:
                return
            history = [self._entry(**entry) for entry in kept["history"]]
            self._network.load_state_dict(kept["network"])
            self._optimiser.load_state_dict(kept["optimiser"])
            self.best_state, self.best, self._merit = kept["best_state"], kept["best"], kept["merit"]
            self.history = history
        except Exception:  # a damaged checkpoint is only a training from the start
            return

    def add(self, entry: Entry, number: int, merit: float) -> None:
        """Note an entry, keep the weights if none was better, and write the file.

        Parameters
        ----------
        entry
            What was reached.
        number
            Of the epoch or step.
        merit
            By which entries are compared; of equal ones the first counts.
        """
        self.history.append(entry)
        if merit > self._merit:
            self.best, self._merit = number, merit
            self.best_state = copy.deepcopy(self._network.state_dict())
        if self._path is None:
            return
        kept = {
            "key": self._key,
            "history": [asdict(each) for each in self.history],  # type: ignore[call-overload]  # a dataclass
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best_state": self.best_state,
            "best": self.best,
            "merit": self._merit,
        }
        with replacing(self._path) as temporary:
            torch.save(kept, temporary)
