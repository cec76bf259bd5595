"""The steps of a resonance search: bump fits and pseudo-experiments."""

from __future__ import annotations

__all__ = ["study_experiments"]

import os
from pathlib import Path

from rich.console import Console

from colonnade.errors import ConfigError
from colonnade.execution import RichProgress
from colonnade.workflow.columns import make_columns
from colonnade.workflow.settings import Workflow


def study_experiments(workflow: Workflow, directory: Path, console: Console) -> None:
    """Write the columns to draw from, run the pseudo-experiments, write `pseudo_experiments.json`.

    Parameters
    ----------
    workflow
        With `pseudo_experiments`.
    directory
        The run's folder.
    console
        Where progress is shown.

    Raises
    ------
    ConfigError
        If the model file does not exist or declares no `model`.
    ColonnadeError
        As the steps.
    """
    from colonnade.statistics.pseudo_experiments.study import read_study_sample, study_pseudo_experiments
    from colonnade.training import load_models

    settings = workflow.settings.pseudo_experiments
    assert settings is not None  # noqa: S101 - for the type checker
    path = workflow.root / settings.model
    models = load_models(path)
    if "model" not in models:
        msg = f"{path} declares no 'model' for the pseudo-experiments; it declares: {', '.join(models)}."
        raise ConfigError(msg)
    model = models["model"]
    folder = workflow.root / "columns" / workflow.name
    make_columns(workflow, tuple(models.values()), folder, console)
    sample = read_study_sample(folder, settings, [feature.name for feature in model.event])
    progress = RichProgress(console)
    done = -1

    def advance(now: int, total: int) -> None:
        nonlocal done
        if done < 0:
            progress.begin("pseudo-experiments", total)
            done = 0
        progress.advance(now - done)
        done = now

    try:
        study_pseudo_experiments(
            sample,
            settings,
            model,
            directory=directory,
            device=settings.device,
            workers=workflow.settings.executor.workers or len(os.sched_getaffinity(0)),
            progress=advance,
        )
    finally:
        if done >= 0:
            progress.end()
