"""Sections put together into one page."""

from __future__ import annotations

__all__ = ["render", "write_report"]

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from colonnade.output import replacing
from colonnade.plotting.run import Run
from colonnade.report import numbers
from colonnade.report.content import Content
from colonnade.report.sections import SECTIONS


def write_report(run: Run, plots: Path, path: Path) -> Path:
    """Write the page about a run.

    Parameters
    ----------
    run
        The results.
    plots
        The folder of its pictures; without them the page has its tables alone.
    path
        The page.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    OutputError
        If the page can't be written.
    """
    # a page has room for what pictures have not
    page = render(Content(run.with_plots(regions=("*",), signals=("*",)), plots))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render(content: Content) -> str:
    """Return the page as HTML.

    Everything that comes from the run is escaped, and the page's own policy lets nothing be loaded and no script run
    but its own.
    """
    environment = Environment(
        loader=PackageLoader("colonnade.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        process=content.process_title,
        region=content.region_title,
        grouped=numbers.grouped,
        significant=numbers.significant,
        fixed=numbers.fixed,
        percent=numbers.percent,
    )
    shown = []
    for section in SECTIONS:
        context = section.context(content)
        if context is not None:
            body = environment.get_template(f"sections/{section.name}.html").render(**context)
            shown.append({"name": section.name, "title": section.title, "body": Markup(body)})  # noqa: S704 - escaped above
    style, script = _asset("style.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        title=content.run.title,
        sections=shown,
        ledger=content.run.result.ledger,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        script_digest=digest,
    )


def _asset(name: str) -> str:
    return files("colonnade.report").joinpath("templates", name).read_text(encoding="utf-8")
