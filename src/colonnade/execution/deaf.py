"""Imported where worker processes are forked from, never by the program itself: they leave Ctrl-C to it.

A terminal sends Ctrl-C to every process of a run. The one that the user started ends the others, which would
only print their tracebacks over its message.
"""

from __future__ import annotations

__all__: list[str] = []

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
