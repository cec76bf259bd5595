"""The command of the study."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from colonnade.cli import entry
from colonnade.config import parse_settings, read_json, read_yaml
from colonnade.workflow import load_workflow
from studies.tables import fill_page
from studies.zgamma.run import run_study
from studies.zgamma.settings import StudySettings
from studies.zgamma.tables import experiment_lines

ROOT = Path(__file__).parents[2]


@click.command("studies.zgamma")
@click.option("--workflow", type=click.Path(path_type=Path), default=ROOT / "workflows" / "zgamma.yaml")
@click.option("--settings", type=click.Path(path_type=Path), default=Path(__file__).with_name("settings.yaml"))
@click.option("--experiments", type=click.IntRange(min=2), help="How many, instead of what the settings say.")
@click.option("--output", type=click.Path(path_type=Path), help="By default results/NAME_study beside the workflows.")
@click.option("--publish", is_flag=True, help="Fill the tables of docs/resonances.md, too.")
@click.option("--workers", type=click.IntRange(min=1), help="By default one for each core.")
def command(
    workflow: Path,
    settings: Path,
    experiments: int | None,
    output: Path | None,
    *,
    publish: bool,
    workers: int | None,
) -> None:
    """Find what a search finds where there is nothing.

    Interrupted, it goes on where it was when called again.
    """
    loaded = load_workflow(workflow, workers=workers)
    study = parse_settings(StudySettings, read_yaml(settings), str(settings))
    if experiments is not None:
        study = study.model_copy(update={"experiments": experiments})
    directory = output or loaded.root / "results" / f"{loaded.name}_study"
    run_study(loaded, study, directory, workers=workers, console=Console())
    if publish:
        found = read_json(directory / "pseudo_experiments.json")
        fill_page(ROOT / "docs" / "resonances.md", "zgamma", experiment_lines(found))


if __name__ == "__main__":
    entry(command)
