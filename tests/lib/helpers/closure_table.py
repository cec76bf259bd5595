"""The table of how well the formats of one model agree, for a terminal and for a page of documentation."""

from __future__ import annotations

__all__ = ["Row", "cells", "closure_rows", "markdown"]

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from colonnade.cli import entry
from colonnade.errors import FitError
from colonnade.statistics.formats import Export, as_histfactory, export_model, read_model
from colonnade.statistics.formats.hs3 import root_names
from colonnade.statistics.model import Model
from helpers.closure import Closure, close, close_program, export_translation, without_statistics
from helpers.pyhs3_check import pyhs3_log_likelihoods, root_log_likelihoods

# what each row promises: the likelihood within one standard deviation, and best fit (in errors), error, Z and limits
_TOLERANCES = {
    "pyhf": (1e-9, 1e-6),
    "hs3": (1e-9, 1e-6),
    "hs3, by pyhs3": (1e-9, 1e-3),
    "hs3, by ROOT": (1e-8, 1e-3),
    "xml": (1e-6, 1e-5),
    "root": (1e-2, 1e-3),
    "combine": (0.5, 0.1),
    "combine, no stat.": (0.2, 5e-2),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One format's agreement with the model.

    Attributes
    ----------
    name : str
        The format, and what else was done.
    closure : Closure
        How far apart.
    tolerance : tuple of float
        What is promised: of the likelihood within one standard deviation, and of everything that is fitted.
    differences : tuple of str
        Where conventions differ.
    """

    name: str
    closure: Closure
    tolerance: tuple[float, float]
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        found = self.closure
        fitted = (found.mu_hat, found.mu_error, found.z, found.limits)
        return found.within <= self.tolerance[0] and all(v is None or v <= self.tolerance[1] for v in fitted)


def closure_rows(
    model: Model, exports: Sequence[Export], *, pyhs3: Path | None = None, root: Path | None = None
) -> tuple[list[Row], list[str]]:
    """Read every export back and compare it with the model.

    Parameters
    ----------
    model
        What was exported.
    exports
        What was written of it.
    pyhs3, root
        The Pythons of environments with pyhs3 and ROOT, if HS3 is to be evaluated with them too.

    Returns
    -------
    list of Row
        One a format; Combine has another, of the model without the statistical uncertainty of its simulation, to tell
        its autoMCStats from the rest.
    list of str
        The versions of those that were asked.

    Raises
    ------
    InputError
        If a file can't be read back, or a program can't be asked.
    FitError
        If a fit does not converge.
    """
    rows, versions = [], list[str]()
    for export in exports:
        rows.append(_row(export.form, model, export))
        if export.form == "combine":
            plain = without_statistics(model)
            with tempfile.TemporaryDirectory() as folder:
                bare = export_model(plain, Path(folder), "plain", "combine")
                rows.append(_row("combine, no stat.", plain, bare))
        if export.form == "hs3":
            plain = root_names(*as_histfactory(model))
            for name, ask, python in (("pyhs3", pyhs3_log_likelihoods, pyhs3), ("ROOT", root_log_likelihoods, root)):
                if python is not None:
                    version, found = close_program(ask, plain, python)
                    versions.append(f"{name} {version}")
                    rows.append(Row(f"hs3, by {name}", found, _TOLERANCES[f"hs3, by {name}"]))
    return rows, versions


def _row(name: str, model: Model, export: Export) -> Row:
    found = close(model, read_model(export.path), export_translation(model, export.form))
    told = tuple(f"{', '.join(names)}: {how}" for how, names in export.differences.items())
    return Row(name, found, _TOLERANCES[name], told)


def cells(row: Row) -> list[str]:
    """Return the row as words: name, likelihood within and beyond, best fit, error, Z, limits, whether it holds."""
    found = row.closure
    values = (found.within, found.beyond, found.mu_hat, found.mu_error, found.z, found.limits)
    return [row.name, *("–" if v is None else f"{v:.1e}" for v in values), "yes" if row.holds else "no"]


def markdown(rows: Sequence[Row], model: Model, *, name: str, command: str, versions: Sequence[str]) -> str:
    """Return the page of documentation.

    Parameters
    ----------
    rows
        Of the table.
    model
        What was exported.
    name
        Of its signal point.
    command
        That makes the page.
    versions
        Of the programs involved.
    """
    bins = sum(channel.bins for channel in model.channels)
    size = f"{len(model.channels)} channels, {bins} bins, {len(model.labels)} parameters"
    first = rows[0].closure
    lines = [
        "# Closure: one likelihood, every format",
        "",
        f"Written by `{command}`,",
        "which exports the model of a signal point, reads every file back and compares it with the model:",
        f"`{name}`, {size}; {', '.join(versions)}.",
        "",
        "| format | ln L within 1 sigma | beyond | mu, in its error | its error | Z | limits | promised |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        promised = f"{row.tolerance[0]:.0e}, {row.tolerance[1]:.0e}" + ("" if row.holds else ": **not kept**")
        lines.append("| " + " | ".join([*cells(row)[:-1], promised]) + " |")
    lines += [
        "",
        "- ln L: the largest difference of the log-likelihood ratio to the nominal point, relative to one plus its",
        f"  size, at {first.points} random points: half with every parameter within one standard deviation of it, half",
        "  beyond.",
        f"- The rest is of {first.draws} pseudo-experiments with a signal of the strength that is excluded in the",
        "  median: the largest difference of the best-fit signal strength in units of its error, of that error",
        "  (relative), of the significance, and of the observed and five expected limits (relative).",
        "- Promised: of ln L within one standard deviation, and of all that is fitted; the command fails otherwise.",
        "- Combine, no stat.: the same model without the statistical uncertainty of its simulation, which is where",
        "  autoMCStats and staterror differ.",
    ]
    asked = [row.closure.points for row in rows if row.name.startswith("hs3, by")]
    if asked:
        lines += [
            f"- pyhs3 and ROOT read the file, and evaluate it at {asked[0]} points and at the best fits of a",
            "  pseudo-experiment with and without signal; under mu is how far away a better fit would be, of ten",
            "  points tried around ours.",
        ]
    told = [(row.name, each) for row in rows for each in row.differences]
    if told:
        lines += ["", "## Where conventions differ", ""]
        lines += [f"- {form}: {text}." for form, text in dict.fromkeys(told)]
    return "\n".join(lines) + "\n"


@click.command("helpers.closure_table")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--signal", metavar="NAME", help="Which signal point of a run; by default its first.")
@click.option("--pyhs3", type=click.Path(path_type=Path), metavar="PYTHON", help="A Python that has pyhs3.")
@click.option("--root", type=click.Path(path_type=Path), metavar="PYTHON", help="A Python that has ROOT.")
@click.option("--table", type=click.Path(path_type=Path), help="Write the table as Markdown, too.")
def command(target: Path, signal: str | None, pyhs3: Path | None, root: Path | None, table: Path | None) -> None:
    """Write TARGET, a run's folder or a file that holds a model, in all formats, read it back and compare."""
    from colonnade.cli.models import read_target
    from colonnade.statistics.formats import FORMATS, export_model

    found = read_target((str(target),), signal=signal)
    model = found.model
    with tempfile.TemporaryDirectory() as folder:
        exports = [export_model(model, Path(folder), found.name, form) for form in FORMATS]
        rows, asked = closure_rows(model, exports, pyhs3=pyhs3, root=root)
    shown = Table(title="Read back, and compared with the model")
    for column in ("format", "ln L", "beyond", "mu/err", "error", "Z", "limits", "holds"):
        shown.add_column(column, justify="left" if column == "format" else "right")
    for row in rows:
        shown.add_row(*cells(row))
    Console().print(shown)
    if table is not None:
        words = f"PYTHONPATH=tests/lib python -m helpers.closure_table {target} --table {table}"
        versions = [f"{each} {version_of(each)}" for each in ("pyhf", "cabinetry", "uproot")]
        versions += asked
        table.write_text(markdown(rows, model, name=found.name, command=words, versions=versions), encoding="utf-8")
    bad = [row.name for row in rows if not row.holds]
    if bad:
        msg = f"The formats {', '.join(bad)} are further from the model than is promised; see the table."
        raise FitError(msg)


if __name__ == "__main__":
    entry(command)
