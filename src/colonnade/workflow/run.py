"""The steps of a run, in order: events, histograms, fit, plots, report."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from colonnade.accumulators import write_accumulator
from colonnade.config import read_json
from colonnade.errors import ConfigError
from colonnade.execution import Ledger, Progress, Result, StoppedError, run_datasets
from colonnade.execution.data_driven import with_data_driven
from colonnade.execution.progress import counted
from colonnade.histograms import load, write_root, write_zip
from colonnade.manifest import Dataset
from colonnade.output import write_json
from colonnade.plotting import PlotSettings
from colonnade.plotting.run import Run
from colonnade.serialisation import take_apart
from colonnade.statistics.resonance.search import BumpSettings
from colonnade.terminal import Terminal
from colonnade.workflow.analysis import (
    check_histograms,
    check_names,
    coffea_files,
    kinds_of,
    load_datasets,
    make_coffea_processor,
    make_processor,
    one_of,
    run_options,
)
from colonnade.workflow.folder import (
    about_run,
    histogram_digest,
    load_run,
    note_processes,
    print_summary,
    read_provenance,
)
from colonnade.workflow.settings import Workflow
from colonnade.workflow.steps import OutputFolder, Step


def run_workflow(
    workflow: Workflow, output: Path | None = None, *, resume: bool = False, console: Console | None = None
) -> Path:
    """Run a workflow and leave its result in a folder.

    Parameters
    ----------
    workflow
        From `load_workflow`.
    output
        The folder; by default ``results/NAME`` in the project's folder.
    resume
        Insist that there is something to go on with. What is kept in the cache is never redone, with or without
        this; it guards against starting anew by a slip.
    console
        Where progress and the summary are printed.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ColonnadeError
        For wrong settings and unusable input, before anything is written.
    OutputError
        If another run works in the folder.
    LossError
        When everything is written, if more events were lost than the workflow allows.
    """
    console = console or Terminal()
    settings = workflow.settings
    directory = (output or workflow.root / "results" / workflow.name).absolute()
    if resume:
        _check_resumable(workflow, directory)
    datasets = load_datasets(workflow)
    processor = _processor(workflow)
    for note in _gaps(workflow, datasets):
        console.print(f"  Note: {note}", soft_wrap=True)
    with OutputFolder.opened(directory, console) as folder:
        about = about_run(workflow, processor, datasets, folder.about)
        changed = any(about[part] != folder.about.get(part) for part in ("config", "inputs"))
        if changed and workflow.coffea is None:
            check_names(workflow, processor, datasets)
        count = "1 dataset" if len(datasets) == 1 else f"{len(datasets)} datasets"
        console.print(f"{settings.title or workflow.name}: {count}", style="bold")
        result = _process_events(folder, about, workflow, processor, datasets, console)
        note_processes(about, result)
        about["histograms_sha256"] = histogram_digest(result.histograms)
        steps = _steps(workflow, about, result, console)
        folder.begin(about, steps)
        folder.do(*steps)
        folder.about["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        folder.redo(report_step(lambda path: load_run(path, result)))
        print_summary(console, directory, result)
    result.ledger.check()
    return directory


def _check_resumable(workflow: Workflow, directory: Path) -> None:
    cache = workflow.settings.cache
    folder = workflow.root / cache.folder
    if not cache.enabled or not folder.is_dir():
        msg = f"There is nothing to resume: {folder} keeps no results; leave --resume away to start anew."
        raise ConfigError(msg)
    earlier = read_provenance(directory).get("name", workflow.name)
    if earlier != workflow.name:
        msg = f"{directory} holds a run of {earlier!r}, not of {workflow.name!r}; name its folder with --output."
        raise ConfigError(msg)


def _process_events(
    folder: OutputFolder,
    about: Mapping[str, Any],
    workflow: Workflow,
    processor: Any,
    datasets: Sequence[Dataset],
    console: Console,
) -> Result:
    """Process the events; a run that must stop leaves its ledger and nothing else."""
    began = time.monotonic()
    try:
        result = _result_of(workflow, processor, datasets, console)
    except StoppedError as error:
        if error.ledger is not None:
            step = _ledger(error.ledger)
            folder.begin(about, (step,))
            folder.do(step)
        raise
    kept = f", {result.timing.kept:,} kept from earlier" if result.timing.kept else ""
    folder.note("events", time.monotonic() - began, f"{result.timing.processed:,} events{kept}")
    return result


def events_of(workflow: Workflow, console: Console) -> Result:
    """Process the events of a workflow, and write nothing."""
    return _result_of(workflow, _processor(workflow), load_datasets(workflow), console)


def _gaps(workflow: Workflow, datasets: Sequence[Dataset]) -> list[str]:
    """Say which processes have no dataset in some era, where nothing stands for them."""
    eras: dict[str, set[str | None]] = {}
    for dataset in datasets:
        about = dataset.metadata
        name = about.process if about.varies is None else f"The alternative {about.varies} of {about.process}"
        eras.setdefault(name, set()).add(about.era)
    return [
        f"{process} has no dataset of the era {era}, so nothing stands for it there."
        for era in workflow.settings.eras
        for process, found in eras.items()
        if era not in found
    ]


def _processor(workflow: Workflow) -> Any:
    if workflow.coffea is not None:
        return make_coffea_processor(workflow, workflow.coffea)
    return make_processor(workflow, unblind=workflow.settings.unblind)


def _result_of(workflow: Workflow, processor: Any, datasets: Sequence[Dataset], console: Console) -> Result:
    settings, coffea = workflow.settings, workflow.coffea
    model = () if settings.model is None else settings.model.systematics
    options = run_options(workflow, console)
    if coffea is not None:
        options |= {
            "schema": coffea.nano_schema,
            "files": coffea_files(workflow, coffea),
            "axes": coffea.axes,
            "check": lambda histograms: check_histograms(workflow, histograms),
        }
    else:
        options["to_nominal"] = {
            name for each in model if each.normalise == "nominal" for name in (each.variation, each.alpha_s) if name
        }
        options["check"] = lambda variations: check_names(workflow, processor, datasets, variations)
    result = run_datasets(processor, datasets, **options)
    regions = one_of(processor).regions if workflow.coffea is None else {}
    return with_data_driven(
        result,
        settings.data_driven,
        kinds_of(workflow, processor, datasets),
        () if settings.unblind else [name for name, region in regions.items() if region.signal],
        lambda note: console.print(f"  Note: {note}", highlight=False, soft_wrap=True),
    )


def _steps(workflow: Workflow, about: Mapping[str, Any], result: Result, console: Console) -> list[Step]:
    """Return the steps that a workflow asks for once its events are processed, in order."""
    settings = workflow.settings
    histograms = _histograms(result)
    made: list[Step] = [_ledger(result.ledger), histograms]
    if result.accumulator is not None:
        made.append(_accumulator(result.accumulator))
    if settings.model is not None:
        made.append(fit_step(about, [histograms.key], console))
    if settings.bumps is not None:
        made.append(_bumps(settings.bumps, about, result, histograms.key))
    if (classifiers := _classifiers(workflow)) is not None:
        made.append(classifiers)
    if settings.plots is not None:
        workers = settings.executor.workers or len(os.sched_getaffinity(0))
        after = [step.key for step in made]
        made.append(plots_step(settings.plots, about, lambda path: load_run(path, result), after, workers, console))
    root_file = Step(
        "ROOT file", ("histograms.root",), _write_root, after=[histograms.key], rooms=("histograms",), beside=True
    )
    return [*made[:2], root_file, *made[2:]]


def _ledger(ledger: Ledger) -> Step:
    return Step("ledger", ("ledger.json",), lambda path: ledger.write(path / "ledger.json"), settings=str(ledger))


def _histograms(result: Result) -> Step:
    def write(path: Path) -> None:
        write_zip(result.histograms, path / "histograms.zip", result.eras)
        write_json(path / "cutflow.json", result.cutflow)

    labels = [
        [name, process, [(axis.name, axis.label) for axis in filled.axes]]
        for name, by_process in result.histograms.items()
        for process, filled in by_process.items()
    ]
    content = [histogram_digest(result.histograms), labels, result.cutflow]
    content += [[era, histogram_digest(found)] for era, found in result.eras.items()]
    return Step("histograms", ("histograms.zip", "cutflow.json"), write, settings=content, rooms=("histograms",))


def _accumulator(value: Any) -> Step:
    parts = take_apart(value)
    arrays = [hashlib.sha256(array.tobytes()).hexdigest() for array in parts.arrays]
    return Step(
        "accumulator",
        ("accumulator.zip",),
        lambda path: write_accumulator(value, path / "accumulator.zip"),
        settings=[parts.tree, arrays],
        rooms=("accumulators",),
    )


def _meaning(about: Mapping[str, Any]) -> list[Any]:
    """Return what gives the histograms their meaning: luminosity, blinding, and what each dataset is."""
    config = about["config"]
    eras = [config["eras"]] if config.get("eras") else []
    return [config["luminosity"], config["unblind"], about["signal_regions"], about["inputs"]["datasets"], *eras]


def fit_step(
    about: Mapping[str, Any],
    after: Collection[str],
    console: Console,
    *,
    reference: str | None = None,
    scans: Sequence[str] = (),
) -> Step:
    """Return the step that fits the histograms of a run.

    Parameters
    ----------
    about
        The run's provenance.
    after
        The key of its histograms.
    console
        Where progress is shown.
    reference, scans
        As in `colonnade.statistics.refit`.
    """
    from colonnade.statistics import refit

    def run(path: Path) -> Any:
        with counted(Progress(console), "pseudo-experiments") as report:
            return refit(path, reference=reference, scans=scans, report=report)

    return Step(
        "fit",
        ("workspace.json", "patchset.json", "fit.json"),
        run,
        settings=[about["config"]["model"], _meaning(about), *filter(None, (reference, scans))],
        after=after,
        rooms=("statistics",),
        work=("toys",),
    )


def _bumps(bumps: BumpSettings, about: Mapping[str, Any], result: Result, histograms: str) -> Step:
    from colonnade.statistics.resonance import search_bumps

    def run(path: Path) -> None:
        found = search_bumps(
            result.histograms,
            bumps,
            kinds={each["process"]: each["kind"] for each in about["inputs"]["datasets"].values()},
            luminosity=about["config"]["luminosity"],
            unblind=about["config"]["unblind"],
        )
        write_json(path / "bumps.json", found.to_json())

    content = [bumps.model_dump(mode="json"), _meaning(about)]
    return Step("bumps", ("bumps.json",), run, settings=content, after=[histograms], rooms=("statistics",))


def _classifiers(workflow: Workflow) -> Step | None:
    """Return the step that writes how well the classifiers do, where their training left that beside them.

    A classifier that an era has of its own is written with the era's name.
    """
    from colonnade.training.results import EVALUATION_SUFFIX, Evaluation

    models = dict(workflow.models)
    for era in workflow.settings.eras:
        own = workflow.of_era(era).models.items() - workflow.models.items()
        models |= {f"{name} ({era})": path for name, path in sorted(own)}
    places = {name: (workflow.root / path).with_suffix(EVALUATION_SUFFIX) for name, path in models.items()}
    found = {
        name: Evaluation.from_json(read_json(place), str(place)).to_json()
        for name, place in places.items()
        if place.is_file()
    }
    if not found:
        return None
    return Step(
        "classifiers",
        ("classifiers.json",),
        lambda path: write_json(path / "classifiers.json", found),
        settings=found,
    )


def plots_step(
    plots: PlotSettings,
    about: Mapping[str, Any],
    run_of: Callable[[Path], Run],
    after: Collection[str],
    workers: int,
    console: Console,
) -> Step:
    """Return the step that draws the figures.

    Parameters
    ----------
    plots
        What is drawn.
    about
        The run's provenance.
    run_of
        Returns the run in a folder.
    after
        The keys of the steps whose results are drawn.
    workers
        How many processes draw.
    console
        Where progress is shown.
    """
    from colonnade.plotting.draw import draw_all, pictures_of

    def draw(path: Path) -> None:
        run = run_of(path).with_plots(**dict(plots))
        with counted(Progress(console), "plots") as report:
            # what a coffea processor returns may be no picture
            draw_all(pictures_of(run), path / "plots", run.plots, workers, report)

    content = [plots.model_dump(mode="json"), about["title"], about["config"]["model"], _meaning(about)]
    return Step("plots", ("plots",), draw, settings=content, after=after, rooms=("plotting",))


def report_step(run_of: Callable[[Path], Run]) -> Step:
    """Return the step that writes the page about all others; `run_of` returns the run in a folder."""
    from colonnade.report import write_report

    def write(path: Path) -> None:
        write_report(run_of(path), path / "plots", path / "report.html")

    return Step("report", ("report.html",), write)


def _write_root(directory: Path) -> None:
    eras = {era: load(directory, era) for era in read_provenance(directory)["config"].get("eras") or ()}
    write_root(load(directory), directory / "histograms.root", eras)
