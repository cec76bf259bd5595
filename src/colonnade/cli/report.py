"""`colonnade report`: the HTML page of a run, written again."""

from __future__ import annotations

__all__ = ["command"]

from pathlib import Path

import click


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
def command(directory: Path) -> None:
    """Write report.html, one self-contained page, about what a run left in DIRECTORY.

    Pictures are those of `colonnade plot`; without them the page has its tables alone.
    """
    from rich.console import Console

    from colonnade.report import write_report
    from colonnade.workflow.folder import load_run

    path = write_report(load_run(directory), directory / "plots", directory / "report.html")
    size = path.stat().st_size / 1e6
    Console().print(f"{path} ({size:.1f} MB)", soft_wrap=True, highlight=False)
