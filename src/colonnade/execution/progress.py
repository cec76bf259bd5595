"""What a run tells while it works: events a second, time left and losses, or plain lines where nobody watches."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress(Protocol):
    """What a run reports to."""

    def say(self, text: str) -> None:
        """Print a line."""

    def begin(self, what: str, total: int) -> None:
        """Start a stage of so many steps (files, events)."""

    def advance(self, count: int, lost: int = 0) -> None:
        """Report steps done, and steps lost."""

    def end(self) -> None:
        """Close the stage."""


class _Silent:
    def say(self, text: str) -> None:
        """Print nothing."""

    def begin(self, what: str, total: int) -> None:
        """Show nothing."""

    def advance(self, count: int, lost: int = 0) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


NO_PROGRESS: Progress = _Silent()


class RichProgress:
    """A bar on a terminal; in a log file, a line each `every` seconds at most.

    Parameters
    ----------
    console
        Where to print.
    every
        Seconds between lines where the output is not a terminal.
    """

    def __init__(self, console: Console, every: float = 30.0) -> None:
        self._console = console
        self._every = every
        self._bars: Bars | None = None
        self._bar: TaskID | None = None
        self._what, self._total, self._done, self._lost = "", 0, 0, 0
        self._started = self._printed = 0.0

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def begin(self, what: str, total: int) -> None:
        """Start a stage of so many steps (files, events)."""
        self.end()
        self._what, self._total, self._done, self._lost = what, total, 0, 0
        self._started = self._printed = time.monotonic()
        if self._console.is_terminal:
            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("[red]{task.fields[lost]}"),
                console=self._console,
                transient=True,
            )
            self._bar = self._bars.add_task(what, total=total, rate="", lost="")
            self._bars.start()

    def advance(self, count: int, lost: int = 0) -> None:
        """Report steps done, and steps lost."""
        self._done += count
        self._lost += lost
        lost_text = f"{self._lost:,} lost" if self._lost else ""
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, completed=self._done + self._lost, rate=self._rate(), lost=lost_text)
        elif time.monotonic() - self._printed > self._every:
            self._printed = time.monotonic()
            parts = [f"{self._what}: {self._done:,} of {self._total:,}", self._rate(), lost_text]
            self.say(", ".join(part for part in parts if part))

    def end(self) -> None:
        """Close the stage; its outcome is one line."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._bar = None

    def _rate(self) -> str:
        seconds = time.monotonic() - self._started
        return f"{self._done / seconds:,.0f} {self._what}/s" if seconds > 0.5 and self._done else ""
