"""What a run left in its folder: loaded into the typed results that it had in memory, and told in a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, RootModel
from rich.console import Console
from rich.table import Table

from colonnade.config import parse_settings, read_json
from colonnade.errors import ConfigError, InputError
from colonnade.execution import Ledger, Result
from colonnade.histograms import load
from colonnade.plotting.run import Run
from colonnade.plotting.settings import PlotSettings
from colonnade.statistics.results import FitSummary
from colonnade.statistics.settings import ModelSettings
from colonnade.training.results import Evaluation

if TYPE_CHECKING:
    from colonnade.statistics.resonance import Bumps


T = TypeVar("T")


class _Ledger(RootModel[Ledger]):
    """ledger.json."""


class _Counts(BaseModel):
    raw: int
    weighted: float
    error: float


class _CutRow(_Counts):
    cut: str
    n_minus_one: _Counts | None = None


class _Cutflow(RootModel[dict[str, dict[str, list[_CutRow]]]]):
    """cutflow.json: dataset, then region, then rows."""


def load_run(directory: Path | str) -> Run:
    """Load a run's results from its folder; of what the run did not write, there is nothing.

    Raises
    ------
    InputError
        If it is not the folder of a run, or a file in it can't be read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        msg = f"{directory} is not a folder; give the output folder of a run."
        raise InputError(msg)
    if not any((directory / name).is_file() for name in ("provenance.json", "ledger.json")):
        msg = f"{directory} holds neither provenance.json nor ledger.json; give the output folder of a run."
        raise InputError(msg)
    histograms = (directory / "histograms.zip").is_file()
    if histograms and not (directory / "provenance.json").is_file():
        msg = f"{directory} holds no provenance.json, which says what is blinded; run the workflow again."
        raise InputError(msg)
    ledger = read_result(directory / "ledger.json", partial(parse_settings, _Ledger))
    cutflow = read_result(directory / "cutflow.json", partial(parse_settings, _Cutflow))
    about = {"title": directory.resolve().name, **(_json(directory / "provenance.json") or {})}
    return assemble_run(
        about,
        Result(
            load(directory) if histograms else {},
            {} if cutflow is None else cutflow.model_dump(),
            Ledger(0.0, {}) if ledger is None else ledger.root,
            eras={era: load(directory, era) for era in (about.get("config") or {}).get("eras") or ()}
            if histograms
            else {},
        ),
        {
            "fit": read_result(directory / "fit.json", FitSummary.from_json),
            "bumps": read_result(directory / "bumps.json", _bumps),
            "classifiers": read_result(directory / "classifiers.json", _evaluations),
        },
    )


def assemble_run(provenance: Mapping[str, Any], result: Result, results: Mapping[str, Any]) -> Run:
    """Put a run together from its results.

    Parameters
    ----------
    provenance
        Its provenance: title, configuration, datasets.
    result
        Histograms, cutflow and ledger.
    results
        What the steps named ``fit``, ``bumps`` and ``classifiers`` return, as far as there are any.

    Raises
    ------
    ConfigError
        If the configuration is not one of this version of colonnade.
    """
    config = provenance.get("config") or {}
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
        fit=results.get("fit"),
        bumps=results.get("bumps"),
        classifiers=results.get("classifiers") or {},
        eras={name: era["luminosity"] for name, era in (config.get("eras") or {}).items()},
        data_driven=tuple(config.get("data_driven") or ()),
        provenance=provenance,
    )


def _evaluations(content: Any, source: str) -> dict[str, Evaluation]:
    return {name: Evaluation.from_json(each, f"{source}: {name}") for name, each in content.items()}


def _bumps(content: Any, source: str) -> Bumps:
    from colonnade.statistics.resonance import Bumps  # compiles its fits

    return Bumps.from_json(content, source)


def read_result(path: Path, parse: Callable[[Any, str], T]) -> T | None:
    """Read a result from a JSON file; None where there is none.

    Parameters
    ----------
    path
        The file.
    parse
        Makes the result of the file's content; it is told where that comes from.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    content = _json(path)
    if content is None:
        return None
    try:
        return parse(content, str(path))
    except ConfigError as error:
        msg = f"{str(error).rstrip('.')}; run the workflow again to write the file anew."
        raise InputError(msg) from error


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return read_json(path)
    except ConfigError as error:
        msg = f"{str(error).rstrip('.')}; run the workflow again to write the file anew."
        raise InputError(msg) from error


def print_summary(console: Console, directory: Path, result: Result) -> None:
    """Print what came out, what was lost, and where everything is."""
    fit = directory / "fit.json"
    if fit.exists():
        console.print(_limits(json.loads(fit.read_text(encoding="utf-8"))))
    lost = result.ledger.lost
    if lost:
        events = sum(entry.events_expected - entry.events_processed for entry in result.ledger.datasets.values())
        ranges = "1 range" if len(lost) == 1 else f"{len(lost):,} ranges"
        share = f"{events:,} events ({result.ledger.lost_fraction:.3%})"
        console.print(f"Lost: {share} in {ranges} of files; see ledger.json.", style="red", highlight=False)
    else:
        events = sum(entry.events_processed for entry in result.ledger.datasets.values())
        console.print(f"No event lost: {events:,} processed.", style="green", highlight=False)
    console.print(f"Result: {directory}", soft_wrap=True, highlight=False)
    console.print(f"Open:   {directory / 'report.html'}", soft_wrap=True, highlight=False)


def _limits(fit: dict[str, object]) -> Table:
    table = Table(title="Signal points", title_justify="left", header_style="bold")
    table.add_column("signal")
    table.add_column("expected Z", justify="right")
    table.add_column("expected limit on mu", justify="right")
    table.add_column("68 % band", justify="right")
    observed = not fit["blinded"]
    if observed:
        table.add_column("observed limit", justify="right")
    points = fit["points"]
    assert isinstance(points, list)  # noqa: S101 - for the type checker
    for point in points:
        limits = point["limit"]["expected"]
        row = [
            point["signal"],
            f"{point['significance']['expected']:.2f}",
            f"{limits[2]:.3g}",
            f"{limits[1]:.3g} to {limits[3]:.3g}",
        ]
        if observed:
            row.append(f"{point['limit']['observed']:.3g}")
        table.add_row(*row)
    return table
