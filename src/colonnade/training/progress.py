"""Showing a training while it runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from colonnade.terminal import Terminal


class TrainingProgress:
    """Shows rounds (epochs or trees) with the losses of training and validation.

    Parameters
    ----------
    console
        Where to print.
    every
        Seconds between lines where the output is not a terminal.
    """

    def __init__(self, console: Console, every: float = 30.0) -> None:
        self._console, self._every = console, every
        self._bars: Bars | None = None
        self._bar: TaskID | None = None
        self._what, self._rounds, self._last, self._best = "", 0, "", float("inf")
        self._started = self._printed = 0.0

    def begin(self, what: str, rounds: int) -> None:
        """Announce a training of at most so many rounds."""
        self._what, self._rounds, self._last, self._best = what, rounds, "", float("inf")
        self._started = self._printed = time.monotonic()
        if self._console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[loss]}"),
                TimeElapsedColumn(),
            )
            self._bars.start()
            self._bar = self._bars.add_task(what, total=rounds, loss="")

    def round(self, number: int, loss: float, validation: float) -> None:
        """Show what a round reached."""
        self._best = min(self._best, validation)
        self._last = f"round {number}: loss {loss:.5f}, validation {validation:.5f} (best {self._best:.5f})"
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, completed=number, loss=self._last)
        elif time.monotonic() - self._printed > self._every:
            self._printed = time.monotonic()
            self._console.print(f"  {self._what}: {self._last}", highlight=False, markup=False)

    def end(self) -> None:
        """Close the bar and leave a line."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        if self._last:
            seconds = time.monotonic() - self._started
            self._console.print(f"  {self._what}: {self._last}, {seconds:.1f} s", highlight=False, markup=False)


SILENT = TrainingProgress(Terminal(quiet=True, force_terminal=False))
"""Shows nothing."""
