"""What a run tells while it works: events a second, time left and losses, or plain lines where nobody watches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from colonnade.terminal import Terminal


@contextlib.contextmanager
def counted(progress: Progress, what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function of what is done and of all there is to do, which reports to a progress until the block ends.

    Where less is done than before, another stage begins.
    """
    last = -1

    def advance(done: int, total: int) -> None:
        nonlocal last
        if not 0 <= last <= done:
            progress.begin(what, total)
            last = 0
        progress.advance(done - last)
        last = done

    try:
        yield advance
    finally:
        progress.end()


class Progress:
    """What a run reports to: a bar on a terminal; in a log file, a line each `every` seconds at most.

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
        self._bar = TaskID(0)
        self._what, self._total, self._done, self._lost = "", 0, 0, 0
        self._started = self._printed = 0.0

    @property
    def seconds(self) -> float:
        """How long the stage has lasted."""
        return time.monotonic() - self._started

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
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar = self._bars.add_task(what, total=total, text="")
            self._bars.start()

    def advance(self, count: int, lost: int = 0) -> None:
        """Report steps done, and steps lost."""
        self._done += count
        self._lost += lost
        parts = [f"{self._done:,} of {self._total:,}"]
        if self.seconds > 0.5 and self._done:
            parts.append(f"{self._done / self.seconds:,.0f} {self._what}/s")
        if self._lost:
            parts.append(f"{self._lost:,} lost")
        self.show(self._done + self._lost, ", ".join(parts))

    def show(self, done: int, text: str) -> None:
        """Say how many steps are done, with a text beside the bar."""
        if self._bars is not None:
            self._bars.update(self._bar, completed=done, text=text)
        elif time.monotonic() - self._printed > self._every:
            self._printed = time.monotonic()
            self.say(f"{self._what}: {text}")

    def end(self) -> None:
        """Close the stage; its outcome is one line."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = None


NO_PROGRESS = Progress(Terminal(quiet=True, force_terminal=False))
