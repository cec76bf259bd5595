"""What a run left in its folder, loaded into the same typed results that it had in memory."""

from __future__ import annotations

__all__ = ["load_run"]

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, RootModel

from colonnade.config import parse_settings, read_json
from colonnade.errors import ConfigError, InputError
from colonnade.execution import Ledger, Result
from colonnade.histograms import load
from colonnade.plotting.run import Run
from colonnade.plotting.settings import PlotSettings
from colonnade.statistics.results import FitSummary
from colonnade.statistics.settings import ModelSettings

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
    if not any((directory / name).is_file() for name in ("ledger.json", "provenance.json")):
        msg = f"{directory} holds neither ledger.json nor provenance.json; give the output folder of a run."
        raise InputError(msg)
    provenance = _json(directory / "provenance.json") or {}
    config = provenance.get("config") or {}
    ledger = _parsed(directory / "ledger.json", partial(parse_settings, _Ledger))
    cutflow = _parsed(directory / "cutflow.json", partial(parse_settings, _Cutflow))
    histograms = load(directory) if (directory / "histograms.zip").is_file() else {}
    fit = _parsed(directory / "fit.json", FitSummary.from_json)
    source = f"{directory / 'provenance.json'}: config"
    model = config.get("model")
    datasets = (provenance.get("inputs") or {}).get("datasets") or {}
    ledger_content = Ledger(0.0, {}) if ledger is None else ledger.root
    return Run(
        title=str(provenance.get("title") or config.get("title") or directory.resolve().name),
        result=Result(histograms, {} if cutflow is None else cutflow.model_dump(), ledger_content),
        kinds={entry.process: entry.kind for entry in ledger_content.datasets.values()},
        parameters={entry["process"]: entry.get("signal") or {} for entry in datasets.values()},
        luminosity=config.get("luminosity"),
        signal_regions=tuple(provenance.get("signal_regions") or ()),
        blinded=not config.get("unblind", False),
        plots=parse_settings(PlotSettings, config.get("plots") or {}, f"{source}.plots"),
        model=None if model is None else parse_settings(ModelSettings, model, f"{source}.model"),
        fit=fit,
        bumps=_parsed(directory / "bumps.json", _bumps),
        classifiers=_json(directory / "classifiers.json") or {},
        provenance=provenance,
    )


def _bumps(content: Any, source: str) -> Bumps:
    from colonnade.statistics.resonance import Bumps  # compiles its fits

    return Bumps.from_json(content, source)


def _parsed(path: Path, parse: Callable[[Any, str], T]) -> T | None:
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
