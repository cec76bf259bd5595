"""The study, whole: columns, pseudo-experiments, pictures, page."""

from __future__ import annotations

__all__ = ["run_study"]

import os
from pathlib import Path

from rich.console import Console

from colonnade.execution import Progress
from colonnade.plotting.draw import draw_all
from colonnade.plotting.settings import PlotSettings
from colonnade.training import load_models
from colonnade.workflow import Workflow
from colonnade.workflow.columns import make_columns
from studies.zgamma.figures import pictures
from studies.zgamma.page import write_page
from studies.zgamma.settings import StudySettings
from studies.zgamma.study import read_study_sample, study_pseudo_experiments


def run_study(
    workflow: Workflow, settings: StudySettings, directory: Path, *, workers: int | None = None, console: Console
) -> Path:
    """Run the pseudo-experiments of a workflow's simulated events; what is there already is not made again.

    Parameters
    ----------
    workflow
        The analysis whose events are drawn.
    settings
        What to do.
    directory
        Where the result goes: `pseudo_experiments.json`, pictures and `page.html`.
    workers
        Processes; by default one a core.
    console
        Where progress is shown.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ConfigError
        If the model file does not exist, or the columns lack what the study draws.
    ColonnadeError
        As the steps.
    """
    models = load_models(workflow.root / settings.model)
    model = models["model"]
    columns = workflow.root / "columns" / workflow.name
    make_columns(workflow, tuple(models.values()), columns, console, also=(settings.observable,))
    sample = read_study_sample(columns, settings, [feature.name for feature in model.event])
    progress = Progress(console)
    done = -1

    def advance(now: int, total: int) -> None:
        nonlocal done
        if done < 0:
            progress.begin("pseudo-experiments", total)
            done = 0
        progress.advance(now - done)
        done = now

    try:
        found = study_pseudo_experiments(
            sample,
            settings,
            model,
            directory=directory,
            device=settings.device,
            workers=workers or workflow.settings.executor.workers or len(os.sched_getaffinity(0)),
            progress=advance,
        )
    finally:
        if done >= 0:
            progress.end()
    drawn = draw_all(list(pictures(found)), directory / "plots", PlotSettings(), workers=1)
    page = write_page(found, directory / "plots", directory / "page.html")
    console.print(f"Wrote {page} and {len(drawn)} pictures", highlight=False, soft_wrap=True)
    return page
