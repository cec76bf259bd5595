"""The command line: thin commands, whose modules are loaded only when one of theirs runs."""

from __future__ import annotations

__all__ = ["entry", "main"]

import importlib
import os
import signal
import sys
import threading
import traceback
from typing import Any

import click

from colonnade.errors import ColonnadeError

# command -> its module and one-line help, so that `colonnade --help` imports nothing more
COMMANDS = {
    "run": ("workflows", "Run a workflow: events to histograms, fit, plots and report."),
    "compare-coffea": ("workflows", "Compare a coffea processor's result with coffea's own."),
    "samples": ("datasets", "Make the simulated samples that the manifest describes."),
    "datasets": ("datasets", "Check the manifest's datasets, or add one."),
    "inspect": ("inspect", "Show what a file holds, column by column."),
    "columns": ("workflows", "Write the training columns of an analysis."),
    "dump": ("workflows", "Write what an analysis computes of each event."),
    "skim": ("workflows", "Write the events that an analysis selects to ROOT files."),
    "sync": ("results", "Compare two dumps, or two trees, event by event."),
    "train": ("train", "Train a model and write its .onnx file."),
    "fit": ("fit", "Fit what a run left: significance and limits."),
    "systematics": ("likelihoods", "Show what each uncertainty of a model does."),
    "limit": ("likelihoods", "Set limits with any likelihood."),
    "combine": ("likelihoods", "Combine the likelihoods of several searches."),
    "export": ("models", "Write a likelihood in another format."),
    "plot": ("results", "Draw what a run left."),
    "report": ("results", "Write the HTML page of a run."),
    "cache": ("results", "Show or clear what is kept of earlier runs."),
    "new": ("workflows", "Write a runnable skeleton of an analysis."),
}

#: letters of a sentence, which may quote what is in a file
_LONGEST = 2000


class _Commands(click.Group):
    """A group that imports a command's module on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the base class has it
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"colonnade.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the base class has it
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="colonnade")
@click.pass_context
def _program(context: click.Context, *, debug: bool) -> None:
    """Columnar searches for new particles, from a dataset manifest to a limit."""
    context.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line of colonnade; see `entry`."""
    entry(_program, arguments, "colonnade")


def entry(command: click.Command, arguments: list[str] | None = None, name: str | None = None) -> None:
    """Run a command as a program; an expected error becomes one sentence and a non-zero exit.

    Parameters
    ----------
    command
        The command.
    arguments
        Its words; by default those of the command line.
    name
        What its help calls it.

    Raises
    ------
    SystemExit
        Always, as a command-line program ends: 0 done, 1 an error of colonnade, 2 wrong input, 3 events lost, 130
        interrupted.
    """
    words: Any = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words or bool(os.environ.get("COLONNADE_DEBUG"))
    words = [word for word in words if word != "--debug"]
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    if piped:
        os.environ["COLUMNS"] = "1000"  # a table in a pipe or a file need not fit a terminal
    if arguments is None:
        sys.unraisablehook = _raised_again
    try:
        command.main(args=words, prog_name=name, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        if arguments is None:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # a second Ctrl-C waits for nothing
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        sentence, code = _told(error)
        click.echo(f"Error: {sentence}", err=True)
        sys.exit(code)
    finally:
        if piped:
            del os.environ["COLUMNS"]
        if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: a Ctrl-C now changes nothing
    sys.exit(0)


def _raised_again(unraisable: Any) -> None:
    """Have a Ctrl-C that came where nothing can be raised, such as a callback of the interpreter's, come again."""
    if unraisable.exc_type is KeyboardInterrupt:
        main = threading.main_thread().ident
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


def _told(error: Exception) -> tuple[str, int]:
    """Return an error as one line, without what a terminal would obey, and what the process exits with."""
    from colonnade.terminal import visible

    code = 2
    if isinstance(error, ColonnadeError):
        sentence, code = str(error), error.exit_code
    elif isinstance(error, OSError):  # of a path that is looked for: a name that is too long, a locked folder
        sentence = f"{error.filename or 'A file'} can't be used: {error.strerror or error}."
    else:
        code, last = 1, traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {str(error)[:300]} at {last.filename}:{last.lineno}"
        sentence = f"{reason}; this is an error of colonnade: please report what --debug shows."
    text = visible(" ".join(sentence.splitlines()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}", code
