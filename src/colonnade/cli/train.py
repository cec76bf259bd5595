"""`colonnade train`: from a model's declaration to its .onnx file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from colonnade.cli.common import FILE, FOLDER
from colonnade.errors import ConfigError, nearest
from colonnade.terminal import Terminal, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from colonnade.training import Model
    from colonnade.training.results import SearchResult
    from colonnade.training.train import Trained


@click.command("train")
@click.argument("model", type=FILE)
@click.option(
    "--workflow",
    type=FILE,
    help="The workflow that makes the columns; by default workflows/NAME.yaml beside the models' folder.",
)
@click.option("--columns", type=FOLDER, help="Train on these columns as they are, instead of making them.")
@click.option("--variant", default="model", show_default=True, help="Which of the file's models to train.")
@click.option("--output", type=FOLDER, help="Where NAME.onnx goes; by default beside the model's declaration.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one.")
@click.option("--threads", type=click.IntRange(min=1), help="By default one for each core.")
@click.option("--search", metavar="NAME", help="Run searches of the file (a name or glob) instead of training.")
@click.option("--workers", type=click.IntRange(min=1), help="For making the columns, and for a search.")
def train(
    model: Path,
    workflow: Path | None,
    columns: Path | None,
    variant: str,
    output: Path | None,
    device: str,
    threads: int | None,
    search: str | None,
    workers: int | None,
) -> None:
    """Train MODEL, a models/NAME.py: columns, training, export, checks, evaluation, card.

    Interrupted, it goes on where it was when called again.
    """
    from colonnade.statistics import asimov_significance
    from colonnade.training import load_models
    from colonnade.training.declaration import check_name
    from colonnade.training.sample import read_sample
    from colonnade.training.train import train_model
    from colonnade.training.trainer import TrainingProgress, choose_device, use_threads
    from colonnade.workflow import load_workflow
    from colonnade.workflow.columns import make_columns

    console = Terminal()
    models = load_models(model)
    check_name("--variant", variant, models)
    path = workflow or model.resolve().parent.parent / "workflows" / f"{model.stem}.yaml"
    if columns is None:
        loaded = load_workflow(path, workers=workers)
        columns = loaded.root / "columns" / loaded.name
        make_columns(loaded, tuple(models.values()), columns, console)
    if search is not None:
        _search(console, model, models, search, columns, workers)
        return
    name = model.stem if variant == "model" else f"{model.stem}_{variant}"
    sample = read_sample(columns, models[variant], name)
    trained = train_model(
        name,
        models[variant],
        sample,
        output=(output or model.resolve().parent),
        work=columns / "training" / name,
        significance=asimov_significance,
        device=choose_device(device),
        threads=use_threads(threads),
        progress=TrainingProgress(console),
    )
    _print(console, trained)


def _search(
    console: Console, path: Path, models: dict[str, Model], wanted: str, columns: Path, workers: int | None
) -> None:
    import fnmatch

    from colonnade.execution.progress import Progress, counted
    from colonnade.statistics import asimov_significance
    from colonnade.training import load_searches
    from colonnade.training.search import run_search

    searches = load_searches(path)
    names = fnmatch.filter(searches, wanted)
    if not names:
        msg = f"{path} declares no search '{wanted}'{nearest(wanted, searches)}."
        raise ConfigError(msg)
    for name in names:
        search = searches[name]
        folder = columns / "searches" / f"{path.stem}_{name}"
        given = (path.stem, search, models[search.base], columns, folder)
        with counted(Progress(console), "trainings") as advance:
            result = run_search(*given, significance=asimov_significance, workers=workers, progress=advance)
        _print_search(console, result, folder)


def _print_search(console: Console, result: SearchResult, folder: Path) -> None:
    columns = (*result.axes, "AUC", "accuracy", f"Z, score > {result.cut:g}", "best Z")
    rows = []
    known = [trial for trial in result.trials if trial.points]
    for trial in sorted(known, key=lambda trial: -(trial.significance_best or 0.0))[:10]:
        numbers = (trial.auc, trial.accuracy, trial.significance_at_cut, trial.significance_best)
        rows.append((*(str(trial.changes[axis]) for axis in result.axes), *(f"{each:.4g}" for each in numbers)))
    print_table(f"{folder / 'search.json'}, the ten best", columns, rows, left=(), console=console)
    if len(known) < len(result.trials):
        console.print(f"{len(result.trials) - len(known)} trainings diverged")


def _print(console: Console, trained: Trained) -> None:
    columns = ("signal", "AUC", "AUC in training", "best Z", "at score >", "signal events", "background")
    rows = []
    for point in trained.evaluation.points:
        best = point.best
        z = "-" if best.z is None else f"{best.z:.3g}"
        yields = (f"{best.cut:.3f}", f"{best.signal:.3g}", f"{best.background:.3g}")
        rows.append((point.signal, f"{point.auc:.4f}", f"{point.auc_training:.4f}", z, *yields))
    print_table(str(trained.classifier.path), columns, rows, console=console)
