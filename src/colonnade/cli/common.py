"""What commands share: kinds of arguments, the options that say how events are processed, lines on the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from colonnade.config import finite
from colonnade.terminal import visible

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
manifest_option = click.option(
    "--manifest",
    type=FILE,
    default=Path("datasets.json"),
    show_default=True,
    help="Which datasets exist, and how simulated ones are made.",
)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return what gives a command several options at once."""

    def give(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return give


#: how a workflow is run; `load_workflow` takes them
run_options = together(
    click.option("--executor", type=click.Choice(["dask", "futures", "iterative"]), help="Instead of the workflow's."),
    click.option("--workers", type=click.IntRange(min=1), help="Worker processes on this machine."),
    click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, such as tcp://10.0.0.1:8786."),
    click.option("--datasets", multiple=True, metavar="NAME", help="Only these datasets (names or globs; repeatable)."),
    click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value of the workflow (repeatable)."
    ),
)


def say(text: str) -> None:
    """Print a line, in which nothing that a file holds can tell the terminal what to do."""
    click.echo(visible(text))


def print_json(content: Any) -> None:
    """Print plain data as JSON; infinite numbers are the word ``inf``."""
    click.echo(json.dumps(finite(content), indent=2, default=str))


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what is unusual about a model or a fit."""
    for note in notes:
        console.print(f"Note: {note}", soft_wrap=True)
