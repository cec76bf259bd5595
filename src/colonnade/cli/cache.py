"""`colonnade cache`: what is kept of earlier runs, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

import click

from colonnade.cli.common import FOLDER


@click.command("cache")
@click.option(
    "--folder",
    type=FOLDER,
    help="The cache; by default .colonnade/cache in this folder or the nearest one above that has it.",
)
@click.option("--clear", is_flag=True, help="Remove all that is kept.")
def command(folder: Path | None, *, clear: bool) -> None:
    """Show how many results and columns are kept, or remove them; the next run makes again what it needs."""
    from datetime import datetime

    from colonnade.errors import InputError
    from colonnade.execution.cache import CacheSettings, ResultCache
    from colonnade.terminal import Terminal

    name = CacheSettings().folder
    here = Path.cwd()
    found = folder or next((place / name for place in (here, *here.parents) if (place / name).is_dir()), None)
    if found is None or not found.is_dir():
        msg = f"There is no cache {found or f'{name} in {here} or above'}; a run makes one, or name it with --folder."
        raise InputError(msg)
    cache = ResultCache(found)
    console = Terminal(soft_wrap=True)
    if clear:
        removed = cache.clear()
        console.print(f"{found}: removed {removed['results']:,} results, {removed['columns']:,} columns.")
        return
    for what, report in cache.reports().items():
        line = f"{found}: {report.entries:,} {what}, {report.size / 1e6:,.1f} MB"
        if report.oldest is not None:
            used = datetime.fromtimestamp(report.oldest).astimezone()
            line += f", the oldest last used {used:%Y-%m-%d %H:%M}"
        console.print(f"{line}.")
