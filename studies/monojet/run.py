"""A study of networks on images, whole: samples, columns, trainings, curves, tables."""

from __future__ import annotations

__all__ = ["run_study"]

import fnmatch
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from colonnade.errors import ConfigError, nearest
from colonnade.manifest import load_manifest
from colonnade.output import replacing
from colonnade.training import load_models
from colonnade.workflow.columns import make_columns
from colonnade.workflow.settings import Workflow
from studies.monojet.declaration import ImageStudy


def run_study(
    workflow: Workflow,
    model_file: Path,
    name: str,
    study: ImageStudy,
    *,
    columns: Path | None = None,
    output: Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    workers: int | None = None,
    console: Console | None = None,
) -> Path:
    """Run a study: what is there already is not made again.

    Parameters
    ----------
    workflow
        The analysis.
    model_file
        Declares the study and the network on sets.
    name
        Of the study.
    study
        What to compare.
    columns
        Training columns to use as they are, instead of making samples and columns.
    output
        Where models go; by default beside their declaration.
    device, threads
        Where to train.
    workers
        Processes that make samples.
    console
        Where progress is shown.

    Returns
    -------
    Path
        The folder with `study.json`, `study.md` and the curves.

    Raises
    ------
    ConfigError
        If the study names a model that is not declared.
    """
    from colonnade.statistics import asimov_significance
    from colonnade.training.trainer import TrainingProgress
    from studies.monojet.curves import draw_curves
    from studies.monojet.study import run_image_study
    from studies.monojet.tables import markdown, replace_section, thresholds_markdown

    console = console or Console()
    models = load_models(model_file)
    for wanted in (study.jagged, *study.others):
        if wanted not in models:
            msg = f"The study {name} names the model '{wanted}'{nearest(wanted, models)}, which is not declared."
            raise ConfigError(msg)
    others = {wanted: models[wanted] for wanted in study.others}
    if columns is None:
        _samples(workflow, study, workers, console)
        columns = workflow.root / "columns" / workflow.name
        reads = [
            image.reads(signals=(study.signal,), backgrounds=(study.background, study.unseen))
            for image in study.images.values()
        ]
        make_columns(workflow, (models[study.jagged], *others.values(), *reads), columns, console)
    folder = columns / "comparisons" / name
    result = run_image_study(
        workflow.name,
        study,
        models[study.jagged],
        columns,
        folder,
        output=output or model_file.resolve().parent,
        significance=asimov_significance,
        others=others,
        device=device,
        threads=threads,
        progress=TrainingProgress(console),
    )
    text, thresholds = markdown(study, result), thresholds_markdown(result)
    with replacing(folder / "study.md") as temporary:
        temporary.write_text(f"{text}\n{thresholds}", encoding="utf-8")
    pictures = [folder / "curves.png"]
    if study.document:
        page = workflow.root / study.document
        replace_section(page, name, text)
        replace_section(page.with_suffix("") / "thresholds.md", name, thresholds)
        pictures.append(page.parent / "images" / f"{name}_curves.png")
    for picture in pictures:
        draw_curves(result["models"], picture)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Wrote {folder / 'study.md'}, study.json and curves.png", highlight=False)
    return folder


def _samples(workflow: Workflow, study: ImageStudy, workers: int | None, console: Console) -> None:
    """Make the samples that are missing, in as many events as the study asks for."""
    from colonnade.samples import make_samples

    manifest = load_manifest(workflow.manifest)
    groups: dict[int | None, list[str]] = {}
    for dataset in manifest.select(workflow.settings.datasets):
        events = next((n for pattern, n in study.events.items() if fnmatch.fnmatch(dataset.name, pattern)), None)
        groups.setdefault(events, []).append(dataset.name)
    made: list[Any] = []
    for events, names in groups.items():
        made += make_samples(manifest, names, workers=workers or os.cpu_count() or 1, events=events)
    new = sum(not one.skipped for one in made)
    console.print(f"  samples     {new} made, {len(made) - new} up to date", highlight=False)
