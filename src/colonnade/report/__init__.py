"""One self-contained HTML page about a run.

The page is made of sections, each a function in `sections` that says what it shows (or that there is nothing to show)
and a template of the same name. Styles, scripts and pictures are inside the page: it can be mailed. `write_page` makes
a page of other sections, such as those of a study.
"""

from __future__ import annotations

__all__ = ["Image", "PageSection", "read_images", "write_page", "write_report"]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonnade.report.content import Image, read_images
    from colonnade.report.page import PageSection, write_page, write_report


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module 'colonnade.report' has no attribute {name!r}"
        raise AttributeError(msg)
    from colonnade.report import content, page

    return getattr(content if name in content.__all__ else page, name)
