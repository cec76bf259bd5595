"""Training any torch module: batches, early stopping, the best weights kept, checkpoints, and how it is shown."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from colonnade.errors import ConfigError, FitError
from colonnade.execution.progress import Progress
from colonnade.output import replacing
from colonnade.terminal import Terminal


class Round(Protocol):
    """What a round of a training reached. Implementations are dataclasses of numbers, which a checkpoint can hold."""

    @property
    def loss(self) -> float:
        """The mean loss of the round's batches."""

    @property
    def merit(self) -> float:
        """The quality by which rounds are compared; the round with the greatest is the best."""


R = TypeVar("R", bound=Round)


@dataclass(frozen=True)
class Fitted(Generic[R]):
    """A trained network.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode on the CPU, with the weights of its best round.
    history : tuple
        The rounds.
    best : int
        Number of the best round, counted from 1.
    """

    network: Any
    history: tuple[R, ...]
    best: int


class Trainer(Generic[R]):
    """Trains a torch module, and goes on from a checkpoint where there is one of the same key.

    The same arguments give the same weights on one machine, whether or not the training was interrupted, if each
    round depends on nothing but its number and the state of network and optimiser.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained, on its device.
    optimiser : torch.optim.Optimizer
        Of the network's parameters.
    kind
        The dataclass of a round.
    checkpoint
        The file that keeps the state after each round, always whole; None: none is kept.
    key
        Identifies everything the training depends on. A checkpoint of another key, or a damaged one, is not used.

    Attributes
    ----------
    history : list
        The rounds so far, those of the checkpoint included.
    """

    def __init__(
        self, network: Any, optimiser: Any, kind: type[R], *, checkpoint: Path | None = None, key: str = ""
    ) -> None:
        self._network, self._optimiser, self._kind = network, optimiser, kind
        self._checkpoint, self._key = checkpoint, key
        self.history: list[R] = []
        self._best, self._merit = 0, -math.inf
        self._best_state: dict[str, Any] = copy.deepcopy(network.state_dict())
        if checkpoint is not None and checkpoint.is_file():
            self._resume(checkpoint)

    def run(
        self,
        one_round: Callable[[int], R],
        *,
        rounds: int,
        patience: int | None = None,
        progress: Callable[[R], None] | None = None,
    ) -> Fitted[R]:
        """Train until the last round, or until so many rounds in a row were not better than the best.

        Parameters
        ----------
        one_round
            Trains round number n, counted from 1, and tells what it reached; see `learn`.
        rounds
            Number of rounds, those of the checkpoint included.
        patience
            Stop after this number of rounds without a better one; None: never.
        progress
            Called after each round.

        Raises
        ------
        FitError
            If a round's loss or merit is not a finite number.
        """
        for number in range(len(self.history) + 1, rounds + 1):
            if patience is not None and len(self.history) - self._best >= patience:
                break
            reached = one_round(number)
            if not (math.isfinite(reached.loss) and math.isfinite(reached.merit)):
                msg = f"The loss became {reached.loss} in round {number} (validation {reached.merit}); "
                msg += "lower the learning rate or check the inputs."
                raise FitError(msg)
            self._add(reached)
            if progress is not None:
                progress(reached)
        self._network.load_state_dict(self._best_state)
        self._network.eval()
        return Fitted(self._network.cpu(), tuple(self.history), self._best)

    def _add(self, reached: R) -> None:
        """Note a round, keep the weights if none was better (of equal ones the first), and write the checkpoint."""
        self.history.append(reached)
        if reached.merit > self._merit:
            self._best, self._merit = len(self.history), reached.merit
            self._best_state = copy.deepcopy(self._network.state_dict())
        if self._checkpoint is None:
            return
        kept = {
            "key": self._key,
            "history": [asdict(each) for each in self.history],  # type: ignore[call-overload]  # a dataclass
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best_state": self._best_state,
            "best": self._best,
            "merit": self._merit,
        }
        with replacing(self._checkpoint) as temporary:
            torch.save(kept, temporary)

    def _resume(self, path: Path) -> None:
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            if kept["key"] != self._key:
                return
            history = [self._kind(**entry) for entry in kept["history"]]
            self._network.load_state_dict(kept["network"])
            self._optimiser.load_state_dict(kept["optimiser"])
            self._best_state, self._best, self._merit = kept["best_state"], kept["best"], kept["merit"]
            self.history = history
        except Exception:  # a damaged checkpoint only means a training from the start
            return


def learn(network: Any, optimiser: Any, losses: Iterable[tuple[Any, int]]) -> float:
    """Take one step of the optimiser for each batch.

    Parameters
    ----------
    network, optimiser
        See `Trainer`.
    losses
        Yields the mean loss of a batch, a scalar tensor computed when its turn comes, and the batch's size.

    Returns
    -------
    float
        The mean loss of all events; not a number where there were none.
    """
    network.train()
    total, count = torch.zeros(()), 0
    for loss, size in losses:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total = total.to(loss.device)
        total += loss.detach() * size
        count += size
    return float(total) / count if count else math.nan


def choose_device(wanted: str) -> str:
    """Return the device that torch is to use.

    Parameters
    ----------
    wanted
        ``cpu``, ``cuda``, ..., or ``auto``: ``cuda`` where there is one.

    Raises
    ------
    ConfigError
        If the device can't be used here.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        msg = f"--device {wanted} can't be used here: {str(error).splitlines()[0].rstrip('.')}."
        raise ConfigError(msg) from error
    return wanted


def use_threads(wanted: int | None) -> int:
    """Let torch use this number of threads, by default one for each core of this process, and return it."""
    count = wanted or max(1, len(os.sched_getaffinity(0)))
    torch.set_num_threads(count)
    return count


class TrainingProgress(Progress):
    """Shows rounds (epochs or trees) with the losses of training and validation, and leaves a line of each training."""

    _last, _best = "", math.inf

    def begin(self, what: str, total: int) -> None:
        """Announce a training of at most so many rounds."""
        super().begin(f"  {what}", total)
        self._best = math.inf

    def round(self, number: int, loss: float, validation: float) -> None:
        """Show what a round reached."""
        self._best = min(self._best, validation)
        self._last = f"round {number}: loss {loss:.5f}, validation {validation:.5f} (best {self._best:.5f})"
        self.show(number, self._last)

    def end(self) -> None:
        """Close the bar and leave a line."""
        super().end()
        if self._last:
            self.say(f"{self._what}: {self._last}, {self.seconds:.1f} s")
        self._last = ""


SILENT = TrainingProgress(Terminal(quiet=True, force_terminal=False))
"""Shows nothing."""
