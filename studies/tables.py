"""Markdown tables, and the place for them in a page of the documentation."""

from __future__ import annotations

__all__ = ["fill_page", "table"]

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from colonnade.errors import ConfigError
from colonnade.output import replacing


def table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> Iterator[str]:
    """Yield the lines of a table, numbers to the right."""
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(str(each) for each in row) + " |"
    yield ""


def fill_page(page: Path, name: str, lines: Iterable[str]) -> None:
    """Replace what stands between the marks ``<!-- NAME -->`` and ``<!-- end of NAME -->`` of a page.

    Raises
    ------
    ConfigError
        If the page has no such marks.
    OutputError
        If it can't be written.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        msg = f"{page} has no place for {name}: the marks {begin} and {end}."
        raise ConfigError(msg)
    before, after = text[: text.index(begin)], text[text.index(end) :]
    with replacing(page) as temporary:
        temporary.write_text("\n".join([before + begin, "", *lines, after]), encoding="utf-8")
