"""One self-contained HTML page about a run.

The page is made of sections, each a function in `sections` that says what it shows (or that there is nothing to show)
and a small template of the same name. Styles, scripts and pictures are inside the page: it can be mailed.
"""

from __future__ import annotations

__all__ = ["write_report"]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonnade.report.page import write_report


def __getattr__(name: str) -> Any:
    if name != "write_report":
        msg = f"module 'colonnade.report' has no attribute {name!r}"
        raise AttributeError(msg)
    from colonnade.report.page import write_report

    return write_report
