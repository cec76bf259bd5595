"""The command of the study: all trainings, the table of the comparison, the heat maps of the grids."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from rich.console import Console

from colonnade.cli import entry
from colonnade.output import replacing
from colonnade.statistics import asimov_significance
from colonnade.workflow import load_workflow
from studies.dilepton_met.comparison import compare_models
from studies.dilepton_met.heat_maps import draw_search
from studies.dilepton_met.settings import COMPARISONS
from studies.dilepton_met.table import markdown

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models" / "dilepton_met.py"


@click.command("studies.dilepton_met")
@click.option("--grids", is_flag=True, help="Try the grids of hyper-parameters instead, and draw them as heat maps.")
@click.option("--columns", type=click.Path(path_type=Path), help="Columns to use as they are, instead of making them.")
@click.option("--publish", type=click.Path(path_type=Path), help="Put the table or the heat maps there, too.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one.")
@click.option("--threads", type=click.IntRange(min=1), help="By default one for each core.")
@click.option("--workers", type=click.IntRange(min=1), help="For making the columns, and for the grids.")
def command(
    *,
    grids: bool,
    columns: Path | None,
    publish: Path | None,
    device: str,
    threads: int | None,
    workers: int | None,
) -> None:
    """Compare models on the same events, with cut and count; or try grids of hyper-parameters.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.training import load_models
    from colonnade.workflow.columns import make_columns

    console = Console()
    models = load_models(MODELS)
    if columns is None:
        workflow = load_workflow(ROOT / "workflows" / "dilepton_met.yaml", workers=workers)
        columns = workflow.root / "columns" / workflow.name
        make_columns(workflow, tuple(models.values()), columns, console)
    if grids:
        _try_grids(console, columns, publish, workers)
    else:
        _compare(console, columns, publish, device, threads)


def _compare(console: Console, columns: Path, publish: Path | None, device: str, threads: int | None) -> None:
    from colonnade.training import load_models
    from colonnade.training.trainer import TrainingProgress, choose_device, use_threads

    for name, comparison in COMPARISONS.items():
        folder = columns / "comparisons" / f"dilepton_met_{name}"
        result = compare_models(
            load_models(MODELS),
            comparison,
            columns,
            folder,
            significance=asimov_significance,
            device=choose_device(device),
            threads=use_threads(threads),
            progress=TrainingProgress(console),
        )
        text = markdown(result)
        for place in (folder / "comparison.md", *((publish / f"{name}.md",) if publish is not None else ())):
            with replacing(place) as temporary:
                temporary.write_text(text, encoding="utf-8")
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        console.print(f"Wrote {folder / 'comparison.md'} and comparison.json", highlight=False)


def _try_grids(console: Console, columns: Path, publish: Path | None, workers: int | None) -> None:
    from colonnade.training import load_models, load_searches
    from colonnade.training.search import run_search

    models = load_models(MODELS)
    for name, search in load_searches(MODELS).items():
        folder = columns / "searches" / f"dilepton_met_{name}"
        result = run_search(
            "dilepton_met",
            search,
            models[search.base],
            columns,
            folder,
            significance=asimov_significance,
            workers=workers,
        )
        figures = draw_search(result, folder)
        if publish is not None:
            publish.mkdir(parents=True, exist_ok=True)
            for figure in (each for each in figures if each.suffix == ".png"):
                shutil.copyfile(figure, publish / f"{name}_{figure.name}")
        console.print(f"Wrote {folder / 'search.json'} and {len(figures)} heat maps", highlight=False)


if __name__ == "__main__":
    entry(command)
