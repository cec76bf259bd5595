"""One self-contained HTML page about a run.

The page is made of sections, each a function in `sections` that says what it shows (or that there is nothing to show)
and a template of the same name. Styles, scripts and pictures are inside the page: it can be mailed. `write_page` makes
a page of other sections, such as those of a study.
"""

from __future__ import annotations

__all__ = ["Image", "PageSection", "read_images", "write_page", "write_report"]

from typing import TYPE_CHECKING

from colonnade.lazy import lazy

if TYPE_CHECKING:
    from colonnade.report.page import PageSection, read_images, write_page, write_report
    from colonnade.report.sections import Image

__getattr__ = lazy(
    __name__,
    page=("PageSection", "read_images", "write_page", "write_report"),
    sections=("Image",),
)
