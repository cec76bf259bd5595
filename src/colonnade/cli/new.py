"""`colonnade new`: a runnable skeleton of an analysis."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from colonnade.cli.common import FOLDER
from colonnade.errors import ConfigError
from colonnade.output import replacing


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
