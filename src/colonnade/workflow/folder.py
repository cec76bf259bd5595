"""What a run leaves in its folder: what provenance.json says of it, and how it is loaded and told in a few lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from hist import Hist
from pydantic import RootModel
from rich.console import Console

from colonnade.config import parse_settings, read_json
from colonnade.errors import ConfigError, InputError
from colonnade.execution import Ledger, Result
from colonnade.execution.result import CutflowRow
from colonnade.histograms import load
from colonnade.manifest import Dataset
from colonnade.plotting.run import Run
from colonnade.plotting.settings import PlotSettings
from colonnade.statistics.results import FitSummary
from colonnade.statistics.settings import ModelSettings
from colonnade.terminal import print_table
from colonnade.training.results import Evaluation
from colonnade.versions import digest, environment, file_digest

if TYPE_CHECKING:
    from colonnade.statistics.resonance import Bumps
    from colonnade.workflow.settings import Workflow

T = TypeVar("T")


def load_run(directory: Path | str, result: Result | None = None) -> Run:
    """Load a run's results from its folder; of what the run did not write, there is nothing.

    Parameters
    ----------
    directory
        The run's output folder.
    result
        Its histograms, cutflows and ledger, where they are in memory already.

    Raises
    ------
    InputError
        If it is not the folder of a run, or a file in it can't be read.
    ConfigError
        If the configuration is not one of this version of colonnade.
    """
    directory = Path(directory)
    if not directory.is_dir():
        msg = f"{directory} is not a folder; give the output folder of a run."
        raise InputError(msg)
    if not any((directory / name).is_file() for name in ("provenance.json", "ledger.json")):
        msg = f"{directory} holds neither provenance.json nor ledger.json; give the output folder of a run."
        raise InputError(msg)
    written = _read(directory / "provenance.json", lambda content, _: content)
    provenance = {"title": directory.resolve().name, **(written or {})}
    config = provenance.get("config") or {}
    result = result or _result(directory, config.get("eras") or ())
    model = config.get("model")
    datasets = (provenance.get("inputs") or {}).get("datasets") or {}
    source = "provenance.json: config"
    return Run(
        title=str(provenance["title"]),
        result=result,
        kinds={entry.process: entry.kind for entry in result.ledger.datasets.values()}
        | {entry["process"]: entry["kind"] for entry in datasets.values() if "kind" in entry},
        parameters={entry["process"]: entry.get("signal") or {} for entry in datasets.values()},
        luminosity=config.get("luminosity"),
        signal_regions=tuple(provenance.get("signal_regions") or ()),
        blinded=not config.get("unblind", False),
        plots=parse_settings(PlotSettings, config.get("plots") or {}, f"{source}.plots"),
        model=None if model is None else parse_settings(ModelSettings, model, f"{source}.model"),
        fit=_read(directory / "fit.json", FitSummary.from_json),
        bumps=_read(directory / "bumps.json", _bumps),
        classifiers=_read(directory / "classifiers.json", _evaluations) or {},
        eras={name: era["luminosity"] for name, era in (config.get("eras") or {}).items()},
        data_driven=tuple(config.get("data_driven") or ()),
        provenance=provenance,
    )


def _result(directory: Path, eras: Iterable[str]) -> Result:
    histograms = (directory / "histograms.zip").is_file()
    if histograms and not (directory / "provenance.json").is_file():
        msg = f"{directory} holds no provenance.json, which says what is blinded; run the workflow again."
        raise InputError(msg)
    ledger = _read(directory / "ledger.json", Ledger.from_json)
    rows = RootModel[dict[str, dict[str, list[CutflowRow]]]]
    cutflow = _read(directory / "cutflow.json", partial(parse_settings, rows))
    return Result(
        load(directory) if histograms else {},
        {} if cutflow is None else cutflow.root,
        ledger or Ledger(0.0, {}),
        eras={era: load(directory, era) for era in eras} if histograms else {},
    )


def _evaluations(content: Any, source: str) -> dict[str, Evaluation]:
    return {name: Evaluation.from_json(each, f"{source}: {name}") for name, each in content.items()}


def _bumps(content: Any, source: str) -> Bumps:
    from colonnade.statistics.resonance import Bumps  # compiles its fits

    return Bumps.from_json(content, source)


def _read(path: Path, parse: Callable[[Any, str], T]) -> T | None:
    """Return what a parser makes of a JSON file's content and the file's name; None where there is no file."""
    if not path.is_file():
        return None
    try:
        return parse(read_json(path), str(path))
    except ConfigError as error:
        msg = f"{str(error).rstrip('.')}; run the workflow again to write the file anew."
        raise InputError(msg) from error


def print_summary(console: Console, directory: Path, result: Result) -> None:
    """Print what came out, what was lost, and where everything is."""
    fit = _read(directory / "fit.json", FitSummary.from_json)
    if fit is not None:
        print_points(console, fit)
    entries, lost = result.ledger.datasets.values(), result.ledger.lost
    processed = sum(entry.events_processed for entry in entries)
    if lost:
        events = sum(entry.events_expected for entry in entries) - processed
        share = f"{events:,} events ({result.ledger.lost_fraction:.3%})"
        line = f"Lost: {share} in {len(lost):,} range{'s' * (len(lost) > 1)} of files; see ledger.json."
        console.print(line, style="red", highlight=False)
    else:
        console.print(f"No event lost: {processed:,} processed.", style="green", highlight=False)
    console.print(f"Result: {directory}", soft_wrap=True, highlight=False)
    console.print(f"Open:   {directory / 'report.html'}", soft_wrap=True, highlight=False)


def print_points(console: Console, result: FitSummary) -> None:
    """Print a table of the signal points."""
    level = f"{100 * result.level:g} %"
    state = "expected only" if result.blinded else "expected and observed"
    columns = ["signal", "Z exp.", "limit exp.", "-1 sigma", "+1 sigma"]
    if not result.blinded:
        columns += ["Z obs.", "limit obs.", "mu"]
    if any(point.limit.toys is not None for point in result.points):
        columns.append("by toys")
    rows = []
    for point in result.points:
        z, mu, toys, limit = point.significance, point.mu_hat, point.limit.toys, point.limit.asymptotic or point.limit
        row = [point.signal, f"{z.expected:.2f}", *(f"{limit.expected[index]:.3g}" for index in (2, 1, 3))]
        if z.observed is not None and limit.observed is not None and mu is not None:
            row += [f"{z.observed:.2f}", f"{limit.observed:.3g}", f"{mu.value:.2f} ± {mu.error:.2f}"]
        if toys is not None:
            row.append(f"{toys.median:.3g} ± {toys.expected_errors[2]:.1g}")
        rows.append(row)
    title = f"{result.luminosity:g} fb⁻¹, {state}; upper limits on mu at {level}"
    print_table(title, columns, rows, console=console)


def histogram_digest(histograms: Mapping[str, Mapping[str, Hist]]) -> str:
    """Return the SHA-256 of every bin of every histogram, flow included: equal bits, equal digest."""
    total = hashlib.sha256()
    for name in sorted(histograms):
        for process in sorted(histograms[name]):
            histogram = histograms[name][process]
            axes = [
                (axis.name, np.asarray(axis.edges).tolist() if hasattr(axis, "edges") else list(axis))
                for axis in histogram.axes
            ]
            total.update(json.dumps([name, process, axes], default=str).encode())
            total.update(np.ascontiguousarray(histogram.values(flow=True)).tobytes())
            total.update(np.ascontiguousarray(histogram.variances(flow=True)).tobytes())
    return total.hexdigest()


def read_provenance(directory: Path) -> dict[str, Any]:
    """Return a run's provenance, or nothing where there is none to be read."""
    try:
        content = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def about_run(
    workflow: Workflow,
    processor: Any,
    datasets: Sequence[Dataset],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what provenance.json says of a run before it is done."""
    from colonnade.workflow.analysis import (
        one_of,  # brings coffea, which a run that is only read does without
        parts_of,
    )

    settings = workflow.settings

    coffea = workflow.coffea
    reference = coffea.coffea if coffea else str(settings.processor)
    regions = one_of(processor).regions if coffea is None else {}

    def files(paths: Mapping[str, str]) -> dict[str, Any]:
        return {name: {"path": path, "sha256": file_digest(workflow.root / path)} for name, path in paths.items()}

    def described(dataset: Dataset, **changes: str) -> dict[str, Any]:
        return dataset.metadata.model_dump(mode="json", exclude_none=True) | changes

    def own(each: Workflow) -> dict[str, Any]:
        shared = each.settings.files if coffea is None else {path: path for path in coffea.files}
        return {"corrections": files(each.settings.corrections), "scorers": files(each.models), "files": files(shared)}

    eras = {era: own(workflow.of_era(era)) for era in settings.eras}
    return {
        "name": workflow.name,
        "title": settings.title or workflow.name,
        "workflow": str(workflow.path),
        "unblinded": settings.unblind,
        "unblinding": _unblinding(workflow, earlier),
        "config": settings.model_dump(mode="json", by_alias=True),
        "environment": environment(),
        "inputs": {
            "manifest": {"path": str(workflow.manifest), "sha256": file_digest(workflow.manifest)},
            **files({"processor": reference.partition(":")[0]}),
            **({"eras": eras} if eras else own(workflow)),
            "datasets": {dataset.name: described(dataset) for dataset in datasets}
            | {
                part: described(dataset, process=part, part_of=dataset.metadata.process)
                for part, dataset in parts_of(processor, datasets).items()
            },
        },
        "seeds": {
            dataset.name: dataset.metadata.generate.seed
            for dataset in datasets
            if dataset.metadata.generate is not None
        },
        "signal_regions": [name for name, region in regions.items() if region.signal],
        "histograms_sha256": None,
    }


def note_processes(about: dict[str, Any], result: Result) -> None:
    """Note the processes that a coffea processor makes of datasets on its own account: they are backgrounds."""
    datasets = about["inputs"]["datasets"]
    known = {each["process"] for each in datasets.values()}
    for process in dict.fromkeys(process for found in result.histograms.values() for process in found):
        if process not in known:
            datasets[process] = {"process": process, "kind": "background", "k_factor": 1.0, "filter_efficiency": 1.0}


def _unblinding(workflow: Workflow, earlier: Mapping[str, Any]) -> dict[str, str] | None:
    """Say when the data of signal regions were first looked at with these settings."""
    if not workflow.settings.unblind:
        return None
    config = digest(workflow.settings.model_dump(mode="json", by_alias=True))
    before = earlier.get("unblinding") or {}
    if before.get("config_sha256") == config:
        return dict(before)
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "config_sha256": config}
