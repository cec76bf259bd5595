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
from colonnade.plotting.folder import RunFolder
from colonnade.report import numbers
from colonnade.report.run import Run
from colonnade.report.sections import SECTIONS


def write_report(directory: Path | str) -> Path:
    """Write report.html about what a run left in its folder.

    Parameters
    ----------
    directory
        The output folder of a run.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    InputError
        If the folder is not a run's, or a file in it can't be read.
    OutputError
        If the page can't be written.
    """
    folder = RunFolder.open(directory)
    page = render(Run(folder))
    path = folder.path / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render(run: Run) -> str:
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
        process=run.process_title,
        region=run.region_title,
        grouped=numbers.grouped,
        significant=numbers.significant,
        fixed=numbers.fixed,
        percent=numbers.percent,
    )
    shown = []
    for section in SECTIONS:
        context = section.context(run)
        if context is not None:
            body = environment.get_template(f"sections/{section.name}.html").render(**context)
            shown.append({"name": section.name, "title": section.title, "body": Markup(body)})  # noqa: S704 - escaped above
    style, script = _asset("style.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        title=run.title,
        sections=shown,
        ledger=run.folder.ledger,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        script_digest=digest,
    )


def _asset(name: str) -> str:
    return files("colonnade.report").joinpath("templates", name).read_text(encoding="utf-8")
