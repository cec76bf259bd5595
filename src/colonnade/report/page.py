"""Sections put together into one self-contained page."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from colonnade.execution import Ledger
from colonnade.output import replacing
from colonnade.plotting.draw import read_index
from colonnade.plotting.run import Run
from colonnade.plotting.settings import region_title
from colonnade.plotting.style import path_part
from colonnade.report import text
from colonnade.report.sections import SECTIONS, Image

_FILTERS = (text.fixed, text.grouped, text.measured, text.percent, text.plus_minus, text.signed, text.significant)


@dataclass(frozen=True)
class PageSection:
    """A section of a page of one's own.

    Attributes
    ----------
    title : str
        Its heading.
    template : str
        The text of a Jinja template. Everything that it shows is escaped; `{% import "macros.html" as m %}` gives the
        macros of the report, such as `gallery(images)` and `table(label, columns)`, and the filters are the functions
        of `colonnade.report.text`.
    context : mapping
        What the template shows.
    """

    title: str
    template: str
    context: Mapping[str, Any]


def write_page(title: str, sections: Sequence[PageSection], path: Path) -> Path:
    """Write a page in the style of the report from sections of one's own, such as those of a study.

    Parameters
    ----------
    title
        Its heading.
    sections
        In order. Pictures come from `read_images`.
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

    Examples
    --------
    >>> section = PageSection("Toys", "<p>{{ toys | grouped }} toys</p>", {"toys": 2000})
    >>> page = write_page("A study", [section], Path("study.html"))  # doctest: +SKIP
    """
    environment = _environment()
    bodies = [
        (path_part(each.title), each.title, environment.from_string(each.template).render(**each.context))
        for each in sections
    ]
    return _write(environment, title, bodies, path)


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
        Where the page is.

    Raises
    ------
    OutputError
        If the page can't be written.
    """
    # a page has room for the regions and signals that pictures have none for
    run = run.with_plots(regions=("*",), signals=("*",))
    images = read_images(plots, run.plots.era)

    def pictures(*kinds: str, region: str | None = None) -> list[Image]:
        """Return the pictures of some kinds, one kind after the other, of one region or of all."""
        chosen = [each for each in images if region in (None, each.region)]
        return [each for kind in kinds for each in chosen if each.kind == kind]

    environment = _environment(
        process=lambda name: text.from_latex(run.process(name).title),
        region=lambda name: text.from_latex(region_title(name, run.plots)),
    )
    bodies = []
    for title, section in SECTIONS.items():
        context = section(run)
        if context is not None:
            template = environment.get_template(f"sections/{section.__name__}.html")
            body = template.render(run=run, pictures=pictures, **context)
            if body.strip():
                bodies.append((section.__name__, title, body))
    return _write(environment, run.title, bodies, path, run.result.ledger)


def _environment(**filters: Callable[[str], Markup]) -> Environment:
    environment = Environment(
        loader=PackageLoader("colonnade.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({each.__name__: each for each in _FILTERS} | filters)
    return environment


def _write(
    environment: Environment,
    title: str,
    bodies: Sequence[tuple[str, str, str]],
    path: Path,
    ledger: Ledger | None = None,
) -> Path:
    """Write the page around its sections (name, title, HTML); its policy lets no script run but its own."""
    style, script = _asset("style.css"), _asset("page.js")
    page = environment.get_template("page.html").render(
        title=title,
        sections=[{"name": name, "title": heading, "body": Markup(body)} for name, heading, body in bodies],  # noqa: S704 - escaped when rendered
        ledger=ledger,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _asset(name: str) -> str:
    return files("colonnade.report").joinpath("templates", name).read_text(encoding="utf-8")


def read_images(plots: Path, era: str | None = None) -> tuple[Image, ...]:
    """Read the pictures of one era, or of the sum, that the index of a folder lists."""
    images = []
    for entry in read_index(plots):
        if entry.get("era") == era and entry["path"].is_file():
            content = entry["path"].read_bytes()
            width, height = struct.unpack(">II", content[16:24])  # where each PNG says so
            uri = "data:image/png;base64," + base64.b64encode(content).decode()
            images.append(Image(uri, width, height, entry["alt"], entry["kind"], entry["region"], entry["histogram"]))
    return tuple(images)
