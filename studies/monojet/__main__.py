"""The command of the study: samples, columns, all trainings, tables and curves."""

from __future__ import annotations

from pathlib import Path

import click

from colonnade.cli import entry
from colonnade.workflow import load_workflow
from studies.monojet.run import run_study
from studies.monojet.settings import STUDIES

ROOT = Path(__file__).parents[2]


@click.command("studies.monojet")
@click.argument("name", type=click.Choice(sorted(STUDIES)), default="monojet_scaled")
@click.option("--columns", type=click.Path(path_type=Path), help="Columns to use as they are, instead of making them.")
@click.option("--output", type=click.Path(path_type=Path), help="Where models go; by default the folder models.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one.")
@click.option("--threads", type=click.IntRange(min=1), help="By default one for each core.")
@click.option("--workers", type=click.IntRange(min=1), help="For making samples and columns.")
def command(
    name: str, columns: Path | None, output: Path | None, device: str, threads: int | None, workers: int | None
) -> None:
    """Compare networks on images with the network on the particles.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.training.trainer import choose_device, use_threads

    run_study(
        load_workflow(ROOT / "workflows" / "monojet.yaml", workers=workers),
        ROOT / "models" / "monojet.py",
        name,
        STUDIES[name],
        columns=columns,
        output=output,
        device=choose_device(device),
        threads=use_threads(threads),
        workers=workers,
    )


if __name__ == "__main__":
    entry(command)
