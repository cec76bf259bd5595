"""Commands that take a workflow, `run`, `columns`, `dump`, `skim` and `compare-coffea`; and `new`, which makes one."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import click

from colonnade.cli.common import FILE, FOLDER, run_options
from colonnade.errors import ConfigError
from colonnade.output import replacing
from colonnade.terminal import Terminal


@click.command("run")
@click.argument("workflow", type=FILE)
@click.option("--output", type=FOLDER, help="Where the result goes; by default results/NAME in the project's folder.")
@run_options
@click.option("--resume", is_flag=True, help="Go on with an interrupted or lossy run of the output folder.")
def run(workflow: Path, output: Path | None, *, resume: bool, **how: Any) -> None:
    """Run WORKFLOW, a YAML file: events, histograms, fit, plots and report.

    Exits with 3 if more events were lost than the workflow allows; what could be made is there and says so.
    """
    from colonnade.workflow import load_workflow, run_workflow

    run_workflow(load_workflow(workflow, **how), output, resume=resume)


@click.command("columns")
@click.argument("workflow", type=FILE)
@click.option(
    "--model",
    type=FILE,
    help="The model whose features are written; by default models/NAME.py, else every observable.",
)
@click.option("--output", type=FOLDER, help="Where the columns go; by default columns/NAME in the project's folder.")
@run_options
def columns(workflow: Path, model: Path | None, output: Path | None, **how: Any) -> None:
    """Write the observables, weights and regions that WORKFLOW's processor computes, one row an event."""
    from colonnade.training import load_models
    from colonnade.workflow import load_workflow
    from colonnade.workflow.columns import make_columns

    loaded = load_workflow(workflow, **how)
    own = loaded.root / "models" / f"{loaded.name}.py"
    declared = model or (own if own.is_file() else None)
    models = load_models(declared).values() if declared is not None else ()
    make_columns(loaded, tuple(models), output or loaded.root / "columns" / loaded.name, Terminal())


@click.command("dump")
@click.argument("workflow", type=FILE)
@click.option("--output", type=FOLDER, help="Where it goes; by default dumps/NAME in the project's folder.")
@run_options
def dump(workflow: Path, output: Path | None, **how: Any) -> None:
    """Write the observables, weights and regions of each event that WORKFLOW's processor selects; see `dump` there.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.workflow import load_workflow
    from colonnade.workflow.columns import make_dump

    loaded = load_workflow(workflow, **how)
    make_dump(loaded, output or loaded.root / "dumps" / loaded.name, Terminal())


@click.command("skim")
@click.argument("workflow", type=FILE)
@click.option("--output", type=FOLDER, help="Where it goes; by default skims/NAME in the project's folder.")
@run_options
def skim(workflow: Path, output: Path | None, **how: Any) -> None:
    """Write the events that pass WORKFLOW's preselection to ROOT files with a manifest of their own; see `skim` there.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.workflow import load_workflow
    from colonnade.workflow.columns import make_skim

    loaded = load_workflow(workflow, **how)
    make_skim(loaded, output or loaded.root / "skims" / loaded.name, Terminal())


@click.command("compare-coffea")
@click.argument("workflow", type=FILE)
@click.argument("original", type=FILE, required=False)
def compare_coffea(workflow: Path, original: Path | None) -> None:
    """Compare what WORKFLOW makes with what coffea's own Runner makes, key by key and bin by bin.

    WORKFLOW runs a coffea processor; or an analysis that was made from one, which the workflow ORIGINAL runs: then the
    histograms of one name are compared. Exits with 2 at the first difference, naming it.
    """
    from colonnade.workflow import load_workflow
    from colonnade.workflow.compare import compare_coffea

    count = compare_coffea(load_workflow(workflow), None if original is None else load_workflow(original))
    click.echo(f"No difference: {count:,} numbers agree with coffea's.")


@click.command("new")
@click.argument("name")
@click.option("--directory", type=FOLDER, default=Path(), help="The project's folder; by default this one.")
def new(name: str, directory: Path) -> None:
    """Write processors/NAME.py and workflows/NAME.yaml, ready to run on a dataset called NAME."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        msg = f"NAME = {name!r}: use lower-case letters, digits and underscores, starting with a letter."
        raise ConfigError(msg)
    words = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
    }
    targets = {
        directory / "processors" / f"{name}.py": "processor.py.txt",
        directory / "workflows" / f"{name}.yaml": "workflow.yaml.txt",
    }
    for target in targets:
        if target.exists():
            msg = f"{target} exists; choose another name or remove it first."
            raise ConfigError(msg)
    for target, source in targets.items():
        text = files("colonnade.cli").joinpath("skeleton", source).read_text(encoding="utf-8")
        with replacing(target) as temporary:
            temporary.write_text(Template(text).substitute(words), encoding="utf-8")
        click.echo(f"Wrote {target}")
    manifest = directory / "datasets.json"
    if not manifest.exists():
        with replacing(manifest) as temporary:
            temporary.write_text("{}\n", encoding="utf-8")
        click.echo(f"Wrote {manifest}")
    click.echo(
        f"\nNext, say which files it reads, and run it:\n"
        f"  colonnade datasets add {name} FILES... --process data --kind data\n"
        f"  colonnade run workflows/{name}.yaml --output results/{name}"
    )
