"""The command of the study: samples, columns, all trainings, significances, tables and figures."""

from __future__ import annotations

from pathlib import Path

import click

from colonnade.cli import entry
from colonnade.workflow import load_workflow
from studies.hnl_tau.scan import run_mass_scan
from studies.hnl_tau.settings import MODELS, SCANS

ROOT = Path(__file__).parents[2]


@click.command("studies.hnl_tau")
@click.argument("name", type=click.Choice(sorted(SCANS)), default="masses")
@click.option("--size", default="small", show_default=True, help="One of the sizes that the scan declares.")
@click.option("--columns", type=click.Path(path_type=Path), help="Columns to use as they are, instead of making them.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one.")
@click.option("--threads", type=click.IntRange(min=1), help="By default one for each core.")
@click.option("--workers", type=click.IntRange(min=1), help="For making samples and columns.")
def command(name: str, size: str, columns: Path | None, device: str, threads: int | None, workers: int | None) -> None:
    """Find the significance against the mass, by observables and models.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.training import load_models
    from colonnade.training.trainer import choose_device, use_threads

    run_mass_scan(
        load_workflow(ROOT / "workflows" / "hnl_tau.yaml", workers=workers),
        load_models(ROOT / "models" / "hnl_tau.py") | MODELS,
        name,
        SCANS[name],
        size=size,
        columns=columns,
        device=choose_device(device),
        threads=use_threads(threads),
        workers=workers,
    )


if __name__ == "__main__":
    entry(command)
