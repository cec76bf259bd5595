"""What commands share: kinds of arguments, the options that say how events are processed, tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from colonnade.workflow import Workflow

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
_RUN_OPTIONS = (
    click.option("--executor", type=click.Choice(["dask", "futures", "iterative"]), help="Instead of the workflow's."),
    click.option("--workers", type=click.IntRange(min=1), help="Worker processes on this machine."),
    click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, such as tcp://10.0.0.1:8786."),
    click.option("--datasets", multiple=True, metavar="NAME", help="Only these datasets (names or globs; repeatable)."),
    click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value of the workflow (repeatable)."
    ),
)


def run_options(command: F) -> F:
    """Give a command the options that change how a workflow is run; `changed_workflow` takes them."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


def changed_workflow(path: Path, changes: Sequence[str], **how: Any) -> Workflow:
    """Load a workflow with what the options of `run_options` change.

    Raises
    ------
    ConfigError
        If the file or an option says something that can't be.
    """
    from colonnade.workflow import load_workflow

    return load_workflow(path, changes).override(**how)


def say(text: str) -> None:
    """Print a line, in which nothing that a file holds can tell the terminal what to do."""
    from colonnade.terminal import visible

    click.echo(visible(text))


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
    from rich.table import Table

    from colonnade.terminal import Terminal

    table = Table(title=title, title_justify="left")
    words = columns[:1] if left is None else left
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    (console or Terminal()).print(table)


def print_json(content: Any) -> None:
    """Print plain data as JSON; infinite numbers are the word ``inf``."""
    import json

    from colonnade.config import finite

    click.echo(json.dumps(finite(content), indent=2, default=str))


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what is unusual about a model or a fit."""
    for note in notes:
        console.print(f"Note: {note}", soft_wrap=True)
