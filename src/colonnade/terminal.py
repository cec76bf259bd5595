"""What is printed: text of files and settings is shown as it is, and can't tell the terminal what to do."""

from __future__ import annotations

__all__ = ["Terminal", "print_table", "visible"]

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: controls but tab and newline, what turns the direction of writing, and what has no place in a text
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Write out the control characters of a text, which on a terminal may change what is seen or where links go.

    Examples
    --------
    >>> visible("a\x1b]8;;http://b\x07c")
    'a\\x1b]8;;http://b\\x07c'
    """
    return _HIDDEN.sub(lambda found: ascii(found[0])[1:-1], text)


class Terminal(Console):
    """A `rich` console on which square brackets and control characters of a text are only text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text, as `rich.console.Console.render_str`."""
        return super().render_str(visible(text), **options)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    left: Collection[str] | None = None,
    console: Console | None = None,
) -> None:
    """Print a table.

    Parameters
    ----------
    title, columns
        Its heading and those of the columns.
    rows
        Cells: text as it is, or what rich draws.
    left
        The columns of words; the others are of numbers, at the right. By default the first is of words.
    console
        Where it is printed; by default the terminal.
    """
    table = Table(title=title, title_justify="left")
    words = columns[:1] if left is None else left
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    (console or Terminal()).print(table)
