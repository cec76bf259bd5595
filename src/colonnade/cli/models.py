"""`colonnade export`, and what all commands on likelihoods share: which model is meant, and what is changed in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonnade.cli.common import FILE, FOLDER, print_notes, together
from colonnade.errors import ConfigError
from colonnade.faults import reason
from colonnade.terminal import Terminal

if TYPE_CHECKING:
    from colonnade.statistics.model import Model
    from colonnade.statistics.results import Decision

#: which model is meant; `read_target` takes them
model_options = together(
    click.argument("targets", metavar="TARGET...", nargs=-1, required=True),
    click.option("--signal", metavar="NAME", help="Which signal point of a run; by default its first."),
    click.option("--patchset", type=FILE, help="Patches for a workspace."),
    click.option("--patch", metavar="NAME", help="Which of the patches."),
    click.option("--measurement", metavar="NAME", help="Which measurement of a workspace; by default its first."),
    click.option("--mass", type=float, help="What $MASS stands for in a datacard."),
    click.option(
        "--freeze",
        multiple=True,
        metavar="NAME",
        help="Hold a parameter, or a group of them, at its initial value (name or glob; repeatable).",
    ),
    click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="Another initial value (repeatable)."),
    click.option("--range", "ranges", multiple=True, metavar="NAME=LOW,HIGH", help="Another range (repeatable)."),
    click.option("--mask", multiple=True, metavar="CHANNEL", help="Leave a channel out (name or glob; repeatable)."),
)
_LABEL = re.compile(r"([A-Za-z_]\w*)=(.+)")


@dataclass(frozen=True)
class Target:
    """A model, the folder of the run or the (first) file that it comes from, and what its files are to be called.

    Of a run's model it is also known what building it did.
    """

    model: Model
    place: Path
    name: str
    decisions: tuple[Decision, ...] = ()


def read_target(
    targets: Sequence[str],
    *,
    signal: str | None = None,
    freeze: Sequence[str] = (),
    values: Sequence[str] = (),
    ranges: Sequence[str] = (),
    mask: Sequence[str] = (),
    **choice: Any,
) -> Target:
    """Return the model that a command's arguments mean.

    Parameters
    ----------
    targets
        The folder of a run; or a file that holds a model; or several datacards, each as ``LABEL=CARD`` or ``CARD``
        (then labelled ch1, ch2, ... as Combine does), which are combined.
    signal
        Which of a run's models.
    freeze, values, ranges, mask
        As in `colonnade.statistics.changes.change_model`, in words.
    choice
        Which model of a file, as `colonnade.statistics.formats.read_model` takes it.

    Raises
    ------
    ConfigError, InputError
        If an argument says nothing here, or the model can't be read or changed so.
    """
    from colonnade.statistics.changes import change_model

    place = run_folder(targets, **choice)
    if place is not None:
        target = _model_of_run(place, signal)
    else:
        from colonnade.statistics.formats import read_model

        if signal is not None:
            msg = f"{targets[0]} is a model, which has its signal; leave --signal away."
            raise ConfigError(msg)
        found = labelled_paths(targets)
        place = next(iter(found.values()))
        files = place if len(found) == 1 and not _LABEL.fullmatch(targets[0]) else found
        model = read_model(files, **choice)
        target = Target(model, place, place.stem.partition(".")[0] if len(found) == 1 else "combined")
    changed = change_model(
        target.model,
        freeze=freeze,
        values={name: value for name, (value,) in _numbers("set", values, "NAME=VALUE").items()},
        ranges={name: (low, high) for name, (low, high) in _numbers("range", ranges, "NAME=LOW,HIGH").items()},
        mask=mask,
    )
    return replace(target, model=changed)


def run_folder(targets: Sequence[str], **options: object) -> Path | None:
    """Return the folder of a run, if that is what is meant.

    Raises
    ------
    ConfigError
        If more is given than a folder, or one of the options that choose among the models of files.
    """
    place = Path(targets[0])
    if not place.is_dir():
        return None
    if len(targets) > 1:
        msg = f"{place} is a run's folder, which has one model; to combine datacards give only datacards."
        raise ConfigError(msg)
    choosing = ("patchset", "patch", "measurement", "mass")
    given = [f"--{name}" for name in choosing if options.get(name) is not None]
    if given:
        msg = f"{place} is a run's folder, where {', '.join(given)} says nothing; choose its model with --signal."
        raise ConfigError(msg)
    return place


def _model_of_run(folder: Path, signal: str | None) -> Target:
    from colonnade.statistics.analysis import point_model
    from colonnade.statistics.build import Builder
    from colonnade.statistics.step import load_run

    builder = Builder(*load_run(folder))
    built = point_model(builder, signal or builder.signals[0])
    return Target(built.model, folder, built.signal, built.decisions)


def labelled_paths(targets: Sequence[str], label_of: Callable[[Path], str] | None = None) -> dict[str, Path]:
    """Return the files of words of the form ``LABEL=PATH`` or ``PATH`` by their labels.

    Parameters
    ----------
    targets
        The words.
    label_of
        Returns the label of a path that comes without one; by default ch1, ch2, ... as in Combine.

    Raises
    ------
    ConfigError
        If two have one label.
    """
    found: dict[str, Path] = {}
    for number, word in enumerate(targets, start=1):
        named = None if Path(word).exists() else _LABEL.fullmatch(word)
        path = Path(named[2] if named else word)
        label = named[1] if named else f"ch{number}" if label_of is None else label_of(path)
        if label in found:
            msg = f"Two models have the label {label}; give each its own, as LABEL=PATH."
            raise ConfigError(msg)
        found[label] = path
    return found


def _numbers(option: str, words: Sequence[str], form: str) -> dict[str, list[float]]:
    """Take words of the form NAME=NUMBER or NAME=NUMBER,NUMBER apart."""
    found = {}
    for word in words:
        name, _, text = word.partition("=")
        numbers = text.split(",")
        if not text or len(numbers) != form.count(",") + 1:
            msg = f"--{option} {word}: write {form}."
            raise ConfigError(msg)
        try:
            found[name.strip()] = [float(each) for each in numbers]
        except ValueError as error:
            msg = f"--{option} {word}: {reason(error)}."
            raise ConfigError(msg) from error
    return found


@click.command("export")
@model_options
@click.option(
    "--format",
    "forms",
    multiple=True,
    type=click.Choice(["pyhf", "combine", "hs3", "root", "xml"]),
    help="Only this format (repeatable); by default all.",
)
@click.option(
    "--output",
    type=FOLDER,
    help="Where the files go; by default TARGET/export of a run, or the folder of a file.",
)
def export(targets: tuple[str, ...], forms: tuple[str, ...], output: Path | None, **which: Any) -> None:
    """Write TARGET, a run's folder or a file that holds a model, as pyhf, Combine, HS3, ROOT with cabinetry, and XML.

    Several datacards, as LABEL=CARD, are combined. A format that can't say what the model holds is left out with the
    reason, unless it is asked for.
    """
    from colonnade.statistics.formats import FORMATS, export_model

    target = read_target(targets, **which)
    folder = output or (target.place / "export" if target.place.is_dir() else target.place.parent)
    console = Terminal()
    print_notes(console, target.model.notes)
    for form in forms or FORMATS:
        try:
            export = export_model(target.model, folder, target.name, form)
        except ConfigError as error:
            if forms:
                raise
            console.print(f"{form:<8} not written: {error}", soft_wrap=True)
            continue
        console.print(f"{export.form:<8} {export.path}", soft_wrap=True)
        for how, names in export.differences.items():
            console.print(f"         {', '.join(names)}: {how}")
